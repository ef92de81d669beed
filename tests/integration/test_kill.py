"""walgd killed with SIGKILL at random instants under load: everything that PostgreSQL holds as archived is in the storage, once, with the right content.

How often: WALGD_TEST_KILLS (100). The seed is printed; WALGD_TEST_SEED repeats a run.
"""
import os
import random
import shutil
import time
import unittest

from harness import Cluster, TestCase, Walgd, run

KILLS = int(os.environ.get("WALGD_TEST_KILLS", "100"))


class Kill(TestCase):
    def test_killed_a_hundred_times_loses_and_doubles_nothing(self):
        folder, settings = self.store()
        seed = int(os.environ.get("WALGD_TEST_SEED", random.SystemRandom().randrange(2**32)))
        print(f"seed {seed}, {KILLS} kills", flush=True)
        dice = random.Random(seed)
        # Small segments, so that a kill meets many states of many pushes.
        cluster = Cluster(self.scratch, 15, "data", segment_mb=1, extra="wal_keep_size = '4GB'\nmax_wal_size = '8GB'\n")
        # A copy of every segment is kept the moment PostgreSQL hands it over: the judge of what is stored later.
        kept = self.scratch.folder("kept")
        daemon = Walgd(self.scratch, {**settings, "WALG_COMPRESSION_METHOD": "zstd", "WALG_PG_WAL_SIZE": "1"}, cluster)
        cluster.archive_with(f"(test -f {kept}/%f || (cp %p {kept}/%f.tmp && mv {kept}/%f.tmp {kept}/%f)) && {daemon.archive_command()}")
        daemon.start()
        cluster.start()
        cluster.pgbench("-i", "-q", "-s", "1")
        daemon.walg("backup-push", cluster.data)
        cluster.psql("create table ticks (id int)")

        load = cluster.pgbench_in_background(36000)
        for kill in range(KILLS):
            cluster.psql(f"insert into ticks values ({kill}); select pg_switch_wal()")
            time.sleep(dice.uniform(0, 0.25))  # where in a push the kill falls: not a wait for anything
            daemon.process.kill()
            daemon.process.wait()
            daemon.start()
        load.terminate()
        load.wait()
        last = cluster.switch()
        expected = cluster.checksum()
        cluster.stop()

        done = [name for name in cluster.segments_done() if len(name) in (24, 40)]
        self.assertIn(last, done)
        self.assertGreater(len(done), KILLS // 2)
        stored = sorted(path.name for path in (folder / "wal_005").iterdir())
        names = [name.removesuffix(".zst") for name in stored]
        self.assertEqual(len(names), len(set(names)), "a name is there twice")
        self.assertEqual([name for name in stored if not name.endswith(".zst")], [])
        self.assertEqual(sorted(set(done) - set(names)), [], "archived for PostgreSQL, not in the storage")
        out = self.scratch.folder("out")
        for name in names:
            daemon.walg("wal-fetch", name, out / name, env={"WALGD_SOCKET": "/nowhere/x.sock"})
            self.assertEqual((out / name).read_bytes(), (kept / name).read_bytes(), name)
            (out / name).unlink()
        daemon.stop()

        shutil.rmtree(cluster.data)
        alone = Walgd(self.scratch, {**settings, "WALG_COMPRESSION_METHOD": "zstd", "WALG_PG_WAL_SIZE": "1"})
        alone.walg("backup-fetch", self.scratch.path / "new", "LATEST")
        new = Cluster(self.scratch, 15, "new", initdb=False)
        new.env = alone.env
        new.recover_from(alone.restore_command())
        new.start()
        new.wait_until_writable()
        self.assertEqual(new.psql("select count(*), max(id) from ticks"), f"{KILLS}|{KILLS - 1}")
        self.assertEqual(new.checksum(), expected)
        print(f"{KILLS} kills, {len(done)} segments archived, {len(names)} stored, all equal; recovery reached the end", flush=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
