"""The archivers that are compared. Each is driven as its users drive it; those whose program is not named in the environment are left out."""
import os
import shutil
import signal
import subprocess
import time

from lab import as_postgres, own, tree_bytes
from measure import process_tree


class Subject:
    """`daemon` is the process of those that have one, between start() and stop()."""
    name = ""
    program = None
    storages = ("s3", "file")
    backs_up = True
    unsynced = None  # settings by which a restore does without fsync, which it else does
    daemon = None

    def __init__(self, lab, storage):
        self.lab, self.storage = lab, storage
        self.file_name = self.name.replace(" ", "_")

    def env(self):
        settings = {
            "PATH": os.environ["PATH"], "HOME": "/tmp", "PGHOST": str(self.lab.folder), "PGPORT": str(self.lab.cluster.port), "PGUSER": "postgres",
            "PGDATABASE": "postgres", "WALG_COMPRESSION_METHOD": self.lab.chosen.codec, "WALG_UPLOAD_CONCURRENCY": "4", "WALG_DOWNLOAD_CONCURRENCY": "4",
            "WALG_UPLOAD_DISK_CONCURRENCY": "2", "WALG_LOG_LEVEL": "NORMAL", "TOTAL_BG_UPLOADED_LIMIT": "32"}
        if self.storage == "file":
            folder = self.store()
            folder.mkdir(parents=True, exist_ok=True)
            own(self.lab.folder / "file")
            return dict(settings, WALG_FILE_PREFIX=str(folder))
        return dict(settings, WALG_S3_PREFIX=f"s3://bench/{self.file_name}", AWS_ACCESS_KEY_ID="minioadmin", AWS_SECRET_ACCESS_KEY="minioadmin",
                    AWS_REGION="us-east-1", AWS_S3_FORCE_PATH_STYLE="true", AWS_ENDPOINT=f"http://127.0.0.1:{self.lab.s3_port()}")

    def env_for(self, pgdata):
        return dict(self.env(), PGDATA=str(pgdata))

    def store(self):
        """Where what it stores ends up: a folder of ours, or of MinIO."""
        return self.lab.folder / ("file" if self.storage == "file" else "s3/bench") / self.file_name

    def stored_mib(self):
        return tree_bytes(self.store()) / 2**20

    def empty_store(self):
        shutil.rmtree(self.store(), ignore_errors=True)

    def empty_store_of_wal(self):
        """While the daemon runs: its objects go, their folder stays."""
        for stored in (self.store() / "wal_005").iterdir():
            shutil.rmtree(stored) if stored.is_dir() else stored.unlink()  # MinIO keeps a folder for each object

    def start(self, pgdata):
        """Starts the daemon, or does what must be done once before the first command."""

    def spawn(self, command, env, socket):
        """Starts `command` and waits for its socket."""
        if os.path.exists(socket):
            os.unlink(socket)
        self.daemon = subprocess.Popen(as_postgres(command), env=env, stdout=self.lab.log, stderr=self.lab.log, stdin=subprocess.DEVNULL, cwd="/")
        deadline = time.monotonic() + 10
        while not os.path.exists(socket):
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} opened no socket; bench.log has its words")
            time.sleep(0.05)
        time.sleep(0.3)  # what it does at start is over, and not counted

    def stop(self):
        if not self.daemon:
            return
        for process in reversed(process_tree(self.daemon.pid)):
            try:
                os.kill(process, signal.SIGTERM)
            except OSError:
                pass
        try:
            self.daemon.wait(20)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        self.daemon = None


NO_FSYNC = {"WALG_TAR_DISABLE_FSYNC": "true"}


class WalG(Subject):
    name, program, unsynced = "wal-g", os.environ.get("WALG"), NO_FSYNC

    def push(self, pgdata):
        return f'{self.program} wal-push "%p"'

    def fetch(self, pgdata):
        return f'{self.program} wal-fetch "%f" "%p"'

    def full(self):
        return [self.program, "backup-push", "--full", self.lab.cluster.data], self.env_for(self.lab.cluster.data)

    def delta(self):
        return [self.program, "backup-push", self.lab.cluster.data], dict(self.env_for(self.lab.cluster.data), WALG_DELTA_MAX_STEPS="5")

    def restore(self, to):
        return [self.program, "backup-fetch", to, "LATEST"], self.env_for(to)


class WalGDaemon(WalG):
    name, backs_up = "wal-g daemon", False
    client = os.environ.get("WALG_CLIENT")

    def start(self, pgdata):
        self.socket = f"{self.lab.scratch}/walg.sock"
        self.spawn([self.program, "daemon", self.socket], self.env_for(pgdata), self.socket)

    def push(self, pgdata):
        return f'{self.client} {self.socket} wal-push "%f"'

    def fetch(self, pgdata):
        return f'{self.client} {self.socket} wal-fetch "%f" "%p"'


class Walrus(WalG):
    name, program = "walrus", os.environ.get("WALRUS")


class WalrusDaemon(Walrus):
    name, backs_up = "walrus daemon", False

    def start(self, pgdata):
        self.socket = f"{self.lab.scratch}/walrus.sock"
        self.spawn([self.program, "daemon", self.socket], self.env_for(pgdata), self.socket)

    def push(self, pgdata):
        return f'{self.program} daemon-client --socket {self.socket} wal-push "{pgdata}/%p"'

    def fetch(self, pgdata):
        return f'{self.program} daemon-client --socket {self.socket} wal-fetch "%f" "{pgdata}/%p"'


class PgBackRest(Subject):
    name, program = "pgbackrest", os.environ.get("PGBACKREST") or shutil.which("pgbackrest")
    storages = ("file",)  # its S3 wants TLS
    asynchronous = False

    def env_for(self, pgdata):
        return {"PATH": os.environ["PATH"], "HOME": "/tmp"}

    def conf(self, pgdata):
        spool, codec = self.lab.scratch / "spool", self.lab.chosen.codec
        for folder in (self.store(), spool):
            folder.mkdir(parents=True, exist_ok=True)
            own(folder)
        conf = self.lab.scratch / f"{self.file_name}.conf"
        conf.write_text(f"""[global]
repo1-path={self.store()}
log-level-console=warn
log-level-file=off
process-max=2
compress-type={"zst" if codec == "zstd" else codec}
compress-level={1 if codec == "lz4" else 3}
spool-path={spool}
lock-path={spool}/lock
archive-check=n
start-fast=y
archive-async={"y" if self.asynchronous else "n"}
[main]
pg1-path={pgdata}
pg1-port={self.lab.cluster.port}
pg1-socket-path={self.lab.folder}
pg1-user=postgres
""")
        return [self.program, "--config", conf, "--stanza", "main"]

    def start(self, pgdata):
        shutil.rmtree(self.lab.scratch / "spool", ignore_errors=True)  # its answers of an earlier lane
        subprocess.check_call(as_postgres([*self.conf(pgdata), "--no-online", "stanza-create"]), stdout=self.lab.log, stderr=self.lab.log,
                              env=self.env_for(pgdata), cwd="/")

    def command_line(self, pgdata, words):
        return " ".join(str(word) for word in self.conf(pgdata)) + " " + words

    def push(self, pgdata):
        return self.command_line(pgdata, 'archive-push "%p"')

    def fetch(self, pgdata):
        return self.command_line(pgdata, 'archive-get "%f" "%p"')

    def full(self):
        self.start(self.lab.cluster.data)  # once for each cluster; again it changes nothing
        return [*self.conf(self.lab.cluster.data), "--type=full", "backup"], self.env_for(None)

    def delta(self):
        return [*self.conf(self.lab.cluster.data), "--type=incr", "backup"], self.env_for(None)

    def restore(self, to):
        return [*self.conf(self.lab.cluster.data), f"--pg1-path={to}", "restore"], self.env_for(None)


class PgBackRestAsync(PgBackRest):
    name, asynchronous, backs_up = "pgbackrest async", True, False


class Walgd(Subject):
    """walgd with its shims; settings have the same names as WAL-G's."""
    name, program, unsynced = "walgd", os.environ.get("WALGD_DIR"), NO_FSYNC

    def env_for(self, pgdata):
        return dict(self.env(), PGDATA=str(pgdata), WALGD_SOCKET=self.socket())

    def socket(self):
        return f"{self.lab.scratch}/walgd.sock"

    def start(self, pgdata, **settings):
        self.spawn([f"{self.program}/walgd"], dict(self.env_for(pgdata), **settings), self.socket())

    def push(self, pgdata):
        return f'{self.program}/walg-push "%p"'

    def fetch(self, pgdata):
        return f'{self.program}/walg-fetch "%f" "%p"'

    def full(self):
        return [f"{self.program}/walg", "backup-push", "--full", self.lab.cluster.data], self.env_for(self.lab.cluster.data)

    def delta(self):
        return [f"{self.program}/walg", "backup-push", self.lab.cluster.data], dict(self.env_for(self.lab.cluster.data), WALG_DELTA_MAX_STEPS="5")

    def restore(self, to):
        return [f"{self.program}/walg", "backup-fetch", to, "LATEST"], self.env_for(to)


ALL = (WalG, WalGDaemon, Walrus, WalrusDaemon, PgBackRest, PgBackRestAsync, Walgd)


def chosen(names):
    """Those of the names ("all", or a list with commas) whose program is given."""
    wanted = None if names == "all" else names.split(",")
    unknown = set(wanted or ()) - {subject.name for subject in ALL}
    if unknown:
        raise SystemExit(f"no subject is called {', '.join(sorted(unknown))}; there are: {', '.join(subject.name for subject in ALL)}")
    return [subject for subject in ALL if subject.program and (wanted is None or subject.name in wanted)]
