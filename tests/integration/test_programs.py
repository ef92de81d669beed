"""What PostgreSQL, a shell and a person see of the programs: exit codes, messages, files left behind."""
import http.server
import json
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
import unittest

from harness import Cluster, GOLDEN, TestCase, Walgd, as_server_user, run, until


class Programs(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()

    def segments(self, count=1, segment_mb=1):
        """Names of real segments and the folder they are in."""
        cluster = Cluster(self.scratch, 15, "source", segment_mb=segment_mb)
        cluster.start()
        for _ in range(count):
            cluster.psql("create table t(); drop table t; select pg_switch_wal()")
        cluster.stop()
        current = cluster.data / "pg_wal"
        names = sorted(path.name for path in current.iterdir() if len(path.name) == 24)[:count]
        return current, names

    def test_help_and_version_of_every_program_need_no_settings(self):
        for name in ("walgd", "walg", "wal-g", "walg-push", "walg-fetch", "walg-daemon-client"):
            for option in ("--help", "--version"):
                result = run([self.scratch.bin / name, option], env={"PATH": "/usr/bin:/bin"})
                self.assertTrue(result.stdout.strip(), f"{name} {option}")
        self.assertRegex(run([self.scratch.bin / "wal-g", "--version"], env={}).stdout, r"^wal-g version \S+\t\S*\t\S*\tPostgreSQL\n$")

    def test_the_shims_are_static_and_small(self):
        for name in ("walg-push", "walg-fetch", "walg-daemon-client"):
            self.assertLess((self.scratch.bin / name).stat().st_size, 2 << 20, name)
            self.assertIn("statically linked", run(["file", "-L", self.scratch.bin / name]).stdout if shutil.which("file") else "statically linked")
            text = subprocess.run(["ldd", self.scratch.bin / name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
            self.assertIn("not a dynamic executable", text)

    def test_push_and_fetch_through_the_daemon(self):
        wal, (name,) = self.segments()
        daemon = Walgd(self.scratch, self.settings).start()
        push = [self.scratch.bin / "walg-push", wal / name]
        run(push, env=daemon.env)
        stored = self.folder / f"wal_005/{name}.lz4"
        before = stored.stat().st_mtime_ns
        run(push, env=daemon.env)
        self.assertEqual(stored.stat().st_mtime_ns, before, "the second push of the same content changes nothing")
        target = self.scratch.folder("pg_wal") / "RECOVERYXLOG"
        run([self.scratch.bin / "walg-fetch", name, target], env=daemon.env)
        self.assertEqual(target.read_bytes(), (wal / name).read_bytes())
        self.assertEqual(os.listdir(target.parent), ["RECOVERYXLOG"])

    def test_other_content_under_the_same_name_is_refused_and_nothing_changes(self):
        wal, (name,) = self.segments()
        daemon = Walgd(self.scratch, self.settings).start()
        run([self.scratch.bin / "walg-push", wal / name], env=daemon.env)
        stored = (self.folder / f"wal_005/{name}.lz4").read_bytes()
        changed = bytearray((wal / name).read_bytes())
        changed[500000] ^= 1
        (wal / name).write_bytes(changed)
        for program in ([self.scratch.bin / "walg-push"], [self.scratch.bin / "walg", "wal-push"]):
            result = run([*program, wal / name], env=daemon.env, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(name, result.stderr)
            self.assertIn("HINT", result.stderr)
        self.assertEqual((self.folder / f"wal_005/{name}.lz4").read_bytes(), stored)

    def test_with_a_public_key_alone_the_same_content_is_known_again(self):
        """As PostgreSQL asks for it after a crash: what is stored cannot be read here, its hash stands in."""
        wal, (name,) = self.segments()
        try:
            os.setxattr(self.folder, "user.probe", b"x")
        except OSError as error:
            self.skipTest(f"no extended attributes in {self.folder}: {error}")
        key = (GOLDEN / "pgp/keys/plain.pub.asc").read_text()
        for _ in range(2):
            daemon = Walgd(self.scratch, {**self.settings, "WALG_PGP_KEY": key}).start()
            run([self.scratch.bin / "walg-push", wal / name], env=daemon.env)
            daemon.stop()
        changed = bytearray((wal / name).read_bytes())
        changed[500000] ^= 1
        (wal / name).write_bytes(changed)
        daemon = Walgd(self.scratch, {**self.settings, "WALG_PGP_KEY": key}).start()
        result = run([self.scratch.bin / "walg-push", wal / name], env=daemon.env, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("SHA-256", result.stderr)

    def test_a_segment_of_another_cluster_is_refused_with_two_ways_on(self):
        wal, (name,) = self.segments()
        daemon = Walgd(self.scratch, self.settings).start()
        run([self.scratch.bin / "walg-push", wal / name], env=daemon.env)
        other = Cluster(self.scratch, 15, "other", segment_mb=1)
        other.start()
        other.psql("create table t(); drop table t; select pg_switch_wal(); create table u(); select pg_switch_wal()")
        other.stop()
        # A later segment of the other cluster, under a name that is free.
        theirs = sorted(path for path in (other.data / "pg_wal").iterdir() if len(path.name) == 24 and path.name > name)[0]
        result = run([self.scratch.bin / "walg-push", theirs], env=daemon.env, check=False)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("adopt-system", result.stderr)
        self.assertIn("prefix", result.stderr)
        self.assertFalse((self.folder / f"wal_005/{theirs.name}.lz4").exists())
        # A history file tells no system, and would lead recovery astray.
        foreign = other.data / "pg_wal/00000002.history"
        foreign.write_text("1\t0/3000000\tno recovery target specified\n")
        self.scratch.own(foreign)
        for push in ([self.scratch.bin / "walg-push", foreign], [self.scratch.bin / "walg", "wal-push", foreign]):
            result = run(push, env=daemon.env, check=False)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertIn("00000002.history is of the cluster", result.stderr)
        self.assertFalse((self.folder / "wal_005/00000002.history.lz4").exists())
        # PostgreSQL would look for the way to timeline 2, and its own promotion would find that name taken.
        history = self.folder / "wal_005/00000002.history.lz4"
        history.write_bytes(b"of the cluster before")
        self.scratch.own(history)
        refused = daemon.walg("adopt-system", "--confirm", env={"PGDATA": str(other.data)}, check=False)
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("has WAL of later timelines (wal_005/00000002.history.lz4) than the new cluster's, 1", refused.stderr)
        self.assertIn("under another prefix", refused.stderr)
        history.unlink()
        # A cluster that was made anew, not upgraded: it would come to names that are taken.
        ahead = self.folder / "wal_005/0000000100000000000000FF.lz4"
        ahead.write_bytes(b"of the cluster before")
        self.scratch.own(ahead)
        refused = daemon.walg("adopt-system", "--confirm", env={"PGDATA": str(other.data)}, check=False)
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertRegex(refused.stderr, "has wal_005/0000000100000000000000FF.lz4 of the cluster before, and the new one is at 0000000100000000000000")
        ahead.unlink()
        daemon.walg("adopt-system", "--confirm", env={"PGDATA": str(other.data)})
        until("the daemon to take the adopted system", lambda: run([self.scratch.bin / "walg-push", theirs], env=daemon.env, check=False).returncode == 0, 60, 0.5)

    def test_without_a_daemon(self):
        wal, (name,) = self.segments()
        env = Walgd(self.scratch, self.settings).env
        began = time.monotonic()
        result = run([self.scratch.bin / "walg-push", wal / name], env=env, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)
        self.assertIn("is walgd running?", result.stderr)
        self.assertLess(time.monotonic() - began, 5)
        closed = self.scratch.folder("closed")
        closed.chmod(0)
        result = run([self.scratch.bin / "walg-push", wal / name], env={**env, "WALGD_SOCKET": str(closed / "walgd.sock")}, check=False)
        closed.chmod(0o700)
        self.assertEqual(result.returncode, 1)
        self.assertIn("may this user write to that socket?", result.stderr)
        run([self.scratch.bin / "walg", "wal-push", wal / name], env=env)
        target = self.scratch.folder("out") / "x"
        run([self.scratch.bin / "walg-fetch", name, target], env=env)
        self.assertEqual(target.read_bytes(), (wal / name).read_bytes())

    def test_a_key_that_is_missing_or_another_one_names_the_object_and_the_setting(self):
        wal, (name,) = self.segments()
        walgd = Walgd(self.scratch, self.settings)
        walgd.walg("wal-push", wal / name, env={"WALG_LIBSODIUM_KEY": "k" * 32})
        for env in ({}, {"WALG_LIBSODIUM_KEY": "l" * 32}):
            refused = walgd.walg("doctor", check=False, env=env)
            self.assertIn(f"wal_005/{name}", refused.stdout + refused.stderr)
            self.assertIn("key", refused.stdout + refused.stderr)
        refused = walgd.walg("backup-list", check=False, env={"WALG_LIBSODIUM_KEY_PATH": "/no/such/key"})
        self.assertEqual(refused.returncode, 1)
        self.assertIn("libsodium_key_path names (environment WALG_LIBSODIUM_KEY_PATH): cannot open /no/such/key", refused.stderr)

    def test_a_fetch_that_is_killed_leaves_nothing_in_pg_wal(self):
        wal, (name,) = self.segments()
        walgd = Walgd(self.scratch, {**self.settings, "WALGD_SOCKET": "/nowhere/x.sock"})
        walgd.walg("wal-push", wal / name)
        folder = self.scratch.folder("pg_wal")
        for words in (["walg", "wal-fetch"], ["wal-g", "wal-fetch"], ["walg-fetch"]):
            # The kernel ends whoever writes more than that.
            command = ["prlimit", "--fsize=100000", self.scratch.bin / words[0], *words[1:], name, folder / "RECOVERYXLOG"]
            self.assertLess(run(command, env=walgd.env, check=False).returncode, 0, words)
            self.assertEqual(os.listdir(folder), [], words)
            run([self.scratch.bin / words[0], *words[1:], name, folder / "RECOVERYXLOG"], env=walgd.env)
            self.assertEqual((folder / "RECOVERYXLOG").read_bytes(), (wal / name).read_bytes())
            (folder / "RECOVERYXLOG").write_bytes(b"old")
            if words[0] == "walg":
                run([self.scratch.bin / words[0], *words[1:], name, folder / "RECOVERYXLOG"], env=walgd.env)
                self.assertEqual((folder / "RECOVERYXLOG").read_bytes(), (wal / name).read_bytes())
            self.assertEqual(os.listdir(folder), ["RECOVERYXLOG"])
            (folder / "RECOVERYXLOG").unlink()

    def test_exit_codes_of_fetch(self):
        daemon = Walgd(self.scratch, self.settings).start()
        out = self.scratch.folder("out")
        absent = "0000000100000000000000AA"
        for env in (daemon.env, {**daemon.env, "WALGD_SOCKET": "/nowhere/x.sock"}):
            self.assertEqual(run([self.scratch.bin / "walg-fetch", absent, out / "x"], env=env, check=False).returncode, 1)
        self.assertEqual(daemon.walg("wal-fetch", absent, out / "x", name="wal-g", check=False).returncode, 74)
        self.assertEqual(run([self.scratch.bin / "walg-fetch"], env=daemon.env, check=False).returncode, 200)
        # A storage that cannot be reached is not an absent segment.
        self.folder.rename(self.scratch.path / "gone")
        for env in (daemon.env, {**daemon.env, "WALGD_SOCKET": "/nowhere/x.sock"}):
            self.assertEqual(run([self.scratch.bin / "walg-fetch", absent, out / "x"], env=env, check=False).returncode, 200)
        self.assertEqual(daemon.walg("wal-fetch", absent, out / "x", name="wal-g", check=False).returncode, 1)
        self.assertEqual(os.listdir(out), [])

    def test_push_never_exits_above_1(self):
        env = Walgd(self.scratch, self.settings).env
        for words in ([], ["/nowhere/000000010000000000000001"], ["--nonsense"], ["a", "b", "c"], [self.scratch.path]):
            self.assertEqual(run([self.scratch.bin / "walg-push", *words], env=env, check=False).returncode, 1, words)

    def test_wrong_settings_are_errors_with_the_nearest_name(self):
        cases = [
            ({"WALG_COMPRESION_METHOD": "zstd"}, "WALG_COMPRESSION_METHOD"),
            ({"WALG_COMPRESSION_METHOD": "zip"}, "lz4"),
            ({"WALG_UPLOAD_CONCURRENCY": "many"}, "WALG_UPLOAD_CONCURRENCY"),
            ({"WALG_S3_PREFIX": "s3://bucket/x"}, "WALG_FILE_PREFIX"),
            ({"WALG_LIBSODIUM_KEY_TRANSFORM": "hex"}, "WALG_LIBSODIUM_KEY"),
            ({"WALG_LIBSODIUM_KEY": "short"}, "WALG_LIBSODIUM_KEY"),
            ({"WALG_S3_SSE": "AES256"}, "a folder encrypts nothing"),
            ({"WALG_DAEMON_WAL_UPLOAD_TIMEOUT": "0s"}, "daemon_wal_upload_timeout (environment WALG_DAEMON_WAL_UPLOAD_TIMEOUT) is 0s"),
            ({"WALGD_STORAGE_STALL_TIMEOUT": "0"}, "storage_stall_timeout"),
            ({"WALG_FILE_PREFIX": "", "WALG_S3_PREFIX": "s3://bucket/x", "WALG_S3_SSE_C": "c2hvcnQ="}, "s3_sse_c has 8 bytes"),
            ({"WALG_FILE_PREFIX": "", "WALG_S3_PREFIX": "s3://bucket/x", "WALG_S3_SSE_C": "0" * 32, "WALG_S3_SSE": "aws:kms", "WALG_S3_SSE_KMS_ID": "k"}, "keep one of them"),
        ]
        for extra, text in cases:
            for program in ("walg", "walgd"):
                env = {**Walgd(self.scratch, self.settings).env, **extra}
                words = ["backup-list"] if program == "walg" else []
                result = run([self.scratch.bin / program, *words], env=env, check=False, timeout=20)
                self.assertEqual(result.returncode, 1, (program, extra, result.stderr))
                self.assertIn(text, result.stderr, (program, extra))

    def test_an_end_of_line_behind_a_storages_keys_is_none_of_theirs(self):
        heard = []

        class Server(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                heard.append(self.headers["authorization"])
                answer = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
                self.send_response(200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        settings = {"WALG_S3_PREFIX": "s3://bucket/x", "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "AWS_REGION": "us-east-1",
                    "AWS_ACCESS_KEY_ID": "key\n", "AWS_SECRET_ACCESS_KEY": "secret\r\n"}
        run([self.scratch.bin / "walg", "backup-list"], env=Walgd(self.scratch, settings).env)
        self.assertRegex(heard[0], r"Credential=key/.*,SignedHeaders=.*,Signature=[0-9a-f]{64}$")

    @unittest.skipUnless(os.getuid() == 0, "another user's home")
    def test_wal_gs_file_is_found_in_the_users_own_home_whatever_home_says(self):
        """As `runuser -u postgres -- wal-g ...` of root's crontab has it: HOME is still root's."""
        home, elsewhere = pwd.getpwnam("postgres").pw_dir, self.scratch.folder("elsewhere")
        probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", home], capture_output=True, text=True)
        if probe.returncode != 0:
            self.skipTest(f"this machine lets nobody mount: {probe.stderr.strip()}")
        settings = json.dumps({"WALG_FILE_PREFIX": str(self.folder)})
        script = 'mount -t tmpfs tmpfs "$1" && chmod 755 "$1" && echo "$2" > "$1/.walg.json" && shift 2 && exec "$@"'
        for own in (None, "{}"):
            if own is not None:
                (elsewhere / ".walg.json").write_text(own)
            env = {"PATH": "/usr/bin:/bin", "HOME": str(elsewhere)}
            listed = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", home, settings, *as_server_user([self.scratch.bin / "wal-g", "backup-list"])],
                                    env=env, capture_output=True, text=True)
            self.assertEqual(listed.returncode, 0, listed.stderr)

    def test_config_shows_values_sources_and_no_secret(self):
        secret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        file = self.scratch.path / "walgd.yaml"
        file.write_text("compression_method: zstd\n")
        walgd = Walgd(self.scratch, {**self.settings, "WALG_LIBSODIUM_KEY": secret, "WALG_LIBSODIUM_KEY_TRANSFORM": "hex"})
        result = run([self.scratch.bin / "walg", "--config", file, "config"], env=walgd.env)
        self.assertNotIn(secret, result.stdout + result.stderr)
        self.assertIn("***", result.stdout)
        self.assertIn(str(file), result.stdout)
        file.write_text("compresion_method: zstd\n")
        result = run([self.scratch.bin / "walg", "--config", file, "config"], env=walgd.env, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("compression_method", result.stderr)

    def test_check_says_what_it_found(self):
        cluster = Cluster(self.scratch, 15, "data").start()
        daemon = Walgd(self.scratch, self.settings, cluster)
        cluster.psql("create role reader login; grant pg_read_all_settings to reader")

        def check(code, **env):
            result = run([self.scratch.bin / "walgd", "--check"], env={**daemon.env, **env}, check=False)
            self.assertEqual(result.returncode, code, result.stdout + result.stderr)
            return {line[:28].strip(): line[28:].strip() for line in result.stdout.splitlines() if line[:28].strip()}, result.stdout

        found, text = check(0)
        for name in ("settings", "socket", "packing", "storage: list", "storage: write", "storage: read", "storage: remove", "storage: conditional write",
                     "PostgreSQL: connection", "PostgreSQL: data directory", "PostgreSQL: archive's owner", "PostgreSQL: backup rights"):
            self.assertIn(f"{name:<28} ok: ", text)
        self.assertIn("it is empty", found["PostgreSQL: archive's owner"])
        self.assertIn("WARNING: no WAL will come: set archive_mode = on", found["PostgreSQL: archiving"])
        self.assertNotIn("wal_level is minimal", text)
        other = Cluster(self.scratch, 15, "other")
        found, _ = check(1, PGDATA=str(other.data))
        self.assertIn("FAILED: Data directory from command line", found["PostgreSQL: data directory"])
        found, _ = check(1, PGUSER="reader")
        self.assertIn("FAILED: the user reader may not call pg_backup_start", found["PostgreSQL: backup rights"])
        cluster.archive_with("cp %p /dev/null")
        cluster.stop()
        cluster.start()
        found, _ = check(0)
        self.assertIn("WARNING: archive_command does not name walg-push", found["PostgreSQL: archiving"])
        daemon.walg("adopt-system", "--confirm")
        found, _ = check(0)
        self.assertIn("ok: it is the connected server's", found["PostgreSQL: archive's owner"])
        (self.folder / "walgd_005/system.json").write_text('{"system_identifier":42}')
        found, _ = check(1)
        self.assertIn("FAILED: the archive", found["PostgreSQL: archive's owner"])
        self.assertIn("the cluster 42", found["PostgreSQL: archive's owner"])
        cluster.configure("archive_mode = off\nwal_level = minimal\nmax_wal_senders = 0")
        cluster.stop()
        cluster.start()
        self.assertIn("wal_level is minimal: no backup can be taken", check(1)[1])
        cluster.stop()
        self.assertEqual(run([self.scratch.bin / "walgd", "--check"], env=daemon.env, check=False).returncode, 1)
        self.folder.rename(self.scratch.path / "gone")
        self.assertEqual(run([self.scratch.bin / "walgd", "--check"], env=daemon.env, check=False).returncode, 1)

    def test_walgd_takes_no_empty_name_for_its_settings(self):
        refused = run([self.scratch.bin / "walgd", "--check", "--config", ""], env=Walgd(self.scratch, self.settings).env, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("--config: is empty: is a variable not set?", refused.stderr)

    def test_check_refuses_what_the_start_would(self):
        no_socket = self.scratch.path / "no-socket"
        no_socket.write_text("")
        for name, value, text in (("WALGD_SCHEDULE_FULL", "x", "is no calendar expression"), ("WALGD_SCHEDULE_RETENTION", "@daily", "nothing says what is to stay"),
                                  ("WALGD_HTTP_LISTEN", "here", "should be an address and a port"), ("WALGD_HTTP_LISTEN", "0.0.0.0:9351", "without TLS and a token"),
                                  ("WALGD_HOOK_URL", "ftp://x", "hook_url is no URL"), ("WALGD_HOOK_COMMAND", "/no/such/program", "cannot be run"),
                                  ("WALG_PG_WAL_SIZE", "3", "no cluster has such segments"), ("WALGD_SOCKET", f"/tmp/{'s' * 110}", "is too long"),
                                  ("WALGD_SOCKET", str(no_socket), "is no socket"), ("WALG_PREFETCH_DIR", "/proc/none", "cannot make prefetch_dir")):
            for words in ([], ["--check"]):
                result = run([self.scratch.bin / "walgd", *words], env={**Walgd(self.scratch, self.settings).env, name: value}, check=False, timeout=20)
                self.assertEqual(result.returncode, 1, (name, words, result))
                self.assertIn(text, result.stdout + result.stderr, (name, words))

    @unittest.skipUnless(os.getuid() == 0, "only root can do something as root")
    def test_what_root_does_in_a_folder_leaves_it_to_its_owner(self):
        folder = self.scratch.folder("of-postgres")
        settings = {"WALG_FILE_PREFIX": str(folder)}
        source = self.scratch.path / "object"
        source.write_text("x")
        source.chmod(0o644)
        walgd = Walgd(self.scratch, settings)
        subprocess.run([self.scratch.bin / "walg", "st", "put", source, "a/b"], env=walgd.env, check=True, capture_output=True)
        walgd.walg("st", "put", source, "a/c")
        walgd.walg("st", "rm", "a/b.lz4")
        self.assertEqual([path.name for path in (folder / "a").iterdir()], ["c.lz4"])
        logged = {**walgd.env, "WALG_LOG_DESTINATION": str(folder / "walgd.log")}
        subprocess.run([self.scratch.bin / "walg", "st", "ls"], env=logged, check=True, capture_output=True)
        run([self.scratch.bin / "walg", "st", "ls"], env=logged)
        (folder / "walgd.log").chmod(0o400)
        os.chown(folder / "walgd.log", 0, 0)
        refused = run([self.scratch.bin / "walgd", "--check"], env=logged, check=False)
        self.assertIn("HINT: WALG_LOG_DESTINATION", refused.stderr)

    def test_a_second_daemon_on_the_same_socket_is_refused_and_a_stale_socket_is_not(self):
        daemon = Walgd(self.scratch, self.settings).start()
        result = run([self.scratch.bin / "walgd"], env=daemon.env, check=False, timeout=30)
        self.assertEqual(result.returncode, 1)
        self.assertIn(str(daemon.socket), result.stderr)
        daemon.kill()
        daemon.start()
        self.assertEqual(daemon.stop(), 0)

    def test_started_without_standard_streams_nothing_else_gets_their_numbers(self):
        wal, (name,) = self.segments()
        path = self.scratch.path / "silent.sock"
        daemon = Walgd(self.scratch, self.settings)
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(path))
            path.chmod(0o666)
            silent.listen()

            def streams_of(words, env):
                process = subprocess.Popen(as_server_user([self.scratch.bin / words[0], *words[1:]]), env=env, preexec_fn=lambda: os.closerange(0, 3))
                self.scratch.stack.callback(process.wait)
                self.scratch.stack.callback(process.kill)
                if words != ["walgd"]:
                    self.scratch.stack.callback(silent.accept()[0].close)
                until("the daemon's socket", lambda: words != ["walgd"] or daemon.socket.exists())
                return [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in range(3)]

            for words in (["walg-push", wal / name], ["walg-fetch", name, self.scratch.path / "out"], ["walg", "status"], ["walg-daemon-client", path, "wal-push", name]):
                self.assertEqual(streams_of(words, {**daemon.env, "WALGD_SOCKET": str(path)}), ["/dev/null"] * 3, words)
            if os.getuid() == 0:  # it shows others nothing of itself
                self.assertEqual(streams_of(["walgd"], daemon.env), ["/dev/null"] * 3)

    def test_status_tells_of_the_daemon(self):
        wal, (name,) = self.segments()
        daemon = Walgd(self.scratch, self.settings).start()
        run([self.scratch.bin / "walg-push", wal / name], env=daemon.env)
        status = json.loads(daemon.walg("status", "--json").stdout)
        self.assertIn(name, json.dumps(status))
        daemon.stop()
        self.assertEqual(daemon.walg("status", check=False).returncode, 1)

    def test_empty_archive_lists(self):
        walgd = Walgd(self.scratch, self.settings)
        for name in ("walg", "wal-g"):
            self.assertEqual(walgd.walg("backup-list", name=name).stdout, "")
            self.assertEqual(walgd.walg("backup-list", "--json", name=name).stdout.strip(), "[]")


if __name__ == "__main__":
    unittest.main(verbosity=2)
