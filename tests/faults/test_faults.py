"""What walgd makes of what networks and servers do: each fault, and its outcome as PostgreSQL and a person see it. Against Ceph's gateway."""
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import proxy as faults
from harness import Cluster, Rgw, Scratch, TestCase, Walgd, run, until


class Faults(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server_scratch = Scratch()
        cls.addClassCleanup(cls.server_scratch.close)
        cls.server = Rgw(cls.server_scratch)
        source = Cluster(cls.server_scratch, 15, "source", segment_mb=1)
        source.start()
        source.psql("create table t as select g from generate_series(1, 20000) g; select pg_switch_wal(); create table u(); select pg_switch_wal()")
        source.stop()
        cls.wal = source.data / "pg_wal"
        cls.segment = sorted(path.name for path in cls.wal.iterdir() if len(path.name) == 24)[0]

    def setUp(self):
        super().setUp()
        self.proxy = faults.Proxy(("127.0.0.1", self.server.port))
        self.addCleanup(self.proxy.close)
        prefix = self.id().split(".")[-1]
        self.direct = Walgd(self.scratch, self.server.settings(prefix))
        self.settings = {**self.server.settings(prefix), "AWS_ENDPOINT": f"http://127.0.0.1:{self.proxy.port}", "WALG_COMPRESSION_METHOD": "zstd",
                         "WALGD_STORAGE_STALL_TIMEOUT": "1s", "WALGD_STORAGE_DEADLINE": "20s"}
        self.walgd = Walgd(self.scratch, self.settings)

    def push(self, **extra):
        return self.walgd.walg("wal-push", self.wal / self.segment, check=False, env=extra)

    def fetch(self, **extra):
        """walg-fetch as restore_command runs it; the file if there is one."""
        target = self.scratch.path / "fetched"
        target.unlink(missing_ok=True)
        result = run([self.scratch.bin / "walg-fetch", self.segment, target], env={**self.walgd.env, **extra}, check=False)
        return result, target.read_bytes() if target.exists() else None

    def assert_stored(self):
        out = self.scratch.path / "judge"
        out.unlink(missing_ok=True)
        self.direct.walg("wal-fetch", self.segment, out)
        self.assertEqual(out.read_bytes(), (self.wal / self.segment).read_bytes())

    def assert_absent(self):
        self.assertEqual(self.direct.walg("wal-fetch", self.segment, self.scratch.path / "judge", check=False).returncode, 1)

    def test_push_survives_resets_stalls_and_busy_servers(self):
        for number, fault in enumerate((faults.reset, faults.stall, faults.status(503, "SlowDown"), faults.status(500, "InternalError"), faults.status(429, "TooManyRequests"))):
            with self.subTest(fault=number):
                self.proxy.clear()
                self.proxy.fault(fault, "PUT", "wal_005/", times=2)
                result = self.push(WALG_STORAGE_PREFIX=f"x{number}")
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(self.proxy.met_count(), 2)
                self.direct.walg("wal-fetch", self.segment, self.scratch.path / f"judge{number}", env={"WALG_STORAGE_PREFIX": f"x{number}"})
                self.assertEqual((self.scratch.path / f"judge{number}").read_bytes(), (self.wal / self.segment).read_bytes())

    def test_push_whose_answer_is_lost_is_stored_once_and_is_success(self):
        self.proxy.fault(faults.lost_answer, "PUT", "wal_005/", times=1)
        result = self.push()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.proxy.met_count(), 1)
        self.assert_stored()
        self.assertEqual(self.push().returncode, 0)

    def test_push_that_is_forbidden_fails_at_once_with_its_reason(self):
        self.proxy.fault(faults.status(403, "AccessDenied"), "PUT", "wal_005/")
        result = self.push()
        self.assertEqual(result.returncode, 1)
        for part in ("AccessDenied", self.segment, "403", "proxy-1", "HINT"):
            self.assertIn(part, result.stderr)
        self.assertEqual(self.proxy.met_count(), 1, "not tried again")
        self.assert_absent()

    def test_push_while_the_storage_is_down_fails_within_its_deadline_and_succeeds_later(self):
        self.proxy.fault(faults.reset)
        result = self.push(WALGD_STORAGE_DEADLINE="2s")
        self.assertEqual(result.returncode, 1)
        self.assertIn(self.segment, result.stderr)
        self.proxy.clear()
        self.assertEqual(self.push().returncode, 0)
        self.assert_stored()

    def test_the_daemon_answers_in_time_and_goes_on_when_the_storage_is_back(self):
        daemon = Walgd(self.scratch, {**self.settings, "WALG_DAEMON_WAL_UPLOAD_TIMEOUT": "3s"}).start()
        self.proxy.fault(faults.stall)
        push = [self.scratch.bin / "walg-push", self.wal / self.segment]
        result = run(push, env=daemon.env, check=False, timeout=30)
        self.assertEqual(result.returncode, 1)
        self.assertIn(self.segment, result.stderr)
        self.proxy.clear()
        for attempt in range(3):
            if run(push, env=daemon.env, check=False, timeout=30).returncode == 0:
                break
        else:
            self.fail("the daemon did not recover")
        self.assert_stored()

    def test_fetch_goes_on_after_cut_bodies_resets_and_drips(self):
        self.direct.walg("wal-push", self.wal / self.segment)
        for fault in (faults.cut_body, faults.reset, faults.slow_drip, faults.stall, faults.status(503, "SlowDown")):
            with self.subTest(fault=fault.__name__):
                self.proxy.clear()
                self.proxy.fault(fault, "GET", "wal_005/0", times=1)
                result, content = self.fetch()
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(self.proxy.met_count(), 1)
                self.assertEqual(content, (self.wal / self.segment).read_bytes())

    def test_fetch_of_a_wrong_body_is_200_and_no_file(self):
        self.direct.walg("wal-push", self.wal / self.segment)
        for fault in (faults.wrong_length, faults.flipped_bit):
            with self.subTest(fault=fault.__name__):
                self.proxy.clear()
                self.proxy.fault(fault, "GET", "wal_005/0")
                result, content = self.fetch()
                self.assertEqual(result.returncode, 200, result.stderr)
                self.assertIsNone(content)
                self.assertIn(self.segment, result.stderr)

    def test_fetch_never_takes_a_failure_for_absence(self):
        for number, fault in enumerate((faults.reset, faults.stall, faults.status(503, "SlowDown"), faults.status(500, "InternalError"),
                                        faults.status(403, "AccessDenied"), faults.status(404, "NoSuchBucket"), faults.status(301, "PermanentRedirect"))):
            with self.subTest(fault=number):
                self.proxy.clear()
                self.proxy.fault(fault)
                result, content = self.fetch(WALGD_STORAGE_DEADLINE="2s")
                self.assertEqual(result.returncode, 200, result.stderr)
                self.assertIsNone(content)
        self.proxy.clear()
        self.assertEqual(self.fetch()[0].returncode, 1, "the server itself says that there is none")

    def backup_cluster(self):
        cluster = Cluster(self.scratch, 15, "data", segment_mb=1)
        walgd = Walgd(self.scratch, {**self.settings, "WALG_S3_MAX_PART_SIZE": "5242880", "WALG_COMPRESSION_METHOD": "none"}, cluster)
        direct = Walgd(self.scratch, {**self.direct.env, "WALG_COMPRESSION_METHOD": "none"}, cluster)
        exports = " ".join(f"{name}={value}" for name, value in self.direct.env.items() if name.startswith(("WALG", "AWS")))
        cluster.archive_with(f'{exports} WALG_COMPRESSION_METHOD=none {self.scratch.bin}/walg wal-push "%p"')
        cluster.start()
        cluster.psql("create table t as select g, md5(g::text) from generate_series(1, 100000) g")
        return cluster, walgd, direct

    def test_backup_whose_last_piece_fails_for_good_leaves_nothing(self):
        cluster, walgd, direct = self.backup_cluster()
        self.proxy.fault(faults.status(500, "InternalError"), "PUT", "partNumber=[3-9]")
        result = walgd.walg("backup-push", cluster.data, check=False, env={"WALGD_STORAGE_DEADLINE": "3s"})
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("InternalError", result.stderr)
        self.assertGreater(self.proxy.met_count(), 1, "it was tried again")
        self.assertEqual(direct.walg("backup-list").stdout, "")
        self.assertEqual(cluster.psql("select count(*) from pg_stat_activity where application_name like 'walg%'"), "0")
        self.proxy.clear()
        walgd.walg("backup-push", cluster.data)
        self.assertEqual(len(direct.walg("backup-list").stdout.splitlines()), 2)

    def test_backup_goes_on_from_the_pieces_stored_when_the_storage_comes_back(self):
        cluster, walgd, direct = self.backup_cluster()
        seen = []
        self.proxy.change = lambda request: seen.append((request.method, request.target)) or request
        self.proxy.fault(faults.reset, "PUT", "partNumber=([2-9]|[1-9][0-9])")
        pushing = subprocess.Popen([self.scratch.bin / "walg", "backup-push", cluster.data], env={**walgd.env, "WALGD_STORAGE_DEADLINE": "120s", "WALGD_STORAGE_STALL_TIMEOUT": "30s"},
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(pushing.kill)
        until("first pieces to be stored, and later ones refused", lambda: self.proxy.met_count() > 3)
        self.proxy.clear()
        told, _ = pushing.communicate(timeout=120)
        self.assertEqual(pushing.returncode, 0, told)
        begun = [target.split("?")[0] for method, target in seen if method == "POST" and "uploads" in target]
        self.assertEqual(len(begun), len(set(begun)), "no object is begun again")
        firsts = [target for method, target in seen if method == "PUT" and re.search("partNumber=1&", target)]
        self.assertEqual(len(firsts), len(set(firsts)), "what was stored is not sent again")
        self.assertGreater(len(firsts), 0)
        direct.walg("backup-fetch", self.scratch.path / "new", "LATEST")

    def test_backup_whose_answers_are_lost_is_whole(self):
        cluster, walgd, direct = self.backup_cluster()
        done_unanswered = (("PUT", "walgd_005/jobs"), ("POST", "tar_partitions/.*uploadId"), ("PUT", "metadata.json"), ("PUT", "backup_stop_sentinel.json"))
        for method, target in done_unanswered:
            self.proxy.fault(faults.lost_answer, method, target, times=1)
        walgd.walg("backup-push", cluster.data)
        self.assertEqual(self.proxy.met_count(), len(done_unanswered))
        direct.walg("backup-fetch", self.scratch.path / "new", "LATEST")

    def test_backup_and_restore_get_through_a_bad_network(self):
        cluster, walgd, direct = self.backup_cluster()
        expected = cluster.checksum()
        for skip in range(2, 40, 5):
            self.proxy.fault(faults.reset, "PUT", "basebackups_005", times=1, skip=skip)
        self.proxy.fault(faults.status(500, "InternalError"), "PUT", "partNumber=2", times=1)
        self.proxy.fault(faults.status(503, "SlowDown"), "POST", "uploadId", times=1)
        self.proxy.fault(faults.lost_answer, "PUT", "basebackups_005", times=1, skip=1)
        walgd.walg("backup-push", cluster.data)
        self.assertGreater(self.proxy.met_count(), 3)
        self.proxy.clear()
        for skip in range(1, 8, 2):
            self.proxy.fault(faults.cut_body, "GET", "tar_partitions/p", times=1, skip=skip)
        self.proxy.fault(faults.reset, "GET", "tar_partitions/p", times=2)
        walgd.walg("backup-fetch", self.scratch.path / "new", "LATEST")
        self.assertGreater(self.proxy.met_count(), 2)
        cluster.switch()
        cluster.stop()
        new = Cluster(self.scratch, 15, "new", initdb=False, env=direct.env)
        new.recover_from(direct.restore_command())
        new.start()
        new.wait_until_writable()
        self.assertLessEqual(set(expected.splitlines()), set(new.checksum().splitlines()))

    def test_a_clock_that_is_wrong_is_told_as_such(self):
        self.proxy.fault(faults.status(403, "RequestTimeTooSkewed"))
        result = self.push()
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, re.compile("clock", re.IGNORECASE))


if __name__ == "__main__":
    unittest.main(verbosity=2)
