"""Two hosts, one archive: the primary is lost, its standby promoted. Archive and schedule follow by themselves, and the old primary,
when it comes back, harms nothing."""
import contextlib
import hashlib
import json
import os
import signal
import unittest

from harness import Cluster, Failed, POSTGRES_15, TestCase, Walgd, free_port, run, until

EVERY_MINUTE = "* * * * *"


class Host:
    """A cluster with a walgd of its own, which logs into a file of its own."""

    def __init__(self, test, name, initdb):
        self.name, self.scratch = name, test.scratch
        self.cluster = Cluster(test.scratch, 15, name, initdb=initdb, segment_mb=1, extra="wal_keep_size = 64MB")
        self.logfile = test.scratch.folder(f"log-{name}") / "log"
        self.walgd = Walgd(test.scratch, {**test.settings, "WALGD_SCHEDULE_FULL": EVERY_MINUTE, "WALG_LOG_DESTINATION": str(self.logfile),
                                           "WALGD_HTTP_LISTEN": f"127.0.0.1:{free_port()}"}, self.cluster)
        self.cluster.env = self.walgd.env
        self.cluster.archive_with(self.walgd.archive_command())

    def told(self, event):
        return [line for line in self.logfile.read_text().splitlines() if f"event={event}" in line] if self.logfile.exists() else []

    def stream_from(self, primary):
        self.cluster.configure(f"primary_conninfo = 'host={primary.cluster.sockets} port={primary.cluster.port} user=postgres'\n"
                               f"restore_command = '{self.walgd.restore_command()}'")
        (self.cluster.data / "standby.signal").touch()
        self.scratch.own(self.cluster.data / "standby.signal")


class Failover(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()

    def contents(self, below):
        return {path.relative_to(self.folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in (self.folder / below).rglob("*") if path.is_file()}

    def wal(self, timeline):
        return sorted(path.name for path in (self.folder / "wal_005").glob(f"{timeline:08X}*"))

    def make_due(self):
        """As if the last scheduled backup were of long ago: the first one is not waited for a minute."""
        record = self.scratch.folder("store/walgd_005") / "schedule/full.json"
        record.parent.mkdir()
        record.write_text(json.dumps({"due": "2020-01-01T00:00:00Z", "ended": "2020-01-01T00:00:01Z", "failures": 0, "text": "made up", "host": "old"}))
        self.scratch.own_tree(self.folder)

    def make_pair(self):
        self.make_due()
        old = Host(self, "old", initdb=True)
        old.walgd.start()
        old.cluster.start()
        old.cluster.psql("create table t (id int primary key, host text)")
        old.cluster.psql("insert into t values (1, 'old')")
        old.walgd.walg("backup-push", old.cluster.data)
        old.walgd.walg("backup-fetch", self.scratch.path / "new", "LATEST")
        new = Host(self, "new", initdb=False)
        new.stream_from(old)
        new.walgd.start()
        new.cluster.start()
        until("the standby to stream", lambda: old.cluster.psql("select count(*) from pg_stat_replication where state = 'streaming'") == "1")
        return old, new

    def lose_primary(self, old, new):
        """Its walgd hangs before its last segments are stored: they come late. Returns their names."""
        old.walgd.process.send_signal(signal.SIGSTOP)
        stored = set(self.wal(1))
        for number in (2, 3):
            old.cluster.psql(f"insert into t values ({number}, 'old')")
            old.cluster.psql("select pg_switch_wal()")
        place = old.cluster.psql("select pg_current_wal_flush_lsn()")
        until("the standby to have it all", lambda: new.cluster.psql(f"select pg_last_wal_replay_lsn() >= '{place}'") == "t")
        late = sorted(name[:-6] for name in os.listdir(old.cluster.data / "pg_wal/archive_status") if name.endswith(".ready"))
        os.kill(int((old.cluster.data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        until("the old primary's end", lambda: old.cluster.psql("select 1", check=False) != "1")
        self.assertEqual(set(self.wal(1)), stored)
        self.assertGreaterEqual(len(late), 2)
        return late

    def check_new_timeline(self, new):
        self.assertEqual(new.cluster.psql("select pg_promote(true, 60)"), "t")
        new.cluster.psql("insert into t values (4, 'new')")
        first = new.cluster.switch()
        self.assertEqual(first[:8], "00000002")
        until("history and first segment of the new timeline", lambda: {name.split(".")[0] for name in self.wal(2)} >= {"00000002", first})

    def old_comes_back(self, old):
        """As a primary that knows nothing of what happened: it writes on where it was, and archives."""
        def starts():  # not before the last process of the one that was killed is gone
            with contextlib.suppress(Failed):
                return old.cluster.start()
        until("the old primary to start", starts)
        old.cluster.psql("insert into t values (5, 'stray')")
        return old.cluster.switch()

    def test_the_archive_and_the_schedule_follow_and_the_old_primary_harms_nothing(self):
        old, new = self.make_pair()
        until("the primary's scheduled backup", lambda: old.told("backup_done"), 90)
        self.assertEqual(new.told("scheduled_task"), [], "a standby leaves it to the primary")
        late = self.lose_primary(old, new)
        self.check_new_timeline(new)
        until("the new primary's scheduled backup", lambda: new.told("backup_done"), 90)
        sentinels = sorted(path.name for path in (self.folder / "basebackups_005").glob("*_sentinel.json"))
        self.assertEqual(sentinels[-1][:len("base_00000002")], "base_00000002")

        before = self.contents("wal_005")
        old.walgd.process.send_signal(signal.SIGCONT)
        until("the late segments", lambda: {name.split(".")[0] for name in self.wal(1)} >= set(late))
        stray = self.old_comes_back(old)
        until("what it writes then", lambda: stray in {name.split(".")[0] for name in self.wal(1)})
        after = self.contents("wal_005")
        self.assertEqual({path: after[path] for path in before}, before, "nothing is overwritten")
        self.check_schedule_of(old, new)

        told = json.loads(new.walgd.walg("restorable", "--json").stdout)
        self.assertEqual([(timeline["timeline"], timeline["gaps"]) for timeline in told["timelines"]], [(1, []), (2, [])])
        self.assertTrue(told["timelines"][1]["windows"], "the new timeline can be restored to")
        self.check_restore(old, new)

    def test_a_gap_that_the_primary_cannot_heal_is_healed_from_the_standby(self):
        self.settings["WALGD_CATALOGUE_REFRESH"] = "1s"
        old, new = self.make_pair()
        first, lost, _ = [old.cluster.switch() for _ in range(3)]
        until("the standby to have it", lambda: (new.cluster.data / "pg_wal" / lost).exists())
        (old.cluster.data / "pg_wal" / lost).unlink()
        (stored,) = (self.folder / "wal_005").glob(f"{lost}.*")
        content = stored.read_bytes()
        stored.unlink()
        until("the gap to be healed", lambda: [line for line in new.told("wal_gap_healed") if lost in line])
        self.assertEqual(stored.read_bytes(), content)
        self.assertEqual(old.told("wal_gap_healed"), [])

    def check_schedule_of(self, old, new):
        """The one that was left lets the other go first, and says why."""
        tasks = len(old.told("scheduled_task"))
        new.walgd.process.send_signal(signal.SIGSTOP)
        why = lambda: next(line["why"] for line in json.loads(old.walgd.walg("schedule", "--json").stdout) if line["what"] == "full")
        until("it to say why it waits", lambda: "newer timeline" in why(), 90)
        new.walgd.process.send_signal(signal.SIGCONT)
        self.assertEqual(len(old.told("scheduled_task")), tasks)

    def check_restore(self, old, new):
        """By a new host: the latest timeline, from the first backup on, over the turn."""
        new.cluster.switch()
        rows = new.cluster.psql("select string_agg(id || ' ' || host, ',' order by id) from t")
        self.assertEqual(rows, "1 old,2 old,3 old,4 new")
        for host in (old, new):
            host.cluster.stop("immediate")
        first = min(path.name for path in (self.folder / "basebackups_005").glob("base_00000001*_sentinel.json")).removesuffix("_backup_stop_sentinel.json")
        data = self.scratch.path / "restored"
        new.walgd.walg("backup-fetch", data, first)
        restored = Cluster(self.scratch, 15, "restored", initdb=False)
        restored.env = new.walgd.env
        restored.recover_from(new.walgd.restore_command(), "primary_conninfo = ''")
        (data / "standby.signal").unlink(missing_ok=True)
        restored.start()
        restored.wait_until_writable()
        self.assertEqual(restored.psql("select string_agg(id || ' ' || host, ',' order by id) from t"), rows)


class JustPromoted(TestCase):
    def test_wal_verify_goes_by_the_timeline_that_is_written_not_by_the_last_checkpoints(self):
        folder, settings = self.store()
        slow = "wal_keep_size = 640MB\nmax_wal_size = 4GB\ncheckpoint_timeout = 30min\n"
        old, new = Cluster(self.scratch, 15, "old", segment_mb=1, extra=slow), None
        for name in ("old", "new"):
            if name == "new":
                run([POSTGRES_15 / "pg_basebackup", "-h", old.sockets, "-p", old.port, "-U", "postgres", "-D", self.scratch.path / name, "-c", "fast"])
                new = Cluster(self.scratch, 15, name, initdb=False, extra=slow)
                new.configure(f"primary_conninfo = 'host={old.sockets} port={old.port} user=postgres'")
                (new.data / "standby.signal").touch()
                self.scratch.own(new.data / "standby.signal")
            cluster = new or old
            walgd = Walgd(self.scratch, {**settings, "WALG_PG_WAL_SIZE": "1"}, cluster).start()
            cluster.archive_with(walgd.archive_command())
            cluster.start()
            if cluster is old:
                walgd.walg("backup-push", old.data)
        old.pgbench("-i", "-q", "-s", "1")
        old.switch()
        reached = old.psql("select pg_current_wal_lsn()")
        until("the standby to follow", lambda: new.psql(f"select pg_last_wal_replay_lsn() >= '{reached}'") == "t")
        old.stop()
        new.psql("select pg_promote()")
        for _ in range(20):
            new.switch()
        self.assertEqual(new.psql("select timeline_id from pg_control_checkpoint()"), "1", "its checkpoint takes its time")
        result = walgd.walg("wal-verify", "integrity", "timeline")
        self.assertIn("Current cluster timeline: 2", result.stdout)
        self.assertNotIn("MISSING", result.stdout)


class RecoveredBehindATurn(TestCase):
    """A cluster that was recovered, along the latest timeline, to a moment before that timeline began: PostgreSQL writes the turn that never came true into its history."""

    def setUp(self):
        super().setUp()
        self.folder, settings = self.store()
        self.settings = {**settings, "WALG_PG_WAL_SIZE": "1"}
        self.alone = Walgd(self.scratch, self.settings)

    def host(self, name, initdb=False):
        cluster = Cluster(self.scratch, 15, name, initdb=initdb, segment_mb=1, extra="wal_keep_size = 64MB")
        walgd = Walgd(self.scratch, self.settings, cluster).start()
        cluster.env = walgd.env
        cluster.configure("archive_mode = on")
        return cluster, walgd

    def restored(self, name, backup, target=""):
        self.alone.walg("backup-fetch", self.scratch.path / name, backup)
        cluster, walgd = self.host(name)
        cluster.recover_from(self.alone.restore_command(), target)
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        cluster.wait_until_writable()
        return cluster, walgd

    def write(self, cluster, segments):
        for _ in range(segments):
            cluster.psql("insert into t select 1 from generate_series(1, 1000)")
            cluster.switch()

    def backups(self):
        return sorted(path.name for path in (self.folder / "basebackups_005").iterdir() if path.is_dir())

    def three_timelines(self):
        first, walgd = self.host("first", initdb=True)
        first.archive_with(walgd.archive_command())
        first.start()
        first.psql("create table t (n int)")
        walgd.walg("backup-push", first.data)
        self.write(first, 1)
        moment = first.psql("select now()")
        self.write(first, 3)
        walgd.walg("backup-push", first.data)
        self.write(first, 2)
        first.stop()
        second, _ = self.restored("second", "LATEST")
        self.write(second, 2)
        second.stop()
        third, walgd = self.restored("third", self.backups()[0], f"recovery_target_time = '{moment}'\nrecovery_target_action = promote")
        self.write(third, 3)
        ends = [int(line.split()[1].removeprefix("0/"), 16) for line in (third.data / "pg_wal/00000003.history").read_text().splitlines() if line]
        self.assertEqual(len(ends), 2)
        self.assertGreater(ends[0], ends[1], "the turn that never came true")
        return third, walgd

    def test_only_what_leads_to_it_counts(self):
        third, walgd = self.three_timelines()
        good, astray = self.backups()
        verified = walgd.walg("wal-verify", "integrity", "timeline")
        self.assertIn("integrity check status: OK", verified.stdout)
        self.assertNotIn("MISSING", verified.stdout)
        windows = walgd.walg("restorable").stdout.split("timeline 3")[1]
        self.assertIn(good, windows)
        self.assertNotIn(astray, windows)
        checked = walgd.walg("restore", self.scratch.path / "new", "--check").stderr
        self.assertIn(f"backup {good}", checked)
        # The younger one leads elsewhere: without the older one nothing of the present cluster could be restored.
        plan = walgd.walg("delete", "retain", "FULL", "1", check=False)
        self.assertEqual(plan.returncode, 1)
        self.assertIn(f"{good} stays: it is the last one from which timeline 3 can be recovered", plan.stdout)
        self.write(third, 6)
        pushed = walgd.walg("backup-push", third.data, env={"WALG_DELTA_MAX_STEPS": "6", "WALGD_SOCKET": str(self.scratch.path / "none")}).stderr
        self.assertNotIn(f"Delta backup from {astray}", pushed)
        self.assertIn("the server left timeline 1 before", pushed)


if __name__ == "__main__":
    unittest.main(verbosity=2)
