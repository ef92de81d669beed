"""What walgd makes of clients that are broken, slow, many or hostile: each, and that the others get on meanwhile."""
import contextlib
import json
import os
import resource
import socket
import subprocess
import threading
import time
import unittest

import support
from support import ERROR, OK, PING, WAL_FETCH, WAL_PUSH, Wire, frame
from harness import Cluster, Scratch, TestCase, Walgd, run, until

SEGMENT_BYTES = 1 << 20


@contextlib.contextmanager
def listening(path):
    """A socket in walgd's place."""
    with socket.socket(socket.AF_UNIX) as fake:
        fake.bind(str(path))
        path.chmod(0o777)
        fake.listen(8)
        yield fake


class ClientFaults(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.source_scratch = Scratch()
        cls.addClassCleanup(cls.source_scratch.close)
        cls.wal, cls.names = support.make_segments(cls.source_scratch, 40)

    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()
        self.walgd = Walgd(self.scratch, {**self.settings, "WALG_COMPRESSION_METHOD": "zstd"}).start()
        self.fresh = iter(self.names)

    def tearDown(self):
        """After every fault: a client that behaves is served, nothing hangs on, nothing turns idly."""
        self.push_gets_on()
        until("no request to be under way", lambda: self.status()["wal"]["in_flight"] == 0, 10)
        self.assertLess(support.idle_share(self.walgd.process.pid, 1.0), 0.05, "walgd turns while nothing is asked")

    def status(self):
        return json.loads(self.walgd.walg("status", "--json").stdout)

    def log(self):
        return (self.scratch.path / "log").read_text(errors="replace")

    def told(self, text, seconds=5):
        until(f"the log to tell '{text}'", lambda: text in self.log(), seconds)

    def shim(self, path):
        return run([self.scratch.bin / "walg-push", path], env=self.walgd.env, check=False)

    def push_gets_on(self):
        name = next(self.fresh)
        result = self.shim(self.wal / name)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assert_whole(name, (self.wal / name).read_bytes())

    def stored(self):
        folder = self.folder / "wal_005"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def content_of(self, name):
        out = self.scratch.path / "judge"
        out.unlink(missing_ok=True)
        self.walgd.walg("wal-fetch", name, out, env={"WALGD_SOCKET": "/nowhere/x.sock"})
        return out.read_bytes()

    def assert_whole(self, name, content):
        self.assertEqual(self.content_of(name), content)

    def assert_refused(self, answer, *words):
        self.assertIsNotNone(answer, "the connection was closed without an answer")
        self.assertEqual(answer.type, ERROR, answer.text)
        for word in words:
            self.assertIn(word, answer.text)
        self.assertEqual(self.stored(), [], "something was stored all the same")

    def wire(self, seconds=60):
        wire = Wire(self.walgd.socket, seconds)
        self.addCleanup(wire.close)
        return wire

    # --- frames

    def test_half_a_frame_and_silence_is_given_up_after_its_time_and_holds_up_nobody(self):
        wire = self.wire()
        whole = frame(WAL_PUSH, self.names[-1])
        began = time.monotonic()
        wire.send(whole[:len(whole) // 2])
        for _ in range(3):
            self.push_gets_on()
        self.assertLess(support.idle_share(self.walgd.process.pid, 1.0), 0.05)
        answer = wire.answer()
        self.assertGreater(time.monotonic() - began, 25)
        self.assertEqual(answer.type, ERROR)
        self.assertIn("half a request", answer.text)
        self.assertIsNone(wire.answer(), "then the connection ends")
        self.told("half a request")

    def test_half_a_frame_then_close_at_every_byte(self):
        whole, pid = frame(WAL_PUSH, self.names[-1]), self.walgd.process.pid
        until("the connection of walg status to be over", lambda: self.status()["clients"]["connections"] == 1, 5)
        before = support.descriptors(pid)
        with open(self.wal / self.names[-1], "rb") as file:
            for length in range(1, len(whole)):
                with Wire(self.walgd.socket) as wire:
                    wire.send(whole[:length], file.fileno())
        self.told("the connection ended in the middle of a request")
        until("all sessions to be over", lambda: self.status()["clients"]["connections"] == 1, 5)
        until("their descriptors to be closed", lambda: support.descriptors(pid) <= before, 5)
        self.assertEqual(self.stored(), [])

    def test_garbage_ends_its_connection_with_a_reason(self):
        for garbage in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 4096, b"\xff" * 4096, os.urandom(4) + b"\x7f" + os.urandom(4096), frame(WAL_PUSH)[:10] + b"\xff\xff\xff\xff"):
            wire = self.wire(5)
            wire.send(garbage)
            with contextlib.suppress(OSError):  # walgd may have closed by now
                wire.socket.shutdown(socket.SHUT_WR)
            answers = list(iter(wire.answer, None))
            self.assertGreater(len(answers), 0, "no reason was given")
            self.assertEqual({answer.type for answer in answers}, {ERROR})
            told = until("the status to tell it", lambda: self.status()["clients"].get("last_error"), 5)
            self.assertIn("a bad request of uid", told)
            until("the log to tell it", lambda: told in self.log(), 5)  # once: the same again is counted
        self.assertEqual(self.stored(), [])

    def test_a_frame_of_another_version_is_told_both_versions(self):
        for version in (0, 2, 255):
            wire = self.wire()
            wire.send(frame(WAL_PUSH, self.names[-1], version=version))
            self.assert_refused(wire.answer(), f"version {version}", "version 1", "one release")
            self.assertIsNone(wire.answer())

    def test_unknown_requests_and_missing_fields_are_errors_and_the_connection_goes_on(self):
        wire = self.wire()
        self.assert_refused(wire.ask(99), "99")
        with open(self.wal / self.names[-1], "rb") as file:
            self.assert_refused(wire.ask(WAL_PUSH, fds=[file.fileno()]), "not the name")
        self.assertEqual(wire.ask(PING).type, OK)

    def test_a_flood_of_requests_on_one_connection_is_answered_in_order(self):
        wire, count = self.wire(), 20000
        flood = b"".join(frame(PING, request=number) for number in range(count))
        sender = threading.Thread(target=lambda: wire.socket.sendall(flood))
        sender.start()
        self.push_gets_on()  # while nobody takes the flood's answers
        for number in range(count):
            self.assertEqual(wire.answer().request, number)
        sender.join()

    def test_descriptors_stay_with_their_requests_in_a_flood(self):
        """Pings and pushes sent without a pause: each file is stored under its own name."""
        wire, names = self.wire(), self.names[10:20]
        for number, name in enumerate(names):
            for ping in range(5):
                wire.send(frame(PING, request=1000 + ping))
            with open(self.wal / name, "rb") as file:
                wire.send(frame(WAL_PUSH, name, request=number), file.fileno())
        answers = [wire.answer() for _ in range(6 * len(names))]
        self.assertEqual([(answer.type, answer.request) for answer in answers],
                         [(OK, request) for number in range(len(names)) for request in (1000, 1001, 1002, 1003, 1004, number)])
        for name in names:
            self.assert_whole(name, (self.wal / name).read_bytes())

    # --- many

    def test_a_thousand_connections_at_once_are_all_answered_and_a_push_gets_on(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        wires = [self.wire() for _ in range(1000)]
        self.push_gets_on()  # beside a thousand that ask nothing
        for number, wire in enumerate(wires):
            wire.send(frame(PING, request=number))
        for number, wire in enumerate(wires):
            answer = wire.answer()
            self.assertEqual((answer.type, answer.request), (OK, number))
        self.assertGreaterEqual(self.status()["clients"]["connections"], 1000)
        # The same thousand push one segment: stored once, and all are told so.
        name = self.names[-1]
        with open(self.wal / name, "rb") as file:
            for wire in wires:
                wire.send(frame(WAL_PUSH, name), file.fileno())
            answers = [wire.answer() for wire in wires]
        self.assertEqual({(answer.type if answer else None) for answer in answers}, {OK})
        self.assertEqual([text for text in self.stored() if name in text], [f"{name}.zst"])

    def test_more_idle_connections_than_there_is_room_for_do_not_keep_a_push_out(self):
        most = self.status()["clients"]["connections_max"]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        idle = [self.wire() for _ in range(most + 200)]
        self.push_gets_on()
        clients = self.status()["clients"]
        self.assertLessEqual(clients["connections"], most + 2)
        self.assertGreaterEqual(clients["turned_away"], 200)
        self.assertIsNone(idle[0].answer(), "the longest idle one made room")
        self.assertEqual(idle[-1].ask(PING).type, OK, "the newest one did not")

    # --- descriptors

    def test_a_descriptor_that_is_no_wal_file_is_refused_by_its_kind(self):
        name = self.names[-1]
        reading, writing = os.pipe()
        pair = socket.socketpair()
        kinds = {"a pipe": reading, "a socket": pair[0].fileno(), "a directory": os.open(self.wal, os.O_RDONLY | os.O_DIRECTORY), "a device": os.open("/dev/zero", os.O_RDONLY),
                 "the path of a file": os.open(self.wal / name, os.O_PATH)}
        for kind, fd in kinds.items():
            with self.subTest(kind), self.wire() as wire:
                self.assert_refused(wire.ask(WAL_PUSH, name, fds=[fd]), name)
                self.assertEqual(wire.ask(PING).type, OK)
        copy = self.scratch.path / "copy"
        copy.write_bytes((self.wal / name).read_bytes())
        only_writing = os.open(copy, os.O_WRONLY)
        self.assert_refused(self.wire().ask(WAL_PUSH, name, fds=[only_writing]), name)
        empty = os.open(self.scratch.path / "empty", os.O_RDWR | os.O_CREAT)
        self.assert_refused(self.wire().ask(WAL_PUSH, name, fds=[empty]), name)
        self.assertIn(name, self.status()["wal"]["last_error"])
        for end in pair:
            end.close()
        for fd in (writing, reading, kinds["a directory"], kinds["a device"], kinds["the path of a file"], only_writing, empty):
            os.close(fd)

    def test_no_descriptor_and_more_than_one_are_refused(self):
        name = self.names[-1]
        self.assert_refused(self.wire().ask(WAL_PUSH, name), "descriptor")
        with open(self.wal / name, "rb") as one, open(self.wal / self.names[-2], "rb") as two:
            for count in (2, 4, 8):
                wire = self.wire()
                self.assert_refused(wire.ask(WAL_PUSH, name, fds=([one.fileno(), two.fileno()] * 4)[:count]), "more than one descriptor")
                self.assertIsNone(wire.answer())
        before = support.descriptors(self.walgd.process.pid)
        for _ in range(50):
            with open(self.wal / name, "rb") as one, self.wire() as wire:
                self.assert_refused(wire.ask(WAL_PUSH, name, fds=[one.fileno()] * 3), "descriptor")
        until("their descriptors to be closed", lambda: support.descriptors(self.walgd.process.pid) <= before, 5)

    def test_a_deleted_file_is_stored_whole_from_its_descriptor(self):
        name = self.names[-1]
        copy = self.scratch.path / name
        content = (self.wal / name).read_bytes()
        copy.write_bytes(content)
        with open(copy, "rb") as file:
            copy.unlink()
            self.assertEqual(self.wire().ask(WAL_PUSH, name, fds=[file.fileno()]).type, OK)
        self.assert_whole(name, content)

    def test_a_fetch_into_anything_but_an_empty_file_leaves_it_alone(self):
        self.push_gets_on()
        name = self.names[0]
        full = self.scratch.path / "full"
        full.write_bytes(b"kept" * 1000000)
        reading, writing = os.pipe()
        descriptors = [os.open(full, os.O_RDWR), writing, os.open("/dev/null", os.O_RDWR), os.open(self.wal, os.O_RDONLY | os.O_DIRECTORY)]
        for fd in descriptors:
            answer = self.wire().ask(WAL_FETCH, name, fds=[fd])
            self.assertEqual(answer.type, ERROR)
            self.assertIn("not an empty regular file", answer.text)
        self.assertEqual(full.read_bytes(), b"kept" * 1000000)
        only_reading = os.open(self.scratch.path / "only-reading", os.O_RDONLY | os.O_CREAT)
        answer = self.wire().ask(WAL_FETCH, name, fds=[only_reading])
        self.assertEqual(answer.type, ERROR, "not absent: the object is there")
        for fd in (*descriptors, reading, only_reading):
            os.close(fd)

    # --- names and content

    def test_names_that_lead_elsewhere_are_refused(self):
        good = self.names[-1]
        with open(self.wal / good, "rb") as file:
            for name in ("", ".", "..", "/", f"../{good}", f"wal_005/{good}", f"/etc/{good}", f"{good}/", f"{good}\0x", f"{good}\nerror event=forged", f"{good}.zst", good.lower() + "x", "a" * 60000, "00000001.history/..", "pg_wal/" + good):
                with self.subTest(name=name[:40]):
                    self.assert_refused(self.wire().ask(WAL_PUSH, name, fds=[file.fileno()]), "not the name of a WAL file")
                    with open(self.scratch.path / "out", "w+b") as out:
                        answer = self.wire().ask(WAL_FETCH, name, fds=[out.fileno()])
                        self.assertEqual(answer.type, ERROR, "an absent file would be an answer about something")
                        self.assertIn("not the name of a WAL file", answer.text)
        self.assertNotIn("\nerror event=forged", self.log(), "a client wrote a line of the log")

    def test_another_clusters_segment_is_refused_and_the_first_ones_go_on(self):
        self.push_gets_on()
        other, names = support.make_segments(self.scratch, 45, "other")
        theirs = names[-1]  # a name that is free
        result = self.shim(other / theirs)
        self.assertEqual(result.returncode, 1)
        self.assertIn("adopt-system", result.stderr)
        same = self.shim(other / self.names[0])
        self.assertEqual(same.returncode, 1, "the same name with other content")
        self.assert_whole(self.names[0], (self.wal / self.names[0]).read_bytes())
        self.assertEqual([name for name in self.stored() if theirs in name], [])
        self.assertIn(self.names[0], self.status()["wal"]["last_error"])

    def test_a_segment_that_changes_while_it_is_read_is_never_stored_torn(self):
        """A writer goes through the file from end to end again and again, one stamp a pass: a stored copy would hold two."""
        name, places = self.names[-1], range(64 << 10, SEGMENT_BYTES, 64 << 10)
        path = self.scratch.path / name
        path.write_bytes((self.wal / name).read_bytes())
        done = threading.Event()

        def keep_writing():
            with open(path, "r+b", 0) as file:
                stamp = 0
                while not done.is_set():
                    stamp += 1
                    for place in places:
                        os.pwrite(file.fileno(), stamp.to_bytes(8, "little"), place)

        writer = threading.Thread(target=keep_writing)
        writer.start()
        try:
            refused = 0
            for _ in range(100):
                result = self.shim(path)
                if result.returncode != 0:
                    self.assertRegex(result.stderr, "changed while it was read|other content")
                    refused += 1
        finally:
            done.set()
            writer.join()
        self.assertGreater(refused, 80, "the writer was there all the time")
        self.assertIn(name, self.status()["wal"]["last_error"])
        result = self.shim(path)
        if result.returncode == 0:
            self.assert_whole(name, path.read_bytes())
        else:
            # Stored while the writer held still, refused as other content ever since.
            content = self.content_of(name)
            stamps = [int.from_bytes(content[place:place + 8], "little") for place in places]
            self.assertEqual(stamps, sorted(stamps, reverse=True), "a later pass behind an earlier one: the file never looked so")
            self.assertLessEqual(stamps[0] - stamps[-1], 1, "more than two passes of the writer in one object")

    def test_a_segment_that_grows_or_shrinks_while_it_is_read_is_never_stored_torn(self):
        """Cut in half and filled up with zeros again and again: whole is only the file as it is between two cuts."""
        name = self.names[-1]
        path = self.scratch.path / name
        path.write_bytes((self.wal / name).read_bytes())
        half = SEGMENT_BYTES // 2
        between = path.read_bytes()[:half] + bytes(half)
        done = threading.Event()

        def keep_resizing():
            while not done.is_set():
                os.truncate(path, half)
                os.truncate(path, SEGMENT_BYTES)

        writer = threading.Thread(target=keep_resizing)
        writer.start()
        try:
            codes = [self.shim(path).returncode for _ in range(30)]
        finally:
            done.set()
            writer.join()
        self.assertGreater(codes.count(1), 20, "the writer was there all the time")
        self.assertEqual(set(codes) - {0, 1}, set())
        self.assertEqual(self.stored(), [f"{name}.zst"] if 0 in codes else [])
        if 0 in codes:
            self.assert_whole(name, between)

    # --- leaving

    def test_a_client_that_leaves_before_its_answer_leaves_a_whole_object_or_none(self):
        names = self.names[20:35]
        for name in names:
            with open(self.wal / name, "rb") as file, Wire(self.walgd.socket) as wire:
                wire.send(frame(WAL_PUSH, name), file.fileno())
        until("their requests to end", lambda: self.status()["wal"]["in_flight"] == 0 and self.status()["clients"]["connections"] == 1, 10)
        for key in self.stored():
            name = key.removesuffix(".zst")
            self.assert_whole(name, (self.wal / name).read_bytes())
        for name in names:
            self.assertEqual(self.shim(self.wal / name).returncode, 0, "PostgreSQL's next try")
            self.assert_whole(name, (self.wal / name).read_bytes())
        self.assertEqual(self.stored(), [f"{name}.zst" for name in names])

    def test_a_shim_whose_daemon_says_nothing_sensible_fails_with_1_and_200(self):
        """The other end of the socket is nonsense: PostgreSQL keeps the segment, and recovery stops instead of promoting."""
        path = self.scratch.path / "fake.sock"
        with listening(path) as fake:

            def answer(bytes):
                connection, _ = fake.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(bytes)

            for bytes in (b"", b"\x06", b"HTTP/1.1 200 OK\r\n\r\n", frame(OK, version=2), frame(PING), frame(OK)[:9], b"\xff" * 100):
                for command, code in (([self.scratch.bin / "walg-push", self.wal / self.names[-1]], 1),
                                      ([self.scratch.bin / "walg-fetch", self.names[-1], self.scratch.path / "RECOVERYXLOG"], 200)):
                    server = threading.Thread(target=answer, args=[bytes])
                    server.start()
                    result = run(command, env={**self.walgd.env, "WALGD_SOCKET": str(path)}, check=False)
                    server.join()
                    self.assertEqual(result.returncode, code, f"{bytes} {result.stderr}")
                    self.assertIn(self.names[-1], result.stderr)
            self.assertFalse((self.scratch.path / "RECOVERYXLOG").exists())
            self.assertEqual([name for name in os.listdir(self.scratch.path) if name.startswith(".walgd.")], [])

    def test_a_shim_that_nobody_answers_says_so_after_some_seconds(self):
        """As under systemd's socket while walgd cannot start: requests are taken, and nobody reads them."""
        path = self.scratch.path / "fake.sock"
        with listening(path) as fake:
            env = {**os.environ, "WALGD_SOCKET": str(path)}
            shims = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
                     for command in ([self.scratch.bin / "walg-push", self.wal / self.names[-1]],
                                     [self.scratch.bin / "walg-fetch", self.names[-1], self.scratch.path / "RECOVERYXLOG"])]
            for shim in shims:
                with shim:
                    line = shim.stderr.readline()
                    self.assertIn(f"{self.names[-1]}: walgd has not answered for 10 s", line)
                    self.assertIsNone(shim.poll(), "it went on waiting")
                    shim.kill()
    def test_a_fetch_that_is_killed_leaves_nothing_in_its_folder(self):
        path, folder = self.scratch.path / "fake.sock", self.scratch.folder("pg_wal")
        with socket.socket(socket.AF_UNIX) as fake:
            fake.bind(str(path))
            path.chmod(0o777)
            fake.listen(8)
            shim = subprocess.Popen([self.scratch.bin / "walg-fetch", self.names[-1], folder / "RECOVERYXLOG"],
                                    env={**os.environ, "WALGD_SOCKET": str(path)}, stderr=subprocess.DEVNULL)
            connection, _ = fake.accept()
            with connection, shim:
                connection.recv(4096)
                shim.kill()
            self.assertEqual(os.listdir(folder), [])
        # What is there already is replaced, and nothing else is left.
        name = next(self.fresh)
        self.assertEqual(self.shim(self.wal / name).returncode, 0)
        for _ in range(2):
            run([self.scratch.bin / "walg-fetch", name, folder / "RECOVERYXLOG"], env=self.walgd.env)
            self.assertEqual((folder / "RECOVERYXLOG").read_bytes(), (self.wal / name).read_bytes())
            self.assertEqual(os.listdir(folder), ["RECOVERYXLOG"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
