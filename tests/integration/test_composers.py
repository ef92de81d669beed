"""Parts of a backup as WAL-G's composers make them: taken over from the former full one, and put together by how often their files are written to."""
import json
import re
import shutil
import signal
import tarfile
import unittest

import test_delta
from harness import GOLDEN, Cluster, Minio, Walgd, start, until

KEYS = ("0" * 64, "1" * 64)


class Composers(test_delta.DeltaCase):
    def make(self, **settings):
        super().make(extra="autovacuum = off\n", WALG_TAR_SIZE_THRESHOLD="3000000", WALG_UPLOAD_DISK_CONCURRENCY="1", **settings)
        self.cluster.psql("create table cold as select g id, md5(g::text) m from generate_series(1, 200000) g")
        self.cluster.psql("create table hot as select g id, 0 n from generate_series(1, 1000) g; create index on hot (id)")
        self.cluster.psql("vacuum (freeze, analyze)")
        self.cluster.psql("checkpoint")

    def tars(self, name):
        return {path.name: path for path in (self.archive.folder / name / "tar_partitions").iterdir()}

    def copies(self, name):
        return {tar: path for tar, path in self.tars(name).items() if tar.startswith("copy_")}

    def members_of_copies(self, name):
        sets = self.archive.files_metadata(name)["TarFileSets"]
        return {member for tar in self.copies(name) for member in sets[tar]}

    def change(self):
        self.cluster.psql("update hot set n = n + 1; checkpoint")

    def taken(self, *words, **extra):
        """A backup with the copy composer: its name, what was said, and how many parts were copied."""
        name, said = self.push("--copy-composer", *words, **extra)
        self.assertFalse(self.is_delta(name))
        return name, said, len(self.copies(name))

    def check_whole(self, name, former):
        """Every file is once in the backup, those of copied parts as they are in the cluster, which is idle; the sizes are those of all parts."""
        tars, sets = self.tars(name), self.archive.files_metadata(name)["TarFileSets"]
        self.assertLessEqual({tar for tar in tars if tar.startswith(("part_", "copy_"))}, set(sets))
        seen, bytes_of_members = set(), 0
        for tar, path in tars.items():
            with tarfile.open(path) as archive:
                for member in archive:
                    bytes_of_members += member.size
                    if not member.isfile():
                        continue
                    self.assertNotIn(member.name, seen)
                    seen.add(member.name)
                    file = self.cluster.data / member.name.strip("/")
                    if tar.startswith("copy_"):
                        self.assertEqual(archive.extractfile(member).read(), file.read_bytes(), member.name)
        sizes = {path.read_bytes() for path in self.copies(name).values()}
        self.assertLessEqual(sizes, {path.read_bytes() for path in self.tars(former).values()}, "the copies are what was there")
        sentinel = self.archive.sentinel(name)
        self.assertEqual(sentinel["UncompressedSize"], bytes_of_members)
        self.assertEqual(sentinel["CompressedSize"], sum(path.stat().st_size for path in tars.values()))
        self.assertEqual(self.archive.metadata(name)["uncompressed_size"], bytes_of_members)
        expected = {"/" + str(path.relative_to(self.cluster.data)) for path in self.cluster.data.glob("base/*/*") if path.is_file() and "pg_internal" not in path.name}
        self.assertLessEqual(expected, set(self.archive.files(name)))

    def test_unchanged_parts_are_copied_and_the_backup_stands_alone(self):
        self.make()
        first, _ = self.push()
        self.change()
        second, said, copied = self.taken()
        self.assertGreater(copied, 0)
        self.assertIn(f"{copied} of the", said)
        self.assertIn(f"parts of {first} hold only what is unchanged: the storage copied them", said)
        self.assertNotIn("/" + self.path("hot"), self.members_of_copies(second))
        self.assertIn("/" + self.path("cold"), self.members_of_copies(second))
        self.check_whole(second, first)
        self.alone().walg("verify")
        self.alone().walg("delete", "target", first, "--confirm")
        self.assertEqual(self.archive.names(), [second])
        self.cluster.switch()
        expected = self.checksums(self.cluster)
        restored = self.recovered(second)
        self.assertEqual(self.checksums(restored), expected)
        self.check_sound(restored)
        self.check_fetched(second)

    def test_copies_of_copies_and_deltas_on_them(self):
        self.make()
        self.push()
        names = []
        for _ in range(2):
            self.change()
            name, _, copied = self.taken("--permanent" if names else "--full", by=self.daemon)
            self.assertGreater(copied, 0)
            names.append(name)
        self.check_whole(names[1], names[0])
        self.assertTrue(self.archive.sentinel(names[1])["IsPermanent"])
        self.change()
        delta, _ = self.push("--permanent")
        self.assertEqual(self.archive.sentinel(delta)["DeltaFrom"], names[1])
        self.assertTrue(self.archive.files(delta)["/" + self.path("cold")]["IsSkipped"])
        # A delta's parts are not taken, its full backup's are.
        self.change()
        name, said, copied = self.taken(WALG_USE_COPY_COMPOSER="true")
        self.assertGreater(copied, 0)
        self.assertIn(f"parts of {names[1]} hold", said)
        self.cluster.switch()
        expected = self.checksums(self.cluster)
        for one in (delta, name):
            self.assertEqual(self.checksums(self.recovered(one)), expected)

    def test_what_is_written_is_read_anew(self):
        self.make()
        first, _ = self.push()
        place = "/" + self.path("cold")
        self.cluster.psql("update cold set m = 'changed' where id = 1; checkpoint")
        second, _, _ = self.taken()
        self.assertNotIn(place, self.members_of_copies(second))
        self.cluster.psql("drop table cold; checkpoint")  # a part with a file that is gone
        third, _, _ = self.taken()
        self.assertNotIn(place, self.members_of_copies(third))
        self.check_whole(third, second)
        (self.archive.folder / third / "files_metadata.json").unlink()
        fourth, said, copied = self.taken("--without-files-metadata")
        self.assertEqual(copied, 0)
        self.assertIn("all parts are made anew", said)
        self.cluster.switch()
        restored = self.scratch.path / "fetched"
        self.alone().walg("backup-fetch", restored, fourth)
        self.assertTrue((restored / "PG_VERSION").exists())

    def test_a_part_that_is_gone_is_made_anew(self):
        self.make()
        first, _ = self.push()
        sets = self.archive.files_metadata(first)["TarFileSets"]
        (gone,) = [tar for tar, members in sets.items() if "/" + self.path("cold") in members]
        self.tars(first)[gone].unlink()
        self.change()
        second, _, copied = self.taken()
        self.assertGreater(copied, 0)
        self.assertNotIn("/" + self.path("cold"), self.members_of_copies(second))
        self.check_whole(second, first)

    def test_damage_of_the_cluster_is_told_again(self):
        self.make()
        path = self.path("cold")
        self.cluster.stop()
        with open(self.cluster.data / path, "r+b") as file:
            file.seek(3 * test_delta.PAGE + 4000)
            file.write(b"\xff\x00\xff\x00damaged")
        self.cluster.start()
        self.push()
        self.change()
        second, said, _ = self.taken()
        self.assertIn("/" + path, self.members_of_copies(second))
        self.assertIn(f"Corruption found in {self.cluster.data}/{path}: 1 of its blocks are damaged: 3", said)
        self.assertIn("1 blocks of the cluster are damaged", said)
        self.assertEqual(self.archive.files(second)["/" + path]["CorruptBlocks"], {"CorruptBlocksCount": 1, "SomeCorruptBlocks": [3]})

    def test_another_key_or_compression_makes_all_anew(self):
        self.make()
        self.push()
        for settings, takes in (({"WALG_LIBSODIUM_KEY": KEYS[0]}, False), ({"WALG_LIBSODIUM_KEY": KEYS[0]}, True), ({"WALG_LIBSODIUM_KEY": KEYS[1]}, False), ({}, False),
                                ({"WALG_LIBSODIUM_KEY": KEYS[1], "WALG_COMPRESSION_METHOD": "zstd"}, False),
                                ({"WALG_LIBSODIUM_KEY": KEYS[1], "WALG_COMPRESSION_METHOD": "zstd"}, True)):
            if settings:
                settings["WALG_LIBSODIUM_KEY_TRANSFORM"] = "hex"
            with self.subTest(settings=settings):
                self.change()
                name, said, copied = self.taken(**settings)
                self.assertEqual(copied > 0, takes, said)
                self.assertEqual("was not packed with the compression and the key of now: all parts are made anew" in said, not takes)
                if settings:
                    target = self.scratch.path / name
                    self.alone(**settings).walg("backup-fetch", target, name)
                    shutil.rmtree(target)

    def test_the_same_openpgp_keys_are_known_by_a_public_key(self):
        self.make()
        self.push()
        keys = GOLDEN / "pgp/keys"
        for key, takes in (("plain.pub.asc", False), ("plain.pub.asc", True), ("two.pub.asc", False), ("two.pub.asc", True), ("plain.pub.asc", False)):
            with self.subTest(key=key, takes=takes):
                self.change()
                name, said, copied = self.taken(WALG_PGP_KEY_PATH=str(keys / key))
                self.assertEqual(copied > 0, takes, said)
                target = self.scratch.path / name
                self.alone(WALG_PGP_KEY_PATH=str(keys / key.replace("pub", "sec"))).walg("backup-fetch", target, name)
                shutil.rmtree(target)

    def test_tablespaces(self):
        self.make()
        place = self.scratch.folder("space")
        self.cluster.psql(f"create tablespace space location '{place}'")
        for table in ("still", "quiet"):  # one at least is not in a part with files that are always written to
            self.cluster.psql(f"create table {table} tablespace space as select g id, md5(g::text) m from generate_series(1, 100000) g")
        self.cluster.psql("vacuum")
        self.cluster.psql("checkpoint")
        first, _ = self.push()
        self.change()
        second, _, _ = self.taken()
        self.assertTrue({"/" + self.path("still"), "/" + self.path("quiet")} & self.members_of_copies(second))
        self.cluster.switch()
        expected = self.checksums(self.cluster)
        self.alone().walg("delete", "target", first, "--confirm")
        self.assertEqual(self.checksums(self.recovered(second)), expected)
        self.check_fetched(second)

    def test_under_load(self):
        self.make()
        self.cluster.pgbench("-i", "-q", "-s", "2")
        self.push()
        load = self.cluster.pgbench_in_background(36000)
        names = []
        for _ in range(3):
            name, _, copied = self.taken("--rating-composer", WALG_UPLOAD_DISK_CONCURRENCY="3")
            self.assertGreater(copied, 0)
            names.append(name)
        load.terminate()
        load.wait()
        self.cluster.switch()
        expected = self.checksums(self.cluster)
        for name in names[1:]:
            restored = self.recovered(name)
            self.assertEqual(self.checksums(restored), expected)
            self.check_sound(restored)
            restored.stop()

    def test_killed_leaves_nothing_behind(self):
        self.make()
        first, _ = self.push()
        self.change()
        env = self.alone(WALG_DISK_RATE_LIMIT="100000").env
        for how in (signal.SIGTERM, signal.SIGKILL):
            process = start([self.scratch.bin / "walg", "backup-push", "--copy-composer", self.cluster.data], self.scratch.log, env=env)
            until("copies", lambda: list(self.archive.folder.glob("*/tar_partitions/copy_*")), 60, 0.005)
            process.send_signal(how)
            self.assertNotEqual(process.wait(60), 0)
            self.assertEqual(self.archive.names(), [first])
            sessions = "select count(*) from pg_stat_activity where application_name like 'walg%' and backend_type = 'client backend'"
            until("the server to be out of backup mode", lambda: self.cluster.psql(sessions) == "0", 30)
        self.assertTrue(list(self.archive.folder.glob("*/tar_partitions/copy_*")), "what was killed is there")
        self.cluster.psql("select pg_switch_wal()")
        second, _, copied = self.taken()
        self.assertGreater(copied, 0)
        self.assertEqual({path.name for path in self.archive.folder.iterdir() if path.is_dir()}, {first, second})

    def test_a_server_that_sends_its_files_is_told_of_in_a_line(self):
        self.make()
        self.push()
        said = self.alone().walg("backup-push", "--copy-composer", "--rating-composer", name="wal-g").stderr
        self.assertIn("copy composer and rating composer have no effect", said)

    def test_by_s3(self):
        self.make()
        # More than is copied by one request.
        self.cluster.psql("create database large")
        for table, rows in (("before", 4000), ("big", 80000)):
            self.cluster.psql(f"create table {table} as select repeat(md5(g::text), 30) x from generate_series(1, {rows}) g", "large")
        self.cluster.psql("vacuum", "large")
        self.cluster.psql("checkpoint")
        minio = Minio(self.scratch)
        settings = {name: value for name, value in self.settings.items() if name != "WALG_FILE_PREFIX"}
        settings |= {**minio.settings(), "WALG_LIBSODIUM_KEY": KEYS[0], "WALG_LIBSODIUM_KEY_TRANSFORM": "hex"}
        daemon = Walgd(self.scratch, settings, self.cluster).start()
        self.cluster.archive_with(daemon.archive_command())
        self.cluster.psql("select pg_reload_conf()")
        until("the other archive_command", lambda: str(daemon.socket) in self.cluster.psql("show archive_command"))
        alone = Walgd(self.scratch, settings, self.cluster)
        alone.walg("backup-push", "--full", self.cluster.data)
        (first,) = [one["backup_name"] for one in json.loads(alone.walg("backup-list", "--json").stdout)]
        self.change()
        said = daemon.walg("backup-push", "--copy-composer", "--rating-composer", self.cluster.data).stderr
        names = [one["backup_name"] for one in json.loads(alone.walg("backup-list", "--json").stdout)]
        listed = alone.walg("st", "ls", f"basebackups_005/{names[-1]}/tar_partitions/").stdout
        sizes = [int(line.split()[1]) for line in listed.splitlines() if "copy_" in line]
        self.assertGreater(max(sizes), 64 << 20, said)
        self.assertLess(min(sizes), 64 << 20, said)
        daemon.walg("delete", "target", first, "--confirm")
        self.cluster.switch()
        expected = self.checksums(self.cluster)
        target = self.scratch.path / "of_s3"
        alone.walg("backup-fetch", target, "LATEST")
        restored = Cluster(self.scratch, 15, target.name, initdb=False)
        restored.env = alone.env
        restored.recover_from(daemon.restore_command())
        restored.start()
        restored.wait_until_writable()
        self.assertEqual(self.checksums(restored), expected)

    def test_files_are_put_together_by_how_often_they_are_written_to(self):
        self.make()
        self.cluster.psql("create database second")
        self.cluster.psql("create table busy as select g id from generate_series(1, 2000) g", "second")
        for _ in range(3):
            self.change()
        written = "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::int from pg_stat_all_tables where relname = '{}'"
        until("the statistics", lambda: int(self.cluster.psql(written.format("hot"))) >= 4000)
        until("the statistics", lambda: int(self.cluster.psql(written.format("busy"), "second")) >= 2000)
        first, said = self.push("--rating-composer")
        files, sets = self.archive.files(first), self.archive.files_metadata(first)["TarFileSets"]
        self.assertEqual(files["/" + self.path("hot")]["UpdatesCount"], 4000)
        self.assertEqual(files["/" + self.path("hot_id_idx")]["UpdatesCount"], 4000, "an index has its table's")
        self.assertEqual(files["/" + self.path("busy", "second")]["UpdatesCount"], 2000)
        self.assertEqual(files["/"]["UpdatesCount"], 0)

        def rating(member):
            if not re.fullmatch("/(global|.*/[0-9]+)/[0-9]+(_fsm|_vm|_init)?", member):
                return 3
            rows = files[member]["UpdatesCount"]
            return 0 if rows == 0 else 1 if rows <= 1000 else 2 if rows <= 1000000 else 3
        for tar, members in sets.items():
            self.assertEqual(len({rating(member) for member in members}), 1, tar)
        self.assertEqual(sorted(files), sorted({member for members in sets.values() for member in members}), "each file once, and none left out")
        self.assertEqual(sum(len(members) for members in sets.values()), len(files))
        self.change()
        second, _, copied = self.taken("--rating-composer")
        self.assertGreater(copied, 0)
        cold = [members for tar, members in sets.items() if tar.startswith("part_") and rating(members[0]) == 0]
        new_sets = self.archive.files_metadata(second)["TarFileSets"]
        self.assertGreater(len(cold), 1)
        for members in cold:
            self.assertIn(members, [new_sets[tar] for tar in self.copies(second)])
        self.check_whole(second, first)
        delta, _ = self.push(WALG_USE_RATING_COMPOSER="true")
        self.assertTrue(self.is_delta(delta))
        self.cluster.switch()
        expected = self.checksums(self.cluster)
        for name in (first, second, delta):
            self.assertEqual(self.checksums(self.recovered(name)), expected)


if __name__ == "__main__":
    unittest.main()
