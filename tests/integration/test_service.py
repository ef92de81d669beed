"""walgd as a service: what it tells systemd, reloading, who may do what, and what nobody gets to see."""
import os
import pathlib
import signal
import socket
import subprocess
import unittest
import urllib.error
import urllib.request

from harness import Cluster, TestCase, Walgd, free_port, run, until

SECRETS = {"AWS_SECRET_ACCESS_KEY": "sEcRet-of-aws-1", "AWS_SESSION_TOKEN": "sEcRet-of-session-2", "WALG_LIBSODIUM_KEY": "sEcRet-of-libsodium-3-0123456789a",
           "PGPASSWORD": "sEcRet-of-postgres-4", "WALGD_HTTP_TOKEN": "sEcRet-of-http-5", "WALGD_HOOK_URL": "http://127.0.0.1:1/sEcRet-of-hook-6"}


class Service(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()

    def log(self):
        return (self.scratch.path / "log").read_text(errors="replace")

    def walgd(self, cluster=None, **settings):
        return Walgd(self.scratch, {**self.settings, **settings}, cluster)

    def pid_of(self, walgd):
        """walgd's own: setpriv makes itself into it."""
        return walgd.process.pid

    def test_systemd_is_told_when_it_serves_reloads_and_stops_and_that_it_turns(self):
        place = self.scratch.path / "notify"
        told = []
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(place))
            place.chmod(0o777)
            listener.settimeout(0.05)

            def hears(word):
                try:
                    told.extend(listener.recv(4096).decode().splitlines())
                except TimeoutError:
                    pass
                return any(word in line for line in told)
            walgd = self.walgd(NOTIFY_SOCKET=str(place), WATCHDOG_USEC="400000").start()
            until("READY", lambda: hears("READY=1"))
            until("WATCHDOG", lambda: hears("WATCHDOG=1"))
            told.clear()
            walgd.process.send_signal(signal.SIGHUP)
            until("RELOADING", lambda: hears("RELOADING=1"))
            until("READY again", lambda: hears("READY=1"))
            walgd.process.send_signal(signal.SIGTERM)
            until("STOPPING", lambda: hears("STOPPING=1"))
            until("its end", lambda: hears("never") or walgd.process.poll() is not None)
            self.assertEqual(walgd.process.poll(), 0)

    def test_a_reload_names_what_is_in_force_and_what_waits_for_a_restart(self):
        file = self.scratch.path / "walgd.yaml"

        def write(text):
            file.write_text(f"file_prefix: {self.folder}\n{text}")
            file.chmod(0o644)
        write("delta_max_steps: 1\n")
        walgd = Walgd(self.scratch, {"WALG_CONFIG_PATH": str(file)}).start()
        self.assertIn("in force now: nothing new; needs a restart: nothing", walgd.walg("reload").stdout)
        write("delta_max_steps: 3\nupload_concurrency: 3\nlog_level: DEVEL\n")
        self.assertIn("in force now: delta_max_steps, log_level; needs a restart: upload_concurrency", walgd.walg("reload").stdout)
        write("delta_max_steps: many\n")
        refused = walgd.walg("reload", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("delta_max_steps", refused.stderr)
        walgd.process.send_signal(signal.SIGHUP)
        until("the failed reload to be logged", lambda: "what was in force stays in force" in self.log())
        self.assertTrue(walgd.ready())

    def test_the_log_file_is_opened_anew(self):
        log = self.scratch.folder("logs") / "walgd.log"
        walgd = self.walgd(WALG_LOG_DESTINATION=str(log)).start()
        until("the log to be begun", log.exists)
        log.rename(log.with_suffix(".old"))
        walgd.process.send_signal(signal.SIGUSR1)
        until("the log to be opened anew", log.exists)
        walgd.process.send_signal(signal.SIGHUP)
        until("lines to go there", lambda: "event=reloaded" in log.read_text())

    @unittest.skipUnless(os.getuid() == 0, "another user's words: only root can speak as nobody")
    def test_others_of_the_sockets_group_archive_and_look_but_start_nothing(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        walgd = self.walgd(cluster).start()
        os.chmod(walgd.socket, 0o666)
        os.chmod(self.scratch.path, 0o755)

        def as_nobody(*words):
            return subprocess.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--", self.scratch.bin / "walg", *words], env=walgd.env, cwd="/",
                                  capture_output=True, text=True)
        self.assertEqual(as_nobody("status").returncode, 0)
        for words in (("reload",), ("backup-push", cluster.data)):
            denied = as_nobody(*words)
            self.assertEqual(denied.returncode, 1, words)
            self.assertIn("for root and the user that walgd runs as", denied.stderr, words)
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        cluster.switch()

    def test_its_memory_and_environment_are_nobodys(self):
        walgd = self.walgd(PGPASSWORD="sEcRet").start()
        look = run(["cat", f"/proc/{self.pid_of(walgd)}/environ"], check=False)
        self.assertNotEqual(look.returncode, 0, "its own user may not read it")

    def test_no_secret_is_in_any_output(self):
        port = free_port()
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        everything = {**SECRETS, "WALG_S3_PREFIX": "s3://bucket/x", "AWS_ENDPOINT": f"http://127.0.0.1:{free_port()}", "AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "id",
                      "AWS_S3_FORCE_PATH_STYLE": "true", "WALG_S3_MAX_RETRIES": "1", "WALG_LOG_LEVEL": "DEVEL", "WALGD_HTTP_LISTEN": f"127.0.0.1:{port}", "WALGD_HOOK_LAG": "1s"}
        walgd = Walgd(self.scratch, everything, cluster).start()
        seen = ""
        for words in (("config",), ("config", "--json"), ("config", "--all"), ("status",), ("status", "--json"), ("schedule",), ("top", "--count", "1"), ("doctor",),
                      ("backup-list",), ("backup-push", cluster.data), ("wal-show",), ("flags",), ("--help",), ("reload",)):
            for name in ("walg", "wal-g"):
                result = walgd.walg(*words, name=name, check=False)
                seen += result.stdout + result.stderr
        checked = run([self.scratch.bin / "walgd", "--check"], env=walgd.env, check=False)
        seen += checked.stdout + checked.stderr
        for path in ("/", "/status", "/metrics", "/readyz"):
            try:
                seen += urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20).read().decode()
            except urllib.error.HTTPError as answer:
                seen += answer.read().decode()
        seen += self.log() + "\n".join(pathlib.Path(f"/proc/{self.pid_of(walgd)}/cmdline").read_text().split("\0"))
        self.assertIn("***", seen)
        for name, secret in SECRETS.items():
            self.assertNotIn(secret.removeprefix("http://127.0.0.1:1/"), seen, name)

    def test_a_file_with_secrets_that_all_may_read_is_told(self):
        file = self.scratch.path / "walgd.yaml"
        file.write_text(f"file_prefix: {self.folder}\npgpassword: x\n")
        file.chmod(0o644)
        Walgd(self.scratch, {"WALG_CONFIG_PATH": str(file)}).start()
        until("the warning", lambda: "holds pgpassword and can be read by everyone" in self.log())


if __name__ == "__main__":
    unittest.main()
