"""Delta backups: what they are based on, what is in them, and that the cluster they restore is the one that was backed up."""
import json
import os
import pathlib
import re
import shutil
import struct
import tarfile
import unittest

from harness import Cluster, TestCase, Walgd, run, start, until

PAGE = 8192


def unpack_increment(content, path):
    """As WAL-G's default restore does it (walg-format.md, 4.4): written by the format's description alone, nothing of ours is used."""
    assert content[:4] == b"wi1\x55", content[:4]
    size, count = struct.unpack("<QI", content[4:16])
    blocks = struct.unpack(f"<{count}I", content[16:16 + 4 * count])
    assert list(blocks) == sorted(set(blocks)), blocks
    assert len(content) == 16 + count * (4 + PAGE), (len(content), count)
    with open(path, "r+b") as file:
        file.truncate(size)
        for index, block in enumerate(blocks):
            assert (block + 1) * PAGE <= size
            file.seek(block * PAGE)
            file.write(content[16 + 4 * count + index * PAGE:][:PAGE])


class Archive:
    """The backups in a folder, stored with method none, read and restored the way WAL-G does it by default."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder) / "basebackups_005"

    def names(self):
        ending = "_backup_stop_sentinel.json"
        return [path.name.removesuffix(ending) for path in sorted(self.folder.glob("*" + ending), key=lambda path: path.stat().st_mtime_ns)]

    def sentinel(self, name):
        return json.loads((self.folder / f"{name}_backup_stop_sentinel.json").read_text())

    def metadata(self, name):
        return json.loads((self.folder / name / "metadata.json").read_text())

    def files_metadata(self, name):
        return json.loads((self.folder / name / "files_metadata.json").read_text())

    def files(self, name):
        return self.files_metadata(name)["Files"]

    def restore(self, name, target):
        wanted = set(self.files(name)) | {"/global/pg_control", "backup_label", "tablespace_map"}
        chain = [(name, wanted)]
        while "DeltaFrom" in (sentinel := self.sentinel(chain[-1][0])):
            child, names = chain[-1]
            files = self.files(child)
            chain.append((sentinel["DeltaFrom"], {one for one in names if one in files and (files[one]["IsSkipped"] or files[one]["IsIncremented"])}))
        for backup, names in reversed(chain):
            self.unpack(backup, names, target)

    def unpack(self, backup, wanted, target):
        files = self.files(backup)
        for tar in sorted((self.folder / backup / "tar_partitions").iterdir()):
            with tarfile.open(tar) as archive:
                for member in archive:
                    name = member.name if member.name in ("backup_label", "tablespace_map") else "/" + member.name.strip("/")
                    path = pathlib.Path(target) / name.strip("/")
                    if member.isdir():
                        path.mkdir(parents=True, exist_ok=True)
                        path.chmod(member.mode)
                    elif member.isfile() and name in wanted:
                        path.parent.mkdir(parents=True, exist_ok=True)
                        content = archive.extractfile(member).read()
                        if files.get(name, {}).get("IsIncremented"):
                            unpack_increment(content, path)
                        else:
                            path.write_bytes(content)
                            path.chmod(member.mode)


class DeltaCase(TestCase):
    version = 15

    def make(self, version=15, checksums=True, extra="", segment_mb=16, **settings):
        self.version = version
        self.folder, self.settings = self.store()
        self.settings.update(WALG_COMPRESSION_METHOD="none", WALG_DELTA_MAX_STEPS="10", **settings)
        self.archive = Archive(self.folder)
        self.cluster = Cluster(self.scratch, version, "data", extra=extra, segment_mb=segment_mb)
        if not checksums:
            run([self.cluster.programs / "pg_checksums", "--disable", "-D", self.cluster.data])
        self.daemon = Walgd(self.scratch, self.settings, self.cluster)
        self.cluster.archive_with(self.daemon.archive_command())
        self.daemon.start()
        self.cluster.start()
        self.restored = 0
        self.wal = pathlib.Path(self.folder) / "wal_005"
        self.ready = lambda: None

    def wait_for_maps(self):
        """Until the map of the last whole group of segments of 1 MiB is written."""
        timeline, high, low = (int(self.cluster.psql("select pg_walfile_name(pg_current_wal_insert_lsn())")[at:at + 8], 16) for at in (0, 8, 16))
        group = (high * 4096 + low) // 16 - 1
        name = f"{timeline:08X}{group * 16 // 4096:08X}{group * 16 % 4096:08X}_delta"
        until(f"{name} to be written", lambda: group < 1 or (self.wal / name).exists())

    def start_standby(self, data, extra=""):
        """Of a restored folder: it streams from the cluster."""
        standby = Cluster(self.scratch, self.version, data.name, initdb=False, extra=extra)
        standby.configure(f"primary_conninfo = 'host={self.cluster.sockets} port={self.cluster.port} user=postgres'\nrestore_command = '{self.daemon.restore_command()}'")
        standby.env = self.daemon.env
        (data / "standby.signal").touch()
        self.scratch.own(data / "standby.signal")
        standby.start()
        until("the standby to stream", lambda: self.cluster.psql("select count(*) from pg_stat_replication where state = 'streaming'") == "1")
        return standby

    def alone(self, **extra):
        return Walgd(self.scratch, {**self.settings, **extra}, self.cluster)

    def push(self, *words, by=None, check=True, **extra):
        """The new backup's name, and what was said."""
        before = self.archive.names()
        result = (by or self.alone(**extra)).walg("backup-push", *words, self.cluster.data, check=check)
        if not check:
            return result
        (name,) = [one for one in self.archive.names() if one not in before]
        return name, result.stderr

    def is_delta(self, name):
        return "DeltaFrom" in self.archive.sentinel(name)

    def path(self, relation, database="postgres"):
        return self.cluster.psql(f"select pg_relation_filepath('{relation}')", database)

    def restore(self, name):
        """Into a folder of its own, tablespaces too; not started."""
        self.restored += 1
        target = self.scratch.folder(f"restored{self.restored}")
        self.archive.restore(name, target)
        for entry in self.archive.sentinel(name).get("Spec", {}).get("tablespaces", []):
            place = self.scratch.path / f"restored{self.restored}-{entry}"
            shutil.move(target / f"pg_tblspc/{entry}", place)
            (target / f"pg_tblspc/{entry}").symlink_to(place)
            self.scratch.own_tree(place)
        (target / "tablespace_map").unlink(missing_ok=True)
        self.scratch.own_tree(target)
        return target

    def recovered(self, name):
        """The restored cluster, brought to the end of the archive."""
        target = self.restore(name)
        cluster = Cluster(self.scratch, self.version, target.name, initdb=False)
        for signal in target.glob("postmaster.*"):
            signal.unlink()
        cluster.env = {**self.alone().env}
        cluster.recover_from(self.daemon.restore_command())
        cluster.start()
        cluster.wait_until_writable()
        return cluster

    def checksums(self, cluster):
        databases = cluster.psql("select datname from pg_database where datallowconn order by 1").split()
        return {database: self.checksum(cluster, database) for database in databases}

    def checksum(self, cluster, database):
        tables = cluster.psql("select format('%I.%I', schemaname, tablename) from pg_tables where schemaname not in ('pg_catalog', 'information_schema') "
                              "and tablename not like '%unlogged%' order by 1", database)
        return {table: cluster.psql(f"select count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) from {table} t", database)
                for table in tables.splitlines()}

    def check_fetched(self, name):
        """walg restores the same bytes as the oracle."""
        spec = {**self.archive.sentinel(name).get("Spec", {"base_prefix": "/", "tablespaces": []})}
        for oid in spec["tablespaces"]:
            spec[oid] = {"loc": str(self.scratch.folder(f"fetched{self.restored}-{oid}")), "link": f"pg_tblspc/{oid}"}
        where = self.scratch.path / f"spec{self.restored}.json"
        where.write_text(json.dumps(spec))
        self.scratch.own(where)
        fetched, expected = self.scratch.path / f"fetched{self.restored}", self.scratch.folder(f"expected{self.restored}")
        self.alone().walg("backup-fetch", fetched, name, "--restore-spec", where)
        self.archive.restore(name, expected)
        for path in (path for path in expected.rglob("*") if path.is_file() and path.name != "tablespace_map"):
            with self.subTest(path=path):
                self.assertEqual((fetched / path.relative_to(expected)).read_bytes(), path.read_bytes())

    def check_sound(self, cluster):
        """Every heap and index by amcheck; no page says less of its visibility than the map does."""
        for database in cluster.psql("select datname from pg_database where datallowconn and datname <> 'template1' order by 1").split():
            cluster.psql("create extension if not exists amcheck; create extension if not exists pg_visibility", database)
            if self.version >= 14:
                found = cluster.psql("select c.relname, v.* from pg_class c, lateral verify_heapam(c.oid) v where c.relkind in ('r', 't', 'm') and c.relpersistence = 'p'", database)
                self.assertEqual(found, "", f"heaps of {database}")
            cluster.psql("select bt_index_parent_check(c.oid, true) from pg_class c join pg_am a on a.oid = c.relam where a.amname = 'btree' and c.relkind = 'i' "
                         "and c.relpersistence = 'p'", database)
            found = cluster.psql("select c.relname, v.* from pg_class c, lateral pg_check_visible(c.oid) v where c.relkind in ('r', 't', 'm') and c.relpersistence = 'p'", database)
            self.assertEqual(found, "", f"visibility maps of {database}")
            found = cluster.psql("select c.relname, v.blkno from pg_class c, lateral pg_visibility(c.oid) v where c.relkind in ('r', 't', 'm') and c.relpersistence = 'p' "
                                 "and v.all_visible and not v.pd_all_visible", database)
            self.assertEqual(found, "", f"pages of {database} that the visibility map knows better")


class Rules(DeltaCase):
    """What a delta is based on, and what it says of itself."""

    def setUp(self):
        super().setUp()
        self.make()
        self.cluster.psql("create table t as select g id, md5(g::text) m from generate_series(1, 20000) g; create table still as select * from t")
        self.cluster.psql("vacuum (freeze) t")
        self.cluster.psql("vacuum (freeze) still")

    def change(self):
        self.cluster.psql("update t set m = m || 'x' where id % 1000 = 0")

    def test_names_sentinel_and_files_of_a_chain(self):
        full, said = self.push()
        self.assertIn("no backup yet", said)
        self.assertFalse(self.is_delta(full))
        self.change()
        one, said = self.push(by=self.daemon)
        self.assertIn(f"It is a delta of {full}", said)
        self.change()
        two, _ = self.push()
        segment = re.compile("[0-9A-F]{24}")
        self.assertEqual(one, f"{segment.search(one) and 'base_' + segment.findall(one)[0]}_D_{segment.findall(full)[0]}")
        self.assertEqual(two.split("_D_")[1], segment.findall(one)[0])
        parent, child, grandchild = map(self.archive.sentinel, (full, one, two))
        self.assertEqual([child[key] for key in ("DeltaLSN", "DeltaFrom", "DeltaFullName", "DeltaCount")], [parent["LSN"], full, full, 1])
        self.assertEqual([grandchild[key] for key in ("DeltaLSN", "DeltaFrom", "DeltaFullName", "DeltaCount")], [child["LSN"], one, full, 2])
        self.assertEqual(list(child)[:5], ["LSN", "DeltaLSN", "DeltaFrom", "DeltaFullName", "DeltaCount"])
        files = self.archive.files(one)
        changed, still = files["/" + self.path("t")], files["/" + self.path("still")]
        self.assertEqual([changed["IsIncremented"], changed["IsSkipped"], changed["UpdatesCount"]], [True, False, 0])
        self.assertEqual([still["IsIncremented"], still["IsSkipped"]], [False, True])
        packed = {name for names in self.archive.files_metadata(one)["TarFileSets"].values() for name in names}
        self.assertIn("/" + self.path("t"), packed)
        self.assertNotIn("/" + self.path("still"), packed)
        self.assertEqual({name for name, file in files.items() if not file["IsSkipped"]}, packed)
        self.assertLess(child["UncompressedSize"], parent["UncompressedSize"] / 5)
        self.assertEqual(self.checksums(self.recovered(two)), self.checksums(self.cluster))

    def test_steps_origin_full_and_chosen_parents(self):
        full, _ = self.push("--add-user-data", '{"a": [1, 2]}')
        one, _ = self.push()
        two, said = self.push(WALG_DELTA_MAX_STEPS="1")
        self.assertIn("Reached max delta steps. Doing full backup.", said)
        self.assertFalse(self.is_delta(two))
        three, _ = self.push("--delta-from-name", one)
        self.assertEqual(self.archive.sentinel(three)["DeltaFrom"], one)
        four, _ = self.push("--delta-from-user-data", '{"a":[1,2]}')
        self.assertEqual(self.archive.sentinel(four)["DeltaFrom"], full)
        five, _ = self.push("--delta-from-name", three, WALG_DELTA_ORIGIN="LATEST_FULL")
        self.assertEqual([self.archive.sentinel(five)[key] for key in ("DeltaFrom", "DeltaFullName", "DeltaCount")], [full, full, 3])
        six, _ = self.push("--full")
        self.assertFalse(self.is_delta(six))
        seven, _ = self.push(WALG_DELTA_MAX_STEPS="0")
        self.assertFalse(self.is_delta(seven))
        for words in (("--delta-from-name", "base_0000000100000000000000EE"), ("--delta-from-user-data", '{"a":[1]}')):
            result = self.push(*words, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn(words[1] if "name" in words[0] else "No backups found", result.stderr)
        result = self.push(check=False, WALG_DELTA_ORIGIN="OLDEST")
        self.assertEqual(result.returncode, 1)
        self.assertIn("LATEST_FULL", result.stderr)
        result = self.push(check=False, WALG_DELTA_MAX_STEPS="-1")
        self.assertEqual(result.returncode, 1)

    def test_after_so_many_steps_on_the_latest_full_comes_a_new_full(self):
        settings = {"WALG_DELTA_ORIGIN": "LATEST_FULL", "WALG_DELTA_MAX_STEPS": "2"}
        names = [self.push(**settings)[0] for _ in range(4)]
        self.assertEqual([self.archive.sentinel(name).get("DeltaFrom") for name in names], [None, names[0], names[0], None])
        self.assertEqual([self.archive.sentinel(name).get("DeltaCount") for name in names], [None, 1, 2, None])

    def test_without_files_metadata_and_by_database(self):
        self.cluster.psql("create database second")
        self.cluster.psql("create table t as select generate_series(1, 1000) id", "second")
        full, _ = self.push("--without-files-metadata")
        self.assertTrue(self.archive.sentinel(full)["FilesMetadataDisabled"])
        self.assertFalse((self.archive.folder / full / "files_metadata.json").exists())
        new, said = self.push("--database-composer", by=self.daemon)
        self.assertFalse(self.is_delta(new))
        self.assertIn("without files metadata", (self.scratch.path / "log").read_text())
        for names in self.archive.files_metadata(new)["TarFileSets"].values():
            folders = {name.rsplit("/", 1)[0] for name in names if re.fullmatch("/base/[0-9]+/[0-9]+", name)}
            self.assertLessEqual(len(folders), 1, names)
        delta, _ = self.push("--without-files-metadata")
        self.assertFalse(self.is_delta(delta), "nothing tells a delta without it")
        again, said = self.push("--copy-composer", "--rating-composer")
        self.assertFalse(self.is_delta(again))
        self.assertEqual(self.checksums(self.recovered(new)), self.checksums(self.cluster))

    def test_damage_is_found_by_a_scan_named_and_restored_as_it_is(self):
        self.cluster.psql("checkpoint")
        full, _ = self.push()
        path = self.path("still")
        self.cluster.stop()
        with open(self.cluster.data / path, "r+b") as file:
            for block in range(12):
                file.seek(block * PAGE + 4000)
                file.write(b"\xff\x00\xff\x00damaged")
        self.cluster.start()
        for words, named in (((), 10), (("--store-all-corrupt",), 12)):
            name, said = self.push("--delta-from-name", full, *words, WALGD_DELTA_SOURCE="scan")
            self.assertIn("12 blocks of the cluster are damaged", said)
            self.assertIn(f"Corruption found in {self.cluster.data}/{path}: 12 of its blocks are damaged: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 ...", said)
            self.assertEqual(self.archive.files(name)["/" + path]["CorruptBlocks"], {"CorruptBlocksCount": 12, "SomeCorruptBlocks": list(range(named))})
            self.assertEqual((self.restore(name) / path).read_bytes(), (self.cluster.data / path).read_bytes())
        told = self.alone().walg("backup-push", "--full", self.cluster.data, name="wal-g").stderr
        self.assertIn("12 blocks of the cluster are damaged", told)
        self.assertRegex(told, "Wrote backup with name base_[0-9A-F]{24}\n\\Z")  # the last line, where scripts look for it

    def test_a_file_that_ends_within_a_page_is_named(self):
        """Alone: its whole pages are in order."""
        path = self.path("still")
        self.cluster.stop()
        with open(self.cluster.data / path, "ab") as file:
            file.write(b"four")
        size = (self.cluster.data / path).stat().st_size
        self.cluster.start()
        for verify, told in (("true", 1), ("false", 0)):
            _, said = self.push("--full", WALG_VERIFY_PAGE_CHECKSUMS=verify)
            self.assertEqual(said.count(f"{self.cluster.data}/{path} has an invalid file size, {size} bytes: the 4 behind its last whole page were not checked"), told)
            self.assertNotIn("Corruption found", said)

    def test_under_heavy_write_a_delta_recovers_to_what_was_written(self):
        self.cluster.pgbench("-i", "-s", "5")
        self.push()
        load = self.cluster.pgbench_in_background(60, clients=2)
        self.cluster.psql("create table comes as select * from t; create table goes as select * from t")
        names = []
        for step in range(3):
            for statement in (f"create table during{step} as select * from t", "vacuum t", f"delete from comes where id > {20000 - step * 5000}", "vacuum comes"):
                self.cluster.psql(statement)
            names.append(self.push(WALGD_DELTA_SOURCE=("scan", "wal", "scan")[step])[0])
        self.cluster.psql("drop table goes")
        load.terminate()
        load.wait()
        self.cluster.switch()
        expected = self.checksums(self.cluster)
        for name in names:
            self.assertTrue(self.is_delta(name))
            recovered = self.recovered(name)
            self.assertEqual(self.checksums(recovered), expected)
            self.check_sound(recovered)
            recovered.stop()

    def test_from_a_standby_on_a_full_of_its_primary(self):
        full, _ = self.push()
        data = self.scratch.path / "standby"
        self.alone().walg("backup-fetch", data, full)
        standby = self.start_standby(data)
        self.change()
        # The primary goes on, so that it closes and archives the segment in which the standby's backup ends.
        self.cluster.psql("alter system set archive_timeout = 1")
        self.cluster.psql("select pg_reload_conf()")
        self.cluster.pgbench("-i", "-s", "1")
        self.cluster.pgbench_in_background(120, clients=1, rate=20)
        for source in ("scan", "wal"):
            self.cluster.psql(f"update t set m = m || '{source}' where id % 777 = 0")
            self.cluster.psql("checkpoint")
            place = self.cluster.psql("select pg_current_wal_flush_lsn()")
            until("the standby to replay", lambda: standby.psql(f"select pg_last_wal_replay_lsn() >= '{place}'") == "t")
            result = Walgd(self.scratch, {**self.settings, "WALGD_DELTA_SOURCE": source}, standby).walg("backup-push", standby.data)
            name = self.archive.names()[-1]
            self.assertTrue(self.is_delta(name), result.stderr)
            self.assertIn("scan of page LSNs" if source == "scan" else "block references of the WAL", result.stderr)
            self.cluster.switch()
            recovered = self.recovered(name)
            for table in ("public.t", "public.still"):
                self.assertEqual(self.checksums(recovered)["postgres"][table], self.checksums(self.cluster)["postgres"][table])
            self.check_sound(recovered)
            recovered.stop()

    def test_permanent_ones_make_no_parents_but_of_permanent_ones(self):
        full, _ = self.push()
        one, _ = self.push("--permanent")
        self.assertTrue(self.is_delta(one))
        self.assertEqual([self.archive.metadata(name)["is_permanent"] for name in (full, one)], [True, True], "its chain is permanent too")
        two, said = self.push()
        self.assertFalse(self.is_delta(two))
        self.assertIn("Can't do a delta backup from permanent backup. Doing full backup.", said)
        three, _ = self.push("--permanent", "--delta-from-name", one, by=self.daemon)
        self.assertEqual(self.archive.sentinel(three)["DeltaFrom"], one)
        four, _ = self.push("--delta-from-name", three, WALG_DELTA_ORIGIN="LATEST_FULL")
        self.assertEqual(self.archive.sentinel(four)["DeltaFrom"], full)

    def test_a_parent_that_is_damaged_or_of_a_broken_chain_makes_a_full_one(self):
        full, _ = self.push()
        one, _ = self.push()
        sentinel = self.archive.folder / f"{full}_backup_stop_sentinel.json"
        names = self.archive.folder / one / "files_metadata.json"
        for path, content in ((sentinel, None), (sentinel, "{"), (sentinel, sentinel.read_text().replace('"LSN":', '"LSN":1')), (names, None), (names, "{\"Files\":{"),
                              (self.archive.folder / one / "metadata.json", None)):
            with self.subTest(path=path.name, content=content):
                original, times = path.read_text(), path.stat()
                path.unlink()
                if content is not None:
                    path.write_text(content)
                    self.scratch.own(path)
                new, said = self.push("--delta-from-name", one)
                self.assertFalse(self.is_delta(new))
                self.assertIn("Doing full backup.", said)
                self.assertIn("WARNING", said)
                path.write_text(original)
                self.scratch.own(path)
                os.utime(path, ns=(times.st_mtime_ns, times.st_mtime_ns))
        new, _ = self.push("--delta-from-name", one)
        self.assertTrue(self.is_delta(new))

    def test_page_checksums_that_were_turned_on_since_make_a_full_one(self):
        def walgs(name):
            """WAL-G's sentinels say nothing of checksums."""
            path = self.archive.folder / f"{name}_backup_stop_sentinel.json"
            times = path.stat()
            path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "DataChecksums"}))
            os.utime(path, ns=(times.st_mtime_ns, times.st_mtime_ns))

        def turn(how):
            self.cluster.stop()
            run([self.cluster.programs / "pg_checksums", how, "-D", self.cluster.data])
            self.cluster.start()
            self.change()

        with_checksums, _ = self.push()
        walgs(with_checksums)
        self.change()
        self.assertTrue(self.is_delta(self.push()[0]))
        turn("--disable")
        without, said = self.push()
        self.assertIn("Page checksums were turned off since", said)
        self.assertFalse(self.is_delta(without))
        walgs(without)
        turn("--enable")
        new, said = self.push()
        self.assertIn(f"Page checksums were turned on since {without}. Doing full backup.", said)
        self.assertFalse(self.is_delta(new))
        self.assertEqual(self.checksums(self.recovered(new)), self.checksums(self.cluster))

    def test_a_parent_that_is_deleted_meanwhile_leaves_no_delta(self):
        full, _ = self.push()
        self.change()
        alone = self.alone(WALG_DISK_RATE_LIMIT="2000000")
        with open(self.scratch.path / "said", "w+") as said:
            pushing = start([self.scratch.bin / "walg", "backup-push", self.cluster.data], said, env=alone.env)
            until("the delta to begin", lambda: list(self.folder.glob("walgd_005/jobs/*")))
            (self.archive.folder / f"{full}_backup_stop_sentinel.json").unlink()
            self.assertEqual(pushing.wait(120), 1)
            said.seek(0)
            self.assertIn(f"{full} was deleted while a delta on {full} was taken", said.read())
        self.assertEqual(self.archive.names(), [])
        self.assertEqual([path.name for path in self.archive.folder.iterdir() if "_D_" in path.name and any(path.rglob("*.*"))], [])
        self.assertEqual(list(self.folder.glob("walgd_005/jobs/*")), [])

    def test_another_system_and_a_parent_of_the_future_are_refused(self):
        full, _ = self.push()
        path = self.archive.folder / f"{full}_backup_stop_sentinel.json"
        original = path.read_text()
        finish = self.archive.sentinel(full)["FinishLSN"]
        path.write_text(original.replace(f'"FinishLSN":{finish}', f'"FinishLSN":{finish + (1 << 40)}'))
        result = self.push(check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("greater than current LSN", result.stderr)
        system = self.archive.sentinel(full)["SystemIdentifier"]
        path.write_text(original.replace(str(system), str(system + 1)))
        result = self.push(check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("are not equal", result.stderr)
        new, _ = self.push("--full")
        self.assertFalse(self.is_delta(new))
        path.write_text(original)

    def test_across_a_promotion_only_where_the_parent_is_in_the_history(self):
        full, _ = self.push()
        self.change()
        self.cluster.switch()
        promoted = self.recovered(full)  # a second timeline, from the end of the first
        self.cluster.stop()
        first, self.cluster = self.cluster, promoted
        promoted.psql("alter system set archive_mode = on")
        promoted.psql(f"alter system set archive_command = '{self.daemon.archive_command()}'")
        promoted.stop()
        promoted.start()
        promoted.psql("update t set m = m || 'y' where id % 777 = 0")
        delta, _ = self.push("--delta-from-name", full)
        self.assertTrue(self.is_delta(delta))
        self.assertEqual(self.checksums(self.recovered(delta)), self.checksums(promoted))
        # A backup that the first timeline made after it was left.
        path = self.archive.folder / f"{full}_backup_stop_sentinel.json"
        finish = self.archive.sentinel(full)["FinishLSN"]
        path.write_text(path.read_text().replace(f'"FinishLSN":{finish}', f'"FinishLSN":{finish + (64 << 20)}'))
        new, said = self.push("--delta-from-name", full)
        self.assertFalse(self.is_delta(new))
        self.assertIn("left timeline 1 before", said)
        first.start()


CHANGES = """
update t set m = m || 'x' where id % 500 = 0;
create table fresh as select * from t where id < 3000; create index on fresh (id);
drop table gone;
truncate emptied; insert into emptied select id, m from t where id < 10;
alter table moved set tablespace ts;
alter table back set tablespace pg_default;
alter table was_unlogged_once set logged;
insert into an_unlogged select 1 from generate_series(1, 1000);
select count(*) from hinted;
delete from shrunk where id > 100;
"""


class Sources(DeltaCase):
    """Whatever tells what changed, the restored cluster is the same: cases that a page's LSN or a block reference never tells of."""

    def fill(self):
        cluster = self.cluster
        tablespace = self.scratch.folder("ts")
        cluster.psql(f"create tablespace ts location '{tablespace}'")
        cluster.psql("""create table t as select g id, md5(g::text) m from generate_series(1, 50000) g; create index on t (id);
            create table gone as select * from t; create table emptied as select * from t; create table moved as select * from t;
            create table back tablespace ts as select * from t; create unlogged table was_unlogged_once as select * from t;
            create unlogged table an_unlogged (id int); create table shrunk as select * from t; create table regrown as select * from t;
            create table hinted as select * from t; create table visible as select * from t; create table still as select * from t;
            create sequence s""")
        for database in ("copied", "roaming"):
            cluster.psql(f"create database {database}")
            cluster.psql("create table here as select g id, md5(g::text) m from generate_series(1, 5000) g", database)
        cluster.psql("create table other as select g id, repeat('o', 90) m from generate_series(1, 5000) g", "copied")

    def change(self):
        cluster = self.cluster
        for statement in CHANGES.strip().split("\n"):
            cluster.psql(statement)
        cluster.psql("vacuum (freeze, index_cleanup on) visible")
        cluster.psql("vacuum (truncate on) shrunk")
        cluster.psql("select nextval('s') from generate_series(1, 100)")
        # Cut, and grown again by pages of which some stay as they are.
        cluster.psql("delete from regrown where id > 500")
        cluster.psql("vacuum (truncate on) regrown")
        cluster.psql("insert into regrown select g, 'again' from generate_series(500, 5000) g")
        cluster.psql("alter database roaming set tablespace ts")
        cluster.psql("update here set m = 'in ts' where id % 50 = 0", "roaming")
        cluster.psql("alter database roaming set tablespace pg_default")
        # The number of a database that is gone, and pages older than the parent.
        oid = cluster.psql("select oid from pg_database where datname = 'reused'")
        cluster.psql("drop database reused")
        if self.version >= 15:
            cluster.psql(f"create database reused oid {oid} strategy file_copy template copied")
            cluster.psql("create database by_wal strategy wal_log template copied")
            cluster.psql("create database by_files strategy file_copy template copied")
        else:
            cluster.psql("create database reused template copied")

    def check_all(self, source, *words, **extra):
        self.fill()
        # The same tables under the same file nodes, with another content.
        self.cluster.psql("create database reused template copied")
        self.cluster.psql("update other set m = repeat('x', 90)", "reused")
        full, _ = self.push("--full")
        self.change()
        self.ready()
        one, said = self.push(*words, **extra)
        self.assertIn(f"made by {source}", said)
        self.cluster.psql("update t set m = 'second' where id % 321 = 0; insert into visible select id + 50000, m from t where id < 100")
        self.cluster.psql("vacuum visible")
        two, said = self.push(*words, **extra)
        self.assertIn(f"made by {source}", said)
        self.cluster.psql("update t set m = 'after' where id % 999 = 0; delete from visible where id % 100 = 0")
        self.cluster.switch()
        expected = self.checksums(self.cluster)
        for name in (one, two):
            with self.subTest(name=name):
                self.assertTrue(self.is_delta(name))
                self.assertLess(self.archive.sentinel(name)["UncompressedSize"], self.archive.sentinel(full)["UncompressedSize"])
                files = self.archive.files(name)
                self.assertTrue(any(file["IsIncremented"] for file in files.values()))
                recovered = self.recovered(name)
                self.check_fetched(name)
                self.assertEqual(self.checksums(recovered), expected)
                self.check_sound(recovered)
                recovered.psql("delete from visible where id % 7 = 0; delete from regrown where id < 800")
                recovered.stop()
        return one, two

    def test_by_scan_without_checksums(self):
        self.make(15, checksums=False)
        self.check_all("scan of page LSNs", WALGD_DELTA_SOURCE="scan")

    def test_by_scan_17(self):
        self.make(17)
        self.check_all("scan of page LSNs", WALGD_DELTA_SOURCE="scan")

    def test_by_wal_summaries(self):
        self.make(17, extra="summarize_wal = on")
        self.check_all("WAL summaries")

    def test_by_wal_summaries_where_the_command_line_asks_for_them(self):
        self.make(17, extra="summarize_wal = on")
        self.cluster.psql("create table t as select 1 id")
        self.push("--full")
        for by in (self.daemon, self.alone(WALGD_DELTA_SOURCE="scan")):
            self.cluster.psql("insert into t select generate_series(1, 10)")
            name, said = self.push("--delta-from-wal-summaries", by=by)
            self.assertTrue(self.is_delta(name))
            self.assertIn("WAL summaries", said)

    def test_by_the_wal_without_checksums(self):
        self.make(15, checksums=False)
        self.check_all("block references of the WAL", WALGD_DELTA_SOURCE="wal")

    def test_by_the_wal_17(self):
        self.make(17)
        self.check_all("block references of the WAL", WALGD_DELTA_SOURCE="wal")

    def test_by_the_wal_13(self):
        self.make(13)
        self.check_all("block references of the WAL", WALGD_DELTA_SOURCE="wal")

    def check_by_maps(self, version, **options):
        self.make(version, segment_mb=1, WALG_USE_WAL_DELTA="true", **options)
        self.ready = lambda: self.wait_for_maps()
        self.check_all("maps of changed pages", WALGD_DELTA_SOURCE="map")
        self.assertGreater(len(list(self.wal.glob("*_delta"))), 5)

    def test_by_maps_without_checksums(self):
        self.check_by_maps(15, checksums=False)

    def test_by_maps_18(self):
        self.check_by_maps(18)

    def test_by_maps_13(self):
        self.check_by_maps(13)


class Maps(DeltaCase):
    """The maps of changed pages that are kept while WAL is archived: right, and used only where they prove that they are whole."""

    def start(self, daemon=True):
        self.make(15, segment_mb=1, WALG_USE_WAL_DELTA="true", extra="wal_keep_size = 1GB")
        if not daemon:
            self.daemon.kill()
            settings = " ".join(f"{name}={value}" for name, value in self.settings.items())
            self.cluster.psql(f"alter system set archive_command = '{settings} {self.scratch.bin}/walg wal-push %p'")
            self.cluster.psql("select pg_reload_conf()")
        self.cluster.psql("create table t as select g id, md5(g::text) m from generate_series(1, 20000) g; create index on t (id)")
        self.cluster.psql("create table still as select * from t; create table shrunk as select * from t")

    def segments(self, count):
        """So many segments, each with a change, and the maps of all groups that are whole by then."""
        for turn in range(count):
            self.cluster.psql(f"update t set m = m || 'x' where id % 2000 = {turn}")
            self.cluster.psql("select pg_switch_wal()")
        self.wait_for_maps()

    def read(self, path):
        """By the format's description alone: what proves it, pages by relation, limits by relation."""
        content, proof, pages, limits, at, folder = path.read_bytes(), {}, {}, {}, 0, None
        while any(entry := struct.unpack_from("<4I", content, at)):
            at += 16
            if entry[0]:
                pages.setdefault(entry[:3], set()).add(entry[3])
            elif entry[1] <= 3:
                proof.setdefault(entry[1], []).append(entry[2] << 32 | entry[3])
            elif entry[1] == 5:
                folder = entry[2:]
            elif entry[1] == 6:
                limits[(*folder, entry[2])] = entry[3]
        (tail,) = struct.unpack_from("<I", content, at + 16)
        self.assertEqual(len(content), at + 20 + tail)
        return (proof[2][0], *proof[3]), pages, limits, content[at + 20:]

    def dumped(self, start, end):
        """The same as pg_waldump tells it."""
        text = run([self.cluster.programs / "pg_waldump", "-p", self.cluster.data / "pg_wal", "-s", f"{start >> 32:X}/{start & 0xFFFFFFFF:X}",
                    "-e", f"{end >> 32:X}/{end & 0xFFFFFFFF:X}"]).stdout
        pages = {}
        for line in text.splitlines():
            (at,) = re.findall("lsn: ([0-9A-F/]+)", line)
            high, low = at.split("/")
            if int(high, 16) << 32 | int(low, 16) >= end:
                continue
            for relation, block in re.findall(r"blkref #[0-9]+: rel ([0-9/]+) blk ([0-9]+)", line):
                pages.setdefault(tuple(map(int, relation.split("/"))), set()).add(int(block))
        return pages

    def check_right(self, path):
        (start, end), pages, limits, tail = self.read(path)
        dumped = self.dumped(start, end)
        for relation in dumped.keys() | pages.keys():
            told, seen = pages.get(relation, set()), dumped.get(relation, set())
            with self.subTest(map=path.name, relation=relation):
                self.assertLessEqual(told, seen)
                self.assertFalse([block for block in seen - told if relation not in limits or block < limits[relation]])
        return start, end

    def delta(self, of, **extra):
        name, said = self.push("--delta-from-name", of, WALGD_DELTA_SOURCE="map", **extra)
        return name, said

    def test_maps_are_right_and_gaps_and_foreign_ones_are_not_used(self):
        self.start()
        self.segments(17)
        full, _ = self.push("--full")
        self.cluster.psql("delete from shrunk where id > 100")
        self.cluster.psql("vacuum (truncate on) shrunk")
        self.segments(56)
        maps = sorted(self.wal.glob("*_delta"))
        self.assertGreaterEqual(len(maps), 4)
        ranges = [self.check_right(path) for path in maps]
        for (_, end), (start, _) in zip(ranges, ranges[1:]):
            self.assertEqual(end, start, "each goes on where the one before ended")
        one, said = self.delta(full)
        self.assertIn("made by maps of changed pages", said)
        count = int(re.search("([0-9]+) maps of changed pages were read", said).group(1))
        self.assertGreaterEqual(count, 3)
        best, said = self.push("--delta-from-name", full)
        self.assertIn("made by maps of changed pages", said)
        self.cluster.switch()
        expected = self.checksums(self.cluster)
        self.assertEqual(self.checksums(self.recovered(one)), expected)
        used = maps[-2]
        content = used.read_bytes()
        golden = pathlib.Path(__file__).parents[1] / "golden/delta-zstd/archive/wal_005/000000010000000000000020_delta.zst"
        cases = {
            f"has no {used.name}": lambda: used.unlink(),
            "is WAL-G's": lambda: (used.unlink(), shutil.copy(golden, f"{used}.zst")),
            "of another system": lambda: used.write_bytes(content[:8] + b"\1" + content[9:]),
            "does not go on at": lambda: used.write_bytes(maps[-3].read_bytes()),
            "it is cut": lambda: used.write_bytes(content[:-len(content) // 2]),
            f"{used.name} was made before .* was stored": lambda: os.utime(used, (1_000_000_000, 1_000_000_000)),
        }
        for reason, spoil in cases.items():
            with self.subTest(reason=reason):
                spoil()
                self.scratch.own_tree(self.wal)
                name, said = self.delta(full)
                self.assertIn("made by scan of page LSNs", said)
                self.assertRegex(said, f"No use of maps of changed pages: .*{reason}")
                (self.wal / f"{used.name}.zst").unlink(missing_ok=True)
                used.write_bytes(content)
        self.assertEqual(self.checksums(self.recovered(name)), expected)

    def test_across_a_promotion_and_beside_a_primary_that_goes_on(self):
        self.start()
        self.segments(20)
        full, _ = self.push("--full")
        self.segments(4)
        self.cluster.switch()
        first, self.cluster = self.cluster, self.recovered(full)
        self.cluster.psql("alter system set archive_mode = on")
        self.cluster.psql(f"alter system set archive_command = '{self.daemon.archive_command()}'")
        self.cluster.stop()
        self.cluster.start()
        # The one that was left writes maps of its own timeline, for the same places in the WAL.
        second, self.cluster = self.cluster, first
        self.segments(50)
        self.cluster = second
        second.psql("update t set m = m || 'second' where id % 77 = 0")
        self.segments(50)
        across, said = self.delta(full)
        self.assertRegex(said, "No use of maps of changed pages: .* has no 00000002[0-9A-F]{16}_delta")
        self.assertIn("made by scan of page LSNs", said)
        parent, _ = self.push("--full")
        self.segments(40)
        after, said = self.delta(parent)
        self.assertIn("made by maps of changed pages", said)
        second.switch()
        expected = self.checksums(second)
        for name in (across, after):
            self.assertEqual(self.checksums(self.recovered(name)), expected)

    def test_without_a_daemon_after_a_restart_and_where_a_segment_is_missing(self):
        self.start(daemon=False)
        self.segments(45)
        first, second = sorted(self.wal.glob("*_delta"))[:2]
        content = [path.read_bytes() for path in (first, second)]
        self.check_right(second)
        last = f"{second.name[:23]}F"
        # The process that should have written the one before is gone: the next makes up for it. Twice is once.
        first.unlink()
        second.unlink()
        path = self.cluster.data / "pg_wal" / last
        for _ in range(2):
            self.alone().walg("wal-push", path)
            self.assertEqual([first.read_bytes(), second.read_bytes()], content)
        # Recycled by PostgreSQL: from the archive.
        elsewhere = self.scratch.folder("elsewhere")
        shutil.copy(path, elsewhere / last)
        second.unlink()
        self.scratch.own_tree(elsewhere)
        self.alone().walg("wal-push", elsewhere / last)
        self.assertEqual(second.read_bytes(), content[1])
        # In neither: the push is one all the same, and says what there is not.
        second.unlink()
        (self.wal / f"{second.name[:23]}7").unlink()
        result = self.alone().walg("wal-push", elsewhere / last)
        self.assertIn(f"{second.name} was not written: WAL {second.name[:23]}7 is neither in", result.stderr)
        self.assertFalse(second.exists())


if __name__ == "__main__":
    unittest.main()
