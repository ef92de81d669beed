"""What the tests of faults share: a real S3 server behind the proxy, walgd with short waits, WAL made to measure, and the two questions
that every fault is asked: what do push and fetch answer, and is it told in log and status within five seconds?"""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

import proxy as faults
from harness import CACHE, Cluster, Minio, Rgw, Scratch, TestCase, Walgd, free_port, run, start, until
from made_wal import SEGMENT_BYTES, segment_content, segment_name

TOLD_WITHIN = 5.0
LIBRARIES = pathlib.Path(f"/usr/lib/{os.uname().machine}-linux-gnu")


def need_minio():
    """tests/run leaves a lane out that ends so, and says why; CI does not."""
    if not (CACHE / "bin/minio").exists():
        print("MinIO is not there: it needs Go to be built")
        sys.exit(77)


class Told:
    """Where the log was when something was done: what it says from there on."""

    def __init__(self, log):
        self.log, self.begin = log, log.stat().st_size if log.exists() else 0

    def text(self):
        return self.log.read_bytes()[self.begin:].decode(errors="replace") if self.log.exists() else ""


class FaultCase(TestCase):
    server_kind = Rgw

    @classmethod
    def setUpClass(cls):
        cls.server_scratch = Scratch()
        cls.addClassCleanup(cls.server_scratch.close)
        cls.server = cls.server_kind(cls.server_scratch)

    def setUp(self):
        super().setUp()
        self.proxy = faults.Proxy(("127.0.0.1", self.server.port))
        self.addCleanup(self.proxy.close)
        self.prefix = self.id().split(".")[-1]
        self.direct = Walgd(self.scratch, {**self.server.settings(self.prefix), "WALG_COMPRESSION_METHOD": "zstd"})
        self.wal = self.scratch.folder("wal")
        self.log = self.scratch.path / "walgd.log"
        self.settings = {**self.server.settings(self.prefix), "AWS_ENDPOINT": f"http://127.0.0.1:{self.proxy.port}", "WALG_COMPRESSION_METHOD": "zstd",
                         "WALGD_STORAGE_STALL_TIMEOUT": "1s", "WALG_DAEMON_WAL_UPLOAD_TIMEOUT": "20s", "WALGD_FETCH_TIMEOUT": "20s",
                         "WALG_LOG_DESTINATION": str(self.log)}
        self.numbers = iter(range(1, 1 << 20))

    # What is done.
    def daemon(self, preload=None, **settings):
        self.log.touch()
        self.scratch.own(self.log)
        daemon = Walgd(self.scratch, {**self.settings, **settings})
        if preload:
            daemon.wrapper = ["env", f"LD_PRELOAD={LIBRARIES / preload}"]
        return daemon.start()

    def ready_daemon(self, **settings):
        """One that found out already what its storage can do."""
        daemon = self.daemon(**settings)
        until("walgd to know its storage", lambda: "event=conditional_put" in self.log.read_text())
        return daemon

    def segment(self, noise=0):
        number = next(self.numbers)
        path = self.wal / segment_name(number)
        path.write_bytes(segment_content(number, noise))
        self.scratch.own(path)
        return path

    def push(self, daemon, path):
        return run([self.scratch.bin / "walg-push", path], env=daemon.env, check=False, timeout=120)

    def push_in_background(self, daemon, path):
        return self.in_background([self.scratch.bin / "walg-push", path], daemon)

    def fetch_in_background(self, daemon, path):
        return self.in_background([self.scratch.bin / "walg-fetch", path.name, self.scratch.path / "fetched"], daemon)

    def in_background(self, command, daemon):
        process = start(command, self.scratch.log, env=daemon.env)
        self.scratch.stack.callback(process.wait, 60)
        return process

    def fetch(self, daemon, name):
        """walg-fetch as restore_command runs it: its result, and the file if there is one."""
        target = self.scratch.path / f"fetched.{name}"
        target.unlink(missing_ok=True)
        result = run([self.scratch.bin / "walg-fetch", name, target], env=daemon.env, check=False, timeout=120)
        content = target.read_bytes() if target.exists() else None
        target.unlink(missing_ok=True)
        return result, content

    def stored_before(self):
        """A segment that is in the storage already, past the proxy."""
        path = self.segment()
        self.direct.walg("wal-push", path)
        return path

    # What must hold.
    def assert_waits_for(self, fetch, path, seconds=60):
        self.assertEqual(fetch.wait(seconds), 0, "recovery waits for the storage")
        self.assertEqual((self.scratch.path / "fetched").read_bytes() == path.read_bytes(), True, f"{path.name} came with other content")

    def assert_stored(self, path, content=None):
        """Judged past the proxy."""
        out = self.scratch.path / "judge"
        out.unlink(missing_ok=True)
        self.direct.walg("wal-fetch", path.name, out)
        self.assertEqual(out.read_bytes() == (content or path.read_bytes()), True, f"{path.name} is stored with other content")

    def assert_absent(self, path):
        self.assertEqual(self.direct.walg("wal-fetch", path.name, self.scratch.path / "judge", check=False).returncode, 1)

    def assert_pushed(self, daemon, path):
        result = self.push(daemon, path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assert_stored(path)

    def assert_fetched(self, daemon, path):
        result, content = self.fetch(daemon, path.name)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(content == path.read_bytes(), True, f"{path.name} came with other content")

    def status(self, daemon):
        return json.loads(daemon.walg("status", "--json").stdout)

    def assert_state(self, daemon, state):
        until(f"the status to say {state}", lambda: self.status(daemon)["storage_state"]["state"] == state, TOLD_WITHIN)

    def mark(self):
        return Told(self.log)

    def assert_told(self, daemon, told, state, event, *words):
        """Within five seconds: `state` and the words in `walg status` as text and as JSON, the words in a log line with the event."""
        def in_status():
            found = self.status(daemon)
            if found["storage_state"]["state"] != state:
                return False
            texts = (json.dumps(found, ensure_ascii=False), daemon.walg("status").stdout)
            return all(word in text for word in words for text in texts) and state in texts[1]

        def in_log():
            return any(f"event={event}" in line and all(word in line for word in words) for line in told.text().splitlines())
        try:
            until("walg status to tell", in_status, TOLD_WITHIN)
            until("the log to tell", in_log, TOLD_WITHIN)
        except AssertionError as failure:
            raise AssertionError(f"{failure}: {state}, {event}, {words}\n{daemon.walg('status').stdout}\n{told.text()[-3000:]}") from None


__all__ = ["Cluster", "FaultCase", "Minio", "Rgw", "SEGMENT_BYTES", "faults", "need_minio", "run", "segment_content", "segment_name", "until"]
