"""What the integration tests are written in: a scratch folder, PostgreSQL clusters, walgd with its programs, S3 servers.

Everything listens on 127.0.0.1 or a socket in the scratch folder and ends with the test, also when it fails.
As root, PostgreSQL and walgd run as the user postgres, since PostgreSQL will not run as root.
"""
import atexit
import contextlib
import functools
import hashlib
import os
import pathlib
import pty
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest
import uuid

from archive_maker import crc32c
import s3_signing

SOURCE = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("WALGD_TEST_CACHE", "/var/cache/walgd-tests"))
BUILD = pathlib.Path(os.environ.get("WALGD_TEST_BIN", SOURCE / "build/ci/bin"))
GOLDEN = SOURCE / "tests/golden"
VERSIONS = (13, 14, 15, 16, 17, 18)
POSTGRES_15 = pathlib.Path("/usr/lib/postgresql/15/bin")


def postgres_programs(version):
    return POSTGRES_15 if version == 15 else CACHE / f"pg{version}/bin"


def as_server_user(command):
    """The command run as postgres when we are root."""
    command = [str(word) for word in command]
    if os.getuid() != 0:
        return command
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", *command]


def free_port():
    """Below the ports that the kernel gives to connections: none of them takes it before the server does. By chance, for lanes that run at once."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(max(first - 20000, 1024), first)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def until(what, condition, seconds=120.0, step=0.05):
    """Waits for a condition, not for time to pass; fails with its name. To ask is often to run a program: less often as it lasts."""
    deadline = time.monotonic() + seconds
    pause = step
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(pause)
        pause = min(pause * 1.25, 4 * step)


class Failed(AssertionError):
    def __init__(self, command, result):
        super().__init__(f"exit {result.returncode}: {' '.join(map(str, command))}\n{result.stdout}\n{result.stderr}")
        self.result = result


def run(command, env=None, check=True, cwd="/", timeout=600, input=None):
    result = subprocess.run(as_server_user(command), env=env, cwd=cwd, timeout=timeout, input=input, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, stdin=None if input is not None else subprocess.DEVNULL, text=True, errors="replace")
    if check and result.returncode != 0:
        raise Failed(command, result)
    return result


def start(command, log, env=None, cwd="/"):
    return subprocess.Popen(as_server_user(command), env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def stop(process, how=signal.SIGTERM, seconds=60):
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{process.args} did not end within {seconds} s of signal {how}")
    return process.returncode


@functools.cache
def programs_copied():
    """A folder of our programs, one for all tests of a process: the checkout may be in a folder that is closed to the server's user."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="walgd-bin."))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    for name in ("walgd", "walg", "walg-push", "walg-fetch", "walg-daemon-client"):
        shutil.copy2(BUILD / name, folder / name)
    (folder / "wal-g").symlink_to("walg")
    return folder


@functools.cache
def new_cluster(version, segment_mb):
    """What initdb makes, once for all clusters of its kind in a process. It takes most of a second of CPU time."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="walgd-new."))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    run([postgres_programs(version) / "initdb", "-D", folder / "data", "-U", "postgres", "--no-locale", "-E", "UTF8", "--data-checksums",
         f"--wal-segsize={segment_mb}", "-A", "trust", "--no-sync"])
    return folder / "data"


def give_own_system(data):
    """A copied cluster becomes another system: its identifier stands in pg_control, which ends with its CRC-32C, and in the head of each segment."""
    identifier = struct.pack("<Q", time.time_ns())
    control = data / "global/pg_control"
    content = control.read_bytes()
    was = content[:8]
    [end] = [at for at in range(200, 400, 4) if crc32c(content[:at]) == int.from_bytes(content[at : at + 4], "little")]
    content = identifier + content[8:end]
    with open(control, "r+b") as file:
        file.write(content + struct.pack("<I", crc32c(content)))
    for segment in (data / "pg_wal").glob("0*"):
        with open(segment, "r+b") as file:
            file.seek(24)
            if file.read(8) == was: # not one that is still empty
                file.seek(24)
                file.write(identifier)


class Scratch:
    """A folder that the server's user can use."""

    def __init__(self, base=None):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="walgd-test.", dir=base or os.environ.get("WALGD_TEST_DIR") or None))
        self.path.chmod(0o755)
        self.own(self.path)
        self.bin = programs_copied()
        self.log = open(self.path / "log", "ab")
        self.stack = contextlib.ExitStack()

    def folder(self, name):
        path = self.path / name
        path.mkdir(parents=True, mode=0o700)
        self.own(path)
        return path

    def own(self, path):
        if os.getuid() == 0:
            shutil.chown(path, "postgres", "postgres")

    def own_tree(self, path):
        if os.getuid() == 0:
            subprocess.check_call(["chown", "-R", "postgres:postgres", str(path)])

    def close(self, failed=False):
        self.stack.close()
        self.log.close()
        if failed and os.environ.get("WALGD_TEST_KEEP"):
            print(f"kept: {self.path}")
        else:
            shutil.rmtree(self.path, ignore_errors=True)


class Cluster:
    """One PostgreSQL cluster: as initdb makes it, or a restored folder."""

    def __init__(self, scratch, version=15, name="data", initdb=True, segment_mb=16, extra="", env=None):
        # A server's environment is its archive_command's: nothing of the caller's has a place there.
        self.scratch, self.version, self.env = scratch, version, env or {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        self.programs = postgres_programs(version)
        self.data = scratch.path / name
        self.port = free_port()
        self.sockets = scratch.path / f"s{uuid.uuid4().hex[:8]}"
        self.sockets.mkdir()
        scratch.own(self.sockets)
        self.logfile = scratch.path / f"{name.replace('/', '_')}.log"
        if initdb:
            run(["cp", "-a", new_cluster(version, segment_mb), self.data])
            give_own_system(self.data)
        self.configure("fsync = off\nfull_page_writes = on\nwal_level = replica\nautovacuum = off\nmax_wal_senders = 4\nshared_buffers = 32MB\n" + extra)

    def configure(self, text):
        with open(self.data / "postgresql.auto.conf", "a") as file:
            file.write(f"port = {self.port}\nunix_socket_directories = '{self.sockets}'\nlisten_addresses = ''\n{text}\n")

    def archive_with(self, command, timeout=0):
        self.configure(f"archive_mode = on\narchive_timeout = {timeout}\narchive_command = '{command}'")

    def start(self, wait=True):
        options = [self.programs / "pg_ctl", "-D", self.data, "-l", self.logfile, "-t", "120", "-w" if wait else "-W", "start"]
        self.scratch.stack.callback(self.stop, "immediate")
        run(options, env=self.env)
        return self

    def stop(self, mode="fast", seconds=120):
        if (self.data / "postmaster.pid").exists():
            run([self.programs / "pg_ctl", "-D", self.data, "-w", "-t", str(seconds), "-m", mode, "stop"], check=mode != "immediate")

    def psql(self, query, database="postgres", check=True):
        result = run([POSTGRES_15 / "psql", "-h", self.sockets, "-p", self.port, "-U", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", query, database],
                     check=check)
        return result.stdout.strip()

    def pgbench(self, *arguments):
        return run([POSTGRES_15 / "pgbench", "-h", self.sockets, "-p", self.port, "-U", "postgres", *arguments, "postgres"])

    def pgbench_in_background(self, seconds, clients=2, rate=None):
        limit = ["-R", rate] if rate else []
        command = [POSTGRES_15 / "pgbench", "-h", self.sockets, "-p", self.port, "-U", "postgres", "-n", "-c", clients, "-T", seconds, *limit, "postgres"]
        process = start(command, self.scratch.log)
        self.scratch.stack.callback(stop, process)
        return process

    def checksum(self):
        """One text for the content of all ordinary tables: what a restore must give back."""
        tables = self.psql("select format('%I.%I', schemaname, tablename) from pg_tables where schemaname not in ('pg_catalog', 'information_schema') order by 1")
        parts = []
        for table in tables.splitlines():
            parts.append(table + "=" + self.psql(f"select count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) from {table} t"))
        return "\n".join(parts)

    def segments_done(self):
        return sorted(name[:-5] for name in os.listdir(self.data / "pg_wal/archive_status") if name.endswith(".done"))

    def environment(self):
        return {"PGHOST": str(self.sockets), "PGPORT": str(self.port), "PGUSER": "postgres", "PGDATABASE": "postgres", "PGDATA": str(self.data)}

    def recover_from(self, restore_command, target=""):
        self.configure(f"restore_command = '{restore_command}'\nrecovery_target_timeline = 'latest'\narchive_mode = off\n{target}")
        (self.data / "recovery.signal").touch()
        self.scratch.own(self.data / "recovery.signal")

    def wait_until_writable(self, seconds=120):
        until("end of recovery", lambda: self.psql("select pg_is_in_recovery()", check=False) == "f", seconds, 0.2)

    def wait_until_replayed(self, primary):
        """This standby has replayed all that the primary has flushed by now."""
        place = primary.psql("select pg_current_wal_flush_lsn()")
        until("the standby to replay", lambda: self.psql(f"select pg_last_wal_replay_lsn() >= '{place}'") == "t")

    def archived(self, name, seconds=60):
        until(f"PostgreSQL to archive {name}", lambda: (self.data / f"pg_wal/archive_status/{name}.done").exists() or
              not (self.data / f"pg_wal/archive_status/{name}.ready").exists(), seconds)

    def switch(self):
        """Closes the current segment and waits until PostgreSQL says that it is archived. Returns its name."""
        self.psql("create table if not exists switches (at timestamptz)")
        self.psql("insert into switches values (now())")
        name = self.psql("select pg_walfile_name(pg_switch_wal())")
        until(f"{name} to be archived", lambda: self.psql(
            "select coalesce(max(last_archived_wal), '') >= '" + name + "' from pg_stat_archiver where last_archived_wal ~ '^[0-9A-F]{24}'") == "t", 60)
        return name


class Walgd:
    """The daemon, and the other programs with the same settings."""

    def __init__(self, scratch, settings, cluster=None):
        self.scratch = scratch
        self.socket = scratch.path / f"walgd.{uuid.uuid4().hex[:8]}.sock"
        scratch.own(scratch.path)
        self.env = {"PATH": f"{scratch.bin}:/usr/local/bin:/usr/bin:/bin", "HOME": str(scratch.path), "LC_ALL": "C.UTF-8", "WALGD_SOCKET": str(self.socket), **settings}
        for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        if cluster:
            self.env.update(cluster.environment())
        self.process = None
        self.wrapper = []  # what walgd is started through: env with a preloaded library

    def start(self, wait=True):
        self.process = start([*self.wrapper, self.scratch.bin / "walgd"], self.scratch.log, env=self.env)
        self.scratch.stack.callback(self.kill)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        until("walgd to serve its socket", self.ready, 30, 0.02)

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"walgd ended with {self.process.returncode}:\n{(self.scratch.path / 'log').read_text(errors='replace')[-3000:]}")
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def stop(self, how=signal.SIGTERM):
        return stop(self.process, how)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def peak_mib(self):
        """Of resident memory, since it began."""
        return int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024

    def walg(self, *words, check=True, name="walg", env=None, **options):
        return run([self.scratch.bin / name, *words], env={**self.env, **(env or {})}, check=check, **options)

    def archive_command(self):
        return f'WALGD_SOCKET={self.socket} {self.scratch.bin}/walg-push "%p"'

    def restore_command(self):
        """As on a host without a daemon: walg-fetch runs walg wal-fetch with the settings of its environment."""
        return f'{self.scratch.bin}/walg-fetch "%f" "%p"'


def make_certificate(folder, log):
    """A certificate of our own for localhost, with a bucket before it or not, storage.test and 127.0.0.1: returns the paths of certificate and key."""
    certificate, key = folder / "public.crt", folder / "private.key"
    subprocess.check_call(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                           "subjectAltName=DNS:localhost,DNS:walgd.localhost,DNS:storage.test,IP:127.0.0.1", "-keyout", key, "-out", certificate], stdout=log, stderr=log)
    return certificate, key


class Minio:
    """MinIO on a free port, with one bucket. `tls`: with a certificate of our own; `environment`: MinIO's own settings."""
    access, secret, bucket = "walgd-tests", "walgd-tests-secret", "walgd"

    def __init__(self, scratch, tls=False, environment=None):
        self.port = free_port()
        data = scratch.folder(f"minio{self.port}")
        (data / self.bucket).mkdir()
        options, self.ca = [], None
        if tls:
            certificates = scratch.folder(f"minio{self.port}-certs")
            self.ca, _ = make_certificate(certificates, scratch.log)
            scratch.own_tree(certificates)
            options = ["--certs-dir", certificates]
        scratch.own_tree(data)
        env = {"PATH": "/usr/bin:/bin", "HOME": str(data), "MINIO_ROOT_USER": self.access, "MINIO_ROOT_PASSWORD": self.secret, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off",
               **(environment or {})}
        self.process = start([CACHE / "bin/minio", "server", "--quiet", "--address", f"127.0.0.1:{self.port}", *options, data], scratch.log, env=env)
        scratch.stack.callback(stop, self.process, signal.SIGKILL)
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        until("MinIO", self.answers, 60)

    def answers(self):
        import ssl
        import urllib.error
        import urllib.request
        try:
            context = ssl.create_default_context(cafile=str(self.ca)) if self.ca else None
            return urllib.request.urlopen(f"{self.endpoint}/minio/health/cluster", timeout=2, context=context).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def settings(self, prefix="archive"):
        return {"WALG_S3_PREFIX": f"s3://{self.bucket}/{prefix}", "AWS_ENDPOINT": self.endpoint, "AWS_S3_FORCE_PATH_STYLE": "true", "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret}


class Rgw:
    """Ceph's RADOS gateway with one monitor and one OSD in memory. `tls`: with a certificate of our own."""
    access, secret, bucket = "walgd-tests", "walgd-tests-secret", "walgd"

    def __init__(self, scratch, tls=False, gateway="", prepare=None):
        """`gateway`: further lines of its configuration; `prepare(self)` runs before the gateway starts."""
        self.scratch, self.tls, self.gateway, self.prepare = scratch, tls, gateway, prepare
        # A Ceph that starts on a loaded machine may never get its first pool ready: then it is begun anew.
        for attempt in range(3):
            self.processes = []
            try:
                self.launch(tls)
                return
            except (subprocess.TimeoutExpired, AssertionError):
                if attempt == 2:
                    raise
                for process in self.processes:
                    process.kill()
                    process.wait()

    def launch(self, tls):
        scratch = self.scratch
        self.folder = scratch.path / f"rgw{free_port()}"
        for name in ("mon", "osd", "run", "log"):
            (self.folder / name).mkdir(parents=True)
        self.port = free_port()
        monitor = free_port()
        scheme = f"endpoint=127.0.0.1:{self.port}"
        self.ca = None
        if tls:
            certificate, key = make_certificate(self.folder, scratch.log)
            self.ca = self.folder / "server.pem"
            self.ca.write_bytes(certificate.read_bytes() + key.read_bytes())
            scheme = f"ssl_endpoint=127.0.0.1:{self.port} ssl_certificate={self.ca}"
        fsid = str(uuid.uuid4())
        self.conf = self.folder / "ceph.conf"
        self.conf.write_text(f"""[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{monitor}
public network = 127.0.0.0/8
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
osd objectstore = memstore
memstore device bytes = 8589934592
log file = {self.folder}/log/$name.log
run dir = {self.folder}/run
admin socket = {self.folder}/run/$name.asok
pid file = {self.folder}/run/$name.pid
[mon.a]
mon data = {self.folder}/mon
[osd.0]
osd data = {self.folder}/osd
[client.rgw]
rgw frontends = beast {scheme}
{self.gateway}
""")
        # Ceph's daemons run as whoever starts them; root is fine for them.
        self.ceph("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v1:127.0.0.1:{monitor}]", self.folder / "monmap")
        self.ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", self.folder / "monmap")
        self.spawn("ceph-mon", "-f", "-i", "a")
        osd = str(uuid.uuid4())
        self.ceph("ceph", "osd", "new", osd)
        self.ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.start_osd()
        self.ceph("radosgw-admin", "user", "create", "--uid=walgd", "--display-name=walgd", f"--access-key={self.access}", f"--secret-key={self.secret}")
        if self.prepare:
            self.prepare(self)
        self.spawn("radosgw", "-f", "-n", "client.rgw")
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        until("the RADOS gateway", self.answers, 120, 0.2)
        self.make_bucket()

    def start_osd(self):
        """An OSD now and then speaks before it knows which cluster it is of ("wrong fsid"), and ends: then it is started again."""
        osd = self.spawn("ceph-osd", "-f", "-i", "0")

        def is_up():
            nonlocal osd
            if osd.poll() is not None:
                osd = self.spawn("ceph-osd", "-f", "-i", "0")
            return "osd.0 up" in self.ceph("ceph", "osd", "dump", output=subprocess.PIPE).stdout.decode()
        until("the OSD", is_up, 60, 0.2)

    def environment(self):
        return {**os.environ, "CEPH_CONF": str(self.conf), "CEPH_ARGS": ""}

    def ceph(self, *command, output=None):
        """`ceph` now and then asks before it knows which cluster it is of, and is turned away: then it asks again."""
        for tries_left in reversed(range(20 if command[0] == "ceph" else 1)):
            result = subprocess.run([str(word) for word in command], env=self.environment(), check=tries_left == 0, timeout=60, stdout=output or self.scratch.log,
                                    stderr=self.scratch.log)
            if result.returncode == 0:
                return result

    def spawn(self, *command):
        process = subprocess.Popen([str(word) for word in command], env=self.environment(), stdin=subprocess.DEVNULL, stdout=self.scratch.log, stderr=self.scratch.log)
        self.processes.append(process)
        self.scratch.stack.callback(stop, process, signal.SIGKILL)
        return process

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def make_bucket(self):
        signed_put(self.endpoint, f"/{self.bucket}", self.access, self.secret, self.ca)

    def settings(self, prefix="archive"):
        settings = {"WALG_S3_PREFIX": f"s3://{self.bucket}/{prefix}", "AWS_ENDPOINT": self.endpoint, "AWS_S3_FORCE_PATH_STYLE": "true", "AWS_REGION": "us-east-1",
                    "AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret}
        if self.tls:
            settings["WALG_S3_CA_CERT_FILE"] = str(self.folder / "public.crt")
        return settings


def signed_put(endpoint, path, access, secret, ca=None):
    """How the tests make a bucket (walgd never does)."""
    status, _ = signed_request("PUT", endpoint, path, access, secret, ca)
    assert status == 200, status


def signed_request(method, endpoint, path, access, secret, ca=None, headers=None, region="us-east-1", body=b""):
    """One request, with signature version 4, made by nothing of ours: status and headers of the answer."""
    import ssl
    import urllib.error
    import urllib.request
    signed = {"host": endpoint.split("://")[1], "x-amz-date": s3_signing.stamp(), "x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
    signed["Authorization"] = s3_signing.authorization(method, path, signed, access, secret, region=region)
    request = urllib.request.Request(endpoint + path, method=method, data=body if method == "PUT" else None, headers={**(headers or {}), **signed})
    context = ssl.create_default_context(cafile=str(ca)) if ca else None
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


class TestCase(unittest.TestCase):
    """A test with a scratch folder of its own; on failure it shows the end of its log."""

    def setUp(self):
        self.scratch = Scratch()
        self.addCleanup(self.clean)

    def clean(self):
        outcome = getattr(self, "_outcome", None)
        failed = outcome is not None and not outcome.success
        if failed:
            self.scratch.log.flush()
            print("--- end of the log\n" + (self.scratch.path / "log").read_text(errors="replace")[-4000:])
        self.scratch.close(failed)

    def open_terminal(self):
        """Both ends of a pseudo-terminal: the person's, and the program's."""
        try:
            return pty.openpty()
        except OSError as error:
            reason = f"{error}: is devpts mounted at /dev/pts? A folder with the machine's /dev needs /dev/pts too"
            if os.environ.get("CI"):
                self.fail(reason)
            self.skipTest(reason)

    def store(self):
        folder = self.scratch.folder("store")
        return folder, {"WALG_FILE_PREFIX": str(folder)}

    def sentinels(self):
        """The names of the base backups' sentinels in self.folder, in their order."""
        folder = self.folder / "basebackups_005"
        return sorted(path.name for path in folder.glob("*_sentinel.json")) if folder.exists() else []


def manifest_of(folder):
    """type, mode, size, sha256, path of everything below a folder, as tests/golden's manifests have it."""
    lines = []
    root = pathlib.Path(folder)
    for path in [root, *sorted(root.rglob("*"))]:
        stat = path.lstat()
        name = "." if path == root else str(path.relative_to(root))
        mode = f"{stat.st_mode & 0o7777:04o}"
        if path.is_symlink():
            lines.append(("l", mode, 0, os.readlink(path), name))
        elif path.is_dir():
            lines.append(("d", mode, 0, "", name))
        else:
            lines.append(("f", mode, stat.st_size, hashlib.sha256(path.read_bytes()).hexdigest(), name))
    return lines
