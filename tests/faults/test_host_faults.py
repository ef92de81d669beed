"""What walgd makes of a host that runs out of things or pulls them away: each fault, and its outcome as PostgreSQL and a person see it."""
import glob
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import support
from kill_sweep import user_of_server
from support import ERROR, OK, PING, STATUS, WAL_PUSH, Wire, frame
from harness import GOLDEN, Cluster, Scratch, TestCase, Walgd, as_server_user, run, start, until


class HostFaults(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.source_scratch = Scratch()
        cls.addClassCleanup(cls.source_scratch.close)
        cls.wal, cls.names = support.make_segments(cls.source_scratch, 24)

    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()
        self.settings["WALG_COMPRESSION_METHOD"] = "zstd"

    def status(self, walgd):
        return json.loads(walgd.walg("status", "--json").stdout)

    def log(self):
        return (self.scratch.path / "log").read_text(errors="replace")

    def told(self, text, seconds=5):
        until(f"the log to tell '{text}'", lambda: text in self.log(), seconds)

    def push(self, walgd, name, wal=None):
        return run([self.scratch.bin / "walg-push", (wal or self.wal) / name], env=walgd.env, check=False)

    def assert_pushed(self, walgd, name):
        result = self.push(walgd, name)
        self.assertEqual(result.returncode, 0, result.stderr)

    def assert_idle(self, walgd):
        self.assertLess(support.idle_share(walgd.process.pid), 0.05, "walgd turns while it waits")

    def stored_names(self):
        return {path.name.split(".zst")[0] for path in (self.folder / "wal_005").glob("*")}

    def assert_stored_as_kept(self, kept, names):
        """What PostgreSQL handed over under these names is in the storage, byte for byte."""
        self.assertEqual(sorted(set(names) - self.stored_names()), [], "archived for PostgreSQL, not in the storage")
        alone, out = Walgd(self.scratch, self.settings), self.scratch.path / "judge"
        for name in names:
            out.unlink(missing_ok=True)
            alone.walg("wal-fetch", name, out)
            self.assertEqual(out.read_bytes(), (kept / name).read_bytes(), name)

    # --- full and read-only file systems

    def start_in_namespace(self, walgd, mounts):
        """walgd in a mount namespace of its own, after the shell words `mounts`. Needs root with CAP_SYS_ADMIN."""
        probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if probe.returncode != 0:
            reason = f"this machine lets nobody mount: {probe.stdout.strip()}"
            self.fail(reason) if os.environ.get("CI") else self.skipTest(reason)
        command = ["unshare", "-m", "sh", "-c", mounts + ' && exec "$@"', "sh", *as_server_user([self.scratch.bin / "walgd"])]
        walgd.process = subprocess.Popen(command, env=walgd.env, cwd="/", stdin=subprocess.DEVNULL, stdout=self.scratch.log, stderr=self.scratch.log)
        self.scratch.stack.callback(walgd.kill)
        walgd.wait_ready()
        return pathlib.Path(f"/proc/{walgd.process.pid}/root")

    def inside(self, walgd, *command):
        """In walgd's mount namespace, below its root: that of the namespace is another where the tests run in a folder (chroot)."""
        return subprocess.run(["nsenter", "-t", str(walgd.process.pid), "-m", "-r", "--", *as_server_user(command)], env=walgd.env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60)

    def test_a_full_disk_fails_the_push_cleanly_and_clears_up_by_itself(self):
        walgd = Walgd(self.scratch, {**self.settings, "WALG_COMPRESSION_METHOD": "none"})
        seen = self.start_in_namespace(walgd, f"mount -t tmpfs -o size=4m,mode=0777 tmpfs {self.folder}") / str(self.folder)[1:]
        self.assert_pushed(walgd, self.names[0])
        (seen / "filler").write_bytes(b"x" * (5 << 19))
        for _ in range(3):
            result = self.push(walgd, self.names[1])
            self.assertEqual(result.returncode, 1)
            for word in (self.names[1], "No space left", "HINT: free space"):
                self.assertIn(word, result.stderr)
        self.assertEqual(os.listdir(seen / "wal_005"), [self.names[0]])
        self.assertEqual(os.listdir(seen / "walgd_005/tmp"), [], "a torn file takes room")
        self.assertIn("No space left", self.status(walgd)["wal"]["last_error"])
        self.told("No space left")
        self.assert_idle(walgd)
        target = self.folder / "RECOVERYXLOG"
        (seen / "filler").write_bytes(b"x" * (23 << 17))
        fetched = self.inside(walgd, self.scratch.bin / "walg-fetch", self.names[0], target)
        self.assertEqual(fetched.returncode, 200, "recovery stops, it does not promote")
        self.assertIn("No space left", fetched.stderr)
        self.assertEqual([path.name for path in seen.iterdir() if path.is_file()], ["filler"])
        (seen / "filler").unlink()
        self.assert_pushed(walgd, self.names[1])
        self.assertEqual((seen / "wal_005" / self.names[1]).read_bytes(), (self.wal / self.names[1]).read_bytes())
        self.assertEqual((seen / "wal_005" / self.names[0]).read_bytes(), (self.wal / self.names[0]).read_bytes())

    def test_a_read_only_pgdata_is_archived_from_and_refuses_a_fetch(self):
        data = self.scratch.folder("pgdata")
        (data / self.names[0]).write_bytes((self.wal / self.names[0]).read_bytes())
        walgd = Walgd(self.scratch, {**self.settings, "PGDATA": str(data)})
        self.start_in_namespace(walgd, f"mount --bind {data} {data} && mount -o remount,ro,bind {data}")
        pushed = self.inside(walgd, self.scratch.bin / "walg-push", data / self.names[0])
        self.assertEqual(pushed.returncode, 0, pushed.stderr)
        self.assertEqual(self.stored_names(), {self.names[0]})
        fetched = self.inside(walgd, self.scratch.bin / "walg-fetch", self.names[0], data / "RECOVERYXLOG")
        self.assertEqual(fetched.returncode, 200)
        self.assertIn("Read-only file system", fetched.stderr)
        self.assertEqual(os.listdir(data), [self.names[0]])

    def cluster_and_walgd(self, extra=None, **settings):
        """A cluster that archives through walgd, every segment kept aside the moment PostgreSQL hands it over. Neither is started."""
        cluster = Cluster(self.scratch, 15, "data", segment_mb=1, extra="wal_keep_size = '1GB'\n")
        kept = self.scratch.folder("kept")
        walgd = Walgd(self.scratch, {**self.settings, **settings}, cluster)
        cluster.archive_with(f"(test -f {kept}/%f || (cp %p {kept}/%f.tmp && mv {kept}/%f.tmp {kept}/%f)) && {extra or ''}{walgd.archive_command()}")
        return cluster, walgd, kept

    def test_where_postgresql_cannot_mark_a_segment_done_it_is_stored_once(self):
        cluster, walgd, kept = self.cluster_and_walgd()
        walgd.start()
        cluster.start()
        cluster.switch()
        status_folder = cluster.data / "pg_wal/archive_status"
        status_folder.chmod(0o555)
        self.addCleanup(status_folder.chmod, 0o700)
        name = cluster.psql("select pg_walfile_name(pg_current_wal_insert_lsn())")
        # PostgreSQL itself could not write .ready: it is there as if the folder had turned read-only a moment later.
        status_folder.chmod(0o700)
        (status_folder / f"{name}.ready").touch()
        self.scratch.own(status_folder / f"{name}.ready")
        cluster.psql("create table t(); select pg_switch_wal()")
        until("the segment to be done", lambda: (status_folder / f"{name}.done").exists(), 30)
        status_folder.chmod(0o555)
        os.rename(status_folder / f"{name}.done", status_folder / f"{name}.ready")
        # What is .ready and stored already is answered at once, or found in the archive.
        again = lambda: sum(self.status(walgd)["wal"][name] for name in ("already_there", "answered_at_once"))
        before = again()
        cluster.psql("select pg_reload_conf()")
        until("PostgreSQL to hand it over again and again", lambda: again() >= before + 2, 90)
        status_folder.chmod(0o700)
        cluster.switch()
        until("it to be marked", lambda: (status_folder / f"{name}.done").exists(), 90)
        self.assert_stored_as_kept(kept, cluster.segments_done())

    # --- the socket

    def test_a_socket_that_is_removed_is_bound_anew_and_archiving_goes_on(self):
        cluster, walgd, kept = self.cluster_and_walgd()
        walgd.start()
        cluster.start()
        cluster.switch()
        for _ in range(3):
            walgd.socket.unlink()
            until("the socket to be back", walgd.ready, 5)
            cluster.switch()
        self.told("it is bound anew")
        self.assertIn("bound anew", self.status(walgd)["clients"]["last_error"])
        self.assert_idle(walgd)
        cluster.stop()
        self.assert_stored_as_kept(kept, cluster.segments_done())
        walgd.stop()
        self.assertFalse(walgd.socket.exists())

    def test_a_session_outlives_its_socket(self):
        walgd = Walgd(self.scratch, self.settings).start()
        with Wire(walgd.socket) as wire:
            walgd.socket.unlink()
            until("the socket to be back", walgd.ready, 5)
            self.assertEqual(wire.ask(PING).type, OK)

    def test_the_folder_of_the_socket_goes_and_comes_back(self):
        folder = self.scratch.folder("run")
        walgd = Walgd(self.scratch, self.settings)
        walgd.socket = folder / "walgd.sock"
        walgd.env["WALGD_SOCKET"] = str(walgd.socket)
        walgd.start()
        self.assert_pushed(walgd, self.names[0])
        shutil.rmtree(folder)
        self.told("no client reaches walgd: the folder of the socket")
        result = self.push(walgd, self.names[1])
        self.assertEqual(result.returncode, 1)
        self.assertIn("is walgd running?", result.stderr)
        self.assert_idle(walgd)
        self.assertEqual(self.log().count("no client reaches walgd"), 1, "told once")
        folder.mkdir(mode=0o755)  # root's: walgd may not write there
        if os.getuid() == 0:
            self.told("Permission denied")
            self.scratch.own(folder)
        until("the socket to be back", walgd.ready, 5)
        self.assert_pushed(walgd, self.names[1])
        self.assertIn("bound anew", self.status(walgd)["clients"]["last_error"])

    def test_a_socket_that_another_took_is_left_to_it_until_it_ends(self):
        walgd = Walgd(self.scratch, self.settings).start()
        walgd.socket.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(walgd.socket))
            walgd.socket.chmod(0o777)
            other.listen(1)
            taken = walgd.socket.stat().st_ino
            self.told("a daemon is serving")
            self.assert_idle(walgd)
            self.assertEqual(walgd.socket.stat().st_ino, taken, "the other's socket was replaced")
        until("the dead one's socket to be replaced", walgd.ready, 5)
        self.assert_pushed(walgd, self.names[0])

    def test_a_socket_of_systemd_is_not_bound_by_walgd(self):
        walgd = Walgd(self.scratch, self.settings)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(walgd.socket))
            walgd.socket.chmod(0o777)
            listening.listen(16)
            number = listening.fileno()
            shell = f'exec 3<&{number} {number}<&-; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"' if number != 3 else 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
            walgd.process = subprocess.Popen(as_server_user(["bash", "-c", shell, "bash", self.scratch.bin / "walgd"]), env=walgd.env, cwd="/", pass_fds=[number],
                                             stdin=subprocess.DEVNULL, stdout=self.scratch.log, stderr=self.scratch.log)
            self.scratch.stack.callback(walgd.kill)
            self.told("event=started", 30)
            self.assert_pushed(walgd, self.names[0])
            walgd.socket.unlink()
            self.assert_idle(walgd)  # for two of the spans in which it would have bound its own
            self.assertFalse(walgd.socket.exists())
        walgd.stop()

    # --- descriptors and memory

    def limit(self, pid, what, most):
        """A process' soft limit, set as its own user may."""
        run(["prlimit", "--pid", pid, f"--{what}={most}:"])

    def test_the_limit_of_descriptors_is_survived_and_clears_up(self):
        walgd = Walgd(self.scratch, self.settings).start()
        pid = walgd.process.pid
        self.assert_pushed(walgd, self.names[0])
        self.limit(pid, "nofile", support.descriptors(pid) + 8)
        idle = []
        for _ in range(60):
            idle.append(Wire(walgd.socket))
            self.addCleanup(idle[-1].close)
        self.told("cannot take a connection: Too many open files")
        # Who asks is served: one that asks nothing makes room. Where there is no room for the file, PostgreSQL's next try finds some.
        until("a push to get on", lambda: self.push(walgd, self.names[1]).returncode == 0, 30)
        self.assertIn("Too many open files", self.status(walgd)["clients"]["last_error"])
        for wire in idle:
            wire.close()
        self.limit(pid, "nofile", 1024)
        for name in self.names[2:6]:
            self.assert_pushed(walgd, name)
        self.assert_idle(walgd)
        self.assertLessEqual(self.log().count("Too many open files"), 12, "the log is flooded")
        self.assertEqual(walgd.process.poll(), None)

    def test_a_descriptor_that_walgd_has_no_room_for_is_told_as_such(self):
        walgd = Walgd(self.scratch, self.settings).start()
        pid = walgd.process.pid
        until("walgd to be done with its own questions", lambda: self.status(walgd)["overwrite_protection"] == "conditional put", 30)
        with Wire(walgd.socket) as wire, open(self.wal / self.names[0], "rb") as file:
            self.assertEqual(wire.ask(PING).type, OK)
            count = lambda: json.loads(wire.ask(STATUS, "json").fields[0])["clients"]["connections"]
            until("the connection of walg status to be over", lambda: count() == 1, 5)
            used = [int(name) for name in os.listdir(f"/proc/{pid}/fd")]
            self.limit(pid, "nofile", next(free for free in range(4096) if free not in used))
            answer = wire.ask(WAL_PUSH, self.names[0], fds=[file.fileno()])
            self.assertEqual(answer.type, ERROR)
            self.assertIn("Too many open files", answer.text)
            self.assertIn("LimitNOFILE", answer.text)
            self.limit(pid, "nofile", 1024)
            self.assertEqual(wire.ask(WAL_PUSH, self.names[0], fds=[file.fileno()]).type, OK)

    def test_where_no_thread_can_be_had_a_backup_fails_and_the_next_one_does_not(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        walgd = Walgd(self.scratch, self.settings, cluster).start()
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        walgd.walg("backup-push", cluster.data)
        self.limit(walgd.process.pid, "nproc", 1)
        refused = walgd.walg("backup-push", cluster.data, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("Resource temporarily unavailable", refused.stderr)
        self.limit(walgd.process.pid, "nproc", resource.getrlimit(resource.RLIMIT_NPROC)[0])
        walgd.walg("backup-push", cluster.data)
        self.assertEqual(walgd.process.poll(), None)
        # One that works by itself takes several, one after the other.
        env = {**walgd.env, "WALGD_SOCKET": str(self.scratch.path / "nobody"), "WALG_UPLOAD_DISK_CONCURRENCY": "8"}
        for more in range(0, 28, 2):
            taken = support.threads_of(cluster.data.stat().st_uid)
            result = run(["prlimit", f"--nproc={taken + more}:", self.scratch.bin / "walg", "backup-push", cluster.data], env=env, check=False, timeout=60)
            self.assertIn(result.returncode, (0, 1), result.stderr)
        walgd.walg("backup-push", cluster.data)

    @unittest.skipIf(os.getuid() != 0, "only root can be a user of whom there are no other processes")
    def test_a_restore_does_with_fewer_threads_where_no_more_can_be_had(self):
        archive = self.scratch.path / "golden"
        shutil.copytree(GOLDEN / "composers/archive", archive)
        self.scratch.path.chmod(0o755)
        subprocess.run(["chmod", "-R", "a+rX", archive], check=True)
        nobody = "61234"

        def restored(limit, downloads):
            target = self.scratch.path / f"target-{limit}-{downloads}"
            target.mkdir()
            os.chown(target, int(nobody), int(nobody))
            env = {"PATH": os.environ["PATH"], "WALG_FILE_PREFIX": str(archive), "WALG_DOWNLOAD_CONCURRENCY": str(downloads)}
            command = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", "prlimit", f"--nproc={limit}:", self.scratch.bin / "walg", "backup-fetch", target,
                       "base_00000001000000000000000F"]
            result = subprocess.run(command, env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
            self.assertIn(result.returncode, (0, 1), result.stderr)
            return result.returncode == 0

        least = {downloads: next(limit for limit in range(7, 40) if restored(limit, downloads)) for downloads in (1, 8)}
        self.assertEqual(least[8], least[1])

    def test_the_limit_of_memory_fails_a_push_with_its_reason_and_the_daemon_lives(self):
        wal, names = support.make_segments(self.scratch, 6, "large", segment_mb=16)
        walgd = Walgd(self.scratch, {**self.settings, "WALG_COMPRESSION_METHOD": "none"}).start()
        pid = walgd.process.pid
        self.assertEqual(self.push(walgd, names[0], wal).returncode, 0)
        until("nothing to be under way", lambda: self.status(walgd)["memory_used"] == 0, 5)
        size = next(int(line.split()[1]) << 10 for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmSize"))
        self.limit(pid, "as", size + (1 << 20))
        results = []
        pushes = [threading.Thread(target=lambda name=name: results.append(self.push(walgd, name, wal))) for name in names[1:5] for _ in range(4)]
        for thread in pushes:
            thread.start()
        for thread in pushes:
            thread.join()
        failed = [result for result in results if result.returncode == 1]
        self.assertTrue(failed, "the limit bounds nothing")
        self.assertEqual({result.returncode for result in results} - {0, 1}, set())
        for result in failed:
            self.assertIn("not enough memory", result.stderr)
        self.assertIsNone(walgd.process.poll(), "walgd died")
        self.told("not enough memory")
        status = self.status(walgd)
        self.assertIn("not enough memory", status["wal"]["last_error"])
        self.assertEqual((status["memory_used"], status["wal"]["in_flight"]), (0, 0), "a failed push kept its memory")
        self.assert_idle(walgd)
        self.limit(pid, "as", "unlimited")
        for name in names:
            self.assertEqual(self.push(walgd, name, wal).returncode, 0)
        for name in names:
            self.assertEqual((self.folder / "wal_005" / name).read_bytes(), (wal / name).read_bytes())

    # --- stopping

    def backlog(self, cluster, walgd, count):
        """So many segments that PostgreSQL wants archived, and cannot: walgd is not there."""
        cluster.start()
        cluster.psql(f"select pg_logical_emit_message(false, 'test', md5(n::text)), pg_switch_wal() from generate_series(1, {count}) n")
        status = cluster.data / "pg_wal/archive_status"
        until("the backlog", lambda: len(list(status.glob("*.ready"))) >= count, 30)
        return status

    def test_sigterm_with_a_backlog_answers_nothing_wrongly_and_the_rest_follows(self):
        cluster, walgd, kept = self.cluster_and_walgd(WALGD_DRAIN_TIMEOUT="0s")
        status = self.backlog(cluster, walgd, 60)
        for done in (3, 10, 25):
            walgd.start()
            cluster.psql("select pg_switch_wal() from pg_logical_emit_message(false, 'wake', 'the archiver')")
            until(f"{done} segments to be done", lambda: len(cluster.segments_done()) >= done, 90, 0.005)
            began = time.monotonic()
            self.assertEqual(walgd.stop(), 0)
            self.assertLess(time.monotonic() - began, 5)
            self.assertTrue(list(status.glob("*.ready")), "the backlog was over before the stop")
            self.assert_stored_as_kept(kept, cluster.segments_done())
        walgd.start()
        cluster.switch()
        until("the backlog to be over", lambda: not list(status.glob("*.ready")), 60)
        self.assert_stored_as_kept(kept, cluster.segments_done())
        self.assertEqual(len(self.stored_names()), len(set(self.stored_names())))

    def test_sigterm_amid_pushes_ends_walgd_at_once_and_what_it_said_is_true(self):
        """Cancelled in every state that a push has: packing, writing, waiting for its turn."""
        walgd = Walgd(self.scratch, {**self.settings, "WALGD_DRAIN_TIMEOUT": "0s"})
        stored = set()

        def push_all(wire, names):
            for name in names:
                with open(self.wal / name, "rb") as file:
                    try:
                        wire.send(frame(WAL_PUSH, name), file.fileno())
                    except OSError:
                        return
                    answer = wire.answer()
                if answer is None:
                    return
                if answer.type == OK:
                    stored.add(name)

        interrupted = 0
        for round in range(40):
            for path in (self.folder / "wal_005").glob("*"):
                path.unlink()
            stored.clear()
            walgd.start()
            wires = [Wire(walgd.socket) for _ in range(4)]
            clients = [threading.Thread(target=push_all, args=(wire, self.names[place::4])) for place, wire in enumerate(wires)]
            for client in clients:
                client.start()
            until("the first of them", lambda: len(stored) > round % 10, 30, 0.0005)
            self.assertEqual(walgd.stop(), 0, self.log()[-2000:])
            for client in clients:
                client.join()
            for wire in wires:
                wire.close()
            self.assertEqual(sorted(stored - self.stored_names()), [], "answered as stored, and is not there")
            self.assert_stored_as_kept(self.wal, sorted(self.stored_names())[:2])
            interrupted += len(stored) < len(self.names)
        self.assertGreater(interrupted, 0, "the pushes were over before the signal")

    def test_postgresql_and_walgd_stop_at_the_same_time_and_all_that_is_archived_meanwhile_is_stored(self):
        cluster, walgd, kept = self.cluster_and_walgd()
        for mode, walgd_first in (("fast", True), ("fast", False), ("immediate", True), ("immediate", False)):
            with self.subTest(mode=mode, walgd_first=walgd_first):
                walgd.start()
                cluster.start()
                status = cluster.data / "pg_wal/archive_status"
                cluster.psql("create table if not exists t (n int); insert into t select generate_series(1, 20000); "
                             "select pg_logical_emit_message(false, 'test', md5(n::text)), pg_switch_wal() from generate_series(1, 15) n")
                if walgd_first:
                    walgd.process.send_signal(signal.SIGTERM)
                cluster.stop(mode)
                if not walgd_first:
                    walgd.process.send_signal(signal.SIGTERM)
                self.assertEqual(walgd.process.wait(20), 0, "walgd sees that the postmaster is gone")
                done = cluster.segments_done()
                self.assertGreater(len(done), 0)
                self.assert_stored_as_kept(kept, done)
                if mode == "fast":
                    self.assertEqual(sorted(path.name for path in status.glob("*.ready")), [], "PostgreSQL archived while it stopped, and was not served")
                    self.assertGreater(len(done), 14)
        walgd.start()
        cluster.start()
        cluster.switch()
        until("the rest to be archived", lambda: not list((cluster.data / "pg_wal/archive_status").glob("*.ready")), 60)
        self.assert_stored_as_kept(kept, cluster.segments_done())

    # --- killed, and begun anew

    def test_what_is_found_stored_is_durable_before_it_is_said(self):
        """Who stored it may have been killed when the object had its name, and the name was not on disk yet."""
        name, alone = self.names[0], Walgd(self.scratch, self.settings)
        alone.walg("wal-push", self.wal / name)
        traced = support.Fsyncs()
        process = traced.start([self.scratch.bin / "walg", "wal-push", self.wal / name], stdout=self.scratch.log, stderr=self.scratch.log, env=alone.env,
                               **user_of_server())
        traced.run_until_end_of(process.pid)
        process.returncode = traced.ended[process.pid]
        self.assertEqual(process.returncode, 0, self.log())
        self.told("is in the archive already")
        self.assertIn(str(self.folder / "wal_005"), traced.paths)

    def first_of_its_namespace(self, *command):
        """A process that is number 1 where it is, as in a container."""
        return ["unshare", "--pid", "--fork", "--", *as_server_user(command)]

    def test_what_a_killed_fetch_left_hinders_none_with_the_same_process_id(self):
        probe = subprocess.run(self.first_of_its_namespace("true"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if probe.returncode != 0:
            reason = f"this machine lets nobody make a namespace: {probe.stdout.strip()}"
            self.fail(reason) if os.environ.get("CI") else self.skipTest(reason)
        name, data = self.names[0], self.scratch.folder("pgdata")
        (data / "pg_wal").mkdir()
        self.scratch.own(data / "pg_wal")
        path = self.scratch.path / "wal-g.sock"
        walgd = Walgd(self.scratch, {**self.settings, "PGDATA": str(data), "WALGD_WALG_SOCKET": str(path)})
        alone = Walgd(self.scratch, self.settings)
        alone.walg("wal-push", self.wal / name)
        walgd.process = subprocess.Popen(self.first_of_its_namespace(self.scratch.bin / "walgd"), env=walgd.env, cwd="/", stdin=subprocess.DEVNULL, stdout=self.scratch.log,
                                         stderr=self.scratch.log)
        # Whoever ends unshare ends nothing inside: walgd is its child.
        inside = int(until("walgd's process", lambda: pathlib.Path(f"/proc/{walgd.process.pid}/task/{walgd.process.pid}/children").read_text().strip(), 5))
        self.scratch.stack.callback(walgd.process.wait)
        self.scratch.stack.callback(os.kill, inside, signal.SIGKILL)
        walgd.wait_ready()
        target = data / "pg_wal/RECOVERYXLOG"
        for left, command, env in ((".walgd.RECOVERYXLOG.1.0", [self.scratch.bin / "walg-daemon-client", path, "wal-fetch", name, "pg_wal/RECOVERYXLOG"], walgd.env),
                                   (f".walgd.{name}.1.0", self.first_of_its_namespace(self.scratch.bin / "walg", "wal-fetch", name, target), alone.env),
                                   (f".walgd.{name}.1.0", self.first_of_its_namespace(self.scratch.bin / "wal-g", "wal-fetch", name, target), alone.env),
                                   (".walgd.1", self.first_of_its_namespace(self.scratch.bin / "walg-fetch", name, target), walgd.env)):
            with self.subTest(str(command)):
                (data / "pg_wal" / left).write_bytes(b"a part")
                self.scratch.own(data / "pg_wal" / left)
                result = run(command, env=env, check=False) if command[0] != "unshare" else subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=60)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(target.read_bytes(), (self.wal / name).read_bytes())
                target.unlink()
                self.assertEqual(os.listdir(data / "pg_wal"), [])

    # --- time

    def test_the_clock_jumps_by_hours_and_nothing_stalls(self):
        library = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)
        if not library:
            self.fail("libfaketime is not installed") if os.environ.get("CI") else self.skipTest("libfaketime is not installed")
        clock = self.scratch.path / "clock"
        clock.write_text("+0\n")
        walgd = Walgd(self.scratch, self.settings)
        fake = [f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={clock}", "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"]
        walgd.process = start(["env", *fake, self.scratch.bin / "walgd"], self.scratch.log, env=walgd.env)
        self.scratch.stack.callback(walgd.kill)
        walgd.wait_ready()
        names = iter(self.names)
        self.assert_pushed(walgd, next(names))
        whole = frame(PING)
        for jump in ("+3600", "-3600", "+90000", "+0"):
            with self.subTest(jump), Wire(walgd.socket) as waiting:
                waiting.send(whole[:5])
                before = self.status(walgd)["wal"]["last_pushed_at"]
                clock.write_text(jump + "\n")
                began = time.monotonic()
                name = next(names)
                self.assert_pushed(walgd, name)
                self.assertEqual(self.push(walgd, name).returncode, 0)
                self.assertNotEqual(self.status(walgd)["wal"]["last_pushed_at"][:13], before[:13], "walgd did not see the jump: this test tests nothing")
                waiting.send(whole[5:])
                self.assertEqual(waiting.answer().type, OK, "half a request has its 30 s by the steady clock")
                self.assertLess(time.monotonic() - began, 5)
                target = self.scratch.path / f"fetched{jump}"
                run([self.scratch.bin / "walg-fetch", name, target], env=walgd.env)
                self.assertEqual(target.read_bytes(), (self.wal / name).read_bytes())
                self.assert_idle(walgd)
        walgd.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
