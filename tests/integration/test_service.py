"""walgd as a service: what it tells systemd, reloading, who may do what, and what nobody gets to see."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import unittest
import urllib.error
import urllib.request

from harness import GOLDEN, SOURCE, Cluster, TestCase, Walgd, as_server_user, free_port, run, until
from made_wal import write_segment

SECRETS = {"AWS_SECRET_ACCESS_KEY": "sEcRet-of-aws-1", "AWS_SESSION_TOKEN": "sEcRet-of-session-2", "WALG_LIBSODIUM_KEY": "sEcRet-of-libsodium-3-0123456789a",
           "PGPASSWORD": "sEcRet-of-postgres-4", "WALGD_HTTP_TOKEN": "sEcRet-of-http-5", "WALGD_HOOK_URL": "http://127.0.0.1:1/sEcRet-of-hook-6",
           "WALG_S3_SSE_C": "sEcRet-of-customer-key-7-0123456",
           "WALG_FAILOVER_STORAGES": json.dumps({"east": {"WALG_S3_PREFIX": "s3://east/x", "AWS_ENDPOINT": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "sEcRet-of-failover-8"}})}
PGP_SECRETS = {"WALG_PGP_KEY": (GOLDEN / "pgp/keys/locked.sec.asc").read_text(), "WALG_PGP_KEY_PASSPHRASE": "open sesame"}


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

    def test_top_ends_when_nobody_reads_it_any_more(self):
        walgd = Walgd(self.scratch, self.settings).start()
        top = subprocess.Popen([self.scratch.bin / "walg", "top"], env=walgd.env, stdout=subprocess.PIPE, text=True)
        self.addCleanup(top.wait)
        self.addCleanup(top.kill)
        self.assertIn("walgd", top.stdout.readline())
        top.stdout.close()
        self.assertEqual(top.wait(20), 0)
        walgd.stop()

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
        write("delta_max_steps: 2\nschedule: {full: sometimes}\n")
        refused = walgd.walg("reload", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("is no calendar expression", refused.stderr)
        walgd.process.send_signal(signal.SIGHUP)
        until("the failed reload to be logged", lambda: "what was in force stays in force" in self.log())
        self.assertTrue(walgd.ready())

    def test_a_signal_for_reload_or_log_that_comes_while_walgd_starts_does_not_end_it(self):
        def in_main(walgd):
            """The first thing it does is to ignore SIGPIPE."""
            ignored = re.search(r"SigIgn:\s+(\w+)", pathlib.Path(f"/proc/{walgd.process.pid}/status").read_text())[1]
            return int(ignored, 16) >> (signal.SIGPIPE - 1) & 1
        for how in (signal.SIGHUP, signal.SIGUSR1):
            walgd = self.walgd().start(wait=False)
            until("walgd's first step", lambda: in_main(walgd), step=0)
            walgd.process.send_signal(how)
            walgd.wait_ready()
            walgd.walg("reload")

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

    def test_a_backup_for_another_archive_is_taken_there_and_not_by_the_daemon(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        walgd = self.walgd(cluster).start()
        other = self.scratch.folder("other")
        sentinels = lambda folder: len(list(folder.glob("basebackups_005/*_backup_stop_sentinel.json")))
        # Its WAL is archived into the daemon's archive alone: the other one gets it by itself.
        both = f"{walgd.archive_command()} && WALG_FILE_PREFIX={other} {self.scratch.bin}/walg wal-push %p"
        cluster.archive_with(both)
        cluster.start()
        elsewhere = walgd.walg("backup-push", cluster.data, env={"WALG_FILE_PREFIX": str(other)})
        self.assertIn("it keeps another archive", elsewhere.stderr)
        self.assertEqual((sentinels(self.folder), sentinels(other)), (0, 1))
        walgd.walg("--walg-file-prefix", other, "backup-push", cluster.data)
        self.assertEqual((sentinels(self.folder), sentinels(other)), (0, 2))
        # Settings that name no storage leave it to the daemon.
        without = {name: value for name, value in walgd.env.items() if name != "WALG_FILE_PREFIX"}
        for env in (walgd.env, without):
            self.assertIn("takes the backup", run([self.scratch.bin / "walg", "backup-push", cluster.data], env=env).stderr)
        self.assertEqual((sentinels(self.folder), sentinels(other)), (2, 2))

    def test_a_backup_of_another_server_is_not_taken_of_the_daemons(self):
        cluster, other = Cluster(self.scratch, 15, segment_mb=1), Cluster(self.scratch, 15, "other", segment_mb=1)
        walgd = self.walgd(cluster).start()
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        cluster.switch()
        other.start()
        # Without a directory the server sends its files: of whichever cluster it is.
        env = {**walgd.env, **other.environment(), "PGDATA": ""}
        refused = run([self.scratch.bin / "walg", "backup-push"], env=env, check=False)
        self.assertIn("its server is another one", refused.stderr)
        self.assertEqual(refused.returncode, 1, "the archive is the other cluster's")
        self.assertEqual(list(self.folder.glob("basebackups_005/*_backup_stop_sentinel.json")), [])

    def test_a_backup_that_is_to_be_encrypted_is_not_left_to_a_daemon_without_a_key(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        walgd = self.walgd(cluster).start()
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        taken = walgd.walg("backup-push", cluster.data, env={"WALG_LIBSODIUM_KEY": "k" * 32}, check=False)
        parts = list(self.folder.glob("basebackups_005/base_*/tar_partitions/part_*.lz4"))
        self.assertEqual([part.name for part in parts if part.read_bytes()[:4] == b"\x04\x22\x4d\x18"], [], "plain lz4")
        self.assertIn("does not take the backup, its encryption is another one: none", taken.stderr)

    def test_what_the_command_says_of_the_backup_holds_also_where_the_daemon_would_take_it_otherwise(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        walgd = self.walgd(cluster, WALG_DELTA_MAX_STEPS="6").start()
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        self.assertIn("takes the backup", walgd.walg("backup-push", cluster.data).stderr)
        self.assertIn("It is a delta", walgd.walg("backup-push", cluster.data, env={"WALG_DELTA_MAX_STEPS": "6"}).stderr)
        full = walgd.walg("backup-push", cluster.data, env={"WALG_DELTA_MAX_STEPS": "0"}).stderr
        self.assertIn("does not take the backup, its delta_max_steps is 6: it is taken here", full)
        self.assertNotIn("It is a delta", full)
        packed = walgd.walg("--walg-compression-method", "zstd", "backup-push", "--full", cluster.data).stderr
        self.assertIn("its compression_method is lz4", packed)
        self.assertEqual(len(list(self.folder.glob("basebackups_005/*/tar_partitions/part_001.tar.zst"))), 1)

    def test_a_data_directory_that_is_named_from_where_one_stands_is_that_one_for_the_daemon_too(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        walgd = self.walgd(cluster).start()
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        for path, folder in ((".", cluster.data), (cluster.data.name, cluster.data.parent), (f"./{cluster.data.name}/", cluster.data.parent)):
            self.assertIn("takes the backup", walgd.walg("backup-push", path, cwd=folder).stderr)

    def test_its_memory_and_environment_are_nobodys(self):
        walgd = self.walgd(PGPASSWORD="sEcRet").start()
        look = run(["cat", f"/proc/{self.pid_of(walgd)}/environ"], check=False)
        self.assertNotEqual(look.returncode, 0, "its own user may not read it")

    def test_log_lines_are_text_or_json_and_both_name_the_request(self):
        for number, form in ((1, "text"), (2, "json")):
            log = self.scratch.folder(f"log-{form}") / "log"
            walgd = self.walgd(WALGD_LOG_FORMAT=form, WALG_LOG_DESTINATION=str(log)).start()
            segment = write_segment(self.scratch, number)
            run([self.scratch.bin / "walg-push", segment], env=walgd.env)
            segment.write_bytes(segment.read_bytes()[:-1] + b"x")
            refused = run([self.scratch.bin / "walg-push", segment], env=walgd.env, check=False)
            self.assertEqual(refused.returncode, 1)
            told = re.search(r"\(walgd request ([0-9a-f]{4}-[0-9]+)\)", refused.stderr)
            self.assertTrue(told, refused.stderr)
            walgd.stop()
            if form == "json":
                lines = [json.loads(line) for line in log.read_text().splitlines()]
                self.assertEqual({"time", "level", "event"} - set.intersection(*(set(line) for line in lines)), set())
                failed = [line for line in lines if line["event"] == "wal_push_failed"]
                self.assertEqual([(line["request"], line["segment"], line["level"]) for line in failed], [(told[1], segment.name, "error")])
                self.assertEqual([line["bytes"] for line in lines if line["event"] == "wal_pushed"], [segment.stat().st_size])
            else:
                failed = [line for line in log.read_text().splitlines() if "event=wal_push_failed" in line]
                self.assertEqual(len(failed), 1)
                self.assertTrue(failed[0].endswith(f" request={told[1]}"), failed[0])

    def test_what_the_storage_says_about_a_request_names_it(self):
        nowhere = {"WALG_S3_PREFIX": "s3://bucket/x", "AWS_ENDPOINT": f"http://127.0.0.1:{free_port()}", "AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "a",
                   "AWS_SECRET_ACCESS_KEY": "b", "AWS_S3_FORCE_PATH_STYLE": "true", "WALG_S3_MAX_RETRIES": "3"}
        walgd = Walgd(self.scratch, nowhere).start()
        refused = run([self.scratch.bin / "walg-push", write_segment(self.scratch, 1)], env=walgd.env, check=False)
        told = re.search(r"\(walgd request ([0-9a-f]{4}-[0-9]+)\)", refused.stderr)
        self.assertTrue(told, refused.stderr)
        self.assertIn(f" request={told[1]}", "".join(line + "\n" for line in self.log().splitlines() if "event=retry" in line))

    def test_an_outage_fills_no_log(self):
        nowhere = {"WALG_S3_PREFIX": "s3://bucket/x", "AWS_ENDPOINT": f"http://127.0.0.1:{free_port()}", "AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "a",
                   "AWS_SECRET_ACCESS_KEY": "b", "AWS_S3_FORCE_PATH_STYLE": "true", "WALG_S3_MAX_RETRIES": "2"}
        walgd = Walgd(self.scratch, nowhere).start()
        segment = write_segment(self.scratch, 1)
        for _ in range(20):
            self.assertEqual(run([self.scratch.bin / "walg-push", segment], env=walgd.env, check=False).returncode, 1)
        walgd.stop()
        lines = self.log().splitlines()
        retries = [line for line in lines if "event=retry" in line and "event=repeated" not in line]
        counted = [int(re.search(r"more=(\d+)", line)[1]) for line in lines if "event=repeated" in line and "like=\"event=retry" in line]
        self.assertLess(len(retries), 20)
        self.assertGreaterEqual(len(retries) + sum(counted), 20, "what was not told was counted")

    def test_the_journal_is_given_priorities_and_only_the_journal(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.scratch.path / "journal"))
            listener.listen()
            with socket.socket(socket.AF_UNIX) as stream:
                stream.connect(str(self.scratch.path / "journal"))
                journal, _ = listener.accept()
                about = os.fstat(stream.fileno())
                for place, prefix in ((f"{about.st_dev}:{about.st_ino}", "<6>info event=started"), ("1:1", "20")):
                    walgd = self.walgd(JOURNAL_STREAM=place)
                    walgd.process = subprocess.Popen(as_server_user([self.scratch.bin / "walgd"]), env=walgd.env, stderr=stream)
                    self.scratch.stack.callback(walgd.kill)
                    walgd.wait_ready()
                    until("the first line", lambda: b"event=started" in journal.recv(65536, socket.MSG_PEEK))
                    self.assertTrue(journal.recv(65536).decode().startswith(prefix))
                    walgd.stop()
                    journal.recv(65536)
                journal.close()

    def all_that_is_told(self, walgd, cluster, port):
        """By every program, also when it fails, and over HTTP."""
        seen = ""
        for words in (("config",), ("config", "--json"), ("config", "--all"), ("status",), ("status", "--json"), ("schedule",), ("top", "--count", "1"), ("doctor",),
                      ("backup-list",), ("backup-push", cluster.data), ("wal-show",), ("flags",), ("--help",), ("reload",)):
            for name in ("walg", "wal-g"):
                result = walgd.walg(*words, name=name, check=False)
                seen += result.stdout + result.stderr
        checked = run([self.scratch.bin / "walgd", "--check"], env=walgd.env, check=False)
        seen += checked.stdout + checked.stderr
        for path in ("/", "/status", "/metrics", "/readyz", "/livez"):
            try:
                seen += urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20).read().decode()
            except urllib.error.HTTPError as answer:
                seen += answer.read().decode()
        return seen + "\n".join(pathlib.Path(f"/proc/{self.pid_of(walgd)}/cmdline").read_text().split("\0"))

    def check_untold(self, seen, secrets):
        for name, secret in secrets.items():
            for part in re.findall(r"sEcRet[\w-]+", secret) or secret.splitlines():
                if len(part) > 10:
                    self.assertNotIn(part, seen, name)

    def test_every_secret_of_the_table_has_its_canary(self):
        table = re.findall(r"^\| `\w+` \| `(\w+)`.*\(secret\) \|$", (SOURCE / "config/REFERENCE.md").read_text(), re.MULTILINE)
        self.assertEqual(sorted(table), sorted({**SECRETS, **PGP_SECRETS}), "a new secret needs one here")

    def test_no_secret_is_in_any_output(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        for form, secrets in (("text", SECRETS), ("json", {**SECRETS, **PGP_SECRETS})):
            if form == "json":
                secrets = {name: text for name, text in secrets.items() if name != "WALG_LIBSODIUM_KEY"}
            port = free_port()
            everything = {**secrets, "WALG_S3_PREFIX": "s3://bucket/x", "AWS_ENDPOINT": f"http://127.0.0.1:{free_port()}", "AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "id",
                          "AWS_S3_FORCE_PATH_STYLE": "true", "WALG_S3_MAX_RETRIES": "1", "WALG_LOG_LEVEL": "DEVEL", "WALGD_HTTP_LISTEN": f"127.0.0.1:{port}",
                          "WALGD_HOOK_LAG": "1s", "WALG_S3_SSE": "AES256", "WALGD_LOG_FORMAT": form}
            walgd = Walgd(self.scratch, everything, cluster).start()
            seen = self.all_that_is_told(walgd, cluster, port)
            run([self.scratch.bin / "walg-push", write_segment(self.scratch, 1)], env=walgd.env, check=False)
            until("a request of the storage in the log", lambda: "wal_push_failed" in self.log())
            walgd.stop()
            self.assertIn("***", seen)
            self.assertIn('"level":"error"' if form == "json" else " error event=", self.log())
            self.check_untold(seen + self.log(), secrets)

    def test_a_secret_that_is_wrong_is_not_told_either(self):
        for name in {**SECRETS, **PGP_SECRETS}:
            secret = "sEcRet-canary-of-the-wrong-kind"
            result = run([self.scratch.bin / "walgd", "--check"], env=self.walgd(**{name: secret}).env, check=False)
            listed = self.walgd(**{name: secret}).walg("backup-list", check=False)
            self.check_untold(result.stdout + result.stderr + listed.stdout + listed.stderr, {name: secret})

    def test_settings_with_secrets_that_all_may_read_are_refused_where_they_are_ours_and_told_where_they_are_wal_gs(self):
        file = self.scratch.path / "walgd.yaml"
        file.write_text(f"file_prefix: {self.folder}\npgpassword: x\n")
        file.chmod(0o644)
        refused = Walgd(self.scratch, {"WALG_CONFIG_PATH": str(file)})
        self.assertEqual(refused.start(wait=False).process.wait(20), 1)
        self.assertIn(f"{file} holds pgpassword and can be read by everyone\nHINT: chmod 640 {file}", self.log())
        self.assertIn("No backups found", refused.walg("backup-list").stderr, "a command in need is not held up")
        file.chmod(0o640)
        self.scratch.own(file)
        refused.start().stop()
        walgs = self.scratch.path / "wal-g.yaml"
        walgs.write_text(file.read_text())
        walgs.chmod(0o644)
        Walgd(self.scratch, {"WALG_CONFIG_PATH": str(walgs)}).start()
        until("the warning", lambda: f"{walgs} holds pgpassword and can be read by everyone: chmod 640" in self.log())

    def test_a_key_that_all_may_read_is_refused_where_it_is_ours_and_told_where_it_is_wal_gs(self):
        key = self.scratch.path / "key"
        key.write_text("sEcRet-of-libsodium-3-0123456789a\n")
        key.chmod(0o644)
        file = self.scratch.path / "walgd.yaml"
        file.write_text(f"file_prefix: {self.folder}\nlibsodium_key_path: {key}\n")
        file.chmod(0o644)
        ours = Walgd(self.scratch, {"WALG_CONFIG_PATH": str(file)})
        self.assertEqual(ours.start(wait=False).process.wait(20), 1)
        self.assertIn(f"{key} holds the key of libsodium_key_path and can be read by everyone\nHINT: chmod 640 {key}", self.log())
        self.walgd(WALG_LIBSODIUM_KEY_PATH=str(key)).start()
        until("the warning", lambda: f"{key} holds the key of libsodium_key_path and can be read by everyone: chmod 640" in self.log())

    @unittest.skipUnless(os.getuid() == 0, "another process's memory: only root may look")
    def test_the_text_of_a_key_file_does_not_stay_in_memory(self):
        text = "5ecbe7" + os.urandom(29).hex()
        key = self.scratch.path / "key"
        key.write_text(text + "\n")
        key.chmod(0o600)
        self.scratch.own(key)
        walgd = self.walgd(WALG_LIBSODIUM_KEY_PATH=str(key), WALG_LIBSODIUM_KEY_TRANSFORM="hex").start()
        run([self.scratch.bin / "walg-push", write_segment(self.scratch, 1)], env=walgd.env)
        memory = self.memory_of(walgd.process.pid)
        self.assertIn(str(key).encode(), memory, "it is walgd's memory that is looked at")
        self.assertNotIn(text[24:56].encode(), memory, "the allocator writes over the first bytes of what is freed")

    def memory_of(self, pid):
        memory = b""
        with open(f"/proc/{pid}/mem", "rb", 0) as file:
            for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
                begin, end = (int(number, 16) for number in line.split()[0].split("-"))
                if line.split()[1].startswith("rw"):
                    file.seek(begin)
                    with contextlib.suppress(OSError):
                        memory += file.read(end - begin)
        return memory


if __name__ == "__main__":
    unittest.main()
