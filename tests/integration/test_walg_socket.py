"""WAL-G's daemon protocol on walgd's second socket: a client written from the protocol's description, byte for byte, and PostgreSQL
that archives and recovers through it."""
import os
import pathlib
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time
import unittest

from harness import Cluster, POSTGRES_15, TestCase, Walgd, as_server_user, run, start, stop, until

SEGMENT = "0000000100000000000000AA"

# archive_command and restore_command: what walg-daemon-client and walg_archive send, and nothing of walgd's.
CLIENT = r'''
import socket, struct, sys
path, word, *names = sys.argv[1:]
def message(kind, body):
    return kind + struct.pack(">H", 3 + len(body)) + body
def ask(connection, bytes):
    connection.sendall(bytes)
    return connection.recv(512)[:1]
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(60)
connection.connect(path)
if word == "push":
    answer = ask(connection, message(b"F", names[0].encode()))
elif word == "archive-module":
    if ask(connection, message(b"C", b"CHECK")) != b"O":
        sys.exit(1)
    # Always 24 bytes of the name: a shorter one is followed by its zero byte and by what was there before.
    answer = ask(connection, message(b"F", (names[0].encode() + b"\0" + b"stale--" * 4)[:24]))
else:
    arguments = b"".join(struct.pack(">H", len(name)) + name.encode() for name in names)
    answer = ask(connection, message(b"f", bytes([len(names)]) + arguments))
sys.exit({b"O": 0, b"N": 74}.get(answer, 1))
'''


def message(kind, body=b""):
    return kind + struct.pack(">H", 3 + len(body)) + body


def fetch_body(*arguments):
    return bytes([len(arguments)]) + b"".join(struct.pack(">H", len(word)) + word for word in map(os.fsencode, arguments))


class WalgSocket(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()
        self.client = self.scratch.path / "client.py"
        self.client.write_text(CLIENT)
        self.path = self.scratch.path / "wal-g.sock"
        self.settings["WALGD_WALG_SOCKET"] = str(self.path)
        self.program = self.scratch.bin / "walg-daemon-client"

    def cluster(self):
        return Cluster(self.scratch, 15, segment_mb=1, extra="wal_keep_size = 64MB\n")

    def served(self, segments=1):
        """A stopped cluster with closed segments, walgd beside it; their names."""
        cluster = self.cluster()
        cluster.start()
        for _ in range(segments):
            cluster.psql("create table t(); drop table t; select pg_switch_wal()")
        cluster.stop()
        self.data = cluster.data
        self.daemon = Walgd(self.scratch, self.settings, cluster).start()
        return sorted(path.name for path in (cluster.data / "pg_wal").iterdir() if len(path.name) == 24)[:segments]

    def connect(self):
        connection = socket.socket(socket.AF_UNIX)
        self.addCleanup(connection.close)
        connection.settimeout(30)
        connection.connect(str(self.path))
        return connection

    def ask(self, *pieces, half_close=False):
        """What comes back until the daemon closes."""
        connection = self.connect()
        for piece in pieces:
            connection.sendall(piece)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while byte := connection.recv(16):
                answer += byte
        except ConnectionResetError:
            pass  # what was sent after the end of the talk was not read
        return answer

    def stored(self, name):
        return (self.folder / f"wal_005/{name}.lz4").exists()

    def in_log(self, text):
        return text in (self.scratch.path / "log").read_text(errors="replace")

    def no_leftovers(self):
        return [str(path) for path in self.data.rglob(".walgd*")] == []

    def test_replies_and_closes_are_those_of_the_description(self):
        first, second, third = self.served(3)
        connection = self.connect()
        for check in (b"C\x00\x03", b"C\x00\x08CHECK"):
            connection.sendall(check)
            self.assertEqual(connection.recv(16), b"O")
        connection.sendall(b"F\x00\x1b" + first.encode())
        self.assertEqual(connection.recv(16), b"O")
        self.assertEqual(connection.recv(16), b"", "after a push the daemon closes")
        self.assertTrue(self.stored(first))
        self.assertEqual(self.ask(b"C\x00\x08CHECK" + b"F\x00\x1b" + second.encode()), b"OO", "two messages in one write")
        self.assertEqual(self.ask(*[bytes([byte]) for byte in b"F\x00\x1b" + third.encode()]), b"O", "one byte a write")
        self.assertEqual(self.ask(message(b"F", first.encode()) + message(b"F", b"nothing")), b"O", "nothing is read after a push")
        self.assertEqual(self.ask(message(b"f", fetch_body(first, "pg_wal/RECOVERYXLOG"))), b"O")
        fetched = self.data / "pg_wal/RECOVERYXLOG"
        self.assertEqual(fetched.read_bytes(), (self.data / "pg_wal" / first).read_bytes())
        self.assertEqual(fetched.stat().st_mode & 0o7777, 0o600)
        self.assertEqual(self.ask(message(b"f", fetch_body(first, "pg_wal/RECOVERYXLOG"))), b"E", "an existing destination")
        self.assertEqual(self.ask(message(b"f", fetch_body(SEGMENT, "pg_wal/x"))), b"N")
        self.assertEqual(self.ask(message(b"f", fetch_body(second, str(self.data / "pg_wal/x")))), b"O", "an absolute destination")
        self.assertTrue(self.no_leftovers())

    def test_paths_of_a_push(self):
        bare, relative, absolute = self.served(3)
        self.assertEqual(self.ask(message(b"F", bare.encode())), b"O")
        self.assertEqual(self.ask(message(b"F", b"pg_wal/" + relative.encode())), b"O")
        self.assertEqual(self.ask(message(b"F", os.fsencode(self.data / "pg_wal" / absolute))), b"O")
        for name in (bare, relative, absolute):
            self.assertTrue(self.stored(name))
        outside = self.scratch.path / SEGMENT
        shutil.copy(self.data / "pg_wal" / bare, outside)
        (self.data / "pg_wal" / SEGMENT).symlink_to(outside)
        for name in (os.fsencode(outside), b"../" + SEGMENT.encode(), b"pg_wal/../../" + SEGMENT.encode(), SEGMENT.encode(), b"PG_VERSION", b"", b"/",
                     b"pg_wal/pg_wal/" + bare.encode(), bare.encode() + b"x", bare.lower().encode() + b".", bare.encode()[:23], b"\xff" * 65532):
            self.assertEqual(self.ask(message(b"F", name)), b"E", name[:60])
        self.assertEqual(sorted(os.listdir(self.folder / "wal_005")), sorted(f"{name}.lz4" for name in (bare, relative, absolute)))

    def test_hostile_destinations_and_names_of_a_fetch(self):
        name, = self.served()
        self.assertEqual(self.ask(message(b"F", name.encode())), b"O")
        outside = self.scratch.folder("outside")
        (self.data / "link").symlink_to(outside)
        precious = self.data / "PG_VERSION"
        before = precious.read_bytes()
        for destination in (str(outside / "x"), "../outside/x", "pg_wal/../../outside/x", "link/x", f"{self.data}/../outside/x", f"{self.data}x/x", "PG_VERSION",
                            "pg_wal", "pg_wal/", "", "/", "nowhere/x", "pg_wal/x\0y"):
            self.assertEqual(self.ask(message(b"f", fetch_body(name, destination))), b"E", destination)
        for wrong in ("../" + name, "a", "", name + "\0", "pg_wal/" + name):
            self.assertEqual(self.ask(message(b"f", fetch_body(wrong, "pg_wal/x"))), b"E", wrong)
        for body in (b"", b"\x01", fetch_body(name), fetch_body(name, "pg_wal/x", "y"), fetch_body(name, "pg_wal/x") + b"z", b"\x02\xff\xffx"):
            self.assertEqual(self.ask(message(b"f", body)), b"E", body)
        self.assertEqual(os.listdir(outside), [])
        self.assertEqual(precious.read_bytes(), before)
        self.assertFalse((self.data / "pg_wal/x").exists())
        self.assertTrue(self.no_leftovers())

    @unittest.skipUnless(os.getuid() == 0, "needs another user")
    def test_a_destination_that_may_not_be_written_is_an_error(self):
        name, = self.served()
        self.assertEqual(self.ask(message(b"F", name.encode())), b"O")
        closed = self.data / "closed"
        closed.mkdir(mode=0o700)
        os.chown(closed, 0, 0)
        self.assertEqual(self.ask(message(b"f", fetch_body(name, "closed/x"))), b"E")
        os.chmod(closed, 0o755)
        self.assertEqual(self.ask(message(b"f", fetch_body(name, "closed/x"))), b"E")
        self.assertEqual(os.listdir(closed), [])

    def test_garbage_is_answered_with_an_error_and_serves_nobody_worse(self):
        self.served()
        good = self.connect()
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\0", b"C\x00\x00", b"F\x00\x02", b"c\x00\x03", b"\xff" * 70000):
            try:
                answer = self.ask(garbage)
            except BrokenPipeError:
                continue  # it closed before it had all
            self.assertEqual(answer, b"E", garbage[:20])
        self.assertEqual(self.ask(b"F\x00\x1b0000", half_close=True), b"E", "half a request, then the end")
        self.assertEqual(self.ask(b"C\x00\x03", half_close=True), b"OE", "as WAL-G answers to the end")
        self.assertEqual(self.ask(half_close=True), b"E")
        good.sendall(b"C\x00\x03")
        self.assertEqual(good.recv(16), b"O")

    def test_a_client_that_only_disconnects_makes_no_line(self):
        self.served()
        before = (self.scratch.path / "log").read_text(errors="replace")
        for sent in (b"", b"C\x00\x03"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self.path))
                connection.sendall(sent)
                if sent:
                    self.assertEqual(connection.recv(16), b"O")
        self.assertEqual(self.ask(b"?"), b"E")
        until("the request after it to be logged", lambda: self.in_log("request type 63"))
        after = (self.scratch.path / "log").read_text(errors="replace")[len(before):]
        troubles = [line for line in after.splitlines() if " warning " in line or " error " in line]
        self.assertEqual(len(troubles), 1, after)
        self.assertRegex(troubles[0], r'warning event=walg_request_failed peer="uid \d+ pid \d+"')

    def test_an_outage_is_an_error_and_never_absent(self):
        name, = self.served()
        self.folder.rename(self.scratch.path / "gone")
        self.assertEqual(self.ask(message(b"F", name.encode())), b"E")
        self.assertEqual(self.ask(message(b"f", fetch_body(name, "pg_wal/x"))), b"E")
        (self.scratch.path / "gone").rename(self.folder)
        self.assertEqual(self.ask(message(b"F", name.encode())), b"O")
        self.assertTrue(self.no_leftovers())

    def test_the_socket_is_ours_and_needs_the_data_directory(self):
        self.served()
        mode = os.stat(self.path).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o660)
        second = Walgd(self.scratch, self.settings)
        for words in ([], ["--check"]):
            result = run([self.scratch.bin / "walgd", *words], env=second.env, check=False, timeout=20)
            self.assertEqual(result.returncode, 1)
            self.assertIn("PGDATA", result.stderr)
            self.assertIn("WALGD_WALG_SOCKET", result.stderr)
        result = run([self.scratch.bin / "walgd"], env={**second.env, "PGDATA": str(self.data)}, check=False, timeout=20)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"a daemon is serving {self.path} already", result.stderr)
        self.assertEqual(self.ask(b"C\x00\x03", half_close=True)[:1], b"O", "the one that serves it is left alone")
        self.assertEqual(self.daemon.stop(), 0)
        self.assertFalse(self.path.exists())

    def test_sockets_of_systemd_are_told_apart_by_their_names(self):
        self.served()
        self.daemon.stop()
        paths = {"walgd": self.scratch.path / "own.sock", "walg": self.scratch.path / "theirs.sock"}
        for order in (["walg", "walgd"], ["walgd.socket", "walg"], ["walg"]):
            script = ["import os, socket, sys", "kept = []", "names = sys.argv[1].split(':')", "spare = os.open('/dev/null', os.O_RDONLY)",
                      "for index, path in enumerate(sys.argv[2:2 + len(names)]):",
                      "    kept.append(listening := socket.socket(socket.AF_UNIX)); listening.bind(path); listening.listen()",
                      "for index, listening in enumerate(kept):",
                      "    os.dup2(listening.fileno(), 20 + index)",
                      "for index in range(len(kept)):",
                      "    os.dup2(20 + index, 3 + index, inheritable=True)",
                      "os.environ.update(LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=sys.argv[1], LISTEN_PID=str(os.getpid()))",
                      "os.execv(sys.argv[-1], [sys.argv[-1]])"]
            places = [paths["walg" if name == "walg" else "walgd"] for name in order]
            env = {**self.daemon.env, "WALGD_WALG_SOCKET": ""}
            process = start(["python3", "-c", "\n".join(script), ":".join(order), *places, self.scratch.bin / "walgd"], self.scratch.log, env=env)
            self.scratch.stack.callback(stop, process)
            self.path = paths["walg"]
            until("the inherited socket to be served", lambda: self.path.exists() and self.answers(), 30)
            own = paths["walgd"] if len(order) == 2 else self.daemon.socket
            run([self.scratch.bin / "walg", "status"], env={**env, "WALGD_SOCKET": str(own)})
            self.assertEqual(stop(process), 0)
            for path in places:
                self.assertTrue(path.exists(), "systemd's socket stays")
                path.unlink()

    def answers(self):
        try:
            return self.ask(b"C\x00\x03", half_close=True)[:1] == b"O"
        except ConnectionRefusedError:
            return False

    def archived_by(self, archive):
        """A stopped cluster that archived with this command; its content, and walgd, which still serves."""
        cluster = self.cluster()
        daemon = Walgd(self.scratch, self.settings, cluster).start()
        cluster.archive_with(archive)
        cluster.start()
        cluster.psql("create table numbers as select n from generate_series(1, 1000) n")
        daemon.walg("backup-push", cluster.data)
        for _ in range(3):
            cluster.psql("insert into numbers select n from generate_series(1, 20000) n")
            cluster.switch()
        wanted = cluster.checksum()
        cluster.stop()
        daemon.stop()
        return cluster, wanted

    def another(self, name):
        """A data directory beside the first one, on a port of its own once it is filled."""
        return Cluster(self.scratch, 15, name, initdb=False)

    def recovered(self, restore):
        """The newest backup, brought up to the end of the archive by this command, on its new timeline."""
        target = self.scratch.path / "restored"
        reader = Walgd(self.scratch, {**self.settings, "PGDATA": str(target)})
        reader.walg("backup-fetch", target, "LATEST")
        reader.start()
        restored = self.another("restored")
        restored.recover_from(restore)
        restored.start()
        restored.wait_until_writable()
        return restored, reader

    def test_postgresql_archives_and_recovers_through_it(self):
        command = f"python3 {self.client} {self.path}"
        _, wanted = self.archived_by(f"{command} push %f")
        restored, _ = self.recovered(f"{command} fetch %f %p")
        self.assertEqual(restored.checksum(), wanted)
        self.assertEqual([name for name in os.listdir(restored.data / "pg_wal") if name.startswith(("RECOVERY", "."))], [])

    def test_postgresql_archives_and_recovers_by_walg_daemon_client(self):
        _, wanted = self.archived_by(f"{self.program} {self.path} wal-push %f")
        restored, _ = self.recovered(f"{self.program} {self.path} wal-fetch %f %p -timeout 30s")
        self.assertEqual(restored.checksum(), wanted)

    def test_walg_archives_cut_names_lose_no_file(self):
        """Its requests have 24 bytes of the name: .history, .backup and .partial files come into the archive all the same."""
        command = f"python3 {self.client} {self.path}"
        cluster, _ = self.archived_by(f"{command} archive-module %f")
        label, = [path.name for path in (cluster.data / "pg_wal").glob("*.backup")]
        self.assertTrue(self.stored(label), "the backup's label file")
        daemon = Walgd(self.scratch, self.settings, cluster).start()
        cluster.start()
        standby = self.standby_of(cluster)
        cluster.psql("insert into numbers select n from generate_series(1, 100) n")
        until("the standby to follow", lambda: standby.psql("select count(*) from numbers") == cluster.psql("select count(*) from numbers"))
        cluster.stop("immediate")
        daemon.stop()
        Walgd(self.scratch, self.settings, standby).start()
        standby.psql("select pg_promote()")
        status = standby.data / "pg_wal/archive_status"
        until("the .partial file to be archived", lambda: any(name.endswith(".partial.done") for name in os.listdir(status)))
        until("the rest to be archived", lambda: not any(name.endswith(".ready") for name in os.listdir(status)))
        stored = os.listdir(self.folder / "wal_005")
        self.assertIn("00000002.history.lz4", stored)
        for name in os.listdir(status):
            self.assertIn(name.replace(".done", ".lz4"), stored)

    def standby_of(self, primary):
        run([POSTGRES_15 / "pg_basebackup", "-h", primary.sockets, "-p", primary.port, "-U", "postgres", "-D", self.scratch.path / "standby", "-c", "fast"])
        standby = self.another("standby")
        (standby.data / "standby.signal").touch()
        self.scratch.own(standby.data / "standby.signal")
        standby.configure(f"primary_conninfo = 'host={primary.sockets} port={primary.port} user=postgres'")
        return standby.start()

    def test_the_client_has_walgs_exit_codes(self):
        name, = self.served()
        env = {"PATH": "/usr/bin:/bin"}

        def code(*words, program=(self.program,)):
            return run([*program, *words], env=env, check=False).returncode

        self.assertEqual(code(self.path, "wal-push", name), 0)
        self.assertEqual(code(self.path, "wal-push", name, "-timeout", "60s", "-connection-timeout=5s"), 0)
        self.assertEqual(code(self.path, "wal-fetch", name, "pg_wal/x", "--timeout=1m"), 0)
        self.assertEqual((self.data / "pg_wal/x").read_bytes(), (self.data / "pg_wal" / name).read_bytes())
        self.assertEqual(code(self.path, "wal-fetch", SEGMENT, "pg_wal/y"), 74)
        for words in ((self.path, "wal-push", SEGMENT), (self.path, "wal-fetch", name, "pg_wal/x"), ("/nowhere", "wal-push", name), (self.path, "wal-push"),
                      (self.path, "backup-push", name), (self.path, "wal-push", name, "-timeout"), (self.path, "wal-push", name, "-timeout", "soon"), ()):
            self.assertEqual(code(*words), 1, words)
        for words in ((self.path, "wal-push", "x" * 70000), (self.path, "wal-fetch", "x" * 70000, "pg_wal/y"), (self.path, "wal-push", "")):
            self.assertIn("the names are empty or too long", run([self.program, *words], env=env, check=False).stderr)
        verb = (self.scratch.bin / "walg", "daemon-client")
        self.assertEqual(code(self.path, "wal-push", name, "-timeout", "60s", program=verb), 0)
        self.assertEqual(code(self.path, "wal-fetch", SEGMENT, "pg_wal/y", program=verb), 74)
        self.assertEqual(code("/nowhere", "wal-push", name, program=verb), 1)

    def test_the_client_waits_for_a_silent_daemon_as_long_as_it_was_told(self):
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(self.path))
            os.chmod(self.path, 0o777)
            silent.listen(0)
            began = time.monotonic()
            result = run([self.program, self.path, "wal-push", SEGMENT, "-timeout", "200ms"], env={}, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("200 ms", result.stderr)
            # Its queue is full now.
            held = [socket.socket(socket.AF_UNIX) for _ in range(3)]
            for connection in held:
                self.addCleanup(connection.close)
                connection.setblocking(False)
                connection.connect_ex(str(self.path))
            result = run([self.program, self.path, "wal-push", SEGMENT, "-connection-timeout", "200ms"], env={}, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("cannot connect", result.stderr)
            self.assertLess(time.monotonic() - began, 20)

    def test_wal_g_daemon_runs_walgd_with_the_socket(self):
        name, = self.served()
        self.daemon.stop()
        env = {key: value for key, value in self.daemon.env.items() if key not in ("WALGD_SOCKET", "WALGD_WALG_SOCKET", "WALG_FILE_PREFIX")}
        env["WALG_NO_SETTING"] = "1"  # wal-g says a word of it and goes on
        process = start([self.scratch.bin / "wal-g", "daemon", self.path, "--walg-file-prefix", self.folder], self.scratch.log, env=env)
        self.scratch.stack.callback(stop, process)
        until("the socket", lambda: self.path.exists() and self.answers(), 30)
        self.assertEqual(self.ask(message(b"F", name.encode())), b"O")
        self.assertTrue(self.stored(name))
        self.assertEqual(pathlib.Path(f"/proc/{process.pid}/exe").resolve().name, "walgd")
        self.assertEqual(stop(process), 0)
        self.assertFalse(self.path.exists())

    @unittest.skipUnless(os.getuid() == 0, "a /run of its own")
    def test_two_clusters_daemons_on_one_host_are_two_as_wal_gs(self):
        name, = self.served()
        self.daemon.stop()
        probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True, text=True)
        if probe.returncode != 0:
            self.skipTest(f"this machine lets nobody mount: {probe.stderr.strip()}")
        env = {key: value for key, value in self.daemon.env.items() if key not in ("WALGD_SOCKET", "WALGD_WALG_SOCKET")}
        paths = [self.scratch.path / "one.sock", self.scratch.path / "two.sock"]
        script = ('mount -t tmpfs tmpfs /run && mkdir /run/walgd && chown postgres /run/walgd && trap "kill 0" TERM && one=$1 two=$2 && shift 2 && '
                  '{ "$@" daemon "$one" & until [ -S /run/walgd/walgd.sock ]; do sleep 0.1; done; "$@" daemon "$two" & wait; }')
        process = subprocess.Popen(["unshare", "-m", "sh", "-c", script, "sh", *paths, *as_server_user([self.scratch.bin / "wal-g"])], env=env, cwd="/",
                                   stdin=subprocess.DEVNULL, stdout=self.scratch.log, stderr=self.scratch.log, start_new_session=True)
        self.addCleanup(process.wait)
        self.addCleanup(os.killpg, process.pid, signal.SIGTERM)
        for self.path in paths:
            until(f"the socket {self.path}", lambda: self.path.exists() and self.answers(), 30)
            self.assertEqual(self.ask(message(b"F", name.encode())), b"O")


if __name__ == "__main__":
    unittest.main()
