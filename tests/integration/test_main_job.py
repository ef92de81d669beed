"""The main job on real PostgreSQL and real storage: archive, back up, lose the host, restore, and find everything that was archived."""
import json
import os
import pathlib
import re
import shutil
import unittest

from harness import CACHE, GOLDEN, VERSIONS, Cluster, Minio, Rgw, TestCase, Walgd

ZSTD = {"WALG_COMPRESSION_METHOD": "zstd"}
SODIUM = {"WALG_LIBSODIUM_KEY": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "WALG_LIBSODIUM_KEY_TRANSFORM": "hex"}


class MainJob(TestCase):
    def lose_and_restore(self, settings, version=15, segment_mb=16, tablespace=False, scale=2, extra=""):
        """The story; returns after the restored cluster was found equal."""
        old = Cluster(self.scratch, version, "old", segment_mb=segment_mb, extra=extra)
        daemon = Walgd(self.scratch, {**settings, "WALG_PG_WAL_SIZE": str(segment_mb)}, old).start()
        old.archive_with(daemon.archive_command())
        old.start()
        old.psql("create table notes (id int primary key, text text)")
        if tablespace:
            place = self.scratch.folder("space")
            old.psql(f"create tablespace space location '{place}'")
            old.psql("create table elsewhere tablespace space as select g id, md5(g::text) m from generate_series(1, 20000) g")
        old.pgbench("-i", "-q", "-s", str(scale))
        load = old.pgbench_in_background(30)
        old.psql("insert into notes values (1, 'before the backup')")
        done = daemon.walg("backup-push", old.data)
        old.psql("insert into notes values (2, 'after the backup')")
        load.terminate()
        load.wait()
        old.psql("insert into notes select g, repeat(md5(g::text), 20) from generate_series(10, 3000) g")
        old.switch()
        expected = old.checksum()
        old.stop("immediate")
        shutil.rmtree(old.data)
        if tablespace:
            shutil.rmtree(self.scratch.path / "space")
        daemon.stop()

        restorer = Walgd(self.scratch, {**settings, "WALG_PG_WAL_SIZE": str(segment_mb), "WALGD_SOCKET": str(self.scratch.path / "nobody.sock")})
        data = self.scratch.path / "new"
        restorer.walg("backup-fetch", data, "LATEST")
        new = Cluster(self.scratch, version, "new", initdb=False)
        new.env = restorer.env
        new.recover_from(restorer.restore_command())
        new.start()
        new.wait_until_writable()
        self.assertEqual(new.checksum(), expected)
        self.assertEqual(new.psql("select count(*) from notes where id < 10"), "2")
        return done

    def test_file_storage_with_walgs_defaults(self):
        _, settings = self.store()
        self.lose_and_restore(settings)

    def test_every_compression_and_cipher(self):
        keys = GOLDEN / "pgp/keys"
        ciphers = [{}, SODIUM, {"WALG_PGP_KEY_PATH": str(self.scratch.path / "key.asc")}]
        shutil.copy(keys / "plain.sec.asc", self.scratch.path / "key.asc")
        (self.scratch.path / "key.asc").chmod(0o644)
        for number, method in enumerate(("lz4", "zstd", "brotli", "lzma", "none")):
            cipher = ciphers[number % 3]
            with self.subTest(method=method, cipher=sorted(cipher)):
                store = self.scratch.folder(f"store-{method}")
                self.lose_and_restore({"WALG_FILE_PREFIX": str(store), "WALG_COMPRESSION_METHOD": method, **cipher}, scale=1)
                shutil.rmtree(self.scratch.path / "new")

    def test_zstd_openpgp_and_tablespace(self):
        _, settings = self.store()
        shutil.copy(GOLDEN / "pgp/keys/plain.sec.asc", self.scratch.path / "key.asc")
        (self.scratch.path / "key.asc").chmod(0o644)
        self.lose_and_restore({**settings, **ZSTD, "WALG_PGP_KEY_PATH": str(self.scratch.path / "key.asc")}, tablespace=True)

    def test_segments_of_1_and_64_mb(self):
        for size in (1, 64):
            with self.subTest(segment_mb=size):
                store = self.scratch.folder(f"store{size}")
                self.lose_and_restore({"WALG_FILE_PREFIX": str(store), **ZSTD}, segment_mb=size, scale=1)
                shutil.rmtree(self.scratch.path / "new")

    def test_minio(self):
        if not (CACHE / "bin/minio").exists() and not os.environ.get("CI"):
            self.skipTest("MinIO is not there: it needs Go to be built")
        self.lose_and_restore({**Minio(self.scratch).settings(), **ZSTD}, tablespace=True)

    def test_ceph_plain(self):
        self.lose_and_restore({**Rgw(self.scratch).settings(), **ZSTD, **SODIUM})

    def test_ceph_tls(self):
        self.lose_and_restore({**Rgw(self.scratch, tls=True).settings("deep/er"), **ZSTD})


class OtherVersions(MainJob):
    """Each further PostgreSQL: archive, back up, restore, recover."""

    def run_version(self, version):
        folder, settings = self.store()
        self.lose_and_restore({**settings, **ZSTD}, version=version, scale=1)
        self.assert_every_file_is_of_a_named_table(folder)

    def assert_every_file_is_of_a_named_table(self, folder):
        """WAL-G's --restore-only drops what DatabasesByNames does not name."""
        (path,) = folder.glob("basebackups_005/*/files_metadata.json")
        document = json.loads(path.read_text())
        databases = document["DatabasesByNames"]
        self.assertEqual(set(databases), {"postgres", "template1"})
        for database in databases.values():
            tables = database["tables_new"]
            named = {table["relfilenode"] for top in tables.values() for table in (top, *top.get("subtables", {}).values())}
            files = (pathlib.PurePath(name) for name in document["Files"])
            stored = {int(re.match(r"\d+", file.name)[0]) for file in files if str(file.parent) == f"/base/{database['oid']}" and file.name[0].isdigit()}
            self.assertGreater(len(stored), 200)
            self.assertEqual(stored - named, set())


def load_tests(loader, standard, pattern):
    suite = unittest.TestSuite(loader.loadTestsFromTestCase(MainJob))
    for version in VERSIONS:
        if version == 15:
            continue
        name = f"test_postgresql_{version}"
        setattr(OtherVersions, name, lambda self, version=version: self.run_version(version))
        suite.addTest(OtherVersions(name))
    return suite


if __name__ == "__main__":
    unittest.main(verbosity=2)
