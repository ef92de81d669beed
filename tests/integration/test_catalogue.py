"""What a daemon knows of the archive is what the commands tell of it: the same bytes as a listing's, and never what was before."""
import json
import unittest

from harness import TestCase, Walgd, free_port, run, until
from made_wal import segment_content, segment_name

ASKED = "0 storage requests"


class Catalogue(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()
        # Where metrics are shown, the archive is listed at once.
        self.walgd = Walgd(self.scratch, {**self.settings, "WALGD_HTTP_LISTEN": f"127.0.0.1:{free_port()}"})

    def push(self, number, timeline=1, *, by="walg wal-push"):
        path = self.scratch.path / segment_name(number, timeline)
        path.write_bytes(segment_content(number))
        self.scratch.own(path)
        run([self.scratch.bin / by.split()[0], *by.split()[1:], path], env=self.walgd.env)
        return path.name

    def fill(self):
        """Two timelines, a gap, a backup, and objects that are none of WAL's."""
        for number in (1, 2, 3, 6, 7):
            self.push(number)
        history = self.scratch.path / "00000002.history"
        history.write_text("1\t0/700028\tno recovery target specified\n")
        self.scratch.own(history)
        self.walgd.walg("wal-push", history)
        self.push(7, 2)
        backups = self.scratch.folder("store/basebackups_005")
        name = f"base_{segment_name(2)}"
        (backups / f"{name}_backup_stop_sentinel.json").write_text(json.dumps(
            {"LSN": (2 << 20) + 40, "FinishLSN": (2 << 20) + 300, "PgVersion": 150000, "UncompressedSize": 1000, "CompressedSize": 100, "Version": 2,
             "StartTime": "2026-01-02T00:00:00Z", "FinishTime": "2026-01-02T00:01:00Z", "IsPermanent": True}))
        (backups / name).mkdir()
        (backups / name / "metadata.json").write_text(json.dumps(
            {"start_time": "2026-01-02T00:00:00Z", "finish_time": "2026-01-02T00:01:00Z", "date_fmt": "%Y-%m-%dT%H:%M:%S.%fZ", "hostname": "h", "data_dir": "/d", "pg_version": 150000,
             "start_lsn": (2 << 20) + 40, "finish_lsn": (2 << 20) + 300, "is_permanent": True, "system_identifier": 7000000000000000001, "uncompressed_size": 1000,
             "compressed_size": 100, "user_data": {"b": 1, "a": ["x"]}}))
        (self.folder / "wal_005/strange").write_text("x")
        (self.folder / f"wal_005/{segment_name(5)}.lz4").write_text("")
        self.scratch.own_tree(self.folder)

    def told_by_daemon(self, *words, name="walg"):
        """The output, once the daemon answers."""
        def answer():
            told = self.walgd.walg("wal-show", *words, "--stats", name=name)
            return told if ASKED in told.stderr else None
        return until("the daemon to answer", answer)

    def check_same(self):
        for words in ([], ["--detailed-json"], ["--without-backups"]):
            for name in ("walg", "wal-g"):
                told = self.told_by_daemon(*words, name=name)
                listed = self.walgd.walg("wal-show", *words, "--no-daemon", "--stats", name=name)
                self.assertNotIn(ASKED, listed.stderr)
                self.assertEqual(told.stdout, listed.stdout)
                warnings = [[line.split(" ", 3)[3] for line in text.splitlines() if "WARNING" in line or "strange" in line] for text in (told.stderr, listed.stderr)]
                self.assertEqual(*warnings)
                self.assertTrue(any("strange" in line for line in warnings[0]), told.stderr)
        return told.stdout

    def test_wal_show_by_the_daemon_is_the_listing_to_the_byte(self):
        self.fill()
        self.walgd.start()
        self.check_same()
        self.assertRegex(self.told_by_daemon().stderr, "As the daemon listed it [0-9]+ s ago")
        shown = json.loads(self.told_by_daemon("--json").stdout)
        self.assertEqual([(one["id"], one["parent_id"], one["segments_count"]) for one in shown], [(1, 0, 5), (2, 1, 1)])
        self.assertEqual(len(shown[0]["missing_segments"]), 2)
        self.assertEqual(shown[0]["backups"][0]["user_data"], {"a": ["x"], "b": 1})

    def test_what_was_stored_a_moment_ago_is_in_it(self):
        self.fill()
        self.walgd.start()
        self.told_by_daemon()
        # At once, of the daemon's own: no listing in between.
        for number in (8, 10, 9, 4):
            name = self.push(number, by="walg-push")
            told = self.walgd.walg("wal-show", "--json", "--stats")
            self.assertIn(ASKED, told.stderr, name)
            self.assertEqual(told.stdout, self.walgd.walg("wal-show", "--json", "--no-daemon").stdout)
        # And of a command beside it.
        self.push(11)
        told = self.walgd.walg("wal-show", "--json", "--stats")
        self.assertIn(ASKED, told.stderr)
        self.assertIn(f'"end_segment":"{segment_name(11)}"', told.stdout)
        self.check_same()

    def test_what_the_daemon_cannot_note_is_listed_until_it_has_looked_again(self):
        self.fill()
        self.walgd.start()
        self.told_by_daemon()
        changes = (lambda: self.push(8, 3, by="walg-push"), lambda: self.walgd.walg("st", "rm", f"wal_005/{segment_name(2)}.lz4"),
                   lambda: self.walgd.walg("backup-mark", "-i", f"base_{segment_name(2)}"))
        for change in changes:
            change()
            self.assertEqual(self.walgd.walg("wal-show", "--json").stdout, self.walgd.walg("wal-show", "--json", "--no-daemon").stdout)
            self.check_same()

    def test_another_archive_is_not_the_daemons(self):
        self.fill()
        self.walgd.start()
        self.told_by_daemon()
        other = self.walgd.walg("wal-show", "--stats", env={"WALG_FILE_PREFIX": str(self.scratch.folder("other"))})
        self.assertNotIn(ASKED, other.stderr)
        self.assertNotIn(segment_name(1), other.stdout)
        # Nor are segments of another size what the daemon knows.
        self.assertNotIn(ASKED, self.walgd.walg("wal-show", "--stats", env={"WALG_PG_WAL_SIZE": "2"}).stderr)

    def test_a_daemon_that_could_not_list_says_nothing(self):
        self.fill()
        self.walgd.env["WALGD_CATALOGUE_REFRESH"] = "1s"
        self.walgd.start()
        self.told_by_daemon()
        away = self.folder.with_name("away")
        self.folder.rename(away)
        failed = until("the daemon to fail too", lambda: (lambda told: told if told.returncode else None)(self.walgd.walg("wal-show", check=False)))
        self.assertIn(str(self.folder), failed.stderr)
        away.rename(self.folder)
        self.check_same()


if __name__ == "__main__":
    unittest.main()
