"""An archive with two timeline turns, and what each moment in it must restore to: told by the server while it happened, not by walgd."""
import datetime
import json
import random
import re
import shutil

from harness import Cluster, Failed, Walgd, until

ZSTD = {"WALG_COMPRESSION_METHOD": "zstd"}


class Event:
    """One transaction that ended, or a restore point; `rows` is what is in the table from then on."""

    def __init__(self, kind, rows, time=None, xid=None, lsn=None, name=None):
        self.kind, self.rows, self.time, self.xid, self.lsn, self.name = kind, rows, time, xid, lsn, name


def lsn_number(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def iso(time):
    return time.strftime("%Y-%m-%d %H:%M:%S.%f+00")


class Story:
    """Cluster after cluster, each the next timeline of the one before; one session, so the order of commits is the order of the story."""

    def __init__(self, scratch, settings, version=15, segment_mb=1, seed=1):
        self.scratch, self.version, self.dice = scratch, version, random.Random(seed)
        self.segment_bytes = segment_mb << 20
        self.cluster = Cluster(scratch, version, "t1", segment_mb=segment_mb,
                               extra="track_commit_timestamp = on\nmax_prepared_transactions = 5\nlog_autovacuum_min_duration = -1\n")
        # Where the data is changes with every turn, the server's address does not.
        address = {name: value for name, value in self.cluster.environment().items() if name != "PGDATA"}
        self.settings = {**settings, **ZSTD, **address}
        self.daemon = Walgd(scratch, self.settings).start()
        self.cluster.archive_with(self.daemon.archive_command())
        self.cluster.start()
        self.cluster.psql("create table log (n int, filling text)")
        self.rows, self.timeline = 0, 1
        self.events = {1: []}   # by timeline, only its own
        self.forks = {}         # timeline: (parent, how many of the parent's events come before)
        self.backups = []       # (timeline, how many events of it came before its end)

    def tell(self, transactions):
        for _ in range(transactions):
            self.step()

    def step(self):
        kind = self.dice.choices(["commit", "rollback", "prepared", "savepoint", "point"], [70, 8, 6, 8, 8])[0]
        filling = "x" * self.dice.randrange(10, 6000)
        note = "select pg_current_wal_insert_lsn()"
        insert = f"insert into log values ({self.rows + 1}, '{filling}')"
        events = self.events[self.timeline]
        if kind == "point":
            name = f"point {self.timeline} {len(events)}"
            lsn = self.cluster.psql(f"select pg_create_restore_point('{name}')")
            events.append(Event(kind, self.rows, lsn=lsn, name=name))
            return
        if kind == "rollback":
            xid = self.cluster.psql(f"begin; {insert}; select txid_current(); rollback").splitlines()[-1]
            events.append(Event(kind, self.rows, xid=int(xid), lsn=self.cluster.psql(note)))
            return
        if kind == "prepared":
            gid = f"g{self.timeline}-{self.rows}"
            xid = self.cluster.psql(f"begin; {insert}; select txid_current(); prepare transaction '{gid}'").splitlines()[-1]
            self.cluster.psql(f"commit prepared '{gid}'")
        else:
            inner = f"savepoint s; insert into log values ({-self.rows - 1}, '{filling}'); release s; delete from log where n < 0;" if kind == "savepoint" else ""
            xid = self.cluster.psql(f"begin; {insert}; {inner} select txid_current(); commit").splitlines()[-1]
        self.rows += 1
        time, lsn = self.cluster.psql(f"select extract(epoch from pg_xact_commit_timestamp('{xid}'::xid)), pg_current_wal_insert_lsn()").split("|")
        events.append(Event(kind, self.rows, self.as_time(time), int(xid), lsn))

    @staticmethod
    def as_time(epoch):
        seconds, _, part = epoch.partition(".")
        return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc) + datetime.timedelta(microseconds=int((part + "000000")[:6]))

    def backup(self):
        self.daemon.walg("backup-push", self.cluster.data)
        self.backups.append((self.timeline, len(self.events[self.timeline])))

    def turn(self, *target, keeps=None):
        """Ends this timeline and goes on with the next, from the archive's end or from a target after `keeps` of its events."""
        self.cluster.switch()
        self.cluster.stop()
        keeps = len(self.events[self.timeline]) if keeps is None else keeps
        self.forks[self.timeline + 1] = (self.timeline, keeps)
        path = self.path(self.timeline)
        kept = len(path) - len(self.events[self.timeline]) + keeps
        self.rows = path[kept - 1].rows
        self.timeline += 1
        self.events[self.timeline] = []
        data = self.scratch.path / f"t{self.timeline}"
        self.daemon.walg("restore", data, *target, "--target-action", "promote", "--start", "--pg-bin", self.cluster.programs)
        self.adopt(data)
        until("the end of recovery", lambda: self.cluster.psql("select pg_is_in_recovery()") == "f")
        assert self.cluster.psql("select count(*) from log") == str(self.rows), (self.cluster.psql("select count(*) from log"), self.rows)
        self.cluster.psql("checkpoint")

    def adopt(self, data):
        """The restored, running cluster is the one that goes on. Its settings are its forefather's: port, sockets, archive_command."""
        old = self.cluster
        self.cluster = Cluster.__new__(Cluster)
        self.cluster.__dict__.update(old.__dict__)
        self.cluster.data = data
        self.scratch.stack.callback(self.cluster.stop, "immediate")

    def end(self):
        self.cluster.switch()
        self.cluster.stop()
        self.daemon.stop()

    def path(self, timeline):
        """The events that recovery to a timeline's end replays, in order."""
        if timeline not in self.forks:
            return list(self.events[timeline])
        parent, keeps = self.forks[timeline]
        before = len(self.path(parent)) - len(self.events[parent])
        return self.path(parent)[:before + keeps] + self.events[timeline]

    def first_backup(self, timeline):
        """How many events of the path came before the end of the first backup on it."""
        return self.backups[0][1]

    # What a target must come to: the words for walg restore, and the rows; or None, for a refusal.

    def random_target(self):
        timeline = self.dice.choice(sorted(self.events))
        path, first = self.path(timeline), self.first_backup(timeline)
        words, rows = getattr(self, "target_" + self.dice.choice(["time", "time", "lsn", "xid", "name"]))(path, first)
        if self.dice.random() < 0.12:
            words, rows = self.unreachable(path, first)
        # The latest is asked for by its name too.
        if timeline != max(self.events) or self.dice.random() < 0.5:
            words = [*words, "--target-timeline", str(timeline)]
        return words, rows

    def target_time(self, path, first):
        timed = [index for index, event in enumerate(path) if event.time and index >= first]
        index = self.dice.choice(timed[:-1])
        following = path[timed[timed.index(index) + 1]]
        room = max(1, int((following.time - path[index].time).total_seconds() * 1e6))
        exclusive = self.dice.random() < 0.3
        time = path[index].time + datetime.timedelta(microseconds=self.dice.choice([0, self.dice.randrange(room)]))
        # An abort that comes between ends recovery too, and changes no row.
        if exclusive and time == path[index].time:
            return ["--target-time", iso(time), "--target-exclusive"], path[index].rows - 1
        return ["--target-time", iso(time), *(["--target-exclusive"] if exclusive else [])], path[index].rows

    def target_lsn(self, path, first):
        event = self.dice.choice([event for event in path[first + 1:-1] if event.lsn])
        return ["--target-lsn", event.lsn, *(["--target-exclusive"] if self.dice.random() < 0.5 else [])], event.rows

    def target_xid(self, path, first):
        event = self.dice.choice([event for event in path[first + 1:] if event.xid])
        if self.dice.random() < 0.5:
            return ["--target-xid", str(event.xid), "--target-exclusive"], event.rows - (event.kind != "rollback")
        return ["--target-xid", str(event.xid)], event.rows

    def target_name(self, path, first):
        event = self.dice.choice([event for event in path[first + 1:] if event.name])
        return ["--target-name", event.name], event.rows

    def unreachable(self, path, first):
        last = [event for event in path if event.time][-1]
        early = [event for event in path[:first] if event.time][0]
        return self.dice.choice([
            (["--target-time", iso(last.time + datetime.timedelta(days=1))], None),
            (["--target-time", iso(early.time - datetime.timedelta(seconds=1))], None),
            (["--target-xid", str(last.xid + 100000)], None),
            (["--target-xid", str(early.xid)], None),
            (["--target-name", "no such point"], None),
            (["--target-lsn", "FF/0"], None),
            (["--target-lsn", "0/1000028"], None)])

    def check_target(self, words, rows, extra=()):
        """Restores, and says how it went: "reached" or "refused"; fails when it is neither rightly."""
        data = self.scratch.path / "target"
        shutil.rmtree(data, ignore_errors=True)
        action = self.dice.choice(["pause", "pause", "shutdown"])
        try:
            said = self.daemon.walg("restore", data, *words, *extra, "--target-action", action, "--start", "--json", "--pg-bin", self.cluster.programs)
        except Failed as failure:
            assert rows is None, f"{words} was to be reached with {rows} rows:\n{failure}"
            assert failure.result.returncode == 1, failure
            assert "nearest reachable" in failure.result.stderr or "is not in the archived WAL" in failure.result.stderr, failure
            assert not data.exists(), f"{words}: something was written before it was refused"
            return "refused"
        restored = Cluster.__new__(Cluster)
        restored.__dict__.update(self.cluster.__dict__)
        restored.data, restored.env = data, self.daemon.env
        document = json.loads(said.stdout)
        try:
            if action == "shutdown":
                # Shut down at the target: started again it has what it had, and is to read no further.
                kinds = ("time", "lsn", "xid", "name")
                with open(data / "postgresql.auto.conf", "a") as file:
                    file.write("".join(f"recovery_target_{kind} = ''\n" for kind in kinds) + "recovery_target = 'immediate'\nrecovery_target_action = 'pause'\n")
                restored.start()
                until("the pause", lambda: restored.psql("select pg_is_wal_replay_paused()") == "t")
            assert rows is not None, f"{words} was to be refused, and came to {document}"
            there = int(restored.psql("select count(*) from log where n > 0"))
            highest = restored.psql("select coalesce(max(n), 0) from log")
            assert (there, highest) == (rows, str(rows)), f"{words}: {rows} rows were expected, {there} are there (highest {highest}); {document}"
            self.check_last_commit(document, restored)
        finally:
            restored.stop("immediate")
        return "reached"

    def check_last_commit(self, document, restored):
        """What walg says was the last commit is what the server says of that transaction."""
        commit = document["last_commit"]
        if commit is None:
            return
        at = restored.psql(f"select extract(epoch from pg_xact_commit_timestamp('{commit['xid']}'::xid))")
        assert at and self.as_time(at) == self.as_rfc3339(commit["time"]), (commit, at)

    @staticmethod
    def as_rfc3339(text):
        whole, _, part = text.rstrip("Z").partition(".")
        time = datetime.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
        return time + datetime.timedelta(microseconds=int((part + "000000")[:6]))


def two_turns(scratch, settings, version=15, segment_mb=1, transactions=120, seed=1):
    """Three timelines: the second goes on from the end of the first, the third from the midst of the second."""
    story = Story(scratch, settings, version, segment_mb, seed)
    story.tell(transactions // 10 + 2)
    story.backup()
    story.tell(transactions)
    story.turn()
    story.tell(transactions // 2)
    story.backup()
    story.tell(transactions // 2)
    midst = [index for index, event in enumerate(story.events[2]) if event.kind == "commit" and index > transactions * 3 // 4][0]
    story.turn("--target-xid", str(story.events[2][midst].xid), keeps=midst + 1)
    story.tell(transactions)
    story.end()
    return story


def waldump_moments(program, folder, first, last):
    """The same moments as `walg restorable --moments`, as PostgreSQL's own program reads them: (kind, lsn, xid, time)."""
    import subprocess
    text = subprocess.run([program, "-p", folder, first, last], capture_output=True, text=True, env={"TZ": "UTC", "PATH": "/usr/bin"}).stdout
    found = []
    for line in text.splitlines():
        match = re.search(r"rmgr: (\w+) .*tx: +(\d+), lsn: (\S+),.*desc: (\w+) ?(.*)", line)
        if not match:
            continue
        manager, xid, lsn, kind, rest = match.groups()
        lsn = f"{int(lsn.split('/')[0], 16):X}/{int(lsn.split('/')[1], 16):X}"
        time = re.search(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}) ", rest + " ")
        if manager == "Transaction" and kind in ("COMMIT", "ABORT", "COMMIT_PREPARED", "ABORT_PREPARED"):
            prepared = re.match(r"(\d+): ", rest)
            found.append((kind.split("_")[0].lower(), lsn, int(prepared[1]) if prepared else int(xid), time[1]))
        elif manager == "XLOG" and kind == "RESTORE_POINT":
            found.append(("restore point", lsn, rest.rsplit(" ", 2)[0] if time is None else re.match(r"(.*?) \d{4}-", rest)[1] if re.match(r"(.*?) \d{4}-", rest) else rest, time[1] if time else None))
        elif manager == "XLOG" and kind in ("CHECKPOINT_SHUTDOWN", "CHECKPOINT_ONLINE"):
            found.append(("shutdown checkpoint" if "SHUTDOWN" in kind else "checkpoint", lsn, None, None))
        elif manager == "XLOG" and kind == "END_OF_RECOVERY":
            found.append(("end of recovery", lsn, None, time[1]))
    return found
