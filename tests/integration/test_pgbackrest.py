"""walg pgbackrest: repositories that the real pgBackRest wrote are listed, restored and recovered from."""
import datetime
import json
import os
import shutil
import subprocess
import unittest

from harness import Cluster, Minio, Scratch, TestCase, Walgd, manifest_of, run

STANZA = "main"
MARKS = {"zst": b"\x28\xb5\x2f\xfd", "lz4": b"\x04\x22\x4d\x18", "none": b""}  # how their streams begin


class Repository:
    """A cluster that archives with pgBackRest, and what comes with it."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.folder = scratch.folder("repository")
        self.config = scratch.path / "pgbackrest.conf"
        self.logs = scratch.folder("pgbackrest-logs")
        self.settings = {"repo1-path": self.folder}
        self.cluster = Cluster(scratch, 15, "primary", segment_mb=1)
        self.configure(compress_type="gz")
        self.cluster.archive_with(f"pgbackrest --config={self.config} --stanza={STANZA} archive-push %p")
        self.cluster.start()
        self.pgbackrest("stanza-create")

    def configure(self, **settings):
        """From the next call on; archive-push is one."""
        self.settings.update({name.replace("_", "-"): value for name, value in settings.items()})
        lines = ["[global]", "start-fast=y", "log-level-console=warn", "log-level-file=off", f"log-path={self.logs}", f"lock-path={self.logs}",
                 f"spool-path={self.logs}", *(f"{name}={value}" for name, value in self.settings.items()),
                 f"[{STANZA}]", f"pg1-path={self.cluster.data}", f"pg1-socket-path={self.cluster.sockets}", f"pg1-port={self.cluster.port}"]
        self.config.write_text("\n".join(lines) + "\n")
        self.scratch.own(self.config)

    def pgbackrest(self, command, *words, check=True, **env):
        return run(["pgbackrest", f"--config={self.config}", f"--stanza={STANZA}", command, *words], check=check, env={"PATH": "/usr/bin:/bin", **env})

    def backup(self, kind):
        """After some change. Returns its label."""
        self.cluster.psql("insert into here select n, md5(n::text) from generate_series(1, 500) n; insert into there select * from here limit 500")
        self.pgbackrest("backup", f"--type={kind}")
        return self.info()["backup"][-1]["label"]

    def info(self):
        return json.loads(self.pgbackrest("info", "--output=json").stdout)[0]

    def damage_a_page(self):
        """Of a table that nobody reads. Returns the file's name in the data directory."""
        name = self.cluster.psql("create table damaged as select n from generate_series(1, 2000) n; checkpoint; select pg_relation_filepath('damaged')")
        change_byte(self.cluster.data / name)
        return name

    def to_the_next_timeline(self):
        """With a file and a folder of the cluster behind links from then on."""
        self.cluster.stop()
        elsewhere = self.scratch.folder("elsewhere")
        for name in ("pg_hba.conf", "pg_wal"):
            (self.cluster.data / name).rename(elsewhere / name)
            (self.cluster.data / name).symlink_to(elsewhere / name)
        self.cluster.configure("restore_command = 'false'")
        (self.cluster.data / "recovery.signal").touch()
        self.scratch.own(self.cluster.data / "recovery.signal")
        self.cluster.start()
        self.cluster.wait_until_writable()


def change_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


class Pgbackrest(TestCase):
    """One repository is made for all; each test has a copy of it."""

    @classmethod
    def setUpClass(cls):
        cls.common = Scratch()
        cls.addClassCleanup(cls.common.close)
        cls.made = repo = Repository(cls.common)
        place = cls.common.folder("tablespace")
        repo.cluster.psql(f"create tablespace space location '{place}'")
        repo.cluster.psql("create table here (n int, t text); create table there (like here) tablespace space")
        repo.cluster.psql("create table large as select n, repeat(md5(n::text), 20) t from generate_series(1, 4000) n")
        cls.tablespace = repo.cluster.psql("select oid from pg_tablespace where spcname = 'space'")
        # One object a file; bundles; the codecs. The WAL changes its codec with them.
        cls.labels = {"full gz": repo.backup("full"), "diff gz": repo.backup("diff"), "incr gz": repo.backup("incr")}
        repo.configure(compress_type="zst", repo1_bundle="y")
        cls.labels["full zst bundle"] = repo.backup("full")
        repo.to_the_next_timeline()
        cls.labels["incr zst bundle"] = repo.backup("incr")
        repo.configure(compress_type="lz4")
        cls.damaged = repo.damage_a_page()
        cls.labels["full lz4 bundle"] = repo.backup("full")
        repo.cluster.psql("drop table damaged")
        repo.configure(compress_type="none")
        cls.labels["full none bundle"] = repo.backup("full")
        repo.cluster.psql("insert into here values (-1, 'last')")
        repo.cluster.switch()
        cls.known = repo.info()
        cls.content = repo.cluster.checksum()

    def setUp(self):
        super().setUp()
        self.repository = self.scratch.path / "copy"
        subprocess.check_call(["cp", "-a", self.made.folder, self.repository])
        self.archive = self.repository / f"archive/{STANZA}/15-1"
        self.walgd = Walgd(self.scratch, {"WALG_FILE_PREFIX": str(self.repository), "WALG_TAR_DISABLE_FSYNC": "true"})

    def walg(self, *words, **options):
        return self.walgd.walg("pgbackrest", *words, **options)

    def refused(self, *words, code=1, **options):
        result = self.walg(*words, check=False, **options)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stderr

    def segments(self):
        """Path of every stored segment, by name."""
        return {path.name[:24]: path for path in sorted(self.archive.glob("*/*-*")) if path.name[24] == "-"}

    def spec(self, place):
        """A restore spec that leads the tablespace to `place`."""
        path = self.scratch.path / f"{place.name}.json"
        path.write_text(json.dumps({"base_prefix": "/", "tablespaces": [self.tablespace], self.tablespace: {"loc": str(place), "link": f"pg_tblspc/{self.tablespace}"}}))
        self.scratch.own(path)
        return path

    def fetch(self, name, folder, *, walgd=None, **options):
        """Returns the data directory and the tablespace's."""
        data, place = self.scratch.path / folder, self.scratch.path / f"{folder}-space"
        (walgd or self.walgd).walg("pgbackrest", "backup-fetch", data, name, "--restore-spec", self.spec(place), **options)
        return data, place

    def recover(self, folder, restore_command):
        cluster = Cluster(self.scratch, 15, folder, initdb=False, env=self.walgd.env)
        cluster.recover_from(restore_command)
        cluster.start()
        cluster.wait_until_writable()
        content = cluster.checksum()
        cluster.stop()
        return content

    # Listing

    def test_backup_list_tells_what_pgbackrest_info_tells(self):
        rows = [line.split() for line in self.walg("backup-list").stdout.splitlines()]
        self.assertEqual(rows[0], ["backup_name", "modified", "wal_file_name", "storage_name"])
        self.assertEqual([row[0] for row in rows[1:]], list(self.labels.values()))
        self.assertEqual([row[2] for row in rows[1:]], [backup["archive"]["start"] for backup in self.known["backup"]])
        details = json.loads(self.walg("backup-list", "--detail", "--json").stdout)
        for backup, detail in zip(self.known["backup"], details, strict=True):
            times = [datetime.datetime.fromisoformat(detail[key]).timestamp() for key in ("StartTime", "FinishTime", "ModifiedTime")]
            self.assertEqual(times, [backup["timestamp"]["start"], backup["timestamp"]["stop"], backup["timestamp"]["stop"]])
            lsns = [f"{number >> 32:X}/{number & 0xFFFFFFFF:X}" for number in (detail["StartLsn"], detail["FinishLsn"])]
            self.assertEqual(lsns, [backup["lsn"]["start"], backup["lsn"]["stop"]])
            self.assertEqual((detail["BackupName"], detail["Type"], detail["WalFileName"]), (backup["label"], backup["type"], backup["archive"]["start"]))
            self.assertEqual((detail["SystemIdentifier"], detail["PgVersion"]), (self.known["db"][0]["system-id"], self.known["db"][0]["version"]))
            self.assertIn("pg_data/global", detail["DirectoryPaths"])
            self.assertEqual((detail["DefaultFileMode"], detail["DefaultDirectoryMode"]), (0o600, 0o700))
        brief = json.loads(self.walg("backup-list", "--json").stdout)
        self.assertEqual([list(backup) for backup in brief], [["backup_name", "time", "wal_file_name", "storage_name"]] * len(details))
        self.assertEqual([backup["time"] for backup in brief], [detail["ModifiedTime"] for detail in details])
        self.assertIn("| BACKUP NAME", self.walg("backup-list", "--pretty").stdout)
        header, *lines = (line.split() for line in self.walg("backup-list", "--detail").stdout.splitlines())
        self.assertEqual(header[:4], ["name", "modified", "wal_segment_backup_start", "type"])
        self.assertEqual([line[3] for line in lines], [backup["type"] for backup in self.known["backup"]])
        self.assertEqual(self.walg("backup-list", name="wal-g").stdout, self.walg("backup-list").stdout)

    def test_pages_that_were_damaged_before_the_backup_are_told(self):
        label = self.labels["full lz4 bundle"]
        told = [line for line in self.walg("backup-list").stderr.splitlines() if "checksums were wrong" in line]
        self.assertEqual([line.split()[4] for line in told], [label])
        data, place = self.scratch.path / "restored", self.scratch.path / "restored-space"
        result = self.walg("backup-fetch", data, label, "--restore-spec", self.spec(place))
        told = [line for line in result.stderr.splitlines() if "checksums were wrong" in line]
        self.assertEqual([line.split()[3] for line in told], [f"pg_data/{self.damaged}"])

    def test_damaged_and_missing_info_files_are_told(self):
        info = self.repository / f"backup/{STANZA}/backup.info"
        copy = info.with_suffix(".info.copy")
        expected = self.walg("backup-list").stdout
        change_byte(info)
        result = self.walg("backup-list")
        self.assertEqual(result.stdout, expected)
        self.assertRegex(result.stderr, f"backup/{STANZA}/backup.info .*its copy is read")
        info.unlink()
        result = self.walg("backup-list")
        self.assertEqual(result.stdout, expected)
        self.assertIn("backup.info is missing", result.stderr)
        change_byte(copy)
        self.assertIn("backup.info.copy", self.refused("backup-list"))
        copy.unlink()
        self.assertRegex(self.refused("backup-list"), f"stanza '{STANZA}' in .* has no backup/{STANZA}/backup.info")

    def test_a_stanza_that_is_not_there_is_told_with_those_that_are(self):
        for code, *words in ((1, "backup-list"), (1, "wal-show"), (1, "backup-fetch", self.scratch.path / "x", "LATEST"), (200, "wal-fetch", "0" * 24, self.scratch.path / "x")):
            told = self.refused(*words, code=code, env={"PGBACKREST_STANZA": "other"})
            self.assertIn("there is no stanza 'other'", told)
            self.assertIn(f"it has {STANZA}", told)
        shutil.rmtree(self.repository / "backup")
        self.assertIn("has no pgBackRest repository", self.refused("backup-list"))

    def test_an_empty_stanza_and_an_encrypted_one_are_told(self):
        for folder, *options in (("empty", ), ("encrypted", "--repo1-cipher-type=aes-256-cbc")):
            self.made.pgbackrest("stanza-create", f"--repo1-path={self.scratch.folder(folder)}", *options,
                                 **({"PGBACKREST_REPO1_CIPHER_PASS": "secret"} if options else {}))
        env = {"WALG_FILE_PREFIX": str(self.scratch.path / "empty")}
        result = self.walg("backup-list", env=env)
        self.assertEqual(result.stdout, "")
        self.assertIn("No backups found", result.stderr)
        self.assertEqual(self.walg("backup-list", "--json", env=env).stdout, "[]\n")
        self.assertIn("No backups found", self.refused("backup-fetch", self.scratch.path / "x", "LATEST", env=env))
        env = {"WALG_FILE_PREFIX": str(self.scratch.path / "encrypted")}
        self.assertRegex(self.refused("backup-list", env=env), "backup.info .*is encrypted")
        self.assertRegex(self.refused("wal-fetch", "0" * 24, self.scratch.path / "x", code=200, env=env), "archive.info .*is encrypted")

    # WAL

    def test_wal_show_tells_timelines_and_gaps(self):
        segments = self.segments()
        second = [name for name in segments if name.startswith("00000002")]
        first = [name for name in segments if name.startswith("00000001")]
        self.assertGreater(len(first), 3)
        shown = json.loads(self.walg("wal-show", "--detailed-json").stdout)
        self.assertEqual([(line["id"], line["parent_id"], line["status"]) for line in shown], [(1, 0, "OK"), (2, 1, "OK")])
        self.assertEqual([line["start_segment"] for line in shown], [first[0], second[0]])
        self.assertEqual([line["end_segment"] for line in shown], [first[-1], second[-1]])
        self.assertEqual([line["segments_count"] for line in shown], [len(first), len(second)])
        history = (self.archive / "00000002.history").read_text().split()
        switch = shown[1]["switch_point_lsn"]
        self.assertEqual(f"{switch >> 32:X}/{switch & 0xFFFFFFFF:X}", history[1])
        self.assertNotIn("BACKUPS", self.walg("wal-show").stdout)
        segments[first[1]].unlink()
        stranger = segments[first[0]].with_name("stranger")
        stranger.touch()
        result = self.walg("wal-show", "--detailed-json", name="wal-g")
        self.assertEqual([(line["status"], line["missing_segments"]) for line in json.loads(result.stdout)], [("LOST_SEGMENTS", [first[1]]), ("OK", [])])
        self.assertIn(f"archive/{STANZA}/15-1/{stranger.parent.name}/stranger", result.stderr)

    def test_wal_fetch_gives_every_file_of_every_codec(self):
        target, checked = self.scratch.path / "fetched", set()
        for name, path in self.segments().items():
            checked.add(path.suffix)
            self.walg("wal-fetch", name, target)
            self.assertEqual(subprocess.check_output(["sha1sum", target], text=True)[:40], path.name[25:65])
        self.assertEqual(checked, {".gz", ".zst", ".lz4", ""})
        others = [path for path in self.archive.rglob("*") if path.suffix in (".history", ".backup") or ".partial-" in path.name]
        for path in others:
            self.walg("wal-fetch", path.name.split("-")[0], target)
            if path.suffix in (".history", ".backup"):
                self.assertEqual(target.read_bytes(), path.read_bytes())
        self.assertEqual({path.name.split("-")[0].split(".")[-1] for path in others}, {"history", "backup", "partial"})
        self.assertEqual([name for name in os.listdir(self.scratch.path) if name.startswith(".walgd")], [])

    def test_wal_fetch_tells_absent_from_unknown(self):
        target = self.scratch.path / "fetched"
        absent = "0000000100000000000000FF"
        for name in (absent, "00000009.history", absent + ".00000028.backup", absent + ".partial"):
            self.assertIn(f"{name} is not in stanza {STANZA}", self.refused("wal-fetch", name, target, code=1))
            self.refused("wal-fetch", name, target, code=74, name="wal-g")
        (name, path), (other, other_path) = list(self.segments().items())[:2]
        self.archive.chmod(0)
        self.refused("wal-fetch", name, target, code=200)
        self.refused("wal-fetch", name, target, code=1, name="wal-g")
        self.archive.chmod(0o750)
        self.refused("wal-fetch", name, code=200)
        self.refused("wal-fetch", "--stats=", absent, target, code=200)
        self.refused("wal-fetch", "--stats=", absent, target, code=1, name="wal-g")
        self.assertIn("not the name of a WAL file", self.refused("wal-fetch", "x", target, code=200))
        change_byte(path)
        self.assertIn(path.name, self.refused("wal-fetch", name, target, code=200))
        # The right content of another segment.
        shutil.copy2(other_path, path)
        told = self.refused("wal-fetch", name, target, code=200)
        self.assertRegex(told, f"{path.name}: .*SHA-1 {other_path.name[25:65]}")
        shutil.copy2(other_path, path.with_name(f"{name}-{other_path.name[25:]}"))
        self.assertIn("two contents of one WAL file", self.refused("wal-fetch", name, target, code=200))
        path.unlink()
        self.refused("wal-fetch", name, target, code=200)
        path.with_name(f"{name}-{other_path.name[25:]}").rename(path.with_name(f"{name}-{other_path.name[25:65]}.bz2"))
        self.assertIn("bzip2", self.refused("wal-fetch", name, target, code=200))
        self.assertFalse(target.exists())
        self.assertEqual([name for name in os.listdir(self.scratch.path) if name.startswith(".walgd")], [])

    # Restore

    def expected(self, label):
        """What pgBackRest restores."""
        data, place = self.scratch.folder("expected"), self.scratch.folder("expected-space")
        self.made.pgbackrest("restore", f"--repo1-path={self.repository}", f"--set={label}", f"--pg1-path={data}", "--type=none", f"--tablespace-map={self.tablespace}={place}")
        return self.tree(data, place)

    @staticmethod
    def tree(data, place):
        """All but where the links lead, and what pgBackRest adds for the recovery."""
        trees = [line for folder in (data, place) for line in manifest_of(folder) if line[0] != "l" and line[-1] != "recovery.signal"]
        shutil.rmtree(data)
        shutil.rmtree(place)
        return trees

    def test_backup_fetch_gives_what_pgbackrest_restores(self):
        for kind in ("incr gz", "incr zst bundle"):
            with self.subTest(backup=kind):
                expected = self.expected(self.labels[kind])
                data, place = self.fetch(self.labels[kind], "restored")
                self.assertEqual(os.readlink(data / f"pg_tblspc/{self.tablespace}"), str(place))
                self.assertFalse((data / "pg_hba.conf").is_symlink() or (data / "pg_wal").is_symlink())
                self.assertEqual(self.tree(data, place), expected)

    def test_bundles_of_every_codec_are_read(self):
        for codec, mark in MARKS.items():
            label = self.labels[f"full {codec} bundle"]
            self.assertTrue((self.repository / f"backup/{STANZA}/{label}/bundle/1").read_bytes().startswith(mark))
            data, _ = self.fetch(label, f"restored-{codec}")
            self.assertEqual((data / "PG_VERSION").read_text(), "15\n")

    def test_recovery_goes_through_all_codecs_and_timelines(self):
        command = f'{self.scratch.bin}/wal-g pgbackrest wal-fetch "%f" "%p"'
        for name in (self.labels["incr gz"], "LATEST"):
            data, _ = self.fetch(name, f"restored-{name}")
            self.assertEqual(self.recover(data.name, command), self.content)
            self.walgd.env.pop("WALG_TAR_DISABLE_FSYNC", None)

    def test_a_repository_in_s3_behind_bundles(self):
        minio = Minio(self.scratch)
        for kind, label in self.labels.items():
            if "bundle" not in kind:
                shutil.rmtree(self.repository / f"backup/{STANZA}/{label}")
        for path, settings in (("from.json", self.walgd.env), ("to.json", minio.settings("repository"))):
            (self.scratch.path / path).write_text(json.dumps({name: value for name, value in settings.items() if name.startswith(("WALG_", "AWS_"))}))
        self.walgd.walg("st", "copy", "--from", self.scratch.path / "from.json", "--to", self.scratch.path / "to.json")
        remote = Walgd(self.scratch, minio.settings("repository"))
        self.assertEqual(remote.walg("pgbackrest", "backup-list").stdout, self.walg("backup-list").stdout)
        self.assertEqual(remote.walg("pgbackrest", "wal-show").stdout, self.walg("wal-show").stdout)
        label = self.labels["incr zst bundle"]
        expected = self.tree(*self.fetch(label, "local"))
        result = remote.walg("pgbackrest", "backup-fetch", self.scratch.path / "r", label, "--restore-spec", self.spec(self.scratch.path / "r-space"), "--stats")
        requests = int(result.stderr.split(" storage requests")[0].split()[-1])
        self.assertLess(requests, 60, "files of a bundle come together")
        self.assertEqual(self.tree(self.scratch.path / "r", self.scratch.path / "r-space"), expected)
        name = list(self.segments())[-1]
        remote.walg("pgbackrest", "wal-fetch", name, self.scratch.path / "fetched")
        told = remote.walg("pgbackrest", "backup-list", env={"PGBACKREST_STANZA": "other"}, check=False)
        self.assertIn(f"it has {STANZA}", told.stderr)

    def test_a_key_of_ours_does_not_apply(self):
        self.walgd.env.update({"WALG_LIBSODIUM_KEY": "0123456789" * 7, "WALG_LIBSODIUM_KEY_TRANSFORM": "none", "WALG_COMPRESSION_METHOD": "brotli"})
        self.fetch("LATEST", "restored")
        self.walg("wal-fetch", list(self.segments())[0], self.scratch.path / "fetched")

    def test_a_changed_byte_ends_the_restore_by_name_and_nothing_starts(self):
        for number, (kind, path) in enumerate((("full gz", "pg_data/global/pg_control.gz"), ("full zst bundle", "bundle/1"), ("full lz4 bundle", "bundle/1"),
                                               ("full none bundle", "bundle/1"))):
            with self.subTest(backup=kind):
                label = self.labels[kind]
                change_byte(self.repository / f"backup/{STANZA}/{label}/{path}")
                data, place = self.scratch.path / f"broken-{number}", self.scratch.path / f"broken-{number}-space"
                told = self.refused("backup-fetch", data, label, "--restore-spec", self.spec(place))
                self.assertRegex(told, f"backup/{STANZA}/{label}/{path}: pg_(data|tblspc)/")
                self.assertIn("unfinished restore", told)
                self.assertFalse((data / "global/pg_control").exists())
                self.assertNotEqual(run([self.made.cluster.programs / "postgres", "-D", data], check=False).returncode, 0)
                self.assertIn("must be empty", self.refused("backup-fetch", data, label))

    def test_a_missing_object_and_a_longer_one_are_told(self):
        label = self.labels["full gz"]
        path = self.repository / f"backup/{STANZA}/{label}/pg_data/pg_hba.conf.gz"
        path.write_bytes(path.read_bytes() + b"\n")
        self.assertRegex(self.refused("backup-fetch", self.scratch.path / "a", label, "--restore-spec", self.spec(self.scratch.path / "as")),
                         f"{label}/pg_data/pg_hba.conf.gz is longer")
        path.unlink()
        self.assertRegex(self.refused("backup-fetch", self.scratch.path / "b", label, "--restore-spec", self.spec(self.scratch.path / "bs")),
                         f"{label}/pg_data/pg_hba.conf.gz is not in ")

    def test_what_cannot_be_restored_is_refused_before_a_byte_is_written(self):
        data = self.scratch.path / "data"
        self.assertIn("Backup 'x' does not exist.", self.refused("backup-fetch", data, "x"))
        self.assertRegex(self.refused("backup-fetch", data, "LATEST"), f"folder .* of tablespace {self.tablespace} is not empty")
        spec = self.spec(self.scratch.path / "space")
        spec.write_text(spec.read_text().replace(self.tablespace, "7"))
        self.assertIn("names tablespace 7", self.refused("backup-fetch", data, "LATEST", "--restore-spec", spec))
        label = self.labels["full gz"]
        manifest = self.repository / f"backup/{STANZA}/{label}/backup.manifest"
        for path in (manifest, manifest.with_suffix(".manifest.copy")):
            change_byte(path)
        self.assertRegex(self.refused("backup-fetch", data, label), f"{label}/backup.manifest.copy .*")
        shutil.rmtree(manifest.parent)
        self.assertIn(f"{label}/backup.manifest is not in ", self.refused("backup-fetch", data, label))
        self.assertFalse(data.exists())
        full = self.scratch.folder("full")
        (full / "file").touch()
        self.assertIn("must be empty", self.refused("backup-fetch", full, "LATEST"))

    def test_bzip2_is_refused_by_name(self):
        folder = self.scratch.folder("bzip2")
        options = [f"--repo1-path={folder}", "--compress-type=bz2", "--compress-level=1", "--repo1-bundle=y", "--no-online", "--force"]
        self.made.pgbackrest("stanza-create", options[0])
        self.made.pgbackrest("backup", "--type=full", *options)
        env = {"WALG_FILE_PREFIX": str(folder)}
        self.assertEqual(len(self.walg("backup-list", "--detail", env=env).stdout.splitlines()), 2)
        self.assertIn("bzip2", self.refused("backup-fetch", self.scratch.path / "x", "LATEST", env=env))
        self.assertFalse((self.scratch.path / "x").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
