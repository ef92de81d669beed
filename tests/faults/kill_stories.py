"""The commands that kill_commands.py kills, each a story: what is killed, what must hold then, and that the same command completes."""
import os
import shutil
import signal
import struct
import threading
import time

from support import Traced
from harness import Cluster, Walgd, run, start, until
from kill_world import AS_POSTGRES, difference, objects


class Story:
    def __init__(self, world):
        self.world, self.scratch = world, world.scratch

    def point(self, at):
        """The command killed at its writing call `at`, and all that must hold afterwards. Returns the trace."""
        raise NotImplementedError


class Push(Story):
    """A backup: nothing half-made is listed, the next one works and restores, and what the killed one left is gone by then."""

    def __init__(self, world, *words, daemon=False, remote=False):
        super().__init__(world)
        self.walgd = world.alone(cluster=world.cluster)
        self.daemon = Walgd(self.scratch, world.settings, world.cluster) if daemon else None
        self.words = ["backup-push", *words, *([] if remote else [world.cluster.data])]
        if remote:
            del self.walgd.env["PGDATA"]

    def push_killed(self, at):
        if not self.daemon:
            return self.world.killed(self.walgd, self.words, at)
        self.daemon.start()
        return self.world.daemon_killed(self.daemon, [self.scratch.bin / "walg", *self.words], at)

    def again(self):
        if not self.daemon:
            self.walgd.walg(*self.words)
            return
        self.daemon.start()
        self.daemon.walg(*self.words)
        self.daemon.kill()

    def point(self, at):
        world, walgd = self.world, self.walgd
        before = world.names(walgd)
        code, traced = self.push_killed(at)
        listed = world.names(walgd)
        assert listed[:len(before)] == before and len(listed) <= len(before) + 1, f"listed: {listed}, before: {before}"
        assert traced.killed or code == 0, f"nobody was killed, and the exit code is {code}"
        assert code != 0 or len(listed) == len(before) + 1, "exit code 0 without a backup"
        world.check_sound(walgd)
        if at % 2:
            world.check_garbage_goes(walgd, world.live)
        world.cluster.psql("insert into numbers values (1, 'after the kill')")
        world.cluster.switch()
        self.again()
        world.check_no_leftovers(walgd, world.live)
        newest = world.names(walgd)[-1]
        assert newest not in listed, "the next backup is not there"
        world.check_restores(walgd, newest, world.cluster.checksum())
        for name in reversed(world.names(walgd)[len(before):]):
            walgd.walg("delete", "target", name, "--confirm")
        return traced


class Fetch(Story):
    """A restore: until it is whole PostgreSQL refuses to start, and the same command ends as if nothing had happened."""
    begins_with = None         # a copy of this folder is what it is made in
    refused = "must be empty"  # what a further run says where one had come to its end

    def __init__(self, world, walgd=None, backup="LATEST"):
        super().__init__(world)
        self.walgd, self.backup = walgd or world.store("fetched-from")[1], backup
        self.target = self.scratch.path / "fetched"
        self.prepare()
        run([self.scratch.bin / "walg", *self.words()], env=self.walgd.env)
        self.reference = world.manifest(self.target)

    def words(self):
        return ["backup-fetch", self.target, "LATEST"]

    def prepare(self):
        shutil.rmtree(self.target, ignore_errors=True)
        if self.begins_with:
            self.world.copy(self.begins_with, self.target)

    def differs(self):
        return difference(self.world.manifest(self.target), self.reference)

    def whole(self):
        return self.target.exists() and self.world.manifest(self.target) == self.reference

    def untouched(self):
        """Killed before it began with the cluster that was there."""
        return self.begins_with and self.world.manifest(self.target) == self.world.manifest(self.begins_with)

    def point(self, at):
        self.prepare()
        code, traced = self.world.killed(self.walgd, self.words(), at)
        assert traced.killed or code == 0, f"nobody was killed, and the exit code is {code}"
        assert code != 0 or self.whole(), f"exit code 0: {self.differs()}"
        if (self.target / "global/pg_control").exists():
            assert self.whole() or self.untouched(), f"PostgreSQL would start on it: {self.differs()}"
        else:
            assert self.world.refuses_to_start(self.target), "PostgreSQL started on half a restore"
        again = self.walgd.walg(*self.words(), check=False)
        assert again.returncode == 0 or self.ended_before(again), f"the second run: {again.stderr}"
        assert self.whole(), self.differs()
        assert not [name for name in os.listdir(self.target) if "walgd" in name], os.listdir(self.target)
        return traced

    def ended_before(self, again):
        """A restore that had come to its end is not taken for an unfinished one."""
        return self.refused in again.stderr and self.whole()


class Restore(Fetch):
    def words(self):
        return ["restore", self.target, "--target-immediate"]


class InPlace(Fetch):
    """Onto a cluster of the same system that went its own way."""

    def __init__(self, world):
        self.begins_with = own_way(world)
        super().__init__(world)

    def words(self):
        return ["backup-fetch", "--in-place", self.target, "LATEST"]


def own_way(world, name="own-way"):
    """The oldest backup, recovered, written to, stopped."""
    data = world.scratch.path / name
    if not data.exists():
        recovered(world, name).stop()
    return data


def recovered(world, name):
    """The oldest backup, recovered to the end of the archive on a new timeline, and written to."""
    _, walgd = world.store("recovered-from")
    walgd.walg("backup-fetch", world.scratch.path / name, world.names(walgd)[0])
    cluster = Cluster(world.scratch, 15, name, initdb=False, env={**walgd.env, "PATH": "/usr/bin:/bin"})
    cluster.configure("wal_keep_size = '512MB'")
    cluster.recover_from(walgd.restore_command())
    cluster.start()
    cluster.wait_until_writable()
    cluster.psql("create table own as select n from generate_series(1, 20000) n; delete from numbers where n % 3 = 0; checkpoint")
    return cluster


class Standby:
    """A stopped standby, and what the primary did since is in the archive as a catchup backup."""

    def __init__(self, world):
        _, walgd = world.store("standby-from")
        self.data = world.scratch.path / "standby"
        walgd.walg("backup-fetch", self.data, "LATEST")
        standby = Cluster(world.scratch, 15, "standby", initdb=False, env={**walgd.env, "PATH": "/usr/bin:/bin"})
        standby.configure(f"restore_command = '{walgd.restore_command()}'\narchive_mode = off")
        (self.data / "standby.signal").touch()
        world.scratch.own(self.data / "standby.signal")
        standby.start()
        until("the standby to have replayed the archive", lambda: standby.psql("select count(*) from numbers where n = 0", check=False) == "4")
        standby.psql("checkpoint")
        standby.stop()
        self.redo = struct.unpack_from("<Q", (self.data / "global/pg_control").read_bytes(), 40)[0]

    _made = None

    @classmethod
    def of(cls, world):
        cls._made = cls._made or cls(world)
        return cls._made


class CatchupPush(Story):
    def __init__(self, world):
        super().__init__(world)
        self.standby = Standby.of(world)
        self.walgd = world.alone(cluster=world.cluster)
        self.words = ["catchup-push", world.cluster.data, "--from-lsn", str(self.standby.redo)]

    def point(self, at):
        world, walgd = self.world, self.walgd
        before = world.names(walgd, "catchup-list")
        code, traced = world.killed(walgd, self.words, at)
        listed = world.names(walgd, "catchup-list")
        assert listed[:len(before)] == before and len(listed) <= len(before) + 1, f"listed: {listed}, before: {before}"
        assert traced.killed or code == 0, f"nobody was killed, and the exit code is {code}"
        assert code != 0 or len(listed) == len(before) + 1, "exit code 0 without a backup"
        world.cluster.psql("insert into numbers values (1, 'after the kill')")
        world.cluster.switch()
        walgd.walg(*self.words)
        world.check_no_leftovers(walgd, world.live, "catchup-list", "catchup_005")
        target = world.copy(self.standby.data, self.scratch.path / "caught-up")
        walgd.walg("catchup-fetch", target, world.names(walgd, "catchup-list")[-1])
        return traced


class CatchupFetch(Fetch):
    refused = "was no standby when it stopped"

    def __init__(self, world):
        standby = Standby.of(world)
        self.begins_with = standby.data
        world.cluster.psql("update numbers set m = 'caught up' where n % 50 = 0")
        world.cluster.switch()
        pushed = world.alone(cluster=world.cluster)
        pushed.walg("catchup-push", world.cluster.data, "--from-lsn", str(standby.redo))
        super().__init__(world, pushed, world.names(pushed, "catchup-list")[-1])

    def words(self):
        return ["catchup-fetch", self.target, self.backup]


class Delete(Story):
    """What is still listed restores, and the second run ends as one that was left alone."""

    def __init__(self, world, *words):
        super().__init__(world)
        self.words = ["delete", *words, "--confirm"]
        self.folder, self.walgd = self.archive()
        self.before = world.names(self.walgd)
        self.walgd.walg(*self.written_out())
        self.reference = objects(self.folder)

    def archive(self):
        return self.world.store("deleted-from")

    def written_out(self):
        return [word.format(*self.before) for word in self.words]

    def point(self, at):
        world = self.world
        self.folder, self.walgd = self.archive()
        code, traced = world.killed(self.walgd, self.written_out(), at)
        assert traced.killed or code == 0, f"nobody was killed, and the exit code is {code}"
        listed = world.names(self.walgd)
        assert [name for name in self.before if name in listed] == listed, listed
        world.check_sound(self.walgd)
        if listed:
            world.check_restores(self.walgd, listed[0])
        world.age(self.folder)
        self.complete()
        found = objects(self.folder)
        assert found == self.reference, difference(found, self.reference)
        return traced

    def complete(self):
        again = self.walgd.walg(*self.written_out(), check=False)
        assert again.returncode == 0, f"the second run: {again.stderr}"


class DeleteTarget(Delete):
    """The second run knows what is still listed: of a backup that the first took from the list the rest is garbage."""

    def complete(self):
        again = self.walgd.walg(*self.written_out(), check=False)
        assert again.returncode == 0 or self.written_out()[2] not in self.world.names(self.walgd), again.stderr
        self.world.check_garbage_goes(self.walgd, self.folder)


class DeleteGarbage(Delete):
    def archive(self):
        """With a backup that was never finished, and one that is gone with its WAL still there."""
        folder, walgd = super().archive()
        backups = folder / "basebackups_005"
        oldest = min(name for name in os.listdir(backups) if "_D_" not in name and "sentinel" not in name)
        for name in os.listdir(backups):
            if oldest.removeprefix("base_") in name.split("_D_")[-1] and "sentinel" in name:
                (backups / name).unlink()
        self.world.age(folder)
        return folder, walgd


class Mark(Delete):
    def written_out(self):
        return ["backup-mark", self.before[1]]


class Copy(Story):
    """What the other archive lists can be restored there; the second run brings the rest."""

    def __init__(self, world):
        super().__init__(world)
        self.folder, self.walgd = world.store("copied-from")
        self.other = self.scratch.path / "copied-to"
        self.to = world.alone({**world.settings, "WALG_FILE_PREFIX": str(self.other)})
        self.files = []
        for number, folder in enumerate((self.folder, self.other)):
            file = self.scratch.path / f"copy{number}.yaml"
            file.write_text(f"file_prefix: {folder}\ncompression_method: zstd\n")
            self.files.append(file)
        self.reference = objects(self.folder)

    def words(self):
        return ["copy", "--from", self.files[0], "--to", self.files[1]]

    def begin(self):
        shutil.rmtree(self.other, ignore_errors=True)
        self.scratch.folder(self.other.name)

    def point(self, at):
        self.begin()
        code, traced = self.world.killed(self.walgd, self.words(), at)
        assert traced.killed or code == 0, f"nobody was killed, and the exit code is {code}"
        self.check_half()
        again = self.walgd.walg(*self.words(), check=False)
        assert again.returncode == 0, f"the second run: {again.stderr}"
        self.check_whole()
        return traced

    def check_half(self):
        self.world.check_sound(self.to)
        listed = self.world.names(self.to)
        if listed:
            self.world.check_restores(self.to, listed[0])

    def check_whole(self):
        found = objects(self.other)
        assert found == self.reference, difference(found, self.reference)


class Transfer(Copy):
    """Every object is in one of the storages at any time, a sentinel is nowhere without what it stands for, and a second run moves the rest."""

    def words(self):
        return ["st", "transfer", "backups", "--source", self.files[0]]

    def begin(self):
        super().begin()
        self.folder, _ = self.world.store("copied-from")
        self.walgd = self.to

    def check_half(self):
        here, there = objects(self.folder), objects(self.other)
        assert {**here, **there} == self.reference, difference({**here, **there}, self.reference)
        for place in (here, there):
            for sentinel in [key for key in place if key.endswith("_backup_stop_sentinel.json")]:
                folder = sentinel.removesuffix("_backup_stop_sentinel.json") + "/"
                missing = [key for key in self.reference if key.startswith(folder) and key not in place]
                assert not missing, f"{sentinel} stands where its backup is not: {missing[:3]}"

    def check_whole(self):
        """What is in both places is there as a backup, or garbage that stays of one that was moved."""
        here, there = objects(self.folder), objects(self.other)
        backups = {key: content for key, content in self.reference.items() if key.startswith("basebackups_005/")}
        assert there == backups, difference(there, backups)
        for key in [key for key in here if key.endswith("_backup_stop_sentinel.json")]:
            missing = [other for other in backups if other.startswith(key.removesuffix("_backup_stop_sentinel.json") + "/") and other not in here]
            assert not missing, f"{key} stays without its backup: {missing[:3]}"


class Receive(Story):
    """wal-receive: what is stored is what the server has, a second run leaves no gap."""
    timeline = 1

    def __init__(self, world):
        super().__init__(world)
        self.make_server()
        self.words = ["wal-receive"]
        self.folder = self.scratch.path / f"received{self.timeline}"
        self.walgd = world.alone({**world.settings, "WALG_FILE_PREFIX": str(self.folder)}, self.server)

    def make_server(self):
        """A server that is four segments ahead of the archive."""
        self.server = self.world.cluster
        self.begin = self.scratch.path / "received-begin"
        self.cut(4)
        self.last = self.server.psql("select max(name) from pg_ls_archive_statusdir() where name ~ '^[0-9A-F]{24}.done$'").removesuffix(".done")

    def cut(self, segments):
        self.world.copy(self.world.rest, self.begin)
        wal = self.begin / "wal_005"
        for name in sorted(name for name in os.listdir(wal) if len(name.split(".")[0]) == 24 and ".backup" not in name)[-segments:]:
            (wal / name).unlink()
        shutil.rmtree(self.begin / "walgd_005", ignore_errors=True)

    def stored(self):
        return sorted(name.removesuffix(".zst") for name in os.listdir(self.folder / "wal_005") if ".backup" not in name)

    def end_when_stored(self, process):
        """Ends the receiver once it has all: by a file, for nobody else may wait for children meanwhile."""
        def watch():
            while process.returncode is None and self.last not in self.stored():
                time.sleep(0.02)
            if process.returncode is None:
                os.kill(process.pid, signal.SIGTERM)
        watcher = threading.Thread(target=watch)
        watcher.start()
        return watcher

    def point(self, at):
        self.world.copy(self.begin, self.folder)
        traced = Traced(at, writing=True)
        process = traced.start([self.scratch.bin / "walg", *self.words], stdout=self.world.out, stderr=self.world.out, env=self.walgd.env, cwd="/", **AS_POSTGRES)
        watcher = self.end_when_stored(process)
        traced.run_until_end_of(process.pid)
        process.returncode = traced.ended[process.pid]
        watcher.join()
        self.check_stored(whole=False)
        self.slot_free()
        again = start([self.scratch.bin / "walg", *self.words], self.world.out, env=self.walgd.env)
        self.scratch.stack.callback(lambda: again.poll() is None and again.kill())
        until(f"{self.last} to be stored", lambda: self.last in self.stored() or again.poll() is not None)
        again.terminate()
        # Where nothing was left to receive, the signal may come before it is listened to.
        assert again.wait(30) in (0, -signal.SIGTERM), "wal-receive did not end well"
        self.check_stored(whole=True)
        self.slot_free()
        return traced

    def slot_free(self):
        until("the slot to be free", lambda: self.server.psql("select count(*) from pg_replication_slots where active") == "0")

    def check_stored(self, whole):
        names = self.stored()
        assert len(names) == len(set(names)), "a name is there twice"
        out = self.scratch.path / "judge"
        for name in names:
            kept = self.server.data / "pg_wal" / name.removesuffix(".partial")
            if not kept.exists():
                continue
            out.unlink(missing_ok=True)
            self.walgd.walg("wal-fetch", name, out)
            if name.endswith(".partial"):
                written = out.read_bytes().rstrip(b"\0")
                assert kept.read_bytes().startswith(written[:len(written) // 8192 * 8192]), f"{name} is stored torn"
            else:
                assert out.read_bytes() == kept.read_bytes(), f"{name} is stored torn"
        if whole:
            shown = self.walgd.walg("wal-show", "--json").stdout
            assert '"LOST_SEGMENTS"' not in shown and '"status":"LOST' not in shown.replace(" ", ""), shown


class ReceiveTurn(Receive):
    """The same over the turn to timeline 2."""
    timeline = 2

    def make_server(self):
        self.server = recovered(self.world, "turned")
        self.begin = self.scratch.path / "turned-begin"
        self.cut(3)
        for _ in range(2):
            self.server.psql("insert into own values (1)")
            self.last = self.server.psql("select pg_walfile_name(pg_switch_wal())")


GROUP = 16  # segments that share a map of changed pages


class StoreAhead(Story):
    """walgd stores what is .ready, marks it .done, and keeps the map of changed pages and the index: nothing of it is believed when half."""

    def __init__(self, world):
        super().__init__(world)
        world.cluster.psql(f"select pg_logical_emit_message(false, 'test', md5(n::text)), pg_switch_wal() from generate_series(1, {3 * GROUP}) n")
        world.cluster.switch()
        self.begin = self.scratch.path / "ready-begin"
        world.copy(world.cluster.data, self.begin)
        for path in (self.begin / "pg_wal/archive_status").iterdir():
            if path.name.endswith(".done"):
                path.rename(path.with_suffix(".ready"))
        (self.begin / "postmaster.pid").unlink(missing_ok=True)
        self.ready = self.marked(self.begin, ".ready")
        numbers = {int(name[8:], 16) for name in self.ready if len(name) == 24}
        self.groups = len([number for number in numbers if number % GROUP == 0 and number + GROUP - 1 in numbers])
        self.reference = None

    def marked(self, data, suffix):
        return sorted(name.removesuffix(suffix) for name in os.listdir(data / "pg_wal/archive_status") if name.endswith(suffix))

    def done(self):
        return self.marked(self.data, ".done") == self.ready

    def fresh(self):
        self.data = self.world.copy(self.begin, self.scratch.path / "ready")
        self.folder = self.scratch.path / "stored-ahead"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.scratch.folder(self.folder.name)
        settings = {**self.world.settings, "WALG_FILE_PREFIX": str(self.folder), "PGDATA": str(self.data), "PG_READY_RENAME": "true",
                    "WALG_USE_WAL_DELTA": "true", "TOTAL_BG_UPLOADED_LIMIT": "100", "WALG_PG_WAL_SIZE": "1"}
        self.walgd = Walgd(self.scratch, settings)

    def all_there(self):
        return self.done() and len(self.maps()) == self.groups

    def maps(self):
        wal = self.folder / "wal_005"
        return {name: (wal / name).read_bytes() for name in os.listdir(wal) if "_delta" in name} if wal.exists() else {}

    def point(self, at):
        self.fresh()
        traced = Traced(at, writing=True)
        process = traced.start([self.scratch.bin / "walgd"], stdout=self.world.out, stderr=self.world.out, env=self.walgd.env, cwd="/", **AS_POSTGRES)
        watcher = threading.Thread(target=self.end_when_done, args=(process,))
        watcher.start()
        traced.run_until_end_of(process.pid)
        process.returncode = traced.ended[process.pid]
        watcher.join()
        self.check_done()
        self.walgd.start()
        until("all to be marked as done", self.done)
        self.walgd.stop()
        self.check_done()
        self.check_maps_and_index()
        return traced

    def end_when_done(self, process):
        while process.returncode is None and not self.all_there():
            time.sleep(0.02)
        if process.returncode is None:
            os.kill(process.pid, signal.SIGTERM)

    def check_done(self):
        out = self.scratch.path / "judge"
        for name in self.marked(self.data, ".done"):
            out.unlink(missing_ok=True)
            self.walgd.walg("wal-fetch", name, out)
            assert out.read_bytes() == (self.data / "pg_wal" / name).read_bytes(), f"{name} is marked as done, and stored torn"

    def check_maps_and_index(self):
        maps = self.maps()
        if self.reference is None:
            self.reference = maps
        for name, content in maps.items():
            assert content == self.reference[name], f"{name} is another one than without a kill"
        with_index, without = (self.walgd.walg("restorable", "--json", *words).stdout for words in ([], ["--without-index"]))
        assert with_index == without, "the index says something else than the WAL"


STORIES = {
    "backup-push full, walg": lambda world: Push(world, "-f"),
    "backup-push delta, walg": lambda world: Push(world),
    "backup-push full, walgd": lambda world: Push(world, "-f", daemon=True),
    "backup-push delta, walgd": lambda world: Push(world, daemon=True),
    "backup-push from the server": lambda world: Push(world, remote=True),
    "catchup-push": CatchupPush,
    "backup-fetch": Fetch,
    "backup-fetch --in-place": InPlace,
    "restore": Restore,
    "catchup-fetch": CatchupFetch,
    "delete retain": lambda world: Delete(world, "retain", "FULL", "1"),
    "delete before": lambda world: Delete(world, "before", "FIND_FULL", "{2}"),
    "delete target": lambda world: DeleteTarget(world, "target", "{0}"),
    "delete everything": lambda world: Delete(world, "everything", "FORCE"),
    "delete garbage": lambda world: DeleteGarbage(world, "garbage"),
    "backup-mark": Mark,
    "copy": Copy,
    "st transfer": Transfer,
    "wal-receive": Receive,
    "wal-receive over a turn": ReceiveTurn,
    "walgd storing ahead": StoreAhead,
}
