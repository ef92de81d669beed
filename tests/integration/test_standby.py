"""Base backups of a standby: its primary archives, and it stays a standby while it is copied."""
import shutil
import signal
import unittest

from harness import Cluster, Scratch, TestCase, Walgd, start, until


class Standby(TestCase):
    def make_pair(self, version=15):
        """A primary that archives through walgd, and a standby, made of its first backup, that streams from it."""
        self.folder, settings = self.store()
        self.settings = {**settings, "WALG_COMPRESSION_METHOD": "zstd"}
        self.primary = Cluster(self.scratch, version, "primary")
        self.daemon = Walgd(self.scratch, self.settings, self.primary).start()
        self.primary.archive_with(self.daemon.archive_command())
        self.primary.start()
        self.primary.psql("create table t as select g id, md5(g::text) m from generate_series(1, 1000) g")
        self.daemon.walg("backup-push", self.primary.data)
        data = self.scratch.path / "standby"
        self.daemon.walg("backup-fetch", data, "LATEST")
        self.standby = Cluster(self.scratch, version, "standby", initdb=False)
        self.standby.configure(f"primary_conninfo = 'host={self.primary.sockets} port={self.primary.port} user=postgres'\n"
                               f"restore_command = '{self.daemon.restore_command()}'")
        self.standby.env = self.daemon.env
        (data / "standby.signal").touch()
        self.scratch.own(data / "standby.signal")
        self.standby.start()
        until("the standby to stream", lambda: self.primary.psql("select count(*) from pg_stat_replication where state = 'streaming'") == "1")
        self.first = self.sentinels()

    def backup(self, **extra):
        """walg backup-push of the standby, in the background: the process, and a function that reads what it said."""
        said = self.scratch.path / "backup.log"
        with open(said, "wb") as log:
            process = start([self.scratch.bin / "walg", "backup-push", self.standby.data], log, env=Walgd(self.scratch, {**self.settings, **extra}, self.standby).env)
        self.addCleanup(process.kill)
        return process, said.read_text

    def take_and_restore(self, version):
        self.make_pair(version)
        self.primary.psql("insert into t select g, md5(g::text) from generate_series(1001, 100000) g; checkpoint")
        self.standby.wait_until_replayed(self.primary)
        process, said = self.backup()
        # A quiet primary leaves the segment open: the operator is told what to do, and does it.
        until("the backup to wait for WAL", lambda: "pg_switch_wal()" in said() or process.poll() is not None)
        self.assertEqual(self.sentinels(), self.first)
        self.primary.switch()
        self.assertEqual(process.wait(120), 0, said())
        self.assertEqual(len(self.sentinels()), 2)
        expected = self.primary.checksum()
        for cluster in (self.primary, self.standby):
            cluster.stop("immediate")
            shutil.rmtree(cluster.data)
        data = self.scratch.path / "new"
        self.daemon.walg("backup-fetch", data, "LATEST")
        self.assertIn("BACKUP FROM: standby", (data / "backup_label").read_text())
        new = Cluster(self.scratch, version, "new", initdb=False)
        new.env = self.daemon.env
        (data / "standby.signal").unlink(missing_ok=True)
        new.recover_from(self.daemon.restore_command(), "primary_conninfo = ''")
        new.start()
        new.wait_until_writable()
        self.assertEqual(new.checksum(), expected)

    def test_backup_of_a_standby_restores(self):
        for version in (15, 13, 18):
            with self.subTest(version=version):
                self.take_and_restore(version)
                self.scratch.close()
                self.scratch = Scratch()

    def test_promoted_while_it_is_copied_there_is_no_backup(self):
        self.make_pair()
        self.primary.psql("create table big as select repeat(md5(g::text), 30) x from generate_series(1, 150000) g; checkpoint")
        self.standby.wait_until_replayed(self.primary)
        known = set((self.folder / "basebackups_005").glob("*/tar_partitions/*"))
        process, said = self.backup(WALG_DISK_RATE_LIMIT="40000000", WALG_TAR_SIZE_THRESHOLD="4000000")
        parts = lambda: set((self.folder / "basebackups_005").glob("*/tar_partitions/*")) - known
        until("a part to be stored", lambda: parts() or process.poll() is not None, 60, 0.005)
        process.send_signal(signal.SIGSTOP)
        self.assertEqual(self.standby.psql("select pg_promote(true, 60)"), "t")
        process.send_signal(signal.SIGCONT)
        self.assertEqual(process.wait(120), 1, said())
        self.assertIn("the standby was promoted while it was copied; the copy is no backup", said())
        self.assertIn("run backup-push again", said())
        self.assertEqual(self.sentinels(), self.first)
        self.assertEqual(set((self.folder / "basebackups_005").glob("*/tar_partitions/*")), known, "nothing is left behind")

    def test_a_primary_that_does_not_archive_the_last_wal_is_told_of(self):
        self.make_pair()
        self.primary.psql("create table more as select 1; checkpoint")
        self.standby.wait_until_replayed(self.primary)
        process, said = self.backup(WALGD_STOP_WAL_TIMEOUT="2s")
        self.assertEqual(process.wait(120), 1, said())
        self.assertIn("does the primary archive into this archive?", said())
        self.assertEqual(self.sentinels(), self.first)


if __name__ == "__main__":
    unittest.main(verbosity=2)
