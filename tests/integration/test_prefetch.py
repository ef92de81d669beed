"""Recovery of PostgreSQL through walgd, which fetches ahead: what is asked for comes out of memory, is never wrong, and costs few requests."""
import contextlib
import json
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "faults"))

import proxy as faults
from harness import CACHE, Cluster, Failed, Minio, Scratch, TestCase, Walgd, run, until

ZSTD = {"WALG_COMPRESSION_METHOD": "zstd"}


def passed(request, upstream, client):
    """No fault: what it met is counted."""
    head, body = upstream.exchange(request)
    client.sendall(head + b"\r\n\r\n" + body)
    return True


def fill(cluster, first, last):
    """One segment a number, each with rows of its own."""
    for number in range(first, last + 1):
        cluster.psql(f"insert into t select {number}, g, md5((g * {number})::text) from generate_series(1, 3000) g")
        name = cluster.switch()
    return name


def make_archive(scratch, settings, name="source", segments=12, segment_mb=16):
    """A cluster with a base backup and `segments` segments after it, archived and stopped. Returns the tables' checksum and the last name."""
    cluster = Cluster(scratch, 15, name, segment_mb=segment_mb)
    daemon = Walgd(scratch, {**settings, **ZSTD}, cluster).start()
    cluster.archive_with(daemon.archive_command())
    cluster.start()
    cluster.psql("create table t (round int, g int, text text)")
    daemon.walg("backup-push", cluster.data)
    last = fill(cluster, 1, segments)
    expected = cluster.checksum()
    cluster.stop("immediate")
    daemon.stop()
    return expected, last


class Prefetch(TestCase):
    segments = 12

    @classmethod
    def setUpClass(cls):
        if not (CACHE / "bin/minio").exists() and not os.environ.get("CI"):
            raise unittest.SkipTest("MinIO is not there: it needs Go to be built")
        cls.shared = Scratch()
        cls.addClassCleanup(cls.shared.close)
        cls.server = Minio(cls.shared)
        cls.expected, cls.last = make_archive(cls.shared, cls.server.settings(), segments=cls.segments)

    def setUp(self):
        super().setUp()
        self.proxy = faults.Proxy(("127.0.0.1", self.server.port))
        self.addCleanup(self.proxy.close)

    def daemon(self, proxied=False, settings=None, **extra):
        settings = {**(settings or self.server.settings()), **ZSTD, **extra}
        if proxied:
            settings["AWS_ENDPOINT"] = f"http://127.0.0.1:{self.proxy.port}"
        self.walgd = Walgd(self.scratch, settings).start()
        return self.walgd

    def command(self):
        return f'WALGD_SOCKET={self.walgd.socket} {self.scratch.bin}/walg-fetch "%f" "%p"'

    def restored(self, name="new"):
        self.walgd.walg("backup-fetch", self.scratch.path / name, "LATEST")
        cluster = Cluster(self.scratch, 15, name, initdb=False)
        cluster.recover_from(self.command())
        return cluster

    def status(self):
        return json.loads(self.walgd.walg("status", "--json").stdout)

    def fetch(self, name):
        target = self.scratch.path / "fetched"
        target.unlink(missing_ok=True)
        result = run([self.scratch.bin / "walg-fetch", name, target], env=self.walgd.env, check=False)
        return result.returncode, target.read_bytes() if target.exists() else None

    def names(self, count):
        """The last `count` segments of the archive, in order."""
        number = int(self.last[16:], 16)
        return [f"{self.last[:16]}{n:08X}" for n in range(number - count + 1, number + 1)]

    def test_recovery_is_served_from_memory_at_one_request_a_segment(self):
        self.daemon(proxied=True)
        cluster = self.restored()
        self.proxy.fault(passed, "GET", r"wal_005/0[0-9A-F]{23}\.")
        cluster.start()
        cluster.wait_until_writable()
        self.assertEqual(cluster.checksum(), self.expected)
        prefetch = self.status()["prefetch"]
        self.assertGreaterEqual(prefetch["hits"], self.segments - 1)
        asked = self.proxy.met
        for name in self.names(self.segments - 1):
            self.assertEqual(sum(name in target for target in asked), 1, f"{name} was asked for once: {asked}")
        self.assertLessEqual(self.walgd.peak_mib(), 48)

    def test_a_timeline_switch_is_followed(self):
        settings = self.server.settings("turn")
        expected, _ = make_archive(self.scratch, settings, segments=4)
        self.daemon(settings=settings)
        second = self.restored("second")
        second.archive_with(self.walgd.archive_command())
        second.start()
        second.wait_until_writable()
        self.assertEqual(second.checksum(), expected)
        fill(second, 5, 8)
        expected = second.checksum()
        second.stop()
        before = self.status()["prefetch"]["hits"]
        third = self.restored("third")
        third.start()
        third.wait_until_writable()
        self.assertEqual({line for line in third.checksum().splitlines()}, set(expected.splitlines()))
        self.assertIn("00000003.history", [path.name for path in (third.data / "pg_wal").iterdir()])
        self.assertGreaterEqual(self.status()["prefetch"]["hits"] - before, 5)

    def test_a_standby_that_waits_costs_one_request_a_poll_and_goes_on_when_more_comes(self):
        settings = self.server.settings("standby")
        primary = Cluster(self.scratch, 15, "primary")
        pusher = Walgd(self.scratch, {**settings, **ZSTD}, primary).start()
        primary.archive_with(pusher.archive_command())
        primary.start()
        primary.psql("create table t (round int, g int, text text)")
        pusher.walg("backup-push", primary.data)
        fill(primary, 1, 3)
        self.daemon(proxied=True, settings=settings)
        standby = self.restored("standby")
        (standby.data / "recovery.signal").unlink()
        (standby.data / "standby.signal").touch()
        self.scratch.own(standby.data / "standby.signal")
        standby.configure("hot_standby = on\nwal_retrieve_retry_interval = 100ms")
        standby.start()
        rounds = lambda: standby.psql("select count(distinct round) from t", check=False)
        until("the standby to have it all", lambda: rounds() == "3")
        self.proxy.fault(passed)
        polls = lambda: self.status()["wal"]["fetch_absent"]
        # One poll more, so that the first of those counted is a repeated one.
        begun = polls()
        until("a poll", lambda: polls() > begun + 4)
        requests, begun = self.proxy.met_count(), polls()
        until("polls", lambda: polls() >= begun + 20)
        requests, counted = self.proxy.met_count() - requests, polls() - begun
        self.assertLessEqual(requests, counted + 2, f"{requests} requests for {counted} polls: {self.proxy.met[-10:]}")
        fill(primary, 4, 6)
        until("the standby to follow", lambda: rounds() == "6")
        self.assertEqual(standby.checksum(), primary.checksum())

    def test_an_outage_in_the_middle_stops_recovery_and_is_never_taken_for_the_end(self):
        self.daemon(proxied=True, WALGD_STORAGE_DEADLINE="2s")
        cluster = self.restored()
        middle = self.names(6)[0]
        self.proxy.fault(faults.reset, part=middle)
        # Consistent before it meets the outage, it opens for queries first, and stops then.
        with contextlib.suppress(Failed):
            cluster.start()
        until("PostgreSQL to stop", lambda: not (cluster.data / "postmaster.pid").exists())
        log = cluster.logfile.read_text()
        self.assertRegex(log, f'restored log file "{self.names(7)[0]}" from archive')
        self.assertIn(f'could not restore file "{middle}" from archive', log)
        self.assertFalse(list((cluster.data / "pg_wal").glob("*.history")), "it did not promote")
        self.proxy.clear()
        cluster.start()
        cluster.wait_until_writable()
        self.assertEqual(cluster.checksum(), self.expected)

    def test_a_damaged_object_is_prefetched_and_never_handed_out(self):
        first, damaged, after = self.names(3)
        for fault in (faults.flipped_bit, faults.wrong_length):
            with self.subTest(fault=fault.__name__):
                self.daemon(proxied=True)
                self.proxy.clear()
                self.proxy.fault(fault, "GET", damaged)
                self.assertEqual(self.fetch(first)[0], 0)
                until("the prefetch to have met it", lambda: self.proxy.met_count() > 0)
                self.assertEqual(self.fetch(damaged), (200, None))
                self.proxy.clear()
                code, content = self.fetch(damaged)
                self.assertEqual((code, len(content)), (0, 16 << 20))
                self.assertEqual(self.fetch(after)[0], 0)
                self.walgd.stop()

    def test_two_standbys_that_take_turns_get_each_segment_at_one_request(self):
        self.daemon(proxied=True)
        self.proxy.fault(passed, "GET", r"wal_005/0[0-9A-F]{23}\.")
        names = self.names(8)
        for one, other in zip(names[:4], names[4:]):
            for name in (one, other):
                self.assertEqual(self.fetch(name)[0], 0)
        # One more at most: ahead of the very first.
        self.assertLessEqual(self.proxy.met_count(), len(names) + 1)

    def test_with_a_concurrency_of_one_nothing_is_prefetched(self):
        self.daemon(WALG_DOWNLOAD_CONCURRENCY="1")
        for name in self.names(4):
            self.assertEqual(self.fetch(name)[0], 0)
        prefetch = self.status()["prefetch"]
        self.assertEqual((prefetch["prefetched"], prefetch["hits"], prefetch["depth"]), (0, 0, 0))

    def test_memory_stays_within_its_share_whatever_the_concurrency(self):
        self.daemon(WALG_DOWNLOAD_CONCURRENCY="64")
        for name in self.names(self.segments):
            self.assertEqual(self.fetch(name)[0], 0)
            status = self.status()
            self.assertLessEqual(status["prefetch"]["memory_used"], status["memory_budget"] * 3 // 8)
        self.assertGreaterEqual(status["prefetch"]["hits"], self.segments - 1)

    def test_large_segments_with_and_without_a_folder(self):
        _, settings = self.store()
        expected, _ = make_archive(self.scratch, settings, segments=5, segment_mb=64)
        cache = self.scratch.folder("cache")
        for name, extra in (("plain", {}), ("cached", {"WALG_PREFETCH_DIR": str(cache / "walgd")})):
            with self.subTest(name):
                self.daemon(settings=settings, **extra)
                cluster = self.restored(name)
                cluster.start()
                cluster.wait_until_writable()
                self.assertEqual(cluster.checksum(), expected)
                self.assertGreaterEqual(self.status()["prefetch"]["hits"], 3)
                self.assertLessEqual(self.walgd.peak_mib(), 64)
                cluster.stop()
                self.walgd.stop()
        self.assertEqual(list((cache / "walgd").iterdir()), [], "its files have no names")

    def test_a_folder_that_cannot_be_used_is_an_error_at_start(self):
        for folder in ("/proc/none", str(self.scratch.path / "data/pg_wal")):
            result = Walgd(self.scratch, {**self.server.settings(), "WALG_PREFETCH_DIR": folder})
            process = run([self.scratch.bin / "walgd"], env=result.env, check=False)
            self.assertEqual(process.returncode, 1)
            self.assertIn(folder, process.stderr)
            self.assertIn("HINT", process.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
