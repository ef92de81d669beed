"""What reads and copies an archive beside WAL-G's own outputs: st, copy, odd objects, requests, and how the command line answers."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "faults"))

import proxy as faults
from harness import CACHE, Cluster, Failed, GOLDEN, Minio, TestCase, Walgd, as_server_user, signed_request, until
from test_golden import Golden as GoldenArchives

KEY = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
FULL, DELTA, NEXT_DELTA = "base_000000010000000000000013", "base_000000010000000000000015_D_000000010000000000000013", "base_000000010000000000000018_D_000000010000000000000015"


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class StorageTools(TestCase):
    prepare = GoldenArchives.prepare

    def setUp(self):
        super().setUp()
        self.folder, settings = self.store()
        self.walgd = Walgd(self.scratch, settings)

    def settings_file(self, name, folder, **more):
        path = self.scratch.path / f"{name}.yaml"
        lines = {"file_prefix": folder, **more}
        path.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
        path.chmod(0o644)
        return path

    def local(self, content, name="local"):
        path = self.scratch.path / name
        path.write_bytes(content)
        path.chmod(0o644)
        return path

    def test_what_is_put_comes_back(self):
        content = os.urandom(1000) * 3000
        local, back = self.local(content), self.scratch.folder("back")
        for number, (put, get, stored) in enumerate([([], [], ".lz4"), (["--no-compress"], ["--no-decompress"], ""), (["--no-encrypt"], ["--no-decrypt"], ".lz4")]):
            env = {"WALG_LIBSODIUM_KEY": KEY, "WALG_LIBSODIUM_KEY_TRANSFORM": "hex"}
            self.walgd.walg("st", "put", local, f"misc/{number}", *put, env=env)
            self.assertIn(f"misc/{number}{stored}", files_below(self.folder))
            self.walgd.walg("st", "get", f"misc/{number}{stored}", back, *get, env=env)
            self.assertEqual((back / f"{number}{stored}").read_bytes(), content)
        self.assertNotIn(content[:1000], files_below(self.folder)["misc/1"])

    def test_a_name_far_from_all_others_ends_no_listing_and_no_check(self):
        (self.folder / "wal_005").mkdir()
        for name in ("000000010000000000000001", "00000001FFFFFFFF000000FD"):
            (self.folder / f"wal_005/{name}.lz4").write_bytes(b"x")
        env = {"WALG_PG_WAL_SIZE": "16"}
        self.assertIn("LOST_SEGMENTS", self.walgd.walg("wal-show", env=env).stdout)
        refused = self.walgd.walg("wal-show", "--json", check=False, env=env)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("1099511627771 segments are missing on timeline 1, too many to name", refused.stderr)
        verified = self.walgd.walg("wal-verify", "integrity", "--lsn", "FFFFFFFF/FF000000", "--timeline", "1", check=False, env=env)
        self.assertIn("1099511627756", verified.stdout)

    def test_nothing_is_replaced_unless_asked_to(self):
        self.walgd.walg("st", "put", self.local(b"one"), "x", "--no-compress")
        refused = self.walgd.walg("st", "put", self.local(b"two"), "x", "--no-compress", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("object x already exists. To overwrite it, add the -f flag", refused.stderr)
        self.assertEqual(self.walgd.walg("st", "cat", "x").stdout, "one")
        self.walgd.walg("st", "put", self.local(b"two"), "x", "--no-compress", "-f")
        self.assertEqual(self.walgd.walg("st", "cat", "x").stdout, "two")

    def test_stdin_is_put(self):
        self.walgd.walg("st", "put", "--read-stdin", "from/stdin", input="through a pipe")
        self.assertEqual(self.walgd.walg("st", "cat", "from/stdin.lz4", "--decompress").stdout, "through a pipe")

    def test_get_leaves_no_half_file_and_no_other_file_touched(self):
        target = self.scratch.folder("out") / "x"
        self.assertEqual(self.walgd.walg("st", "get", "absent", target, check=False).returncode, 1)
        self.assertFalse(target.exists())
        self.walgd.walg("st", "put", self.local(b"one"), "x", "--no-compress")
        target.write_text("mine")
        self.assertEqual(self.walgd.walg("st", "get", "x", target, check=False).returncode, 1)
        self.assertEqual(target.read_text(), "mine")

    def test_remove_takes_an_object_or_a_folder_and_never_everything(self):
        for path in ("a/1", "a/b/2", "ab", "c"):
            self.walgd.walg("st", "put", self.local(b"x"), path, "--no-compress")
        self.walgd.walg("st", "rm", "a")
        self.assertEqual(set(files_below(self.folder)), {"ab", "c"})
        self.assertIn('object or folder "a" does not exist', self.walgd.walg("st", "rm", "a", check=False).stderr)
        self.assertEqual(self.walgd.walg("st", "rm", "/", check=False).returncode, 1)
        self.walgd.walg("st", "rm", "-g", "a*")
        self.assertEqual(set(files_below(self.folder)), {"c"})

    def test_a_listing_of_nothing_has_its_header(self):
        for words in (["st", "ls"], ["st", "ls", "-r", "absent"]):
            self.assertEqual(self.walgd.walg(*words, name="wal-g").stdout, "type size last modified name\n")
        self.assertEqual(self.walgd.walg("st", "stat", "absent", check=False).returncode, 1)

    def test_patterns_match_within_a_name(self):
        for path in ("a/1.x", "a/2.x", "a/b/3.x", "a/1.y"):
            self.walgd.walg("st", "put", self.local(b"x"), path, "--no-compress")
        lines = self.walgd.walg("st", "ls", "-g", "a/*.x").stdout.splitlines()[1:]
        self.assertEqual([line.split()[-1] for line in lines], ["a/1.x", "a/2.x"])
        # A folder that a pattern matches goes with all that is below, as one that is named does.
        for everything in ("*", "/*/", "[a-z]*_005"):
            self.assertEqual(self.walgd.walg("st", "rm", "-g", everything, check=False).returncode, 1)
        self.walgd.walg("st", "rm", "-g", "a/[b-z]*")
        self.assertEqual(sorted(files_below(self.folder)), ["a/1.x", "a/1.y", "a/2.x"])
        self.walgd.walg("st", "rm", "-g", "?/*.x")
        self.assertEqual(sorted(files_below(self.folder)), ["a/1.y"])

    def test_checks_tell_by_their_exit_code(self):
        self.assertIn("Write check OK", self.walgd.walg("st", "check", "write").stderr)
        self.assertEqual(files_below(self.folder), {})
        self.walgd.walg("st", "put", self.local(b"x"), "there", "--no-compress")
        self.assertIn("Read check OK", self.walgd.walg("st", "check", "read", "there").stderr)
        missing = self.walgd.walg("st", "check", "read", "there", "absent", "other", check=False)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("files are missing: absent, other", missing.stderr)

    def test_objects_are_copied_and_encrypted_anew(self):
        other = self.scratch.folder("other")
        source, target = self.settings_file("from", self.folder), self.settings_file("to", other, libsodium_key=KEY, libsodium_key_transform="hex")
        for path in ("wal_005/1", "wal_005/2", "misc/3"):
            self.walgd.walg("st", "put", self.local(b"plain content"), path, "--no-compress")
        self.walgd.walg("st", "copy", "--from", source, "--to", target, "--prefix", "wal_005/")
        self.assertEqual(files_below(other), {path: b"plain content" for path in ("wal_005/1", "wal_005/2")})
        self.walgd.walg("st", "copy", "--from", source, "--to", target, "-e", "-p", "misc")
        self.assertNotIn(b"plain content", files_below(other)["misc/3"])
        self.walgd.walg("st", "get", "misc/3", self.scratch.path / "back", "--no-decompress",
                        env={"WALG_FILE_PREFIX": str(other), "WALG_LIBSODIUM_KEY": KEY, "WALG_LIBSODIUM_KEY_TRANSFORM": "hex"})
        self.assertEqual((self.scratch.path / "back").read_bytes(), b"plain content")

    def test_transfer_moves_backups_with_their_sentinel_last(self):
        source, walgd = self.prepare("delta-zstd")
        archive = self.scratch.path / "delta-zstd-archive"
        before = files_below(archive)
        halves = [path for path in before if path.startswith(f"basebackups_005/{FULL}_")]
        (archive / halves[0]).unlink()
        file = self.settings_file("source", archive)
        result = self.walgd.walg("st", "transfer", "backups", "--source", file)
        self.assertIn(f"Skip incomplete backup without sentinel file: {FULL}", result.stderr)
        moved = files_below(self.folder)
        self.assertEqual(moved, {path: body for path, body in before.items() if path.startswith("basebackups_005/") and not path.startswith(f"basebackups_005/{FULL}/")
                                 and path not in halves})
        left = files_below(archive)
        self.assertEqual({path for path in left if path.startswith("basebackups_005/")}, {path for path in before if path.startswith(f"basebackups_005/{FULL}/")})
        self.walgd.walg("st", "transfer", "pg-wals", "-s", file, "--preserve", "-c", "3", "--appearance-checks", "1")
        wal = {path: body for path, body in before.items() if path.startswith("wal_005/")}
        self.assertEqual({path: body for path, body in files_below(self.folder).items() if path.startswith("wal_005/")}, wal)
        self.assertEqual(self.walgd.walg("st", "transfer", "pg-wals", "-s", "default", check=False).returncode, 1)
        (archive / "misc").mkdir()
        (archive / "misc/one").write_bytes(b"moved")
        self.scratch.own_tree(archive / "misc")
        self.walgd.walg("st", "transfer", "files", "/misc/", "-s", file)
        self.assertEqual((files_below(self.folder).get("misc/one"), (archive / "misc/one").exists()), (b"moved", False))

    def test_transfer_moves_a_backup_that_a_killed_transfer_had_copied_without_its_sentinel(self):
        self.prepare("delta-zstd")
        archive = self.scratch.path / "delta-zstd-archive"
        before = {path: body for path, body in files_below(archive).items() if path.startswith("basebackups_005/")}
        shutil.copytree(archive / "basebackups_005" / FULL, self.folder / "basebackups_005" / FULL)
        self.scratch.own_tree(self.folder)
        self.walgd.walg("st", "transfer", "backups", "--source", self.settings_file("source", archive))
        self.assertEqual(files_below(self.folder), before)
        self.assertEqual([path for path in files_below(archive) if path.startswith("basebackups_005/")], [])

    def test_a_mark_that_is_set_during_a_transfer_goes_along(self):
        source = self.scratch.folder("source")
        backup = "basebackups_005/base_000000010000000000000010"
        (source / backup / "tar_partitions").mkdir(parents=True)
        (source / backup / "tar_partitions/part_001.tar").write_bytes(bytes(3 << 20))
        mark = source / backup / "metadata.json"
        mark.write_text('{"is_permanent":false}')
        (source / f"{backup}_backup_stop_sentinel.json").write_text("{}")
        self.scratch.own_tree(source)
        file = self.settings_file("slow", source, network_rate_limit="1MiB")
        command = [self.scratch.bin / "walg", "st", "transfer", "backups", "--source", file, "--appearance-checks-interval", "10ms"]
        transfer = subprocess.Popen(as_server_user(command), env=self.walgd.env)
        self.addCleanup(transfer.kill)
        until("the mark to be copied", lambda: (self.folder / backup / "metadata.json").exists(), step=0.01)
        mark.write_text('{"is_permanent":true}')
        self.assertTrue((source / f"{backup}_backup_stop_sentinel.json").exists(), "the transfer was not slow enough for this test")
        self.assertEqual(transfer.wait(60), 0)
        self.assertEqual((self.folder / backup / "metadata.json").read_text(), '{"is_permanent":true}')
        self.assertEqual(files_below(source), {})

    def test_transfer_keeps_the_order_of_the_backups(self):
        source = self.scratch.folder("source")
        names = []
        # The later, the smaller: each would overtake the one before.
        for number in range(6):
            name = f"base_0000000100000000000000{16 - number:02X}"
            names.append(name)
            part = source / "basebackups_005" / name / "tar_partitions/part_001.tar"
            part.parent.mkdir(parents=True)
            part.write_bytes(os.urandom(40 << 20 >> 2 * number))
            sentinel = source / f"basebackups_005/{name}_backup_stop_sentinel.json"
            sentinel.write_text("{}")
            os.utime(sentinel, (1_700_000_000 + number, 1_700_000_000 + number))
        self.scratch.own_tree(source)
        listed = lambda: [one["backup_name"] for one in json.loads(self.walgd.walg("backup-list", "--json").stdout)]
        self.walgd.walg("st", "transfer", "backups", "--source", self.settings_file("source", source), "--max-backups", "2")
        self.assertEqual(listed(), names[:2])
        self.walgd.walg("st", "transfer", "backups", "--source", self.settings_file("source", source))
        self.assertEqual(listed(), names)
        self.assertEqual(files_below(source), {})

    def test_copy_takes_a_backup_with_its_chain_and_its_wal(self):
        source, walgd = self.prepare("delta-zstd")
        archive, target = self.scratch.path / "delta-zstd-archive", self.settings_file("to", self.folder)
        settings = self.settings_file("from", archive, pg_wal_size=1)
        before = files_below(archive)
        self.walgd.walg("copy", "--from", settings, "--to", target, "--backup-name", NEXT_DELTA)
        copied = files_below(self.folder)
        backups = {path for path in before if any(path.startswith((f"basebackups_005/{name}/", f"basebackups_005/{name}_backup_")) for name in (FULL, DELTA, NEXT_DELTA))}
        self.assertEqual({path for path in copied if path.startswith("basebackups_005/")}, backups)
        self.assertIn("wal_005/000000010000000000000018.zst", copied)
        self.assertIn("wal_005/00000002.history.zst", copied)
        self.assertNotIn("wal_005/00000001000000000000001A.zst", copied)
        self.assertTrue(all(before[path] == body for path, body in copied.items()))
        # Again: nothing to do; with history: the WAL behind it too.
        self.assertIn("0 objects copied", self.walgd.walg("copy", "-f", settings, "-t", target, "-b", NEXT_DELTA).stderr)
        self.assertIn("0 objects copied", self.walgd.walg("copy", "-f", settings, "-t", target, "-b", NEXT_DELTA, "--without-history").stderr)
        self.assertNotEqual(self.walgd.walg("copy", "-f", settings, "-t", target, "--without-history", "-w", check=False).returncode, 0)
        self.walgd.walg("copy", "-f", settings, "-t", target, "-b", NEXT_DELTA, "-w")
        self.assertIn("wal_005/000000010000000000000043.zst", files_below(self.folder))
        restored = self.walgd.walg("backup-list", "--json", env={"WALG_FILE_PREFIX": str(self.folder)}).stdout
        self.assertEqual({one["backup_name"] for one in json.loads(restored)}, {FULL, DELTA, NEXT_DELTA})

    def test_copy_of_everything_and_refusals(self):
        source, walgd = self.prepare("delta-zstd")
        archive, target = self.scratch.path / "delta-zstd-archive", self.settings_file("to", self.folder)
        settings = self.settings_file("from", archive, pg_wal_size=1)
        self.assertIn("Success copy.", self.walgd.walg("copy", "--from", settings, "--to", target, name="wal-g").stderr)
        self.assertEqual(files_below(self.folder), files_below(archive))
        changed = self.folder / "wal_005/000000010000000000000018.zst"
        changed.write_bytes(b"other content")
        refused = self.walgd.walg("copy", "--from", settings, "--to", target, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("nothing is replaced", refused.stderr)
        self.assertEqual(changed.read_bytes(), b"other content")
        (archive / "wal_005/000000010000000000000018.zst").unlink()
        gap = self.walgd.walg("copy", "--from", settings, "--to", self.settings_file("new", self.scratch.folder("new")), "-b", NEXT_DELTA, check=False)
        self.assertEqual(gap.returncode, 1)
        self.assertIn("000000010000000000000018 is missing", gap.stderr)

    def test_what_is_latest_stays_latest_in_a_copy(self):
        """After pg_upgrade names begin anew: the newest backup's is not the last."""
        source, walgd = self.prepare("delta-zstd")
        archive, target = self.scratch.path / "delta-zstd-archive", self.settings_file("to", self.folder)
        now = time.time()
        os.utime(archive / f"basebackups_005/{FULL}_backup_stop_sentinel.json", (now, now))
        order = lambda env=None: [one["backup_name"] for one in json.loads(self.walgd.walg("backup-list", "--json", env=env).stdout)]
        before = order({"WALG_FILE_PREFIX": str(archive)})
        self.assertEqual(before[-1], FULL)
        self.walgd.walg("copy", "--from", self.settings_file("from", archive, pg_wal_size=1), "--to", target)
        self.assertEqual(order({"WALG_FILE_PREFIX": str(self.folder)}), before)

    def test_copy_goes_on_when_what_changes_in_an_archive_has_changed(self):
        source, walgd = self.prepare("delta-zstd")
        archive, target = self.scratch.path / "delta-zstd-archive", self.settings_file("to", self.folder)
        settings = self.settings_file("from", archive, pg_wal_size=1)
        own = {name: archive / name for name in ("walgd_005/schedule/full.json", "walgd_005/index/00000001/0000000000.json.zst", f"basebackups_005/journal_{FULL}")}
        for path in own.values():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("1")
        self.scratch.own_tree(archive)
        self.walgd.walg("copy", "--from", settings, "--to", target)
        before = files_below(self.folder)
        self.assertLess(set(own), set(before))
        for path in own.values():
            path.write_text("longer by now")
        self.walgd.walg("backup-mark", FULL, env={"WALG_FILE_PREFIX": str(archive)})
        (archive / "wal_005/000000020000000000000099.zst").write_bytes(b"new")
        result = self.walgd.walg("copy", "--from", settings, "--to", target)
        self.assertIn("1 objects copied", result.stderr)
        self.assertIn(f"{FULL}/metadata.json differs at the target, and stays", result.stderr)
        after = files_below(self.folder)
        self.assertEqual(after.pop("wal_005/000000020000000000000099.zst"), b"new")
        self.assertEqual(after, before)
        self.walgd.walg("copy", "--from", settings, "--to", target, "--backup-name", FULL)

    def test_what_is_below_a_backups_parts_has_a_line_and_stops_no_restore(self):
        source, walgd = self.prepare("lz4-default16")
        (name,) = [path.name for path in (source / "archive/basebackups_005").iterdir() if path.is_dir()][:1]
        parts = self.scratch.path / "lz4-default16-archive/basebackups_005" / name / "tar_partitions"
        (parts / "old").mkdir()
        shutil.copy(next(parts.glob("part_*")), parts / "old")
        (parts / "old/notes.txt").write_text("of a person")
        self.scratch.own_tree(parts)
        target = self.scratch.path / "restored"
        said = walgd.walg("backup-fetch", target, name).stderr
        self.assertEqual(said.count(f"{name}/tar_partitions/old/ is none of the backup's parts"), 1, said)
        self.assertTrue((target / "global/pg_control").exists())
        self.assertIn("2 objects are none of a backup's", walgd.walg("verify").stdout)
        self.assertIn("ok: backup", walgd.walg("restore", self.scratch.path / "other", "--check", "--backup", name, check=False).stderr)

    def test_a_plan_as_json_is_json_whatever_goes(self):
        source, walgd = self.prepare("lz4-default16")
        nothing = json.loads(walgd.walg("delete", "retain", "5", "--json").stdout)
        self.assertEqual((nothing["backups"], nothing["objects"]), ([], 0))
        everything = json.loads(walgd.walg("delete", "everything", "--json").stdout)
        self.assertIn("basebackups_005/base_000000010000000000000002_backup_stop_sentinel.json", everything["paths"])
        self.assertEqual(everything["objects"], len(everything["paths"]))

    def test_odd_objects_have_a_line_each_and_stop_no_listing(self):
        source, walgd = self.prepare("delta-zstd")
        archive = self.scratch.path / "delta-zstd-archive"
        (archive / "wal_005/000000010000000000000026.zst").write_bytes(b"")
        (archive / "wal_005/a name, öd\t").write_bytes(b"x")
        (archive / "wal_005/folder").mkdir()
        (archive / "wal_005/folder/x").write_bytes(b"x")
        (archive / f"basebackups_005/{FULL}/metadata.json").unlink()
        sentinel = archive / f"basebackups_005/{DELTA}_backup_stop_sentinel.json"
        sentinel.write_bytes(sentinel.read_bytes()[:30])
        (archive / f"basebackups_005/{DELTA}/metadata.json").write_bytes(b"{")
        future = 4102444800
        os.utime(archive / f"basebackups_005/{FULL}_backup_stop_sentinel.json", (future, future))
        show = walgd.walg("wal-show", name="wal-g")
        self.assertIn("000000010000000000000026.zst is empty", show.stderr)
        self.assertIn("a name, öd", show.stderr)
        self.assertIn("wal_005/folder/ is a folder", show.stderr)
        self.assertIn(f"backup {FULL} is not whole", show.stderr)
        self.assertIn("LOST_SEGMENTS", show.stdout)
        listed = walgd.walg("backup-list", "--detail", "--json")
        self.assertEqual(len(json.loads(listed.stdout)), 5)
        self.assertIn(f"backup {DELTA} is not whole", listed.stderr)
        self.assertIn(f"the sentinel of {FULL} was modified in the future", listed.stderr)
        full = next(one for one in json.loads(listed.stdout) if one["backup_name"] == FULL)
        self.assertEqual(full["hostname"], "pg1")  # the sentinel tells it too

    def test_a_failure_is_told_by_the_exit_code_but_not_under_wal_gs_name(self):
        source, walgd = self.prepare("delta-zstd")
        (self.scratch.path / "delta-zstd-archive/wal_005/000000010000000000000026.zst").unlink()
        words = ["wal-verify", "integrity", "--lsn", "0/4800000", "--timeline", "2", "--json"]
        self.assertEqual(walgd.walg(*words, check=False).returncode, 1)
        self.assertEqual(walgd.walg(*words, name="wal-g").returncode, 0)
        self.assertEqual(json.loads(walgd.walg(*words, check=False).stdout)["integrity"]["status"], "FAILURE")

    def test_the_segment_size_is_found_out(self):
        source, walgd = self.prepare("delta-zstd")
        walgd.env.pop("WALG_PG_WAL_SIZE")
        expected = walgd.walg("wal-show", env={"WALG_PG_WAL_SIZE": "1"})
        self.assertEqual(walgd.walg("wal-show").stdout, expected.stdout)
        # Without the key nobody knows, and that is said.
        blind = walgd.walg("wal-show", env={"WALG_LIBSODIUM_KEY": KEY, "WALG_LIBSODIUM_KEY_TRANSFORM": "hex"})
        self.assertIn("WALG_PG_WAL_SIZE", blind.stderr)

    def test_requests_are_as_few_as_they_can_be(self):
        source, walgd = self.prepare("delta-zstd")
        for words, told in ((["backup-list"], "1 storage requests (list 1)"), (["wal-show", "--without-backups"], "2 storage requests (get 1, list 1)"),
                            (["wal-show"], "8 storage requests (get 6, list 2)"), (["wal-verify", "timeline", "--lsn", "0/4800000", "--timeline", "2"], "1 storage requests (list 1)"),
                            (["backup-list", "--detail"], "6 storage requests (get 5, list 1)"), (["st", "ls"], "1 storage requests (list 1)"),
                            (["st", "stat", "wal_005/000000010000000000000026.zst"], "1 storage requests (head 1)"),
                            (["st", "cat", "wal_005/000000010000000000000026.zst"], "1 storage requests (get 1)"),
                            (["wal-fetch", "000000020000000000000046", self.scratch.path / "fetched"], "1 storage requests (get 1)"),
                            (["wal-verify", "integrity", "--lsn", "0/4800000", "--timeline", "2"], "8 storage requests (get 6, list 2)"),
                            (["backup-show", "LATEST"], "2 storage requests (get 1, list 1)"),
                            # The verify also plans the restore of each. Of each of the five backups sentinel and metadata, the history, and what the last verify found; what is being taken.
                            (["delete", "garbage"], "15 storage requests (get 12, list 3)"), (["delete", "before", "FIND_FULL", NEXT_DELTA], "15 storage requests (get 12, list 3)"),
                            (["verify"], "168 storage requests (get 149, list 18, put 1)"), (["backup-mark", FULL], "16 storage requests (get 12, head 1, list 2, put 1)")):
            self.assertIn(told, walgd.walg(*words, "--stats").stderr, words)

    def test_wal_verify_asks_the_server_where_it_is(self):
        cluster = Cluster(self.scratch, segment_mb=1)
        walgd = Walgd(self.scratch, {"WALG_FILE_PREFIX": str(self.folder)}, cluster)
        cluster.archive_with(f'WALG_FILE_PREFIX={self.folder} {self.scratch.bin}/walg wal-push "%p"')
        cluster.start()
        walgd.walg("backup-push", cluster.data)
        cluster.psql("select pg_switch_wal()")
        cluster.psql("create table t as select generate_series(1, 100)")
        name = cluster.psql("select pg_walfile_name(pg_switch_wal())")
        cluster.archived(name)
        result = walgd.walg("wal-verify", "integrity", "timeline", "--json")
        checks = json.loads(result.stdout)
        self.assertEqual((checks["integrity"]["status"], checks["timeline"]["status"]), ("OK", "OK"))
        self.assertEqual(checks["timeline"]["details"]["current_timeline_id"], 1)
        cluster.stop()
        self.assertEqual(walgd.walg("wal-verify", "integrity", check=False).returncode, 1)


class CommandLine(TestCase):
    def setUp(self):
        super().setUp()
        self.walgd = Walgd(self.scratch, {})

    def test_an_unknown_word_names_the_nearest(self):
        for word, nearest in (("wal-shwo", "wal-show"), ("backup-lst", "backup-list"), ("backupfetch", "backup-fetch")):
            result = self.walgd.walg(word, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(f"did you mean {nearest}?", result.stderr)
        walg = self.walgd.walg("wal-shwo", check=False, name="wal-g")
        self.assertEqual(walg.stderr, "Error: unknown command \"wal-shwo\" for \"wal-g\"\n\nDid you mean this?\n\twal-show\n\nRun 'wal-g --help' for usage.\n")

        for words, path, nearest in ((("delete", "--confirm", "befor", "x"), "walg delete", "before"), (("st", "-t", "east", "lss"), "walg st", "ls")):
            result = self.walgd.walg(*words, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertEqual(result.stderr.splitlines(), [f"ERROR: there is no command '{words[-1 if nearest == 'ls' else 2]}': did you mean {nearest}?", f"HINT: {path} --help"])

    def test_a_flag_without_its_value_is_named(self):
        for name in ("walg", "wal-g"):
            result = self.walgd.walg("backup-list", "--walg-s3-prefix", check=False, name=name)
            self.assertEqual(result.returncode, 1)
            self.assertIn("flag needs an argument: --walg-s3-prefix", result.stderr)

    def test_as_wal_g_a_word_that_wants_another_prints_its_help(self):
        for words in ((), ("st",), ("st", "check"), ("st", "transfer"), ("delete", "--confirm"), ("pgbackrest",)):
            result = self.walgd.walg(*words, name="wal-g")
            commands = [word for word in words if not word.startswith("-")]
            self.assertEqual(result.stdout, self.walgd.walg("help", *commands, name="wal-g").stdout)
            self.assertEqual(result.stderr, "")
            self.assertEqual(self.walgd.walg(*words, check=False).returncode, 1)
        # Also with a word behind it that is none of its commands; what begins with a dash is still held against the flags.
        for words in (("delete", "RETAIN", "1", "--confirm"), ("st", "lss"), ("st", "transfer", "everything")):
            result = self.walgd.walg(*words, name="wal-g")
            commands = words[:1] if words[1] != "transfer" else words[:2]
            self.assertEqual((result.stdout, result.stderr), (self.walgd.walg("help", *commands, name="wal-g").stdout, ""))
            self.assertEqual(self.walgd.walg(*words, check=False).returncode, 1)
        self.assertEqual(self.walgd.walg("delete", "RETAIN", "1", "--no-such-flag", name="wal-g", check=False).returncode, 1)
        self.assertEqual(self.walgd.walg("--no-such-flag", name="wal-g", check=False).returncode, 1)
        self.assertEqual(self.walgd.walg("help", "nosuch", check=False).returncode, 1)

    def test_every_command_has_help_and_is_completed(self):
        commands = [line.split()[0] for line in self.walgd.walg("--help").stdout.split("Subcommands:")[1].splitlines() if line.startswith("  ") and line[2] != " "]
        self.assertIn("wal-show", commands)
        script = self.walgd.walg("completion", "bash").stdout
        self.walgd.walg("completion", "zsh")
        for command in commands:
            self.assertIn(f"walg {command}", self.walgd.walg(command, "--help").stdout)
            self.assertEqual(self.walgd.walg("help", command).stdout, self.walgd.walg(command, "--help").stdout)
            self.assertIn(f'"{command}")', script)

    def test_the_completion_script_completes(self):
        path = self.scratch.path / "complete"
        path.write_text(self.walgd.walg("completion", "bash").stdout + 'COMP_WORDS=(walg "$@"); COMP_CWORD=$#; _walg; echo "${COMPREPLY[@]}"\n')
        from harness import run
        self.assertEqual(run(["bash", path, "st", "che"]).stdout.split(), ["check"])
        self.assertEqual(run(["bash", path, "wal-verify", "--js"]).stdout.split(), ["--json"])
        self.assertEqual(run(["bash", path, "st", "check", "re"]).stdout.split(), ["read"])
        self.assertEqual(run(["bash", path, "restore", "--target-ti"]).stdout.split(), ["--target-timeline", "--target-time"])

    def test_the_manual_page_has_the_words_below_a_word_and_all_flags(self):
        page = self.walgd.walg("man", "walg.1").stdout
        for text in (".B delete retain\n", ".B st transfer backups\n", "\\-\\-max\\-backups", "\\-\\-target\\-time\n"):
            self.assertIn(text, page)

    def test_every_setting_is_a_flag(self):
        page = self.walgd.walg("flags").stdout
        for flag in ("--walg-s3-prefix", "--pg-ready-rename", "--total-bg-uploaded-limit", "--walg-pg-wal-size"):
            self.assertIn(flag + " ", page)
        folder = self.scratch.folder("flagged")
        self.assertIn("name", self.walgd.walg("st", "ls", f"--walg-file-prefix={folder}").stdout)
        self.assertIn("name", self.walgd.walg("--walg-file-prefix", folder, "st", "ls").stdout)

    def test_wal_gs_other_names_are_flags_too_and_the_last_of_two_counts(self):
        folder = self.scratch.folder("flagged")
        ls = ("st", "ls", "--walg-file-prefix", "/nowhere", f"--walg-file-prefix={folder}")
        self.assertIn("name", self.walgd.walg(*ls, "--walg-alive-check-interval=1m", "--walg-s3-use-list-objects-v1", "true", name="wal-g").stdout)
        self.assertIn("name", self.walgd.walg("st", "ls", "--wale-file-prefix", folder).stdout)
        refused = self.walgd.walg(*ls, "--walg-cse-kms-id=1", check=False, name="wal-g")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("this version cannot do", refused.stderr)

    def test_what_nohup_began_does_not_end_when_its_terminal_goes(self):
        folder = self.scratch.folder("archive")
        env = {**self.walgd.env, "WALG_FILE_PREFIX": str(folder)}
        command = as_server_user([self.scratch.bin / "walg", "st", "put", "--read-stdin", "--no-compress", "x"])
        for how, word in ((signal.SIG_IGN, "SigIgn"), (signal.SIG_DFL, "SigCgt")):
            put = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(signal.SIGHUP, how))
            told = lambda name, base: int(re.search(rf"{name}:\s*(\S+)", pathlib.Path(f"/proc/{put.pid}/status").read_text())[1], base)
            until("it to work", lambda: told("Threads", 10) > 1)  # it hears signals by then
            self.assertTrue(told(word, 16) >> (signal.SIGHUP - 1) & 1, word)
            put.communicate(b"content")
            self.assertEqual(put.returncode, 0)
            (folder / "x").unlink()

    def test_of_a_flag_that_is_given_twice_the_last_counts(self):
        folder = self.scratch.path / "golden"
        shutil.copytree(GOLDEN / "lz4-default16/archive", folder)
        self.scratch.own_tree(folder)
        self.walgd.env["WALG_FILE_PREFIX"] = str(folder)
        for name in ("walg", "wal-g"):
            self.assertIn("wal_005", self.walgd.walg("st", "-t", "nowhere", "ls", "-t", "default", name=name).stdout)
            self.assertIn("base_", self.walgd.walg("backup-list", "--json", "--target-storage", "nowhere", "--json", "--target-storage", "default", name=name).stdout)
            # Where a list is wanted, all of them, as WAL-G takes them.
            refused = self.walgd.walg("backup-fetch", self.scratch.path / "target", "LATEST", "--restore-only", "none", "--restore-only", "nor/this,neither", check=False, name=name)
            self.assertIn("has no none, nor/this, neither", refused.stderr)

    def test_the_reference_is_there_when_the_settings_are_wrong(self):
        self.walgd.env["WALG_S3_PREFXI"] = "x"
        self.assertEqual(self.walgd.walg("config", check=False).returncode, 1)
        self.assertIn("WALG_S3_PREFIX", self.walgd.walg("config", "--reference").stdout)

    def test_an_empty_value_is_no_other_word_and_no_yes(self):
        folder = self.scratch.path / "golden"
        shutil.copytree(GOLDEN / "lz4-default16/archive", folder)
        self.scratch.own_tree(folder)
        before = files_below(folder)
        self.walgd.env["WALG_FILE_PREFIX"] = str(folder)
        for name in ("walg", "wal-g"):
            refused = self.walgd.walg("delete", "everything", "--confirm=", check=False, name=name)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("--confirm=: is empty: is a variable not set?", refused.stderr)
            self.assertEqual(files_below(folder), before)
            self.walgd.walg("delete", "everything", "--confirm=false", name=name)
            self.assertEqual(files_below(folder), before)
            # Go's other form of a short flag.
            self.assertIn("wal_005", self.walgd.walg("st", "ls", "-t=default", name=name).stdout)
            self.assertIn("storage's name is empty" if name == "wal-g" else "--target: is empty", self.walgd.walg("st", "ls", "-t=", check=False, name=name).stderr)
        # To WAL-G the empty text is what is not given; the next word is no value.
        self.assertIn('"storage_name":"default"', self.walgd.walg("backup-list", "--target-storage=", "--json", name="wal-g").stdout)

    def test_what_an_unset_variable_leaves_is_an_error(self):
        self.walgd.env["WALG_FILE_PREFIX"] = str(self.scratch.folder("archive"))
        file = self.scratch.path / "empty.yaml"
        for words in (["copy", "--from", file, "--to", file, "-b", ""], ["copy", "--from", "", "--to", file], ["st", "transfer", "files", "", "--source", file], ["st", "transfer", "backups", "", "--source", file],
                      ["st", "put", file, ""], ["st", "ls", ""], ["st", "rm", ""], ["backup-mark", ""], ["wal-fetch", "", ""], ["wal-push", ""], ["backup-push", ""], ["backup-fetch", file, "LATEST", "--mask", ""],
                      ["backup-fetch", file, "LATEST", "--restore-only", ""], ["backup-list", "--target-storage", ""], ["wal-verify", "integrity", "--backup-name="], ["delete", "garbage", ""], ["delete", "retain", "1", "--after", ""],
                      ["restore", file, "--restore-spec", ""], ["restore", file, "--target-time="], ["verify", "--bytes", ""], ["adopt-system", ""], ["--config", "", "backup-list"], ["--config=", "backup-list"]):
            result = self.walgd.walg(*words, check=False)
            self.assertEqual(result.returncode, 200 if words[0] == "wal-fetch" else 1, words)
            self.assertIn("is empty: is a variable not set?", result.stderr, words)

    def test_numbers_below_0_or_too_large_are_errors(self):
        self.walgd.env["WALG_FILE_PREFIX"] = str(self.scratch.folder("archive"))
        for words in (["verify", "--sample"], ["st", "transfer", "pg-wals", "--source", "all", "--max-files"], ["st", "transfer", "backups", "--source", "all", "--max-backups"], ["adopt-system", "--system"]):
            for number in ("-1", "99999999999999999999"):
                result = self.walgd.walg(*words, number, check=False)
                self.assertEqual(result.returncode, 1, words)
                self.assertIn(f"{words[-1]}: {number} is no number from 0 on, or too large", result.stderr)
        for words in (["verify", "--sample", "0"], ["verify", "--bytes", "0"], ["verify", "--time", "0s"], ["adopt-system", "--system", "0"], ["restorable", "--target-timeline", "0"]):
            self.assertEqual(self.walgd.walg(*words, check=False).returncode, 1)

    def test_output_that_cannot_be_written_is_an_error_and_a_reader_that_left_is_none(self):
        env = {**self.walgd.env, "WALG_FILE_PREFIX": str(self.scratch.folder("archive"))}
        for words in (["st", "ls"], ["flags"], ["completion", "bash"], ["--version"], ["st", "--help"]):
            command = [self.scratch.bin / "walg", *words]
            with open("/dev/full", "w") as full:
                result = subprocess.run(command, env=env, stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(result.returncode, 1, words)
            self.assertIn("cannot be written to stdout", result.stderr)
            reader, writer = os.pipe()
            os.close(reader)
            self.assertEqual(subprocess.run(command, env=env, stdout=writer).returncode, 0)
            os.close(writer)

    def test_an_object_whose_reader_left_ends_quietly_by_the_signal(self):
        folder = self.scratch.folder("archive")
        (folder / "large").write_bytes(os.urandom(1 << 20))
        self.scratch.own_tree(folder)
        command = as_server_user([self.scratch.bin / "walg", "st", "cat", "large"])
        reader, writer = os.pipe()
        cat = subprocess.Popen(command, env={**self.walgd.env, "WALG_FILE_PREFIX": str(folder)}, stdout=writer, stderr=subprocess.PIPE, text=True)
        os.close(writer)
        os.read(reader, 10)
        os.close(reader)
        self.assertEqual(cat.communicate(timeout=60)[1], "")
        self.assertEqual(cat.returncode, -signal.SIGPIPE)

    def test_a_short_flag_that_is_yes_or_no_takes_a_value_as_go_reads_it(self):
        folder = self.scratch.folder("archive")
        (folder / "one").write_text("1")
        (folder / "two").write_text("2")
        self.scratch.own_tree(folder)
        self.walgd.env["WALG_FILE_PREFIX"] = str(folder)
        for name in ("walg", "wal-g"):
            for words, found in ((["-g=true", "*o"], "2"), (["-g", "*o"], "2"), (["-g=false", "one"], "1"), (["-gt=default", "*o"], "2")):
                self.assertEqual(self.walgd.walg("st", "cat", *words, name=name).stdout, found, words)
            for words in (["-g=", "one"], ["-g=maybe", "one"], ["-x=true", "one"]):
                self.assertEqual(self.walgd.walg("st", "cat", *words, name=name, check=False).returncode, 1, words)

    def test_the_help_of_what_stands_below_a_word_has_its_flags(self):
        for words, flags in ((("delete", "retain"), ("--confirm", "--after", "--use-sentinel-time")), (("st", "ls"), ("--target", "--glob", "--recursive")),
                             (("st", "check", "read"), ("--target",))):
            for name in ("walg", "wal-g"):
                told = self.walgd.walg(*words, "--help", name=name).stdout
                for flag in flags:
                    self.assertEqual(told.count(flag + " ") + told.count(flag + "\n"), 1, (words, flag, told))
                self.assertEqual(told.count("--help "), 1)
                self.assertEqual(told, self.walgd.walg("help", *words, name=name).stdout)

    def test_no_storage_is_an_error_in_wal_gs_shape(self):
        result = self.walgd.walg("wal-show", check=False, name="wal-g")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"ERROR: \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} Failed to find any configured storage")


class OthersWrite(TestCase):
    """While objects are copied or moved, others write into a bucket. It is listed by pages, in the order of names: a backup's objects come before its
    sentinel, the last written ones first."""
    prepare = GoldenArchives.prepare

    def setUp(self):
        if not (CACHE / "bin/minio").exists():
            self.skipTest("MinIO is not there: it needs Go to be built")
        super().setUp()
        self.prepare("delta-zstd")
        self.server = Minio(self.scratch)
        self.proxy = faults.Proxy(("127.0.0.1", self.server.port))
        self.addCleanup(self.proxy.close)
        self.bucket = self.settings_file("bucket", {**self.server.settings(), "AWS_ENDPOINT": f"http://127.0.0.1:{self.proxy.port}"})
        self.folder = self.scratch.folder("target")
        self.target = self.settings_file("target", {"WALG_FILE_PREFIX": self.folder})
        self.walgd = Walgd(self.scratch, {"WALG_CONFIG_PATH": str(self.target)})
        self.walgd.walg("copy", "--from", self.settings_file("golden", {"WALG_FILE_PREFIX": self.scratch.path / "delta-zstd-archive"}), "--to", self.bucket)
        self.before = files_below(self.scratch.path / "delta-zstd-archive")

    def settings_file(self, name, settings):
        path = self.scratch.path / f"{name}.yaml"
        path.write_text("".join(f"{key}: \"{value}\"\n" for key, value in settings.items()))
        path.chmod(0o600)
        self.scratch.own(path)
        return path

    def ends_between_two_pages(self):
        """The newest backup has no sentinel until a long listing has passed by the place of its documents."""
        def pages(request, upstream, client):
            head, body = upstream.exchange(request)
            hidden = rb"_backup_stop_sentinel\.json" if "delimiter" in request.target else rb"/(files_)?metadata\.json"
            body = re.sub(rb"<Contents><Key>[^<]*" + NEXT_DELTA.encode() + hidden + rb"</Key>.*?</Contents>", b"", body)
            return faults.passed_on((re.sub(rb"(?i)content-length: *\d+", b"Content-Length: %d" % len(body), head), body), client)
        self.proxy.fault(pages, "GET", "list-type=2")

    def assert_moves_what_is_whole(self, *words):
        self.ends_between_two_pages()
        self.walgd.walg(*words)
        newest = {path for path in files_below(self.folder) if NEXT_DELTA in path}
        self.assertNotIn(f"basebackups_005/{NEXT_DELTA}_backup_stop_sentinel.json", newest, "its documents have not come along")
        self.assertIn(f"basebackups_005/{DELTA}_backup_stop_sentinel.json", files_below(self.folder))
        self.proxy.clear()
        self.walgd.walg(*words)
        backups = {path: body for path, body in files_below(self.folder).items() if path.startswith("basebackups_005/")}
        self.assertEqual(backups, {path: body for path, body in self.before.items() if path.startswith("basebackups_005/")})

    def test_copy_leaves_a_backup_that_ends_while_it_is_listed_for_the_next_time(self):
        self.assert_moves_what_is_whole("copy", "--from", self.bucket, "--to", self.target)

    def test_transfer_leaves_a_backup_that_ends_while_it_is_listed_for_the_next_time(self):
        self.assert_moves_what_is_whole("st", "transfer", "backups", "--source", self.bucket, "--appearance-checks", "1")

    def test_a_settings_file_without_keys_takes_those_of_the_environment(self):
        settings = self.server.settings()
        keys = {name: settings.pop(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        self.walgd.walg("copy", "--from", self.settings_file("keyless", settings), "--to", self.target, "-b", DELTA, env=keys)
        self.assertIn(f"basebackups_005/{DELTA}_backup_stop_sentinel.json", files_below(self.folder))
        self.walgd.walg("copy", "--from", self.bucket, "--to", self.target, env={name: "another's" for name in keys})
        self.assertIn(f"basebackups_005/{NEXT_DELTA}_backup_stop_sentinel.json", files_below(self.folder), "a file's own keys go before")

    def test_copy_of_a_backup_that_is_deleted_meanwhile_says_so(self):
        def delete(request, upstream, client):
            status, _ = signed_request("DELETE", self.server.endpoint, f"/{self.server.bucket}/archive/basebackups_005/{NEXT_DELTA}_backup_stop_sentinel.json",
                                       self.server.access, self.server.secret)
            self.assertEqual(status, 204)
            return faults.passed_on(upstream.exchange(request), client)
        self.proxy.fault(delete, "GET", f"{NEXT_DELTA}/tar_partitions", times=1)
        copied = self.walgd.walg("copy", "--from", self.bucket, "--to", self.target, "-b", NEXT_DELTA, check=False)
        self.assertEqual(self.proxy.met_count(), 1)
        self.assertEqual(copied.returncode, 1)
        self.assertIn("1 objects went away from s3://walgd/archive while they were copied", copied.stderr)

    def test_wal_that_comes_to_the_target_while_other_wal_is_moved_there_is_not_replaced(self):
        source = self.scratch.folder("source")
        name = "wal_005/000000010000000000000099.zst"
        (source / "wal_005").mkdir()
        (source / name).write_bytes(b"of the one")
        self.scratch.own_tree(source)

        def another_writer(request, upstream, client):
            status, _ = signed_request("PUT", self.server.endpoint, f"/{self.server.bucket}/archive/{name}", self.server.access, self.server.secret, body=b"of the other")
            self.assertEqual(status, 200)
            return faults.passed_on(upstream.exchange(request), client)
        self.proxy.fault(another_writer, "PUT", "000000010000000000000099", times=1)
        settings = self.settings_file("source", {"WALG_FILE_PREFIX": source})
        moved = self.walgd.walg("st", "transfer", "pg-wals", "--source", settings, check=False, env={"WALG_CONFIG_PATH": str(self.bucket)})
        self.assertEqual(self.proxy.met_count(), 1)
        self.assertEqual(moved.returncode, 1)
        self.assertIn("came to be in", moved.stderr)
        self.assertEqual((source / name).read_bytes(), b"of the one", "it stays where it was")
        self.assertEqual(self.walgd.walg("st", "cat", name, env={"WALG_CONFIG_PATH": str(self.bucket)}).stdout, "of the other")


del GoldenArchives, Failed

if __name__ == "__main__":
    unittest.main(verbosity=2)
