"""walg doctor: every fault that it is there for is found, with its weight and what to do; a healthy cluster has none that is broken."""
import json
import os
import signal
import socket
import unittest

from harness import Cluster, TestCase, Walgd, run, until


class Doctor(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()
        self.cluster = Cluster(self.scratch, 15, segment_mb=1)
        self.walgd = Walgd(self.scratch, self.settings, self.cluster).start()
        self.cluster.archive_with(self.walgd.archive_command(), timeout=60)
        self.cluster.start()

    def findings(self, env=None):
        result = self.walgd.walg("doctor", "--json", check=False, env=env)
        findings = json.loads(result.stdout)
        weights = [finding["weight"] for finding in findings]
        self.assertEqual(weights, sorted(weights, key=["broken", "warning", "note"].index))
        self.assertEqual(result.returncode, 1 if "broken" in weights else 0, result.stderr)
        return findings

    def check_found(self, weight, text, env=None):
        findings = self.findings(env)
        found = [finding for finding in findings if text in finding["text"]]
        self.assertTrue(found, findings)
        self.assertEqual(found[0]["weight"], weight)
        self.assertTrue(found[0]["do"])

    def reload(self, text):
        self.cluster.configure(text)
        self.cluster.psql("select pg_reload_conf()")

    def test_a_healthy_cluster(self):
        self.check_found("broken", "no backup that can be restored")
        self.walgd.walg("backup-push", self.cluster.data)
        self.assertEqual([finding for finding in self.findings() if finding["weight"] != "note"], [])
        self.check_found("note", "never read back")
        self.walgd.walg("verify")
        self.assertNotIn("read back", json.dumps(self.findings()))
        # Rights, inventory, backups and the index: the WAL is listed once.
        self.assertRegex(self.walgd.walg("doctor", "--stats").stderr, r"list 4[,)]")
        self.assertEqual(list((self.folder / "walgd_005/check").glob("*")), [], "the probe is gone")
        self.assertRegex(self.walgd.walg("doctor").stdout, "note +key: objects are stored unencrypted\n +do: ")

    def test_what_cannot_be_looked_at_is_a_finding_and_stops_no_other(self):
        self.walgd.walg("backup-push", self.cluster.data)
        own = self.folder / "walgd_005"
        own.chmod(0)
        try:
            self.check_found("broken", f"cannot look at {own}/tmp: Permission denied")
            self.check_found("warning", f"cannot look at {own}/verify.json: Permission denied")
            self.check_found("note", "objects are stored unencrypted")
            check = run([self.scratch.bin / "walgd", "--check"], env=self.walgd.env, check=False)
        finally:
            own.chmod(0o755)
        self.assertEqual(check.returncode, 1)
        self.assertRegex(check.stdout, "storage: write +FAILED: cannot look at")
        self.assertRegex(check.stdout, "PostgreSQL: connection +ok: ")

    def test_a_storage_that_does_not_answer_is_waited_for_once(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # and nobody listens
            env = {"WALG_FILE_PREFIX": "", "WALG_S3_PREFIX": "s3://nobody/there", "AWS_ENDPOINT": f"http://127.0.0.1:{closed.getsockname()[1]}", "AWS_ACCESS_KEY_ID": "a",
                   "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1", "WALGD_STORAGE_DEADLINE": "2s"}
            found = [finding["what"] for finding in self.findings(env)]
        self.assertIn("storage: list", found)
        self.assertEqual([what for what in found if what.startswith("storage: ")], ["storage: list"])

    def test_a_gap_between_the_newest_backup_and_the_newest_wal(self):
        self.walgd.walg("backup-push", self.cluster.data)
        names = [self.cluster.switch() for _ in range(4)]
        self.assertNotIn("is missing", json.dumps(self.findings()))
        self.walgd.kill()  # it would put the segment back, which pg_wal still has
        (self.folder / f"wal_005/{names[1]}.lz4").unlink()
        self.check_found("warning", f"WAL segment {names[1]} is missing, if it is not on its way: ")
        self.check_found("broken", f"WAL segment {names[1]} is missing: ", {"WALG_UPLOAD_CONCURRENCY": "1"})
        self.walgd.start()
        self.walgd.walg("backup-push", self.cluster.data)
        self.assertNotIn("is missing", json.dumps(self.findings()))

    def test_a_data_directory_that_is_another_one_or_none(self):
        self.check_found("broken", "no backup can be taken: ", {"PGDATA": "/nowhere"})
        self.check_found("broken", "is not the same as", {"PGDATA": str(self.folder)})

    def test_wal_that_was_deleted_is_not_lost(self):
        self.cluster.configure("wal_keep_size = 64MB")
        self.cluster.psql("select pg_reload_conf()")
        self.walgd.walg("backup-push", self.cluster.data, "--permanent")
        for _ in range(3):
            gone = self.cluster.switch()
        self.walgd.walg("backup-push", self.cluster.data)
        self.walgd.walg("delete", "garbage", "--confirm")
        self.assertFalse((self.folder / f"wal_005/{gone}.lz4").exists())
        self.assertIn(gone, self.cluster.segments_done())
        self.assertNotIn("calls archived", json.dumps(self.findings()))
        last = self.cluster.switch()
        (self.folder / f"wal_005/{last}.lz4").unlink()
        self.check_found("broken", f"1 WAL segments lack that PostgreSQL calls archived: {last}")

    def test_what_the_server_has_wrong(self):
        self.walgd.walg("backup-push", self.cluster.data)
        self.cluster.psql("select pg_create_physical_replication_slot('idle', true)")
        self.reload("archive_timeout = 0\narchive_command = 'false'")
        until("the setting to be in force", lambda: self.cluster.psql("show archive_command") == "false")
        self.cluster.psql("create table numbers as select n from generate_series(1, 100000) n; select pg_switch_wal()")
        until("a failure", lambda: self.cluster.psql("select failed_count > 0 from pg_stat_archiver") == "t")
        self.check_found("broken", "its archiver fails")
        self.check_found("warning", "archive_timeout is 0")
        self.check_found("warning", "names neither walg-push nor wal-g")
        self.reload("max_slot_wal_keep_size = '1MB'")
        self.cluster.psql("checkpoint")
        until("the slot to be given up", lambda: self.cluster.psql("checkpoint; select wal_status from pg_replication_slots") == "lost")
        self.check_found("warning", "slot idle has lost WAL")
        self.reload("archive_command = ''")
        until("the setting to be in force", lambda: self.cluster.psql("show archive_command") in ("", "(disabled)"))
        self.check_found("broken", "archive_command is empty")
        self.reload("archive_library = 'basic_archive'")
        until("the setting to be in force", lambda: self.cluster.psql("show archive_library") == "basic_archive")
        self.check_found("warning", "archive_library 'basic_archive' names neither walg-push nor wal-g")
        self.cluster.stop("immediate")
        self.cluster.configure("archive_mode = off\nwal_level = minimal\nmax_wal_senders = 0")
        for name in os.listdir(self.cluster.data / "pg_replslot"):
            for part in (self.cluster.data / "pg_replslot" / name).iterdir():
                part.unlink()
            (self.cluster.data / "pg_replslot" / name).rmdir()
        self.cluster.start()
        self.check_found("broken", "archive_mode is off")
        self.check_found("broken", "wal_level is minimal")
        self.cluster.stop()
        self.check_found("broken", "PostgreSQL")

    def test_wal_that_postgresql_calls_archived_and_that_nobody_has(self):
        self.walgd.walg("backup-push", self.cluster.data)
        self.cluster.switch()
        self.assertNotIn("calls archived", json.dumps(self.findings()))
        self.reload("archive_command = 'true # walg-push'")
        until("the setting to be in force", lambda: "true" in self.cluster.psql("show archive_command"))
        self.walgd.stop(signal.SIGKILL)  # it would look ahead
        names = [self.cluster.switch() for _ in range(2)]
        self.check_found("broken", f"2 WAL segments lack that PostgreSQL calls archived: {names[0]} to {names[1]}")
        self.check_found("broken", f"PostgreSQL archived {names[1]} last, and the archive lacks it", env={"PGDATA": ""})
        for name in names:
            self.walgd.walg("wal-push", self.cluster.data / "pg_wal" / name)
        self.assertNotIn("calls archived", json.dumps(self.findings()))

    def test_what_the_archive_has_wrong(self):
        self.walgd.walg("backup-push", self.cluster.data)
        other = Cluster(self.scratch, 15, "other", segment_mb=1)
        other.start()
        self.check_found("broken", "belongs to the cluster", env=other.environment())
        newest = max(path for path in (self.folder / "wal_005").iterdir() if ".backup" not in path.name)
        content = newest.read_bytes()
        newest.write_bytes(content[:-20])
        self.check_found("broken", newest.name)
        newest.write_bytes(content)
        part = next((self.folder / "basebackups_005").rglob("pg_control.tar*"))
        label = next((self.folder / "basebackups_005").rglob("backup_label.tar*"))
        part.unlink()
        label.unlink()
        self.check_found("warning", "cannot be restored: ")
        sentinel = next((self.folder / "basebackups_005").glob("*sentinel.json"))
        sentinel.write_text("{")
        self.check_found("broken", sentinel.name)
        os.chmod(self.folder, 0o555)
        if os.getuid() == 0:
            os.chown(self.folder, 0, 0)
            os.chown(self.folder / "walgd_005", 0, 0)
            os.chmod(self.folder / "walgd_005", 0o555)
        self.check_found("broken", "annot")


if __name__ == "__main__":
    unittest.main()
