"""Segments of 1 GB, the largest that PostgreSQL has: memory does not grow with them."""
import shutil
import unittest

from harness import Cluster, TestCase, Walgd, run


class BigSegments(TestCase):
    MEMORY_MIB = 96

    def test_archived_fetched_and_recovered_from(self):
        _, settings = self.store()
        settings.update(WALG_COMPRESSION_METHOD="zstd", WALG_PG_WAL_SIZE="1024")
        # Segments that are not filled with zeros first: quicker, and walgd does not mind.
        old = Cluster(self.scratch, 15, "old", segment_mb=1024, extra="wal_init_zero = off\nmax_wal_size = 3GB")
        daemon = Walgd(self.scratch, settings, old).start()
        old.archive_with(daemon.archive_command())
        old.start()
        old.psql("create table t as select g id, md5(g::text) m from generate_series(1, 200000) g")
        daemon.walg("backup-push", old.data)
        (name, *_) = old.segments_done()
        fetched = self.scratch.path / "fetched"
        run([self.scratch.bin / "walg-fetch", name, fetched], env=daemon.env)
        self.assertEqual(fetched.stat().st_size, 1 << 30)
        run(["cmp", fetched, old.data / "pg_wal" / name])
        self.assertLess(daemon.peak_mib(), self.MEMORY_MIB)
        expected = old.checksum()
        old.stop("immediate")
        shutil.rmtree(old.data)
        fetched.unlink()

        daemon.walg("backup-fetch", self.scratch.path / "new", "LATEST")
        new = Cluster(self.scratch, 15, "new", initdb=False)
        new.env = daemon.env
        new.recover_from(daemon.restore_command())
        new.start()
        new.wait_until_writable()
        self.assertEqual(new.checksum(), expected)
        self.assertLess(daemon.peak_mib(), self.MEMORY_MIB)


if __name__ == "__main__":
    unittest.main(verbosity=2)
