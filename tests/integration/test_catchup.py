"""A standby that its primary has no WAL for any more is brought up through the storage: catchup-push, catchup-fetch, catchup-list."""
import json
import os
import shutil
import signal
import struct
import time
import unittest

from harness import POSTGRES_15, Cluster, TestCase, Walgd, run, start, until

SUMMARIES = "WAL summaries"
SCAN = "scan of page LSNs"


def redo_of(data):
    """The place up to which a stopped standby has everything on its disk, out of its pg_control."""
    return struct.unpack_from("<Q", (data / "global/pg_control").read_bytes(), 40)[0]


def reached_by(data):
    """How far it replayed."""
    return struct.unpack_from("<Q", (data / "global/pg_control").read_bytes(), 136)[0]


def files_of(data):
    return {path.relative_to(data): path.read_bytes() for path in data.rglob("*") if path.is_file()}


class Catchup(TestCase):
    def make_pair(self, version=15, extra="", settings=None):
        """A primary, and a standby, a copy of it, that streamed from it and was stopped."""
        self.folder, store = self.store()
        self.settings = {**store, "WALG_COMPRESSION_METHOD": "zstd", **(settings or {})}
        self.primary = Cluster(self.scratch, version, "primary", extra=f"min_wal_size = '32MB'\nwal_keep_size = '160MB'\n{extra}")
        # A cluster that is older than its backups, as clusters are.
        for path in (self.primary.data / "base").glob("*/PG_VERSION"):
            os.utime(path, (time.time() - 86400, time.time() - 86400))
        self.primary.start()
        self.primary.psql("create table kept as select g id, repeat(md5(g::text), 3) m from generate_series(1, 60000) g")
        for table in ("dropped", "truncated", "rewritten", "settled"):
            self.primary.psql(f"create table {table} as select g id, md5(g::text) m from generate_series(1, 5000) g")
        self.primary.psql("create index on kept (id); create index on settled (id)")
        self.primary.stop()
        data = self.scratch.path / "standby"
        shutil.copytree(self.primary.data, data)
        self.scratch.own_tree(data)
        self.primary.start()
        self.standby = Cluster(self.scratch, version, "standby", initdb=False)
        self.standby.configure(f"primary_conninfo = 'host={self.primary.sockets} port={self.primary.port} user=postgres'")
        (data / "standby.signal").touch()
        self.scratch.own(data / "standby.signal")
        self.walgd = Walgd(self.scratch, self.settings, self.primary)
        self.follow()
        self.walgd.walg("backup-push", self.primary.data)
        self.standby.wait_until_replayed(self.primary)
        self.standby.stop()
        self.redo = redo_of(data)

    def follow(self):
        self.standby.start()
        self.standby.wait_until_replayed(self.primary)

    def go_on(self, copied_database=True):
        """All that happens on the primary meanwhile; then it has no WAL for the standby any more."""
        self.primary.psql("update kept set m = 'new' where id % 1000 = 0; insert into kept select g, 'more' from generate_series(60001, 61000) g")
        self.primary.psql("drop table dropped; truncate truncated; insert into truncated values (1, 'again')")
        self.primary.psql("delete from rewritten where id % 2 = 0")
        self.primary.psql("vacuum full rewritten")
        self.primary.psql("create table made as select g id from generate_series(1, 3000) g")
        databases = ["logged"]
        self.primary.psql("create database logged")
        if copied_database and self.primary.version >= 15:
            databases.append("copied")
            self.primary.psql("create database copied template template0 strategy file_copy")
        for database in databases:
            self.primary.psql("create table inner_table as select g id from generate_series(1, 2000) g", database)
        self.primary.psql("vacuum settled")
        self.lose_wal()
        return databases

    def lose_wal(self):
        reached = reached_by(self.standby.data)
        needed = self.primary.data / f"pg_wal/00000001{reached >> 32:08X}{(reached & 0xffffffff) >> 24:08X}"
        self.primary.psql("alter system set wal_keep_size = 0")
        self.primary.psql("select pg_reload_conf()")
        def gone():
            self.primary.psql("create table if not exists switches (at timestamptz); insert into switches values (now()); select pg_switch_wal(); checkpoint")
            return not needed.exists()
        until("the primary to remove old WAL", gone, 60, 0.01)

    def push(self, lsn=None, **options):
        return self.walgd.walg("catchup-push", self.primary.data, "--from-lsn", lsn if lsn is not None else self.redo, **options)

    def fetch(self, name="LATEST", check=True, data=None, **options):
        return self.walgd.walg("catchup-fetch", data or self.standby.data, name, check=check, **options)

    def names(self):
        return [line.split()[0] for line in self.walgd.walg("catchup-list").stdout.splitlines()[1:]]

    def check_equal(self, databases=("logged",)):
        self.follow()
        until("the standby to stream", lambda: self.primary.psql("select count(*) from pg_stat_replication where state = 'streaming'") == "1")
        self.assertEqual(self.standby.checksum(), self.primary.checksum())
        for database in databases:
            self.assertEqual(self.standby.psql("select count(*), sum(id) from inner_table", database), "2000|2001000")
        # By the index, and by what the visibility map says of the pages.
        for table in ("kept", "settled"):
            query = f"set enable_seqscan = off; set enable_bitmapscan = off; select count(*), sum(id) from {table} where id > 0"
            self.assertEqual(self.standby.psql(query), self.primary.psql(query))
        self.primary.psql("update kept set m = 'after' where id < 100")
        self.standby.wait_until_replayed(self.primary)
        self.assertEqual(self.standby.checksum(), self.primary.checksum())

    def crash(self):
        self.follow()
        self.primary.psql("update kept set m = 'unflushed' where id % 100 = 0")
        self.standby.wait_until_replayed(self.primary)
        self.standby.stop("immediate")
        self.redo = redo_of(self.standby.data)

    def bring_up(self, version, source, extra="", crashed=False):
        self.make_pair(version, extra)
        if crashed:
            self.crash()
        databases = self.go_on()
        if not crashed:
            self.standby.start()
            until("the standby to be told that its WAL is gone", lambda: "has already been removed" in self.standby.logfile.read_text())
            self.standby.stop()
            self.assertEqual(redo_of(self.standby.data), self.redo)
        settings = (self.standby.data / "postgresql.auto.conf").read_bytes()
        said = self.push(f"{self.redo >> 32:X}/{self.redo & 0xffffffff:X}" if crashed else self.redo).stderr
        self.assertIn(source, said)
        [name] = self.names()
        full = json.loads(next((self.folder / "basebackups_005").glob("*_sentinel.json")).read_text())
        sentinel = json.loads((self.folder / f"catchup_005/{name}_backup_stop_sentinel.json").read_text())
        self.assertEqual([sentinel[key] for key in ("DeltaLSN", "DeltaFrom", "DeltaFullName", "DeltaCount")], [self.redo, "", "", 1])
        # A database that was copied is whole; else only what changed is there.
        self.assertLess(sentinel["UncompressedSize"], full["UncompressedSize"] * 2 // 3)
        files = json.loads((self.folder / f"catchup_005/{name}/files_metadata.json").read_text())["Files"]
        self.assertTrue(any(file.get("IsIncremented") for file in files.values()))
        self.assertEqual([member for member in files if member.endswith(("pg_hba.conf", "postgresql.conf", "postgresql.auto.conf"))], [])
        self.fetch(name)
        self.assertEqual((self.standby.data / "postgresql.auto.conf").read_bytes(), settings)
        self.assertFalse((self.standby.data / "walgd-restore.state").exists())
        self.check_equal(databases)

    def test_a_standby_catches_up(self):
        self.bring_up(15, SCAN)
        self.standby.stop()
        run([POSTGRES_15 / "pg_checksums", "--check", "-D", self.standby.data])

    def test_a_crashed_standby_catches_up_and_databases_copied_file_by_file_are_whole(self):
        self.bring_up(13, SCAN, crashed=True)

    def test_what_changed_is_told_by_wal_summaries_where_there_are_some(self):
        self.bring_up(18, SUMMARIES, "summarize_wal = on\n")

    def promote(self, cluster):
        """As a failover would: the cluster goes on, on the next timeline."""
        cluster.stop()
        (cluster.data / "standby.signal").touch()
        self.scratch.own(cluster.data / "standby.signal")
        cluster.start()
        self.assertEqual(cluster.psql("select pg_promote(true, 60)"), "t")

    def test_a_standby_of_before_a_failover_catches_up_and_one_that_left_is_refused(self):
        self.make_pair()
        self.promote(self.primary)
        databases = self.go_on()
        self.push()
        lost = self.fetch(check=False)
        self.assertEqual(lost.returncode, 1)
        self.assertIn("00000002.history", lost.stderr)
        self.walgd.walg("wal-push", self.primary.data / "pg_wal/00000002.history")
        self.fetch()
        self.check_equal(databases)
        # Promoted by itself, and a standby again: of a timeline that is nobody else's.
        self.promote(self.standby)
        self.standby.stop()
        (self.standby.data / "standby.signal").touch()
        self.scratch.own(self.standby.data / "standby.signal")
        self.standby.configure("primary_conninfo = ''")
        self.standby.start()
        self.standby.stop()
        self.refuse(self.standby, "is on timeline 3, which is not in the history of timeline 2")

    def test_the_list_has_backup_lists_forms(self):
        self.make_pair()
        empty = self.walgd.walg("catchup-list", name="wal-g")
        self.assertEqual((empty.stdout, "No backups found" in empty.stderr), ("", True))
        self.assertRegex(self.push(name="wal-g").stderr, "Wrote backup with name base_[0-9A-F]{24}\n\\Z")  # the last line, as for backup-push
        [name] = self.names()
        lines = self.walgd.walg("catchup-list", "--detail", name="wal-g").stdout.splitlines()
        self.assertEqual(lines[0].split(), self.walgd.walg("backup-list", "--detail").stdout.splitlines()[0].split())
        self.assertIn(name, self.walgd.walg("catchup-list", "--pretty").stdout)
        [backup] = json.loads(self.walgd.walg("catchup-list", "--json", "--detail").stdout)
        self.assertEqual((backup["backup_name"], backup["data_dir"]), (name, str(self.primary.data)))
        # Nothing that cares for base backups touches it; everything goes with everything.
        self.walgd.walg("delete", "garbage", "--confirm")
        self.walgd.walg("delete", "retain", "1", "--confirm")
        self.assertEqual(self.names(), [name])
        self.walgd.walg("delete", "everything", "--confirm")
        self.assertEqual(list(self.folder.glob("catchup_005/**/*.*")), [])

    def test_what_cannot_be_brought_up_is_refused_and_left_as_it_was(self):
        self.make_pair()
        ahead = self.push("7F/0", check=False)
        self.assertEqual(ahead.returncode, 1)
        self.assertIn("--from-lsn 7F/0 is ahead of this server", ahead.stderr)
        self.assertIn("is no place in the WAL", self.push("x", check=False).stderr)
        self.assertEqual(self.names(), [])
        self.assertEqual(self.walgd.walg("st", "ls", "-r", "walgd_005").stdout.count("catchup"), 0)

        self.go_on(copied_database=False)
        now = int(self.primary.psql("select pg_current_wal_lsn() - '0/0'"))
        self.push(now)
        before = files_of(self.standby.data)
        self.refuse(self.standby, f"take one for this standby, on its primary: walg catchup-push PGDATA --from-lsn {self.redo}")
        self.assertIn("No backups found", self.refuse_in_empty_archive())
        other = Cluster(self.scratch, 15, "other")
        self.refuse(other, "the backup is of system")
        self.assertIn("Backup 'base_000000010000000000000001' does not exist.", self.fetch("base_000000010000000000000001", check=False).stderr)
        self.assertIn("there is no global/pg_control", self.fetch(check=False, data=self.scratch.folder("empty")).stderr)
        self.assertEqual(files_of(self.standby.data), before)

        self.lose_wal()
        self.primary.psql("create table later as select 1; select pg_switch_wal()")
        self.push()
        running = Cluster.start(self.standby)
        self.refuse(running, "a server runs on")
        self.standby.stop()
        self.fetch()
        self.check_equal()
        self.primary.psql("checkpoint")
        self.standby.wait_until_replayed(self.primary)
        self.standby.stop()
        self.refuse(self.standby, "already,")
        self.primary.stop()
        self.refuse(self.primary, "was no standby when it stopped")

    def refuse(self, cluster, reason):
        result = self.fetch(check=False, data=cluster.data)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(reason, result.stderr)
        self.assertIn("nothing was written", result.stderr)

    def refuse_in_empty_archive(self):
        empty = self.scratch.folder("nothing")
        return self.fetch(check=False, env={"WALG_FILE_PREFIX": str(empty)}).stderr

    def test_where_it_had_replayed_to_is_enough_while_no_checkpoint_came_since(self):
        self.make_pair()
        self.follow()
        self.primary.psql("update kept set m = 'unflushed' where id % 100 = 0")
        now = int(self.primary.psql("select pg_current_wal_lsn() - '0/0'"))
        self.standby.wait_until_replayed(self.primary)
        self.standby.stop("immediate")
        redo = redo_of(self.standby.data)
        self.primary.psql("update kept set m = 'new' where id % 1000 = 1")
        self.assertIn("What changed since", self.push(now).stderr)
        [name] = self.names()
        taken_since = json.loads((self.folder / f"catchup_005/{name}_backup_stop_sentinel.json").read_text())["DeltaLSN"]
        self.assertLessEqual(taken_since, redo)
        self.fetch()
        self.check_equal(databases=[])

    def test_a_database_of_unknown_age_that_was_copied_is_refused(self):
        self.make_pair()
        shutil.rmtree(self.folder / "basebackups_005")
        self.go_on()
        self.push()
        result = self.fetch(check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("was the file copied by CREATE DATABASE since?", result.stderr)
        self.assertFalse((self.standby.data / "global/pg_control").exists(), "PostgreSQL does not start")

    def test_what_a_killed_push_left_is_removed_by_the_next(self):
        self.make_pair(settings={"WALG_TAR_SIZE_THRESHOLD": "300000"})
        process = start([self.scratch.bin / "walg", "catchup-push", self.primary.data, "--from-lsn", "0/0"], self.scratch.log, env=self.walgd.env)
        parts = lambda: list(self.folder.glob("catchup_005/*/tar_partitions/*"))
        until("some parts to be stored", lambda: process.poll() is not None or parts(), 60, 0.0005)
        process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL, "it came to its end before it was killed")
        [intent] = (self.folder / "walgd_005/jobs").iterdir()
        self.assertTrue(intent.name.startswith("catchup-"), intent.name)
        left = parts()[0].parent.parent
        # A base backup sees to it as well.
        self.assertIn(f"removing what an interrupted backup left: {left.name}", self.walgd.walg("backup-push", self.primary.data).stderr)
        self.assertEqual((parts(), list(self.folder.glob("walgd_005/jobs/*"))), ([], []))
        self.push()
        self.assertEqual(len(self.names()), 1)

    def test_killed_on_the_way_it_goes_on(self):
        self.make_pair(settings={"WALG_TAR_SIZE_THRESHOLD": "300000", "WALG_DOWNLOAD_CONCURRENCY": "1"})
        databases = self.go_on()
        self.push()
        for kills in range(2):
            state = self.standby.data / "walgd-restore.state"
            noted = state.stat().st_size if state.exists() else 0
            process = start([self.scratch.bin / "walg", "catchup-fetch", self.standby.data, "LATEST"], self.scratch.log, env=self.walgd.env)
            until("some parts to be there", lambda: process.poll() is not None or (state.exists() and state.stat().st_size > noted + 500), 60, 0.0005)
            process.send_signal(signal.SIGKILL)
            self.assertEqual(process.wait(), -signal.SIGKILL, "it came to its end before it was killed")
            self.assertFalse((self.standby.data / "global/pg_control").exists())
        self.assertNotEqual(run([self.standby.programs / "pg_ctl", "-D", self.standby.data, "-w", "start"], check=False).returncode, 0)
        self.assertIn("going on from there", self.fetch().stderr)
        self.check_equal(databases)

    def test_catchup_over_bare_tcp_is_refused_with_what_to_use(self):
        _, settings = self.store()
        walgd = Walgd(self.scratch, settings)
        for name in ("walg", "wal-g"):
            for words in (("catchup-send", "/data", "host:1"), ("catchup-receive", "/data", "1")):
                result = walgd.walg(*words, name=name, check=False)
                self.assertEqual(result.returncode, 1)
                self.assertIn("catchup-push PGDATA --from-lsn LSN on the primary", result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
