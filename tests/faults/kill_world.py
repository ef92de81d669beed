"""What kill_commands.py kills programs in: one archive with chains of backups, made once; copies of it; and the judge of what a kill left."""
import json
import os
import shutil
import signal
import subprocess

from support import Traced
from harness import Cluster, Walgd, manifest_of, start

STATE = "walgd-restore.state"  # a restore's own note in the folder it restores into
COMMON = {"WALG_COMPRESSION_METHOD": "zstd", "WALG_DELTA_MAX_STEPS": "5", "WALGD_STORAGE_DEADLINE": "20s", "WALG_TAR_DISABLE_FSYNC": "true"}
AS_POSTGRES = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}


class World:
    """A cluster that runs and archives into the storage `live`, in which there are two chains of a full backup and a delta."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.tmp = scratch.folder("tmp")
        self.out = open(scratch.path / "answers", "ab")
        self.live = scratch.folder("live")
        self.settings = {**COMMON, "WALG_FILE_PREFIX": str(self.live), "TMPDIR": str(self.tmp)}
        self.cluster = Cluster(scratch, 15, "data", segment_mb=1, extra="wal_keep_size = 512MB\n")
        self.archiver = Walgd(scratch, self.settings, self.cluster).start()
        self.cluster.archive_with(self.archiver.archive_command())
        self.cluster.start()
        self.cluster.psql("create table numbers as select n, md5(n::text) m from generate_series(1, 20000) n")
        for options in (["-f"], [], ["-f"], []):
            self.backup(*options)
        self.rest = scratch.path / "rest"
        self.copy(self.live, self.rest)
        self.checksum = self.cluster.checksum()

    def backup(self, *options):
        self.cluster.psql("update numbers set m = md5(m) where n % 7 = 0; insert into numbers select n, '' from generate_series(1, 3000) n")
        self.cluster.switch()
        self.archiver.walg("backup-push", *options, self.cluster.data)
        self.cluster.psql("insert into numbers values (0, 'behind the backup')")
        self.cluster.switch()

    def copy(self, source, target):
        """A folder as it is, times and owners too, in place of what was there."""
        shutil.rmtree(target, ignore_errors=True)
        subprocess.check_call(["cp", "-a", "--", str(source), str(target)])
        return target

    def alone(self, settings=None, cluster=None):
        """walg where no daemon listens."""
        return Walgd(self.scratch, settings or self.settings, cluster)

    def store(self, name="store"):
        """A copy of the archive, which nobody writes into, and walg for it."""
        folder = self.copy(self.rest, self.scratch.path / name)
        return folder, self.alone({**self.settings, "WALG_FILE_PREFIX": str(folder)})

    # --- a program that is killed

    def killed(self, walgd, words, point):
        """walg with these words, killed at its writing call `point`."""
        traced = Traced(point, writing=True)
        process = traced.start([self.scratch.bin / "walg", *words], stdout=self.out, stderr=self.out, env=walgd.env, cwd="/", **AS_POSTGRES)
        traced.run_until_end_of(process.pid)
        process.returncode = traced.ended[process.pid]
        return process.returncode, traced

    def daemon_killed(self, daemon, command, point):
        """The daemon of a command killed at its writing call `point` since the command began; at its end where it gets through."""
        traced = Traced(point, writing=True)
        traced.attach(daemon.process.pid)
        client = start(command, self.out, env=daemon.env)
        traced.run_until_end_of(client.pid)
        client.returncode = traced.ended[client.pid]
        if daemon.process.pid not in traced.ended:
            os.kill(daemon.process.pid, signal.SIGKILL)
            traced.run_until_end_of(daemon.process.pid)
        daemon.process.returncode = traced.ended[daemon.process.pid]
        return client.returncode, traced

    # --- what must hold

    def names(self, walgd, listing="backup-list"):
        listed = walgd.walg(listing, "--json").stdout
        return [item["backup_name"] for item in json.loads(listed)] if listed.strip().startswith("[") else []

    def check_sound(self, walgd):
        """All that is listed can be read back as a restore would, with what it is based on and its WAL."""
        if self.names(walgd):
            result = walgd.walg("verify", "--json", check=False)
            assert result.returncode == 0, f"walg verify: {result.stdout}\n{result.stderr}"

    def check_restores(self, walgd, backup, checksum=None):
        """PostgreSQL starts from the backup and recovers to the end of the archive."""
        target = self.scratch.path / "restored"
        shutil.rmtree(target, ignore_errors=True)
        walgd.walg("backup-fetch", target, backup)
        restored = Cluster(self.scratch, 15, target.name, initdb=False, env={**walgd.env, "PATH": "/usr/bin:/bin"})
        restored.recover_from(walgd.restore_command())
        restored.start()
        restored.wait_until_writable()
        found = restored.checksum()
        restored.stop("immediate")
        shutil.rmtree(target)
        assert found == (checksum or self.checksum), f"{backup} restores to something else:\n{found}\nnot\n{checksum or self.checksum}"

    def check_only_listed(self, walgd, folder, listing="backup-list", place="basebackups_005"):
        """Of base backups the storage has those that are listed, and nothing that none of them owns."""
        listed = set(self.names(walgd, listing))
        # A folder that is left empty is no object.
        paths = [path.relative_to(folder / place) for path in (folder / place).rglob("*") if path.is_file()]
        there = {path.parts[0].removesuffix("_backup_stop_sentinel.json") for path in paths}
        assert there == listed, f"left in {place}: {sorted(there - listed)}, missing: {sorted(listed - there)}"

    def age(self, folder):
        """What dangles may be a backup that is being taken: it is garbage when it is a day old."""
        for place in ("basebackups_005", "walgd_005/jobs"):
            for path in (folder / place).rglob("*"):
                os.utime(path, (1e9, 1e9))

    def check_garbage_goes(self, walgd, folder):
        self.age(folder)
        walgd.walg("delete", "garbage", "BACKUPS", "--confirm")
        self.check_only_listed(walgd, folder)

    def check_no_leftovers(self, walgd, folder, *place):
        """The same, and nothing says that one is being taken."""
        self.check_only_listed(walgd, folder, *place)
        jobs = folder / "walgd_005/jobs"
        assert not jobs.exists() or not os.listdir(jobs), os.listdir(jobs)

    def check_tmp(self):
        left = os.listdir(self.tmp)
        assert not left, f"files of killed programs stay in TMPDIR: {left}"

    def refuses_to_start(self, data):
        """PostgreSQL, asked to start on the folder as it is, ends with an error by itself."""
        if not data.exists():
            return True
        sockets = self.scratch.path / "refused"
        sockets.mkdir(exist_ok=True)
        self.scratch.own(sockets)
        server = start([self.cluster.programs / "postgres", "-D", data, "-c", "listen_addresses=", "-c", f"unix_socket_directories={sockets}"], self.out)
        try:
            return server.wait(20) != 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGQUIT)
                server.wait()

    def manifest(self, folder):
        """Names, modes, contents; not what a restore keeps for itself, nor the folder's own mode."""
        return [line for line in manifest_of(folder) if not line[-1].startswith(STATE)]


def objects(folder, without=("walgd_005",)):
    """path: content, of a file storage."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.relative_to(folder).parts[0] in without}


def difference(found, wanted):
    """Of two dictionaries or lists of tuples, what tells them apart, short."""
    found, wanted = (set(one.items()) if isinstance(one, dict) else set(one) for one in (found, wanted))
    return f"more: {sorted(str(one)[:200] for one in found - wanted)[:6]}, missing: {sorted(str(one)[:200] for one in wanted - found)[:6]}"
