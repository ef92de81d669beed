"""Base backups and restores when something is odd: interrupted, refused, relocated, damaged."""
import json
import os
import re
import shutil
import signal
import unittest

from harness import GOLDEN, Cluster, Minio, Rgw, TestCase, Walgd, start, until


class Backup(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()
        self.settings["WALG_COMPRESSION_METHOD"] = "zstd"
        self.cluster = Cluster(self.scratch, 15, "data")
        self.daemon = Walgd(self.scratch, self.settings, self.cluster)
        self.cluster.archive_with(self.daemon.archive_command())
        self.daemon.start()
        self.cluster.start()
        self.cluster.psql("create table t as select g id, md5(g::text) m from generate_series(1, 200000) g")

    def alone(self, **extra):
        """walg with no daemon to ask."""
        return Walgd(self.scratch, {**self.settings, **extra}, self.cluster)

    def sentinel(self):
        return json.loads((self.folder / "basebackups_005" / self.sentinels()[-1]).read_text())

    def in_backup(self):
        return self.cluster.psql("select count(*) from pg_stat_activity where application_name like 'walg%' and backend_type = 'client backend'")

    def test_by_the_daemon_and_without_one(self):
        self.daemon.walg("backup-push", self.cluster.data)
        self.alone().walg("backup-push", self.cluster.data)
        self.assertEqual(len(self.sentinels()), 2)
        listed = json.loads(self.daemon.walg("backup-list", "--json", "--detail").stdout)
        self.assertEqual([backup["backup_name"] + "_backup_stop_sentinel.json" for backup in listed], self.sentinels())

    def test_permanent_and_user_data_are_in_sentinel_and_metadata(self):
        self.daemon.walg("backup-push", "--permanent", "--full", "--add-user-data", '{"b": [1, null], "a": "x"}', self.cluster.data)
        sentinel = self.sentinel()
        self.assertTrue(sentinel["IsPermanent"])
        self.assertEqual(sentinel["UserData"], {"a": "x", "b": [1, None]})
        (backup,) = json.loads(self.daemon.walg("backup-list", "--json", "--detail").stdout)
        self.assertTrue(backup["is_permanent"])
        self.assertEqual(backup["user_data"], {"a": "x", "b": [1, None]})
        self.assertEqual(self.daemon.walg("backup-push", "--add-user-data", "hello", self.cluster.data, check=False).returncode, 1)
        # As WAL-G does it, null is none.
        said = self.daemon.walg("backup-push", "--full", "--add-user-data", "null", self.cluster.data).stderr
        name = re.search(r"base_\w+", said)[0]
        documents = self.folder / "basebackups_005"
        self.assertNotIn("UserData", json.loads((documents / f"{name}_backup_stop_sentinel.json").read_text()))
        self.assertNotIn("user_data", json.loads((documents / name / "metadata.json").read_text()))

    def test_user_data_that_is_too_long_for_the_daemon_is_no_hindrance(self):
        data = {"notes": "x" * 100_000}
        result = self.daemon.walg("backup-push", "--add-user-data", json.dumps(data), self.cluster.data)
        self.assertIn("too long for the daemon", result.stderr)
        self.assertEqual(self.sentinel()["UserData"], data)

    def test_a_pgdata_that_is_not_the_connected_servers_is_refused(self):
        other = Cluster(self.scratch, 15, "other")
        for walgd in (self.daemon, self.alone()):
            result = walgd.walg("backup-push", other.data, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(str(other.data), result.stderr)
        self.assertEqual(self.sentinels(), [])

    def test_a_cluster_that_the_archive_is_not_of_is_refused_and_told_of_a_backup_from_its_future(self):
        self.daemon.walg("backup-push", self.cluster.data)
        other = Cluster(self.scratch, 15, "other")
        other.start()
        walgd = Walgd(self.scratch, self.settings, other)
        future = f"Finish LSN of backup {self.sentinels()[0].removesuffix('_backup_stop_sentinel.json')} greater than current LSN"
        result = walgd.walg("backup-push", other.data, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"{future}: {other.data} is of the cluster", result.stderr)
        end = self.sentinel()["FinishLSN"]
        while other.psql(f"select pg_current_wal_lsn() - '0/0' >= {end}") != "t":
            other.psql("create table t(); drop table t; select pg_switch_wal()")
        result = walgd.walg("backup-push", other.data, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("is of the cluster", result.stderr)
        self.assertNotIn("current LSN", result.stderr)
        self.assertEqual(len(self.sentinels()), 1)

    def test_a_backup_whose_last_wal_a_copy_of_the_cluster_stored_is_none(self):
        """A forked volume: system, timeline and names are the same, and no segment is missing."""
        self.daemon.walg("backup-push", self.cluster.data)
        self.cluster.stop()
        shutil.copytree(self.cluster.data, self.scratch.path / "fork", symlinks=True)
        self.scratch.own_tree(self.scratch.path / "fork")
        fork = Cluster(self.scratch, 15, "fork", initdb=False)
        self.cluster.start()
        for _ in range(6):
            self.cluster.switch()
        fork.start()
        walgd = Walgd(self.scratch, {**self.daemon.env, **fork.environment(), "WALGD_SOCKET": "/nowhere", "WALGD_STOP_WAL_TIMEOUT": "2s"})
        before = self.sentinels()
        refused = walgd.walg("backup-push", "--full", fork.data, check=False, env={"WALGD_SOCKET": "/nowhere"})
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, "the backup needs WAL [0-9A-F]{24}, and what .* has under that name is not this server's: it has no end of a backup that began at")
        self.assertEqual(self.sentinels(), before)

    def journals(self):
        """By backup."""
        paths = sorted((self.folder / "basebackups_005").glob("journal_*"))
        return {path.name.removeprefix("journal_"): json.loads(path.read_text()) for path in paths}

    def test_journals_count_the_wal_between_backups_and_follow_deletes(self):
        for by in (self.daemon, self.alone(), self.daemon):
            by.walg("backup-push", "--full", "--count-journals", self.cluster.data)
            self.cluster.switch()
        self.daemon.walg("backup-push", "--full", "--count-journals", "--permanent", self.cluster.data)
        (first, second, third), permanent = [name.removesuffix("_backup_stop_sentinel.json") for name in self.sentinels()[:3]], self.sentinels()[3]
        before = self.journals()
        self.assertEqual(list(before), [first, second, third], "a permanent one has none")
        self.assertEqual([before[one]["PriorBackupEnd"] for one in (second, third)], [before[one]["CurrentBackupEnd"] for one in (first, second)])
        sizes = [before[one]["SizeToNextBackup"] for one in (first, second, third)]
        self.assertGreater(min(sizes[:2]), 0)
        self.assertLessEqual(sum(sizes), sum(path.stat().st_size for path in (self.folder / "wal_005").iterdir()))
        self.assertEqual(sizes[2], 0)
        self.daemon.walg("delete", "target", second, "--confirm")
        after = self.journals()
        self.assertEqual({one: after[one]["SizeToNextBackup"] for one in after}, {first: sizes[0] + sizes[1], third: 0})
        self.assertEqual(after[third]["PriorBackupEnd"], after[first]["CurrentBackupEnd"])
        self.daemon.walg("delete", "target", third, "--confirm")
        self.assertEqual([one["SizeToNextBackup"] for one in self.journals().values()], [0])
        self.daemon.walg("delete", "before", permanent.removesuffix("_backup_stop_sentinel.json"), "--confirm")
        self.assertEqual(self.journals(), {})
        self.assertNotIn("journal", self.daemon.walg("backup-list").stderr + self.daemon.walg("delete", "garbage").stderr)

    def test_interrupted_leaves_no_sentinel_no_backup_mode_and_is_cleaned_up(self):
        self.cluster.psql("create table big as select repeat(md5(g::text), 30) x from generate_series(1, 150000) g")
        for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with self.subTest(how=how):
                env = self.alone().env
                process = start([self.scratch.bin / "walg", "backup-push", self.cluster.data], self.scratch.log, env=env)
                until("a part on its way", lambda: list(self.folder.glob("walgd_005/tmp/*")) or list(self.folder.glob("basebackups_005/*/tar_partitions/*")), 60, 0.005)
                process.send_signal(how)
                self.assertNotEqual(process.wait(60), 0)
                until("the server to be out of backup mode", lambda: self.in_backup() == "0", 30)
                self.assertEqual(self.sentinels(), [])
        self.alone().walg("backup-push", self.cluster.data)
        self.assertEqual(len(self.sentinels()), 1)
        backups = [path.name for path in (self.folder / "basebackups_005").iterdir() if path.is_dir()]
        self.assertEqual([backup + "_backup_stop_sentinel.json" for backup in backups], self.sentinels(), "leftovers are gone")

    def test_a_rate_limit_holds_a_backup_and_does_not_keep_it_from_ending(self):
        for limit in ("WALG_DISK_RATE_LIMIT", "WALG_NETWORK_RATE_LIMIT"):
            with self.subTest(limit=limit):  # a backup that would take hours
                process = start([self.scratch.bin / "walg", "backup-push", self.cluster.data], self.scratch.log, env=self.alone(**{limit: "1000"}).env)
                until("the backup mode", lambda: self.in_backup() == "1", 30, 0.005)
                process.terminate()
                self.assertNotEqual(process.wait(30), 0)
        self.assertEqual(self.sentinels(), [])
        result = self.alone(WALG_DISK_RATE_LIMIT="1000000000", WALG_NETWORK_RATE_LIMIT="1000000000").walg("backup-push", self.cluster.data)
        self.assertNotIn("change nothing", result.stderr)
        self.assertEqual(len(self.sentinels()), 1)
        # A delta pays for what it reads; for all that the cluster has it would take minutes.
        delta = {"WALG_DISK_RATE_LIMIT": "100000", "WALG_DELTA_MAX_STEPS": "1", "WALGD_DELTA_SOURCE": "map"}
        self.assertEqual(start([self.scratch.bin / "walg", "backup-push", self.cluster.data], self.scratch.log, env=self.alone(**delta).env).wait(60), 0)
        self.assertIn("_D_", "".join(self.sentinels()))

    def test_a_tablespace_that_is_made_meanwhile_comes_out_of_the_wal(self):
        push = start([self.scratch.bin / "walg", "backup-push", self.cluster.data], self.scratch.log, env=self.alone(WALG_DISK_RATE_LIMIT="8000000").env)
        copying = "select count(*) from pg_stat_activity where application_name like 'walg%' and query = 'select 1'"
        until("the server's files to be copied", lambda: self.cluster.psql(copying) == "1", 30, 0.02)
        place = self.scratch.folder("late")
        self.cluster.psql(f"create tablespace late location '{place}'")
        self.cluster.psql("create table late tablespace late as select * from t limit 1000")
        self.cluster.psql("checkpoint")
        self.assertIsNone(push.poll(), "the backup ended before")
        self.assertEqual(push.wait(120), 0)
        self.cluster.switch()
        expected = self.cluster.checksum()
        self.cluster.stop()
        shutil.rmtree(place)
        self.scratch.folder("late")
        self.alone().walg("backup-fetch", self.scratch.path / "new", "LATEST")
        restored = Cluster(self.scratch, 15, "new", initdb=False)
        restored.env = self.alone().env
        restored.recover_from(self.daemon.restore_command())
        restored.start()
        restored.wait_until_writable()
        self.assertEqual(restored.checksum(), expected)

    def test_a_database_that_is_moved_meanwhile_makes_no_backup(self):
        self.cluster.psql(f"create tablespace other location '{self.scratch.folder('other')}'")
        self.cluster.psql("create database roaming")
        push = start([self.scratch.bin / "walg", "backup-push", self.cluster.data], self.scratch.log, env=self.alone(WALG_DISK_RATE_LIMIT="8000000").env)
        copying = "select count(*) from pg_stat_activity where application_name like 'walg%' and query = 'select 1'"
        until("the server's files to be copied", lambda: self.cluster.psql(copying) == "1", 30, 0.02)
        self.cluster.psql("alter database roaming set tablespace other")
        self.assertIsNone(push.poll(), "the backup ended before")
        self.assertEqual(push.wait(120), 1)
        self.assertEqual(self.sentinels(), [])
        self.assertRegex((self.scratch.path / "log").read_text(), "database [0-9]+ was moved from tablespace 1663 to [0-9]+ while it was copied")
        self.alone().walg("backup-push", self.cluster.data)
        self.assertEqual(len(self.sentinels()), 1)

    def test_a_second_one_at_the_same_time_is_refused(self):
        first = self.slow_backup()
        first.send_signal(signal.SIGSTOP)
        second = self.alone().walg("backup-push", self.cluster.data, check=False)
        first.send_signal(signal.SIGCONT)
        self.assertEqual(second.returncode, 1, second.stderr)
        self.assertIn("is being taken already", second.stderr)
        self.assertEqual(first.wait(120), 0)
        self.assertEqual(len(self.sentinels()), 1)

    def slow_backup(self):
        """One that goes on for some seconds, and has stored a part."""
        limits = {"WALG_DISK_RATE_LIMIT": "8000000", "WALG_TAR_SIZE_THRESHOLD": "4000000"}
        push = start([self.scratch.bin / "walg", "backup-push", self.cluster.data], self.scratch.log, env=self.alone(**limits).env)
        self.addCleanup(push.kill)
        until("a part to be stored", lambda: list(self.folder.glob("basebackups_005/*/tar_partitions/*")) or push.poll() is not None, 60, 0.02)
        self.assertIsNone(push.poll(), "the backup ended before")
        return push

    def test_a_second_one_by_way_of_another_database_is_refused(self):
        first = self.slow_backup()
        other = self.alone()
        other.env["PGDATABASE"] = "template1"
        second = other.walg("backup-push", self.cluster.data, check=False)
        self.assertEqual(second.returncode, 1, second.stderr)
        self.assertIn("is being taken already", second.stderr)
        self.assertEqual(first.wait(120), 0)
        self.alone().walg("backup-fetch", self.scratch.path / "new", "LATEST")

    def test_a_part_that_is_removed_meanwhile_makes_no_backup(self):
        push = self.slow_backup()
        next(self.folder.glob("basebackups_005/*/tar_partitions/part_*")).unlink()
        self.assertEqual(push.wait(120), 1)
        self.assertIn("was stored, and was deleted meanwhile: the copy is no backup", (self.scratch.path / "log").read_text())
        self.assertEqual(self.sentinels(), [])
        self.assertEqual(list(self.folder.glob("basebackups_005/*")), [], "nothing is left behind")

    def test_page_damage_is_found_named_and_recorded(self):
        self.cluster.psql("checkpoint")
        path = self.cluster.psql("select pg_relation_filepath('t')")
        self.cluster.stop()
        with open(self.cluster.data / path, "r+b") as file:
            file.seek(3 * 8192 + 4000)
            file.write(b"\xff\x00\xff\x00damaged")
        self.cluster.start()
        result = self.alone().walg("backup-push", self.cluster.data)
        self.assertIn(path, result.stderr)
        name = self.sentinels()[-1].removesuffix("_backup_stop_sentinel.json")
        files = json.loads((self.folder / f"basebackups_005/{name}/files_metadata.json").read_text())["Files"]
        self.assertEqual(files["/" + path]["CorruptBlocks"], {"CorruptBlocksCount": 1, "SomeCorruptBlocks": [3]})

    def databases(self):
        name = self.sentinels()[-1].removesuffix("_backup_stop_sentinel.json")
        return json.loads((self.folder / f"basebackups_005/{name}/files_metadata.json").read_text()).get("DatabasesByNames")

    def test_tables_are_named_as_walg_names_them(self):
        text = (GOLDEN / "lz4-default16/archive/basebackups_005/base_000000010000000000000002/files_metadata.json").read_text()
        golden = json.loads(text)["DatabasesByNames"]
        self.cluster.psql("create table t_part (id int, x text) partition by range (id);"
                          "create table t_part_1 partition of t_part for values from (0) to (100) partition by range (id);"
                          "create table t_part_1_1 partition of t_part_1 for values from (0) to (100);"
                          "create table \"Up\"\"per & <lower>\" (id int);"
                          "create table parent (id int); create table child () inherits (parent); create view v as select 1")
        self.cluster.psql("truncate parent")
        self.cluster.psql('create database "an ""odd"" one"')
        self.cluster.psql("create database closed")
        self.cluster.psql("create database not_for_us connection limit 0")
        self.cluster.psql("alter database closed allow_connections false")
        number = lambda name, what: int(self.cluster.psql(f"select {what} from pg_class where relname = '{name}'"))
        entry = lambda name: {"oid": number(name, "oid"), "relfilenode": number(name, "relfilenode")}
        result = self.alone(PGUSER="postgres").walg("backup-push", self.cluster.data)
        found = self.databases()
        self.assertEqual(set(found), {"postgres", "template1", 'an "odd" one', "not_for_us"})
        self.assertEqual(found["template1"], golden["template1"], "the catalogs of PostgreSQL 15, as WAL-G 3.0.9 noted them")
        self.assertEqual(found["postgres"]["oid"], golden["postgres"]["oid"])
        tables = found["postgres"]["tables_new"]
        self.assertEqual(tables["public.t"], entry("t"))
        self.assertEqual(tables["public.parent"], {**entry("parent"), "subtables": {"public.child": entry("child")}})
        self.assertNotEqual(tables["public.parent"]["relfilenode"], tables["public.parent"]["oid"])
        self.assertEqual(tables["public.t_part"], {"oid": number("t_part", "oid"), "relfilenode": 0, "subtables": {
            "public.t_part_1": {"oid": number("t_part_1", "oid"), "relfilenode": 0}, "public.t_part_1_1": entry("t_part_1_1")}})
        self.assertIn('public.Up"per & <lower>', tables)
        self.assertNotIn("public.v", tables)
        self.assertNotIn("could not be listed", result.stderr)
        self.assertEqual(list(found["postgres"]), list(golden["postgres"]))
        self.assertEqual(list(tables["public.t_part"]), list(golden["postgres"]["tables_new"]["public.t_part"]))

    def test_a_database_that_cannot_be_asked_for_its_tables_is_told_and_fails_nothing(self):
        self.cluster.psql("create database other")
        hba = self.cluster.data / "pg_hba.conf"
        hba.write_text("local other all reject\n" + hba.read_text())
        self.cluster.psql("select pg_reload_conf()")
        until("the rule to hold", lambda: self.cluster.psql("select 1", database="other", check=False) != "1", 30)
        result = self.alone().walg("backup-push", self.cluster.data)
        self.assertIn("WARNING", result.stderr)
        self.assertIn("The tables of database other could not be listed", result.stderr)
        self.assertEqual(set(self.databases()), {"postgres", "template1"})
        self.alone(WALG_DISABLE_PARTIAL_RESTORE="true").walg("backup-push", self.cluster.data)
        self.assertIsNone(self.databases())

    def test_restore_refuses_a_folder_that_holds_anything(self):
        self.daemon.walg("backup-push", self.cluster.data)
        target = self.scratch.folder("full")
        (target / ".hidden").touch()
        result = self.alone().walg("backup-fetch", target, "LATEST", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("empty", result.stderr)
        self.assertEqual(os.listdir(target), [".hidden"])

    def test_restore_takes_an_empty_folder_a_link_to_one_and_a_trailing_slash(self):
        self.daemon.walg("backup-push", self.cluster.data)
        target = self.scratch.folder("empty")
        link = self.scratch.path / "link"
        link.symlink_to(target)
        self.alone().walg("backup-fetch", f"{link}/", "LATEST")
        self.assertTrue((target / "global/pg_control").exists())
        self.assertTrue((target / "pg_wal").is_dir())
        self.assertEqual(target.stat().st_mode & 0o777, 0o700)

    def test_an_unknown_backup_and_an_empty_archive(self):
        result = self.alone().walg("backup-fetch", self.scratch.path / "new", "LATEST", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("No backups found", result.stderr)
        self.daemon.walg("backup-push", self.cluster.data)
        result = self.alone().walg("backup-fetch", self.scratch.path / "new", "base_0000000100000000000000FF", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("base_0000000100000000000000FF", result.stderr)
        self.assertFalse((self.scratch.path / "new").exists())

    def test_an_interrupted_restore_leaves_a_folder_that_does_not_start_until_it_went_on(self):
        self.cluster.psql("create table big as select repeat(md5(g::text), 30) x from generate_series(1, 150000) g")
        self.daemon.walg("backup-push", self.cluster.data)
        target = self.scratch.path / "new"
        process = start([self.scratch.bin / "walg", "backup-fetch", target, "LATEST"], self.scratch.log, env=self.alone().env)
        until("files", lambda: (target / "base").exists(), 60, 0.002)
        process.kill()
        process.wait()
        self.assertFalse((target / "global/pg_control").exists())
        self.alone().walg("backup-fetch", target, "LATEST")
        self.assertTrue((target / "global/pg_control").exists())

    def test_a_damaged_part_is_an_error_that_names_it(self):
        self.daemon.walg("backup-push", self.cluster.data)
        part = max(self.folder.glob("basebackups_005/*/tar_partitions/part_*"), key=lambda path: path.stat().st_size)
        original = part.read_bytes()
        for damage in (original[:len(original) // 2], original[:-1], original[:1000] + bytes([original[1000] ^ 0x40]) + original[1001:], original + original[:4096]):
            part.write_bytes(damage)
            target = self.scratch.path / "new"
            result = self.alone().walg("backup-fetch", target, "LATEST", check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(part.name, result.stderr)
            self.assertFalse((target / "global/pg_control").exists())
            shutil.rmtree(target, ignore_errors=True)

    def test_tablespaces_by_restore_spec(self):
        place, moved = self.scratch.folder("space"), self.scratch.folder("moved")
        self.cluster.psql(f"create tablespace space location '{place}'")
        self.cluster.psql("create table elsewhere tablespace space as select g id from generate_series(1, 1000) g")
        self.daemon.walg("backup-push", self.cluster.data)
        expected = self.cluster.checksum()
        spec = self.sentinel()["Spec"]
        target = self.scratch.path / "new"
        spec["base_prefix"] = str(target)
        for name in spec["tablespaces"]:
            spec[name]["loc"] = str(moved)
        (self.scratch.path / "spec.json").write_text(json.dumps(spec))
        self.alone().walg("backup-fetch", target, "LATEST", "--restore-spec", self.scratch.path / "spec.json")
        new = Cluster(self.scratch, 15, "new", initdb=False)
        new.env = self.alone().env
        new.recover_from(self.alone().restore_command())
        new.start()
        new.wait_until_writable()
        self.assertEqual(new.checksum(), expected)
        self.assertTrue(new.psql("select pg_tablespace_location(oid) from pg_tablespace where spcname = 'space'") == str(moved))


class LittleOfALargePart(TestCase):
    """One part of many frames: what a restore does not need is neither fetched nor decoded."""
    LARGE = "select g id, md5(g::text) || md5((-g)::text) m from generate_series(1, 250000) g"

    def prepare(self, settings):
        self.cluster = Cluster(self.scratch, 15, "data").start()
        self.walgd = Walgd(self.scratch, {**settings, "WALG_COMPRESSION_METHOD": "zstd", "WALG_UPLOAD_DISK_CONCURRENCY": "1", "WALG_DELTA_MAX_STEPS": "5"}, self.cluster)

    def fetch(self, *words):
        """The restored folder, and how many objects or pieces of them were asked for."""
        target = self.scratch.path / "new"
        shutil.rmtree(target, ignore_errors=True)
        told = self.walgd.walg("backup-fetch", target, "LATEST", "--stats", *words).stderr
        return target, int(re.search(r"get (\d+)", told)[1])

    def recovered(self, target):
        for segment in (self.cluster.data / "pg_wal").glob("0000*"):
            shutil.copy(segment, target / "pg_wal")
        self.scratch.own_tree(target / "pg_wal")
        new = Cluster(self.scratch, 15, target.name, initdb=False)
        new.recover_from("false")
        new.start()
        new.wait_until_writable()
        return new

    def test_a_database_out_of_many_by_s3(self):
        for server in (Minio(self.scratch), Rgw(self.scratch)):
            with self.subTest(server=type(server).__name__):
                self.prepare(server.settings())
                for name in ("large", "small"):
                    self.cluster.psql(f"create database {name}")
                self.cluster.psql(f"create table t as {self.LARGE}", "large")
                self.cluster.psql("create table t as select g id from generate_series(1, 1000) g", "small")
                self.walgd.walg("backup-push", self.cluster.data)
                _, whole = self.fetch()
                target, pieces = self.fetch("--restore-only", "small")
                self.assertGreater(pieces, whole + 1)
                new = self.recovered(target)
                self.assertEqual(new.psql("select count(*), sum(id) from t", "small"), "1000|500500")
                new.stop("immediate")
                self.cluster.stop("immediate")
                shutil.rmtree(self.cluster.data)

    def test_in_place_fetches_what_differs(self):
        for server in (Minio(self.scratch), Rgw(self.scratch)):
            with self.subTest(server=type(server).__name__):
                self.prepare(server.settings())
                self.cluster.psql(f"create table t as {self.LARGE}")
                self.cluster.psql("vacuum freeze t")  # else whoever reads the pages changes them
                self.walgd.walg("backup-push", self.cluster.data)
                expected = self.cluster.checksum()
                restored = lambda told: int(re.search(r"files, (\d+) MiB", told)[1])
                whole = restored(self.walgd.walg("backup-fetch", self.scratch.path / "another", "LATEST").stderr)
                target, _ = self.fetch()
                new = self.recovered(target)
                self.assertEqual(new.checksum(), expected)
                new.psql("update t set m = 'another' where id = 200000")
                new.psql("create table other as select 1")
                new.stop()
                (target / "PG_VERSION").unlink()
                told = self.walgd.walg("backup-fetch", target, "LATEST", "--in-place").stderr
                fetched, all = map(int, re.search(r"(\d+) of (\d+) MiB were fetched", told).groups())
                self.assertLess(fetched, all / 2, told)
                self.assertEqual(restored(told), whole, told)
                new = self.recovered(target)
                self.assertEqual(new.checksum(), expected)
                for cluster in (new, self.cluster):
                    cluster.stop("immediate")
                    shutil.rmtree(cluster.data)
                shutil.rmtree(self.scratch.path / "another")

    def test_pages_that_newer_deltas_have(self):
        self.folder, settings = self.store()
        self.prepare(settings)
        self.cluster.psql(f"create table t as {self.LARGE}")
        for share in (1, 1, 2, 3):
            self.cluster.psql(f"update t set m = md5(m) where id % 60 = 7 and id < {250000 // share}")
            self.cluster.psql("checkpoint")
            self.walgd.walg("backup-push", self.cluster.data)
        expected = self.cluster.checksum()
        self.assertEqual(len([name for name in self.sentinels() if "_D_" in name]), 3)
        target, _ = self.fetch()
        self.assertEqual(self.recovered(target).checksum(), expected)


if __name__ == "__main__":
    unittest.main(verbosity=2)
