"""walg wal-restore: the WAL that pg_rewind reads comes back from the archive."""
import os
import unittest

from harness import Cluster, POSTGRES_15, TestCase, Walgd, run, until


class WalRestore(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()

    def parted(self):
        """An old primary and the standby that was promoted, both stopped, each with WAL that the other has not; the old one's WAL is in the archive alone."""
        primary = Cluster(self.scratch, 15, "primary", segment_mb=1)
        self.daemon = Walgd(self.scratch, self.settings, primary).start()
        primary.archive_with(self.daemon.archive_command())
        primary.start()
        primary.psql("create table numbers as select n from generate_series(1, 1000) n")
        run([POSTGRES_15 / "pg_basebackup", "-h", primary.sockets, "-p", primary.port, "-U", "postgres", "-D", self.scratch.path / "standby", "-c", "fast"])
        standby = Cluster(self.scratch, 15, "standby", initdb=False)
        (standby.data / "standby.signal").touch()
        self.scratch.own(standby.data / "standby.signal")
        standby.configure(f"primary_conninfo = 'host={primary.sockets} port={primary.port} user=postgres'")
        standby.start()
        # The checkpoint where pg_rewind begins is some segments before the clusters part.
        primary.psql("checkpoint")
        for _ in range(3):
            primary.psql("insert into numbers select n from generate_series(1, 20000) n")
            primary.switch()
        reached = primary.psql("select pg_current_wal_lsn()")
        until("the standby to follow", lambda: standby.psql(f"select pg_last_wal_replay_lsn() >= '{reached}'") == "t")
        standby.psql("select pg_promote()")
        standby.psql("checkpoint; insert into numbers values (-2)")
        for _ in range(3):
            primary.psql("insert into numbers select -1 from generate_series(1, 20000) n")
            primary.switch()
        self.wanted = standby.checksum()
        primary.stop()
        standby.stop()
        for name in self.segments(primary):
            if (self.folder / f"wal_005/{name}.lz4").exists():
                (primary.data / "pg_wal" / name).unlink()
        return primary, standby

    @staticmethod
    def segments(cluster):
        return sorted(name for name in os.listdir(cluster.data / "pg_wal") if len(name) == 24)

    def rewind(self, target, source):
        return run([POSTGRES_15 / "pg_rewind", "-D", target.data, "--source-pgdata", source.data], check=False)

    def test_pg_rewind_finds_the_wal_that_had_gone(self):
        target, source = self.parted()
        before = self.rewind(target, source)
        self.assertNotEqual(before.returncode, 0, before.stdout)
        kept = {name: (target.data / "pg_wal" / name).stat().st_mtime_ns for name in self.segments(target)}
        result = self.daemon.walg("wal-restore", target.data, source.data)
        fetched = [name for name in self.segments(target) if name not in kept]
        self.assertGreaterEqual(len(fetched), 4, result.stderr)
        self.assertLess(len(fetched), len(os.listdir(self.folder / "wal_005")), "only what is needed")
        self.assertIn(f"{len(fetched)} files fetched", result.stderr)
        for name, time in kept.items():
            self.assertEqual((target.data / "pg_wal" / name).stat().st_mtime_ns, time, "what is there stays")
        again = self.daemon.walg("wal-restore", target.data, source.data)
        self.assertIn("0 files fetched", again.stderr)
        after = self.rewind(target, source)
        self.assertEqual(after.returncode, 0, after.stderr)
        source.start()
        (target.data / "standby.signal").touch()
        self.scratch.own(target.data / "standby.signal")
        target.configure(f"primary_conninfo = 'host={source.sockets} port={source.port} user=postgres'\narchive_mode = off\n"
                         f"restore_command = 'WALGD_SOCKET={self.daemon.socket} {self.scratch.bin}/walg-fetch %f %p'")
        target.start()
        until("the rewound cluster to follow", lambda: target.psql("select pg_last_wal_replay_lsn() >= '" + source.psql("select pg_current_wal_lsn()") + "'") == "t")
        self.assertEqual(target.checksum(), self.wanted)

    def test_what_the_new_primary_has_lost_of_its_own_wal_comes_back_too(self):
        target, source = self.parted()
        own = [name for name in self.segments(source) if name.startswith("00000002") and (self.folder / f"wal_005/{name}.lz4").exists()]
        for name in own:
            (source.data / "pg_wal" / name).rename(source.data / name)
        result = self.daemon.walg("wal-restore", target.data, source.data)
        self.assertIn(f" files fetched into {source.data}/pg_wal", result.stderr)
        for name in own:
            self.assertEqual((source.data / "pg_wal" / name).read_bytes(), (source.data / name).read_bytes())

    def test_the_promoted_one_can_be_the_one_that_goes_back(self):
        old, promoted = self.parted()
        self.assertIn("on timeline 1", self.daemon.walg("wal-restore", promoted.data, old.data).stderr)
        self.assertEqual(self.rewind(promoted, old).returncode, 0)

    def test_what_the_archive_has_not_is_an_error_for_walg_and_a_line_for_wal_g(self):
        target, source = self.parted()
        gone = sorted(name for name in os.listdir(self.folder / "wal_005") if name.startswith("00000001") and len(name) == len("0" * 24 + ".lz4"))[-3]
        (self.folder / "wal_005" / gone).rename(self.folder / gone)
        name = gone.split(".")[0]
        for program, code in (("walg", 1), ("wal-g", 0)):
            result = self.daemon.walg("wal-restore", target.data, source.data, name=program, check=False)
            self.assertEqual(result.returncode, code, result.stderr)
            self.assertIn(f"{name} is not in the archive", result.stderr)
        self.assertGreaterEqual(len(self.segments(target)), 4, "the others were fetched all the same")
        (self.folder / gone).rename(self.folder / "wal_005" / gone)
        self.daemon.walg("wal-restore", target.data, source.data)
        self.assertEqual(self.rewind(target, source).returncode, 0)

    def test_clusters_that_have_nothing_to_rewind_or_nothing_in_common(self):
        one = Cluster(self.scratch, 15, "one", segment_mb=1)
        other = Cluster(self.scratch, 15, "other", segment_mb=1)
        daemon = Walgd(self.scratch, self.settings)
        self.assertIn("nothing to rewind", daemon.walg("wal-restore", one.data, one.data).stderr)
        for name in ("walg", "wal-g"):
            result = daemon.walg("wal-restore", one.data, other.data, name=name, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("different clusters", result.stderr)
            result = daemon.walg("wal-restore", one.data, self.scratch.path / "nowhere", name=name, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("nowhere/global/pg_control", result.stderr)


if __name__ == "__main__":
    unittest.main()
