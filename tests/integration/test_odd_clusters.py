"""Clusters that somebody has furnished: what a backup takes of them is what a restore gives back, and it starts."""
import json
import os
import shutil
import socket
import unittest

from harness import Cluster, TestCase, Walgd


class OddClusters(TestCase):
    def make(self, version=15, extra="", **settings):
        self.version = version
        self.folder, self.settings = self.store()
        self.settings.update(WALG_COMPRESSION_METHOD="zstd", **settings)
        self.cluster = Cluster(self.scratch, version, "data", extra=extra)
        self.walgd = Walgd(self.scratch, self.settings, self.cluster)
        self.cluster.env = self.walgd.env
        self.cluster.archive_with(f'{self.scratch.bin}/walg wal-push "%p"')
        self.cluster.start()

    def push(self, *words):
        """The sentinel of the new backup."""
        self.walgd.walg("backup-push", *words, self.cluster.data)
        newest = max(self.folder.glob("basebackups_005/*_sentinel.json"), key=lambda path: path.stat().st_mtime_ns)
        return json.loads(newest.read_text())

    def fetch(self, *words, name="new", **options):
        return self.walgd.walg("backup-fetch", self.scratch.path / name, "LATEST", *words, **options)

    def started(self, name="new"):
        self.cluster.stop()
        self.scratch.own_tree(self.scratch.path / name)
        new = Cluster(self.scratch, self.version, name, initdb=False)
        new.env = self.walgd.env
        new.recover_from(self.walgd.restore_command())
        new.start()
        new.wait_until_writable()
        return new

    def put(self, path, content="x"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        self.scratch.own_tree(path.parent if path.parent != self.cluster.data else path)

    def test_tablespaces_in_place_have_no_other_place(self):
        self.make(extra="allow_in_place_tablespaces = on\n")
        self.cluster.psql("create tablespace inside location ''")
        self.cluster.psql("create table t tablespace inside as select g id from generate_series(1, 1000) g")
        expected = self.cluster.checksum()
        sentinel = self.push()
        self.assertNotIn("Spec", sentinel)
        self.fetch()
        self.assertEqual(self.started().checksum(), expected)

    def test_a_role_with_limits_and_a_path_of_its_own(self):
        self.make(17)
        self.cluster.psql("create role keeper superuser login")
        self.cluster.psql("alter role keeper set transaction_timeout = '15ms'; alter role keeper set statement_timeout = '15ms'")
        self.cluster.psql("alter role keeper set search_path = public, pg_catalog")
        self.cluster.psql("create function pg_backup_start(text, boolean) returns pg_lsn language plpgsql as 'begin raise exception $$not mine$$; end'")
        self.cluster.psql("create table t as select g id, repeat('x', 500) filling from generate_series(1, 100000) g")
        self.walgd.env["PGUSER"] = "keeper"
        self.push()

    def test_links_in_folders_that_are_not_postgresqls(self):
        self.make()
        self.put(self.cluster.data / "certificates/..data/server.crt", "certificate")
        (self.cluster.data / "certificates/server.crt").symlink_to("..data/server.crt")
        self.push()
        self.fetch()
        restored = self.scratch.path / "new/certificates/server.crt"
        self.assertEqual(os.readlink(restored), "..data/server.crt")
        self.assertEqual(restored.read_text(), "certificate")
        self.started()

    def test_files_of_any_name(self):
        self.make()
        names = [b"caf\xe9.conf", b"caf\xe8.conf", "café.conf".encode(), b"new\nline", b'quo"te\\', b" blank ", b"x" * 255, b"<&>", b"-rf", b"*.conf"]
        for name in names:
            with open(os.fsencode(self.cluster.data) + b"/" + name, "wb") as file:
                file.write(name)
        self.scratch.own_tree(self.cluster.data)
        self.push()
        self.fetch()
        for name in names:
            with self.subTest(name=name), open(os.fsencode(self.scratch.path / "new") + b"/" + name, "rb") as file:
                self.assertEqual(file.read(), name)

    def test_folders_of_postgresql_that_are_links(self):
        self.make()
        self.cluster.psql("create table t as select g id from generate_series(1, 1000) g")
        expected = self.cluster.checksum()
        self.cluster.stop()
        for name in ("pg_wal", "pg_xact", "pg_replslot", "pg_stat_tmp", "pg_stat", "pg_notify", "pg_subtrans"):
            place = self.scratch.path / f"elsewhere-{name}"
            shutil.move(self.cluster.data / name, place)
            (self.cluster.data / name).symlink_to(place)
        self.cluster.start()
        self.push()
        self.fetch()
        self.assertEqual([path for path in (self.scratch.path / "new").iterdir() if path.is_symlink()], [])
        self.assertEqual(self.started().checksum(), expected)

    def test_what_a_killed_restore_left(self):
        self.make()
        self.put(self.cluster.data / "walgd-restore.state", "walgd restore 1")
        self.push()
        self.fetch()
        self.started()

    def test_another_target_for_a_restore_that_was_killed_at_its_end(self):
        self.make()
        self.push()
        new, noted = self.scratch.path / "new", self.scratch.path / "noted"
        (part,) = self.folder.glob("basebackups_005/*/tar_partitions/part_001.*")
        part.chmod(0)
        self.assertEqual(self.walgd.walg("restore", new, "--target-immediate", check=False).returncode, 1)
        part.chmod(0o600)
        shutil.copy2(new / "walgd-restore.state", noted)
        self.walgd.walg("restore", new, "--target-immediate")
        shutil.move(noted, new / "walgd-restore.state")
        self.scratch.own(new / "walgd-restore.state")
        self.walgd.walg("restore", new, "--target-action", "promote")
        settings = (new / "postgresql.auto.conf").read_text()
        self.assertIn("recovery_target = ''", settings)
        self.assertIn("recovery_target_action = 'promote'", settings)
        self.assertFalse((new / "walgd-restore.state").exists())

    def test_a_restore_with_tablespaces_that_was_interrupted_goes_on(self):
        self.make(WALG_TAR_SIZE_THRESHOLD="1000000", WALG_DOWNLOAD_CONCURRENCY="1")
        space, moved, new = self.scratch.folder("space"), self.scratch.path / "moved", self.scratch.path / "new"
        self.cluster.psql(f"create tablespace space location '{space}'")
        self.cluster.psql("create table t tablespace space as select md5(g::text) from generate_series(1, 50000) g")
        self.push()
        (sentinel,) = self.folder.glob("basebackups_005/*_backup_stop_sentinel.json")
        spec = json.loads(sentinel.read_text())["Spec"]
        for name in spec["tablespaces"]:
            spec[name]["loc"] = str(moved)
        given = self.scratch.path / "spec.json"
        given.write_text(json.dumps(spec))
        # The largest part, with the table, comes first.
        last = min(self.folder.glob("basebackups_005/*/tar_partitions/part_*"), key=lambda path: path.stat().st_size)
        last.chmod(0)
        words = ("restore", new, "--restore-spec", given, "--target-immediate")
        self.assertEqual(self.walgd.walg(*words, check=False).returncode, 1)
        last.chmod(0o600)
        self.assertTrue(any(moved.iterdir()))
        self.assertIn("an unfinished restore", self.walgd.walg(*words, "--check").stderr)
        self.walgd.walg(*words, "--target-action", "promote")
        self.assertTrue((new / "recovery.signal").exists())
        # Another's folder is not this restore's, whatever it holds.
        said = self.walgd.walg("restore", self.scratch.path / "third", "--restore-spec", given, "--target-immediate", "--check", check=False)
        self.assertEqual(said.returncode, 1)
        self.assertIn("is not empty", said.stderr)
        # One of them has no place: PostgreSQL would not start.
        for names in ([], ["4711"], [*spec["tablespaces"], "4711"]):
            given.write_text(json.dumps({**spec, "tablespaces": names, "4711": {"loc": str(self.scratch.path / "4711"), "link": "pg_tblspc/4711"}}))
            for command in (("restore", self.scratch.path / "third", "--target-immediate", "--check"), ("backup-fetch", self.scratch.path / "third", "LATEST")):
                said = self.walgd.walg(*command, "--restore-spec", given, check=False)
                self.assertEqual(said.returncode, 1)
                self.assertIn(f"the restore spec tells of the tablespaces {', '.join(names) or '(none)'}, the backup has {spec['tablespaces'][0]}", said.stderr)
                self.assertFalse((self.scratch.path / "third").exists())

    def test_an_archive_that_began_after_a_promotion(self):
        self.make()
        self.cluster.stop()
        self.put(self.cluster.data / "standby.signal", "")
        self.cluster.start()
        self.cluster.psql("select pg_promote()")
        self.cluster.psql("create table t as select g id from generate_series(1, 1000) g")
        self.cluster.switch()
        for path in (self.folder / "wal_005").iterdir():
            path.unlink()
        self.push()
        self.cluster.psql("insert into t values (0)")
        self.cluster.switch()
        expected = self.cluster.checksum()
        self.assertEqual(list(self.folder.glob("wal_005/*.history*")), [])
        windows = json.loads(self.walgd.walg("restorable", "--json").stdout)["timelines"][-1]
        self.assertEqual((windows["timeline"], [window["usable"] for window in windows["windows"]]), (2, [True]))
        new = self.scratch.path / "new"
        self.walgd.walg("restore", new, "--target-action", "promote")
        self.cluster.stop()
        restored = Cluster(self.scratch, 15, "new", initdb=False)
        restored.configure("archive_mode = off")
        restored.env = self.walgd.env
        restored.start()
        restored.wait_until_writable()
        self.assertEqual(restored.checksum(), expected)

    def test_a_delta_without_its_base_is_no_way_to_a_moment(self):
        self.make(WALG_DELTA_MAX_STEPS="3")
        self.push()
        self.cluster.psql("create table t as select 1 as id")
        self.push("--full")
        self.cluster.psql("insert into t values (2)")
        self.assertIn("DeltaFrom", self.push())
        self.cluster.switch()
        full, lost, delta = sorted(path.name.removesuffix("_backup_stop_sentinel.json") for path in self.folder.glob("basebackups_005/*_sentinel.json"))
        self.assertEqual([window["backup"] for window in self.windows()], [full, lost, delta])
        (self.folder / f"basebackups_005/{lost}_backup_stop_sentinel.json").unlink()
        self.assertEqual([window["backup"] for window in self.windows()], [full])
        said = self.walgd.walg("restore", self.scratch.path / "new", "--check").stderr
        self.assertIn(f"backup {delta} is left out: {lost}, which it is based on", said)
        self.assertIn(f"ok: backup {full}", said)

    def test_damaged_wal_and_a_damaged_history_end_only_the_ways_over_them(self):
        self.make()
        self.push()
        for number in range(3):
            self.cluster.psql(f"create table t{number} as select {number} as id")
            self.cluster.switch()
        self.cluster.stop()
        wal = self.folder / "wal_005"
        damaged = sorted(path for path in wal.glob("*.zst") if len(path.stem) == 24)[-1]
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 4
        damaged.write_bytes(content)
        (wal / "00000002.history.zst").write_bytes(b"not zstd")
        (window,) = json.loads(self.walgd.walg("restorable", "--json").stdout)["timelines"][0]["windows"]
        self.assertEqual((window["usable"], window["damaged"], window["missing_segment"]), (True, True, damaged.stem))
        refused = self.walgd.walg("restore", self.scratch.path / "new", "--check", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, f"segment {damaged.stem} cannot be used .*; nearest reachable: .*xid")
        self.walgd.walg("restore", self.scratch.path / "new", "--check", "--target-time", window["to"]["time"], "--target-exclusive")
        said = self.walgd.walg("restorable", "--rebuild").stderr
        self.assertIn(f"the commit-time index lacks {damaged.stem}", said)
        self.assertIn("00000002.history is left out", said)

    def test_what_is_no_whole_segment_leads_no_further(self):
        self.make()
        self.walgd.env["WALG_COMPRESSION_METHOD"] = "none"
        self.cluster.stop()
        self.cluster.start()
        self.push()
        for number in range(4):
            self.cluster.psql(f"create table t{number} as select {number} as id")
            self.cluster.switch()
        self.cluster.stop()
        segments = sorted(path for path in (self.folder / "wal_005").iterdir() if len(path.name) == 24)
        victim = segments[-2]
        whole = victim.read_bytes()
        self.walgd.walg("restore", self.scratch.path / "new", "--check")
        other_system = bytearray(whole)
        other_system[24] ^= 1
        for content in (b"", whole[:8192], whole[:-8192], bytes(len(whole)), os.urandom(len(whole)), segments[-1].read_bytes(), bytes(other_system)):
            victim.write_bytes(content)
            refused = self.walgd.walg("restore", self.scratch.path / "new", "--check", check=False)
            self.assertEqual(refused.returncode, 1, len(content))
            self.assertRegex(refused.stderr, f"(no segment {victim.name}|segment {victim.name} cannot be used .*); nearest reachable: .*xid")
            self.walgd.walg("restore", self.scratch.path / "new", "--check", "--target-immediate")
        victim.write_bytes(whole)
        self.walgd.walg("restore", self.scratch.path / "new", "--check")
        # WAL-G's word about a segment outlives the segment, and is none.
        victim.rename(victim.with_name(victim.name + ".json"))
        refused = self.walgd.walg("restore", self.scratch.path / "new", "--check", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"no segment {victim.name}; nearest reachable: ", refused.stderr)
        (window,) = json.loads(self.walgd.walg("restorable", "--json").stdout)["timelines"][0]["windows"]
        self.assertEqual(window["missing_segment"], victim.name)

    def test_a_missing_part_is_told_by_the_check(self):
        self.make()
        self.push()
        self.cluster.switch()
        self.walgd.walg("restore", self.scratch.path / "new", "--check")
        next(self.folder.glob("basebackups_005/*/tar_partitions/part_001.tar*")).rename(self.scratch.path / "part")
        (self.scratch.path / "part").rename(next(self.folder.glob("basebackups_005/*/tar_partitions")) / "part_099.tar.zst")
        result = self.walgd.walg("restore", self.scratch.path / "new", "--check", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("has no part_001.tar.zst in the storage", result.stderr)

    def test_a_backup_of_parts_that_wal_g_copied_from_another_alone(self):
        self.make()
        self.push()
        self.cluster.switch()
        folder = next(self.folder.glob("basebackups_005/*/tar_partitions"))
        for part in folder.glob("part_*"):
            part.rename(folder / part.name.replace("part_", "copy_"))
        metadata = folder.parent / "files_metadata.json"
        metadata.write_text(metadata.read_text().replace('"part_', '"copy_'))
        self.walgd.walg("restore", self.scratch.path / "new", "--check")

    def test_a_damaged_note_of_an_interrupted_backup_keeps_none_from_being_taken(self):
        self.make()
        note = self.folder / "walgd_005/jobs/base_0000.json"
        note.parent.mkdir(parents=True)
        for content in ("", "{}", '{"backup":"x","host":"h","data_dir":"d"}', "[1]"):
            note.write_text(content)
            self.scratch.own_tree(self.folder)
            self.cluster.psql("create table if not exists t (id int)")
            self.cluster.psql("checkpoint")
            result = self.walgd.walg("backup-push", self.cluster.data)
            self.assertRegex(result.stderr, "walgd_005/jobs/base_0000.json.*: passed over")

    def test_what_another_server_of_the_same_name_and_place_takes_is_no_leftover(self):
        self.make()
        started, now = map(int, self.cluster.psql("select string_agg((extract(epoch from t) * 1000000)::bigint::text, ' ') "
                                                  "from unnest(array[pg_postmaster_start_time(), clock_timestamp()]) t").split())
        lives = {"D1": ({"server_started": started - 7, "server_seen": now}, True), "D2": ({"server_started": now - 1, "server_seen": now}, True),
                 "D3": ({"server_started": started, "server_seen": now}, False), "D4": ({"server_started": 1, "server_seen": started - 1}, False),
                 "D5": ({}, False)}
        for end, (life, _) in lives.items():
            name = f"base_0000000100000000000000{end}"
            self.put(self.folder / "basebackups_005" / name / "tar_partitions/part_001.tar.zst")
            self.put(self.folder / f"walgd_005/jobs/base_00000001-00000000-000000{end}-.json", json.dumps(
                {"backup": name, "host": socket.gethostname(), "data_dir": str(self.cluster.data), "folder": "basebackups_005/", **life}))
        self.scratch.own_tree(self.folder)
        said = self.walgd.walg("backup-push", self.cluster.data).stderr
        for end, (_, stays) in lives.items():
            name = f"base_0000000100000000000000{end}"
            with self.subTest(end):
                self.assertEqual((self.folder / "basebackups_005" / name / "tar_partitions/part_001.tar.zst").exists(), stays)
                self.assertEqual(any(self.folder.glob(f"walgd_005/jobs/*{end}-.json")), stays)
                self.assertEqual(f"another server on a host called {socket.gethostname()} takes backup {name}" in said, stays)

    def test_damaged_objects_do_not_hide_whose_archive_it_is(self):
        self.make()
        self.push()
        self.cluster.psql("create table t (id int)")
        self.cluster.switch()
        self.push()
        self.cluster.switch()
        (self.folder / "walgd_005/system.json").write_bytes(b"\0")
        self.cluster.switch()  # is archived all the same
        newest = max(self.folder.glob("basebackups_005/*_sentinel.json"), key=lambda path: path.stat().st_mtime_ns)
        newest.write_text("{")
        self.cluster.switch()
        self.assertEqual([window["usable"] for window in self.windows()], [True])
        for path in self.folder.glob("basebackups_005/*_sentinel.json"):
            path.unlink()
        sorted((self.folder / "wal_005").glob("0*.zst"))[0].write_bytes(b"not zstd")
        self.cluster.switch()
        # Where nothing can tell, nothing is stored: it may be another cluster's.
        for path in (self.folder / "wal_005").glob("0*.zst"):
            path.write_bytes(b"not zstd")
        segment = sorted(path for path in (self.cluster.data / "pg_wal").iterdir() if len(path.name) == 24)[-1]
        refused = self.walgd.walg("wal-push", segment, check=False)
        self.assertEqual(refused.returncode, 1)

    def windows(self):
        return json.loads(self.walgd.walg("restorable", "--json").stdout)["timelines"][-1]["windows"]

    def test_the_settings_of_an_earlier_restore_are_told_of(self):
        self.make()
        self.push()
        self.cluster.stop()
        self.walgd.walg("restore", self.scratch.path / "data2", "--target-immediate", "--target-action", "promote", "--restore-command", self.walgd.restore_command())
        self.assertNotIn("earlier walg restore", self.fetch(name="before").stderr)
        self.cluster = Cluster(self.scratch, 15, "data2", initdb=False)
        self.cluster.env = self.walgd.env
        self.cluster.start()
        self.cluster.wait_until_writable()
        self.walgd.env.update(self.cluster.environment())
        self.push()
        self.cluster.psql("create table t as select 1 as id")
        self.cluster.switch()
        self.assertIn("still has the target of an earlier recovery", self.fetch().stderr)
        settings = self.scratch.path / "new/postgresql.auto.conf"
        begin, end = (f"# Recovery settings by walg restore: {mark}\n" for mark in ("begin", "end"))
        before, rest = settings.read_text().split(begin)
        settings.write_text(before + rest.split(end)[1])
        self.assertEqual(self.started().psql("select id from t"), "1")

    def test_a_server_that_takes_no_connections_while_it_recovers(self):
        self.make(extra="hot_standby = off\n")
        self.push()
        self.cluster.stop()
        for action, state in (("shutdown", "shut down"), ("pause", "paused"), ("promote", "promoted")):
            with self.subTest(action=action):
                words = ("--start", "--json", "--target-immediate", "--target-action", action)
                result = self.walgd.walg("restore", self.scratch.path / action, *words, check=False)
                self.assertEqual(result.returncode, 0, result.stderr)
                Cluster(self.scratch, 15, action, initdb=False).stop("immediate")
                self.assertEqual(json.loads(result.stdout)["state"], state)

    def test_settings_that_are_not_in_the_data_directory(self):
        self.make()
        (self.cluster.data / "postgresql.conf").rename(self.scratch.path / "postgresql.conf")
        self.push()
        self.cluster.switch()
        new = self.scratch.path / "new"
        result = self.walgd.walg("restore", new, "--start", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "--start cannot start it: .* postgresql.conf outside of its data directory")
        self.assertTrue((new / "recovery.signal").exists())
        self.assertTrue((new / "global/pg_control").exists())

    def test_into_the_working_folder(self):
        self.make()
        self.push()
        new = self.scratch.folder("new")
        self.walgd.walg("backup-fetch", ".", "LATEST", cwd=new, timeout=120)
        self.started()

    def test_two_tablespaces_in_one_place_are_refused(self):
        self.make()
        places = [self.scratch.folder(name) for name in ("one", "two")]
        for place in places:
            self.cluster.psql(f"create tablespace {place.name} location '{place}'")
            self.cluster.psql(f"create table in_{place.name} tablespace {place.name} as select g id from generate_series(1, 1000) g")
        spec = self.push()["Spec"]
        for name in spec["tablespaces"]:
            spec[name]["loc"] = str(self.scratch.path / "moved")
        (self.scratch.path / "spec.json").write_text(json.dumps(spec))
        result = self.fetch("--restore-spec", self.scratch.path / "spec.json", check=False)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("moved", result.stderr)
        self.assertFalse((self.scratch.path / "new").exists())

    def test_a_delta_of_tables_in_a_tablespace_has_their_changed_pages_only(self):
        self.make(WALG_DELTA_MAX_STEPS="5")
        place = self.scratch.folder("place")
        self.cluster.psql(f"create tablespace place location '{place}'")
        self.cluster.psql("create table t (id int, m text) tablespace place")
        self.cluster.psql("insert into t select g, repeat(md5(g::text), 10) from generate_series(1, 20000) g")
        self.cluster.psql("vacuum (freeze) t")
        full = self.push()
        self.cluster.psql("update t set m = 'x' where id = 7")
        delta = self.push()
        self.assertIn("DeltaFrom", delta)
        self.assertLess(delta["UncompressedSize"], full["UncompressedSize"] / 5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
