"""An upgrade under load: walgd is stopped and started while PostgreSQL archives, behind a socket that stays, as systemd's does."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

from harness import Cluster, TestCase, Walgd, as_server_user, until

# What systemd does before it becomes the service: the socket is descriptor 3, and the variables name our own process.
ACTIVATE = """import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


class HeldSocket:
    """A listening socket that belongs to us, and walgd behind it."""

    def __init__(self, test, walgd):
        self.walgd, self.scratch = walgd, test.scratch
        self.socket = socket.socket(socket.AF_UNIX)
        test.addCleanup(self.socket.close)
        self.socket.bind(str(walgd.socket))
        os.chmod(walgd.socket, 0o666)
        self.socket.listen(128)

    def start(self):
        descriptor = self.socket.fileno()
        self.walgd.process = subprocess.Popen(
            as_server_user([shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable, "-c", ACTIVATE, descriptor, "walgd.socket", self.scratch.bin / "walgd"]),
            env=self.walgd.env, pass_fds=[descriptor], stdin=subprocess.DEVNULL, stdout=self.scratch.log, stderr=self.scratch.log)
        self.scratch.stack.callback(self.walgd.kill)

    def stop(self):
        """How long that took."""
        began = time.monotonic()
        self.walgd.process.send_signal(signal.SIGTERM)
        code = self.walgd.process.wait(60)
        assert code == 0, code
        return time.monotonic() - began


class Upgrade(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()

    def stored(self):
        return {path.name.split(".")[0] for path in (self.folder / "wal_005").glob("0*")}

    def test_five_restarts_under_load_fail_no_archive_command(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        walgd = Walgd(self.scratch, {**self.settings, "TOTAL_BG_UPLOADED_LIMIT": "0"}, cluster)
        held = HeldSocket(self, walgd)
        held.start()
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        cluster.pgbench("-i", "-s", "1", "-q")
        load = cluster.pgbench_in_background(600, clients=4)  # until it is ended below
        archived = lambda: int(cluster.psql("select archived_count from pg_stat_archiver"))
        for _ in range(5):
            before = archived()
            until("segments to be archived", lambda: archived() > before + 3)
            self.assertLess(held.stop(), 5, "PostgreSQL is not waited for: the socket stays")
            held.start()
        before = archived()
        until("segments to be archived after the last", lambda: archived() > before)
        load.terminate()
        load.wait(20)
        last = cluster.switch()
        self.assertEqual(cluster.psql("select failed_count, last_failed_wal is null from pg_stat_archiver"), "0|t")
        self.assertEqual(set(cluster.segments_done()) - self.stored(), set())
        first = min(name for name in self.stored() if len(name) == 24)
        expected = {f"00000001{number >> 12:08X}{number & 0xFFF:08X}" for number in range(int(first[16:], 16), int(last[8:16], 16) * 4096 + int(last[16:], 16) + 1)}
        self.assertEqual(expected - self.stored(), set(), "no segment is missing between the first and the last")
        self.assertEqual(walgd.walg("wal-verify", "integrity", "timeline").stdout.count("status: OK") > 0, True)

    def test_a_push_that_comes_while_nothing_runs_waits_for_the_next_start(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        walgd = Walgd(self.scratch, self.settings)
        held = HeldSocket(self, walgd)
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        cluster.psql("select pg_switch_wal()")
        until("a shim to wait in the socket", lambda: f"{self.scratch.bin}/walg-push" in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout)
        held.start()
        cluster.switch()
        self.assertEqual(cluster.psql("select failed_count from pg_stat_archiver"), "0")


if __name__ == "__main__":
    unittest.main(verbosity=2)
