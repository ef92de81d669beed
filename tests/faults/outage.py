"""The storage is gone for so long, while PostgreSQL goes on writing: what becomes of its WAL, and what walgd does meanwhile.

    tests/faults/outage.py [--seconds 600] [--silent] [--server minio|ceph]

--silent: connections are taken and nothing is answered, where otherwise they are refused. Prints what was measured; exit 1 when
something does not hold. CI runs a short one: test_storage_outage.py.
"""
import argparse
import sys
import time
import unittest

from storage_support import Cluster, FaultCase, Minio, Rgw, faults, need_minio, until
from support import cpu_seconds

CPU_SHARE_MAX, CPU_SECONDS_MORE = 0.005, 0.1


class Outage(FaultCase):
    """A base of tests: survive() is the story."""
    server_kind = Minio

    def survive(self, seconds, silent):
        daemon = self.ready_daemon(WALG_DAEMON_WAL_UPLOAD_TIMEOUT="5s", WALGD_STORAGE_STALL_TIMEOUT="30s", WALGD_FETCH_TIMEOUT="60s")
        cluster = Cluster(self.scratch, 15, "data", segment_mb=1, extra="wal_keep_size = 4GB\nmax_wal_size = 8GB")
        cluster.archive_with(daemon.archive_command())
        cluster.start()
        cluster.psql("create table t (g int)")
        first = cluster.switch()
        pid = daemon.process.pid

        told = self.mark()
        (self.proxy.fault(faults.stall) if silent else self.proxy.close())
        began, cpu = time.monotonic(), cpu_seconds(pid)
        segments = [first]

        def load():
            segments.append(self.write_segment(cluster))
        load()
        self.assert_told(daemon, told, *(("slow", "storage_slow", "no answer for 3 s") if silent else ("failing", "storage_failing", "refused")))
        told_after = time.monotonic() - began
        # One segment in half a second: a backlog that grows for as long as the storage is away.
        while time.monotonic() - began < seconds:
            load()
            time.sleep(0.5)
        used, lasted = cpu_seconds(pid) - cpu, time.monotonic() - began
        state = self.status(daemon)["storage_state"]
        self.assertIn(state["state"], ("failing", "slow"))
        failed = int(cluster.psql("select failed_count from pg_stat_archiver"))

        told = self.mark()
        fetch = self.fetch_in_background(daemon, cluster.data / "pg_wal" / first)
        until("the fetch to have come to walgd", lambda: self.status(daemon)["wal"]["in_flight"] > 0, 30)
        back = time.monotonic()
        (self.proxy.clear() if silent else self.proxy.open())
        until("walgd to be back at work", lambda: self.status(daemon)["storage_state"]["state"] == "answering", 60)
        back_after = time.monotonic() - back
        self.assertIn("event=storage_answers", told.text())
        segments.append(cluster.switch())
        until("PostgreSQL to archive its backlog", lambda: set(segments) <= set(cluster.segments_done()), 300, 0.2)
        drained_after = time.monotonic() - back
        for name in segments:
            self.assert_stored(cluster.data / "pg_wal" / name)
        self.assert_waits_for(fetch, cluster.data / "pg_wal" / first)
        if lasted > 3 * 5:
            self.assertGreater(failed, 0, "PostgreSQL was told that nothing is stored")
        self.assertLess(used, CPU_SHARE_MAX * lasted + CPU_SECONDS_MORE, "waiting costs next to nothing")
        print(f"away for {lasted:.0f} s ({'silent' if silent else 'refusing'}): told after {told_after:.1f} s, {used:.2f} s of CPU time ({100 * used / lasted:.2f} %), "
              f"{failed} archive_commands failed; back at work after {back_after:.1f} s, {len(segments)} segments stored after {drained_after:.1f} s, all as they were")

    def write_segment(self, cluster):
        return cluster.psql("insert into t select generate_series(1, 2000); select pg_walfile_name(pg_switch_wal())").splitlines()[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--silent", action="store_true")
    parser.add_argument("--server", choices=("minio", "ceph"), default="minio")
    words = parser.parse_args()
    if words.server == "minio":
        need_minio()

    class LongOutage(Outage):
        server_kind = {"minio": Minio, "ceph": Rgw}[words.server]

        def test_outage(self):
            self.survive(words.seconds, words.silent)
    result = unittest.TextTestRunner(verbosity=0).run(unittest.TestSuite([LongOutage("test_outage")]))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
