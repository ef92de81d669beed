"""What the host and client faults are written in: a raw client of walgd's socket, real segments, a process traced call by call."""
import contextlib
import ctypes
import os
import pathlib
import platform
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from harness import Cluster

PING, WAL_PUSH, WAL_FETCH, STATUS = 1, 2, 3, 4
OK, ABSENT, ERROR = 64, 65, 66


def frame(type, *fields, request=1, version=1):
    body = b"".join(struct.pack("<I", len(field)) + field for field in (text.encode() for text in fields))
    return struct.pack("<IBBI", 6 + len(body), version, type, request) + body


class Answer:
    def __init__(self, bytes):
        self.version, self.type, self.request = struct.unpack("<BBI", bytes[:6])
        self.fields, at = [], 6
        while at < len(bytes):
            length, = struct.unpack_from("<I", bytes, at)
            self.fields.append(bytes[at + 4:at + 4 + length].decode())
            at += 4 + length

    @property
    def text(self):
        return " ".join(self.fields)


class Wire:
    """One connection to walgd, with the bytes in our hands."""

    def __init__(self, path, seconds=60):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds)
        self.socket.connect(str(path))

    def send(self, bytes, *descriptors):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))] if descriptors else []
        sent = self.socket.sendmsg([bytes], control)
        if sent < len(bytes):
            self.socket.sendall(bytes[sent:])

    def exactly(self, count):
        bytes = b""
        while len(bytes) < count:
            more = self.socket.recv(count - len(bytes))
            if not more:
                return None
            bytes += more
        return bytes

    def answer(self):
        """The next answer; None where the connection ended."""
        try:
            head = self.exactly(4)
            body = self.exactly(struct.unpack("<I", head)[0]) if head else None
        except (ConnectionResetError, BrokenPipeError):
            return None
        return Answer(body) if body else None

    def ask(self, type, *fields, fds=()):
        self.send(frame(type, *fields), *fds)
        return self.answer()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def make_segments(scratch, count, name="source", segment_mb=1):
    """The pg_wal of a stopped cluster, and the names of so many finished segments in it."""
    cluster = Cluster(scratch, 15, name, segment_mb=segment_mb, extra="wal_keep_size = '4GB'\n")
    cluster.start()
    cluster.psql(f"select pg_logical_emit_message(false, 'test', md5(n::text)), pg_switch_wal() from generate_series(1, {count}) n")
    cluster.stop()
    wal = cluster.data / "pg_wal"
    return wal, sorted(path.name for path in wal.iterdir() if len(path.name) == 24)[:count]


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_share(pid, seconds=2.0):
    """Which share of one core a process takes when nothing is asked of it."""
    before = cpu_seconds(pid)
    time.sleep(seconds)  # the span that is measured
    return (cpu_seconds(pid) - before) / seconds


def threads_of(uid):
    """How many a user has."""
    count = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == uid:
                count += len(os.listdir(f"/proc/{pid}/task"))
    return count


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


# --- a process, system call by system call (ptrace(2))

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
TRACEME, CONT, DETACH, SYSCALL, SETOPTIONS, SEIZE, INTERRUPT, SYSCALL_INFO = 0, 7, 17, 24, 0x4200, 0x4206, 0x4207, 0x420E
SYSGOOD_CLONE_EXITKILL = 0x1 | 0x8 | 0x100000
WALL = 0x40000000
OPENAT = {"x86_64": 257, "aarch64": 56}[platform.machine()]
FSYNC = {"x86_64": 74, "aarch64": 82}[platform.machine()]
WRITE = {"x86_64": 1, "aarch64": 64}[platform.machine()]
# What changes something outside of the process: write, pwrite, writev, pwritev, sendto, sendmsg, the renames, links, unlinks and mkdirs,
# rmdir, ftruncate, fallocate, copy_file_range, sendfile, fsync, fdatasync, symlinks, utimensat, chmods.
WRITING = {"x86_64": {1, 18, 20, 296, 44, 46, 82, 264, 316, 86, 265, 87, 263, 83, 258, 84, 77, 285, 326, 40, 74, 75, 88, 266, 280, 90, 91, 268},
           "aarch64": {64, 68, 66, 70, 206, 211, 38, 276, 37, 35, 34, 46, 47, 285, 71, 82, 83, 36, 88, 52, 53}}[platform.machine()]


def ptrace(request, pid, address=0, data=0):
    result = libc.ptrace(request, pid, address, data)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace request {request:#x}: {os.strerror(number)}")
    return result


class Traced:
    """Kills a process with SIGKILL when it enters its system call number `kill_at`, counted over all its threads, before the call
    has any effect. `begin`: the count starts with the openat whose path holds this text. `writing`: only calls that change something
    outside of the process count, and files that are made."""

    def __init__(self, kill_at, begin=None, writing=False):
        self.kill_at, self.begin, self.writing = kill_at, begin, writing
        self.calls, self.killed, self.ended = 0, False, {}

    def attach(self, pid):
        self.pid = pid
        for thread in [int(name) for name in os.listdir(f"/proc/{pid}/task")]:
            ptrace(SEIZE, thread, 0, SYSGOOD_CLONE_EXITKILL)
            ptrace(INTERRUPT, thread)
            os.waitpid(thread, WALL)
            ptrace(SYSCALL, thread)

    def start(self, command, **options):
        """Starts a program that is traced from its first system call."""
        process = subprocess.Popen([str(word) for word in command], preexec_fn=lambda: ptrace(TRACEME, 0), stdin=subprocess.DEVNULL, **options)
        self.pid = process.pid
        os.waitpid(self.pid, WALL)
        ptrace(SETOPTIONS, self.pid, 0, SYSGOOD_CLONE_EXITKILL)
        ptrace(SYSCALL, self.pid)
        return process

    def run_until_end_of(self, *pids):
        """Until these have ended; their exit codes, as Popen gives them, are in `ended`."""
        while not set(pids) <= set(self.ended):
            pid, status = os.waitpid(-1, WALL)
            if os.WIFSTOPPED(status):
                self.stopped(pid, status)
            else:
                self.ended[pid] = os.waitstatus_to_exitcode(status)

    def stopped(self, thread, status):
        how, event = os.WSTOPSIG(status), status >> 16
        if how == signal.SIGTRAP | 0x80:
            self.at_call(thread)
            how = 0
        elif event or how == signal.SIGTRAP:
            how = 0
        try:
            ptrace(SYSCALL, thread, 0, how)
        except ProcessLookupError:
            pass  # killed meanwhile

    def at_call(self, thread):
        info = ctypes.create_string_buffer(88)
        try:
            ptrace(SYSCALL_INFO, thread, 88, ctypes.addressof(info))
        except ProcessLookupError:
            return
        if info.raw[0] != 1 or self.writing and not self.writes(*struct.unpack_from("<QQQQ", info.raw, 24)):  # not an entry
            return
        if self.begin:
            number, _, path = struct.unpack_from("<QQQ", info.raw, 24)
            if number != OPENAT or self.begin not in self.text_at(path):
                return
            self.begin = None
        self.calls += 1
        if self.calls == self.kill_at:
            self.killed = True
            os.kill(self.pid, signal.SIGKILL)

    def writes(self, number, first, _, third):
        if number == OPENAT:
            return third & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY)
        if number == WRITE:  # a thread that wakes another is nothing that anybody else sees
            with contextlib.suppress(OSError):
                return not os.readlink(f"/proc/{self.pid}/fd/{first}").startswith("anon_inode:")
        return number in WRITING

    def text_at(self, address):
        with open(f"/proc/{self.pid}/mem", "rb", 0) as memory:
            memory.seek(address)
            try:
                return memory.read(4096).split(b"\0")[0].decode(errors="replace")
            except OSError:
                return ""


class Fsyncs(Traced):
    """Kills nothing, and notes what is fsynced."""

    def __init__(self):
        super().__init__(kill_at=0)
        self.paths = []

    def at_call(self, thread):
        info = ctypes.create_string_buffer(88)
        ptrace(SYSCALL_INFO, thread, 88, ctypes.addressof(info))
        number, first = struct.unpack_from("<QQ", info.raw, 24)
        if info.raw[0] == 1 and number == FSYNC:
            self.paths.append(os.readlink(f"/proc/{self.pid}/fd/{first}"))
