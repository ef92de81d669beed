"""WALG_PREVENT_WAL_OVERWRITE under the name wal-g: the steps of the golden fixture wal-overwrite, with WAL-G's texts and exit codes."""
import json
import re
import shutil
import unittest

from harness import GOLDEN, TestCase, Walgd, free_port, run, until
from made_wal import segment_content, segment_name

FIXTURE = GOLDEN / "wal-overwrite"
SEGMENT, HISTORY = "000000010000000000000003", "00000002.history"


class WalOverwrite(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, settings = self.store()
        self.pg_wal = self.scratch.folder("pg_wal")
        self.walgd = Walgd(self.scratch, {**settings, "WALG_COMPRESSION_METHOD": "lz4", "WALG_PREVENT_WAL_OVERWRITE": "true"})

    def write(self, name, content):
        (self.pg_wal / name).write_bytes(content)
        self.scratch.own(self.pg_wal / name)

    def before(self, number):
        """What the fixture's maker did before the step of that number."""
        if number == 1:
            self.write(SEGMENT, b"one" * 400000)
        elif number in (3, 6):
            self.write(SEGMENT, b"two" * 400000)
        elif number == 9:
            self.write(HISTORY, b"1\t0/3000000\tone\n")
        elif number == 11:
            self.write(HISTORY, b"1\t0/3000000\ttwo\n")
        elif number == 12:
            (self.folder / f"wal_005/{SEGMENT}.lz4").write_bytes(b"no frame of lz4's")
        elif number == 15:
            (self.scratch.path / "FILE").touch()
        elif number == 16:
            (self.scratch.path / "FILE").unlink()

    def test_each_step_ends_as_wal_g_ended_it(self):
        steps = [entry for entry in json.loads((FIXTURE / "listings.json").read_text()) if re.match(r"\d+:", entry["note"])]
        met = 0
        for entry in steps:
            number = int(entry["note"].split(":")[0])
            self.before(number)
            words = entry["command"].split()[1:]
            if words[0] not in ("wal-push", "wal-fetch"):
                continue
            met += 1
            with self.subTest(entry["note"]):
                words = [str(self.scratch.path / "FILE") if word == "FILE" else word for word in words]
                result = self.walgd.walg(*words, name="wal-g", check=False, env=entry.get("env"), cwd=self.scratch.path)
                self.assertEqual(result.returncode, entry["exit_code"], result.stderr)
                self.assertEqual(result.stdout, "")
                self.assert_same_text(result.stderr, (FIXTURE / entry["stderr"]).read_text())
        self.assertEqual(met, 15)

    def assert_same_text(self, ours, theirs):
        """Times apart; what lz4 itself says of its input, and our hints, are not compared."""
        ours = re.sub(r"(?m)^(INFO|WARNING|ERROR): \S+ \S+ ", r"\1: ", ours).replace(f"{self.scratch.path}/", "/srv/pg/wal-overwrite/data/")
        ours = "".join(line for line in ours.splitlines(True) if not line.startswith("HINT"))
        ours, theirs = (text.replace("/srv/pg/wal-overwrite/data/FILE", "FILE").replace("/srv/pg/wal-overwrite/x2", "FILE") for text in (ours, theirs))
        if "lz4: bad magic number" in theirs:
            theirs = theirs.split("lz4: bad magic number")[0].rstrip()
            self.assertTrue(ours.startswith(theirs), ours)
        else:
            self.assertEqual(ours.strip(), theirs.strip())


class AnotherCluster(TestCase):
    def test_the_wal_of_another_cluster_takes_nobodys_place(self):
        folder, settings = self.store()
        mine, other = (self.scratch.folder(name) for name in ("mine", "other"))
        for place, system in ((mine, 1), (other, 2)):
            for number in (1, 2):
                (place / segment_name(number)).write_bytes(segment_content(number, system=system))
            (place / "test_file").write_text(place.name)
            self.scratch.own_tree(place)
        walgd = Walgd(self.scratch, {**settings, "WALG_COMPRESSION_METHOD": "none"})
        push = lambda path: walgd.walg("wal-push", path, name="wal-g", check=False)
        self.assertEqual(push(mine / segment_name(1)).returncode, 0)
        for number in (1, 2):
            refused = push(other / segment_name(number))
            self.assertEqual(refused.returncode, 1)
            self.assertIn("belongs to the cluster", refused.stderr)
            self.assertIn("adopt-system", refused.stderr)
        self.assertEqual((folder / "wal_005" / segment_name(1)).read_bytes(), (mine / segment_name(1)).read_bytes())
        self.assertFalse((folder / "wal_005" / segment_name(2)).exists())
        # Of the same cluster, and what is no WAL, as WAL-G has it.
        (mine / segment_name(1)).write_bytes(segment_content(1, noise=1000, system=1))
        for path in (mine / segment_name(1), mine / "test_file", other / "test_file"):
            self.assertEqual(push(path).returncode, 0, path)
        self.assertEqual((folder / "wal_005" / segment_name(1)).read_bytes(), (mine / segment_name(1)).read_bytes())
        self.assertEqual((folder / "wal_005/test_file").read_text(), "other")


    def test_an_emptied_archive_says_what_else_is_to_be_removed(self):
        """As WAL-G's users begin anew: both folders removed, and nothing else. Another cluster may be about to store its first segment."""
        folder, settings = self.store()
        for system, place in ((1, self.scratch.folder("one")), (2, self.scratch.folder("two"))):
            (place / segment_name(1)).write_bytes(segment_content(1, system=system))
            self.scratch.own_tree(place)
        walgd = Walgd(self.scratch, {**settings, "WALG_COMPRESSION_METHOD": "none"})
        push = lambda name: walgd.walg("wal-push", self.scratch.path / name / segment_name(1), name="wal-g", check=False)
        self.assertEqual(push("one").returncode, 0)
        shutil.rmtree(folder / "wal_005")
        refused = push("two")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("remove walgd_005/system.json too", refused.stderr)
        (folder / "walgd_005/system.json").unlink()
        self.assertEqual(push("two").returncode, 0)
        self.assertIn("belongs to the cluster 2", push("one").stderr)


class NoFile(TestCase):
    def test_what_is_no_file_is_not_said_to_be_archived_with_other_content(self):
        _, settings = self.store()
        walgd = Walgd(self.scratch, settings)
        refused = walgd.walg("wal-push", self.scratch.folder(segment_name(1)), name="wal-g", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("is not a regular file", refused.stderr)
        self.assertNotIn("contents differ", refused.stderr)


class OtherMethod(TestCase):
    def test_what_another_host_stores_by_another_method_while_the_daemon_runs_is_seen_with_the_next_listing(self):
        folder, settings = self.store()
        wal = self.scratch.folder("wal")
        (wal / "other").mkdir()
        self.scratch.own_tree(wal)
        path, other = wal / segment_name(5), wal / "other" / segment_name(5)
        for file in (path, other, wal / segment_name(4)):
            file.write_bytes(segment_content(int(file.name[-2:], 16), noise=1000))
            self.scratch.own(file)
        walgd = Walgd(self.scratch, {**settings, "WALG_COMPRESSION_METHOD": "zstd", "WALGD_CATALOGUE_REFRESH": "1s",
                                      "WALGD_HTTP_LISTEN": f"127.0.0.1:{free_port()}"}).start()  # which lists at once
        run([self.scratch.bin / "walg-push", wal / segment_name(4)], env=walgd.env)
        log = self.scratch.path / "log"
        until("the archive to be listed", lambda: "event=archive_listed" in log.read_text(errors="replace"))
        Walgd(self.scratch, {**settings, "WALG_COMPRESSION_METHOD": "lz4"}).walg("wal-push", other)
        listed = log.read_text(errors="replace").count("event=archive_listed")
        until("it to be listed anew", lambda: log.read_text(errors="replace").count("event=archive_listed") >= listed + 2)
        result = run([self.scratch.bin / "walg-push", path], env=walgd.env, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("other content", result.stderr)
        self.assertEqual([file.name for file in (folder / "wal_005").glob(f"{path.name}*")], [f"{path.name}.lz4"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
