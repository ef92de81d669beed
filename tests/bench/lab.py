"""What all subjects share: one cluster, one set of segments, one S3 server, one folder for scratch."""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

from network import Delay, free_port, wait_for_port

PG_SETTINGS = """wal_level = replica
max_wal_size = 64GB
min_wal_size = 1GB
checkpoint_timeout = 1h
wal_keep_size = 8GB
shared_buffers = 1GB
synchronous_commit = off
fsync = off
archive_mode = off
max_wal_senders = 10
"""
# Less regular than pgbench's filler: hashes, words, numbers; about 500 bytes a row.
MIXED_TABLE = """create table mix as select g id, md5(g::text) h, md5((g*7)::text)||md5((g*11)::text) k, repeat(chr(97+g%26)||(g%977)::text||' ', 20) w,
    random() r, now()+g*interval '1s' t from generate_series(1,{rows}) g; create index on mix(id); create index on mix(h)"""
SEGMENT_NAME = re.compile("[0-9A-F]{24}")


def as_postgres(command):
    """The command run as user postgres when we are root."""
    command = [str(word) for word in command]
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", *command] if os.getuid() == 0 else command


def own(path):
    """Gives it to user postgres when we are root."""
    if os.getuid() == 0:
        subprocess.check_call(["chown", "-R", "postgres:postgres", str(path)])


def tree_bytes(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.exists() else 0


class Cluster:
    """A PostgreSQL server in a folder, reached by a socket beside it; made when it is not there."""

    def __init__(self, folder, data, port, log, settings=PG_SETTINGS):
        self.folder, self.data, self.port, self.log = folder, data, port, log
        self.programs = pathlib.Path(os.environ.get("PGBIN") or subprocess.check_output(["pg_config", "--bindir"], text=True).strip())
        self.made = not (data / "PG_VERSION").exists()
        if self.made:
            data.mkdir()
            own(data)
            self.run(self.programs / "initdb", "-D", data, "--data-checksums", "-E", "UTF8", "--no-locale", "-A", "trust")
            with open(data / "postgresql.auto.conf", "a") as conf:
                conf.write(f"port = {port}\nunix_socket_directories = '{folder}'\nlisten_addresses = ''\n{settings}")
        self.start()

    def run(self, *command):
        subprocess.check_call(as_postgres(command), stdout=self.log, stderr=self.log, cwd="/")

    def start(self):
        if not (self.data / "postmaster.pid").exists():
            self.run(self.programs / "pg_ctl", "-D", self.data, "-w", "-l", self.folder / "pg.log", "start")

    def stop(self):
        if (self.data / "postmaster.pid").exists():
            self.run(self.programs / "pg_ctl", "-D", self.data, "-w", "-m", "fast", "stop")

    def psql(self, query):
        command = ["psql", "-h", self.folder, "-p", self.port, "-v", "ON_ERROR_STOP=1", "-XAtc", query, "postgres"]
        return subprocess.check_output(as_postgres(command), text=True, cwd="/").strip()

    def pgbench(self, *words):
        self.run("pgbench", "-h", self.folder, "-p", self.port, *words, "postgres")

    def finished_segments(self):
        """Names in pg_wal that PostgreSQL writes no more, in order."""
        current = self.psql("select pg_walfile_name(pg_current_wal_lsn())")
        return sorted(name for name in os.listdir(self.data / "pg_wal") if SEGMENT_NAME.fullmatch(name) and name < current)


class ObjectServer:
    """MinIO with bucket "bench", at first empty."""

    def __init__(self, folder, log):
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "bench").mkdir(parents=True)
        self.port = free_port()
        env = dict(os.environ, MINIO_ROOT_USER="minioadmin", MINIO_ROOT_PASSWORD="minioadmin", MINIO_BROWSER="off", MINIO_UPDATE="off",
                   MINIO_PROMETHEUS_AUTH_TYPE="public")
        command = [os.environ["MINIO"], "server", "--quiet", "--address", f"127.0.0.1:{self.port}", str(folder)]
        self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        wait_for_port(self.port, self.process)
        while self.get("/minio/health/ready")[0] != 200:
            time.sleep(0.05)
        self.markers, self.counted = 0, {}

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, ""

    def requests(self):
        """Requests by API since the last call. MinIO's figures are up to 10 s old: they are read until a request of ours is among them, of an API that no
        subject uses."""
        self.get("/bench?tagging")
        self.markers += 1
        totals = {}
        while totals.get("getbuckettagging") != self.markers:
            time.sleep(0.25)
            found = re.findall(r'^minio_s3_requests_total\{api="(\w+)"[^}]*\} (\d+)', self.get("/minio/v2/metrics/cluster")[1], re.M)
            totals = {api: int(count) for api, count in found}
        since = {api: count - self.counted.get(api, 0) for api, count in totals.items() if api != "getbuckettagging"}
        self.counted = totals
        return {api: count for api, count in since.items() if count}

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Lab:
    def __init__(self, chosen):
        self.chosen = chosen
        self.folder = pathlib.Path(chosen.dir).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o777)
        self.scratch = self.folder / "scratch"
        self.scratch.mkdir(exist_ok=True)
        self.scratch.chmod(0o777)
        self.log = open(self.folder / "bench.log", "ab")
        self.segments = self.folder / "segments"
        self.folders = self.folder / "restored"
        shutil.rmtree(self.folders, ignore_errors=True)
        self.programs = pathlib.Path(os.environ.get("BENCH_DIR") or os.environ.get("WALGD_DIR") or ".")
        self.cluster = Cluster(self.folder, self.folder / "pgdata", 54876, self.log)
        self.objects = self.delay = None
        if self.cluster.made:
            self.fill()
        if not self.segments.exists():
            self.keep_segments()

    def fill(self):
        cluster, rows = self.cluster, self.chosen.scale * 30000
        cluster.pgbench("-i", "-q", "-s", self.chosen.scale)
        cluster.psql(MIXED_TABLE.format(rows=rows))
        cluster.psql("checkpoint")
        while len(cluster.finished_segments()) < self.chosen.segments + 130:
            cluster.pgbench("-c", "4", "-T", "10")
            cluster.psql("checkpoint")
        cluster.psql("select pg_switch_wal()")

    def keep_segments(self):
        self.segments.mkdir()
        for name in self.cluster.finished_segments()[-self.chosen.segments:]:
            shutil.copyfile(self.cluster.data / "pg_wal" / name, self.segments / name)
        own(self.segments)

    def program(self, name):
        """One of the benchmark's own programs."""
        path = self.programs / name
        if not path.exists():
            raise RuntimeError(f"{path} is not there: cmake --build the target bench_programs, and name its folder in BENCH_DIR (or WALGD_DIR)")
        return path

    def segment_names(self, limit=None):
        return sorted(os.listdir(self.segments))[:limit]

    def s3_port(self):
        return self.delay.port if self.delay else 0

    def set_delay(self, round_trip_ms):
        """Starts the S3 server at the first call."""
        if not self.objects:
            self.objects = ObjectServer(self.folder / "s3", self.log)
        self.end_delay()
        self.delay = Delay(self.objects.port, round_trip_ms, self.program("bench_delay") if round_trip_ms else None, self.log)

    def end_delay(self):
        if self.delay:
            self.delay.close()
        self.delay = None

    def stop(self):
        self.end_delay()
        if self.objects:
            self.objects.stop()
        self.cluster.stop()
        shutil.rmtree(self.folders, ignore_errors=True)

    @contextlib.contextmanager
    def many_files(self, count):
        """While it is entered, the cluster is another one: empty, but for so many relations of one page in its database."""
        usual = self.cluster
        self.cluster = Cluster(self.folder, self.folder / "pgdata_files", usual.port + 1, self.log)
        try:
            if self.cluster.made:
                database = self.cluster.data / "base" / self.cluster.psql("select oid from pg_database where datname = 'postgres'")
                for number in range(count):
                    (database / str(1_000_000 + number)).write_bytes(bytes(8192))
                own(database)
            yield
        finally:
            self.cluster.stop()
            self.cluster = usual

    def new_folder(self):
        """An empty one. They go at the end of the run: for minutes ext4 steps over each inode that was freed, which costs more than what is measured."""
        self.folders.mkdir(mode=0o777, exist_ok=True)
        self.folders.chmod(0o777)
        folder = self.folders / str(len(os.listdir(self.folders)))
        folder.mkdir(mode=0o700)
        own(folder)
        return folder

    def empty_pgdata(self, name):
        """A folder that looks like PGDATA to an archiver, without WAL."""
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "pg_wal/archive_status").mkdir(parents=True)
        shutil.copytree(self.cluster.data / "global", folder / "global")
        shutil.copyfile(self.cluster.data / "PG_VERSION", folder / "PG_VERSION")
        own(folder)
        folder.chmod(0o700)
        return folder

    def pgdata_with_segments(self, name):
        """The same with the segments in pg_wal; none of them waits to be archived."""
        folder = self.empty_pgdata(name)
        for segment in self.segment_names():
            os.link(self.segments / segment, folder / "pg_wal" / segment)
        return folder
