"""WALG_FAILOVER_STORAGES: two file storages, of which one dies when its folder is moved away, and a MinIO that is stopped."""
import json
import shutil
import signal
import unittest
import urllib.request

from harness import GOLDEN, Cluster, Minio, TestCase, Walgd, free_port, run, stop, until
from made_wal import segment_name, write_segment

FIRST, SECOND, THIRD = (segment_name(number) for number in (1, 2, 3))


class FailoverStorages(TestCase):
    def setUp(self):
        super().setUp()
        self.folders = {"default": self.scratch.folder("default"), "east": self.scratch.folder("east")}
        self.walgd = Walgd(self.scratch, self.settings())

    def settings(self, **more):
        return {"WALG_FILE_PREFIX": str(self.folders["default"]), "WALG_FAILOVER_STORAGES": json.dumps({"East": {"WALG_FILE_PREFIX": str(self.folders["east"])}}),
                "WALG_FAILOVER_STORAGES_CACHE_LIFETIME": "1s", "WALG_FAILOVER_STORAGES_CHECK_TIMEOUT": "2s", "WALG_FAILOVER_STORAGES_CHECK_SIZE": "1kb",
                "WALG_COMPRESSION_METHOD": "zstd", "WALG_PG_WAL_SIZE": "1", **more}

    def kill(self, name):
        self.folders[name].rename(f"{self.folders[name]}.away")

    def revive(self, name):
        self.scratch.path.joinpath(f"{name}.away").rename(self.folders[name])

    def holds(self, name, path):
        return (self.folders[name] / path).exists()

    def push(self, number, **options):
        return self.walgd.walg("wal-push", write_segment(self.scratch, number, noise=1000), **options)

    def fetch(self, segment, **options):
        target = self.scratch.path / "fetched"
        target.unlink(missing_ok=True)
        return self.walgd.walg("wal-fetch", segment, target, check=False, **options)

    def log(self):
        self.scratch.log.flush()
        return (self.scratch.path / "log").read_text(errors="replace")

    def test_wal_goes_to_the_next_storage_and_is_found_in_both(self):
        self.push(1)
        self.kill("default")
        told = self.push(2).stderr
        self.assertIn("event=storage_switched from=default to=east", told)
        self.assertTrue(self.holds("east", f"wal_005/{SECOND}.zst"))
        self.assertEqual(self.fetch(SECOND).returncode, 0)
        # What is nowhere to be found may be in the dead one: PostgreSQL must not take it for the end of WAL.
        missing = self.fetch(FIRST)
        self.assertEqual(missing.returncode, 200)
        self.assertIn("whether wal_005/", missing.stderr)
        self.revive("default")
        self.assertEqual([self.fetch(name).returncode for name in (FIRST, SECOND, THIRD)], [0, 0, 1])
        self.assertEqual(self.fetch(FIRST, name="wal-g").returncode, 0)
        self.assertEqual(self.fetch(THIRD, name="wal-g").returncode, 74)

    def test_the_same_segment_with_other_content_is_refused_in_whichever_storage_it_is(self):
        self.kill("default")
        self.push(1)
        self.revive("default")
        again = self.push(1, check=False)  # made anew, with other noise
        self.assertEqual(again.returncode, 1)
        self.assertIn("with other content", again.stderr)
        self.assertFalse(self.holds("default", f"wal_005/{FIRST}.zst"))

    def test_one_storage_is_worked_with_alone(self):
        self.push(1)
        self.assertEqual(self.fetch(FIRST).returncode, 0)
        target = self.scratch.path / "fetched"
        target.unlink()
        self.assertEqual(self.walgd.walg("wal-fetch", FIRST, target, "--target-storage", "EAST", check=False).returncode, 1)
        self.walgd.walg("wal-push", write_segment(self.scratch, 2), "--target-storage", "east")
        self.assertTrue(self.holds("east", f"wal_005/{SECOND}.zst"))
        wrong = self.walgd.walg("wal-push", write_segment(self.scratch, 3), "--target-storage", "west", check=False)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("there is no storage 'west'", wrong.stderr)
        self.assertIn("default, east", wrong.stderr)

    def test_storage_tools_go_by_name_and_transfer_from_one_to_the_other(self):
        self.push(1)
        self.push(2)
        listed = lambda name: self.walgd.walg("st", "ls", "wal_005/", "--target", name).stdout
        self.assertIn(FIRST, listed("default"))
        self.assertNotIn(FIRST, listed("east"))
        self.walgd.walg("st", "transfer", "pg-wals", "--source", "default", "--target", "east", "--preserve", "--appearance-checks-interval", "10ms")
        self.assertIn(FIRST, listed("east"))
        self.assertEqual(listed("all").count(FIRST), 1)
        self.walgd.walg("st", "rm", f"wal_005/{FIRST}.zst", "--target", "default")
        self.assertFalse(self.holds("default", f"wal_005/{FIRST}.zst"))
        self.assertTrue(self.holds("east", f"wal_005/{FIRST}.zst"))
        self.walgd.walg("st", "rm", "wal_005/", "--target", "all")
        self.assertEqual(listed("all").strip().splitlines(), ["type size last modified name"])
        for words in (["-s", "east", "-t", "east"], ["-s", "all"], ["-s", "west"]):
            self.assertEqual(self.walgd.walg("st", "transfer", "pg-wals", *words, check=False).returncode, 1, words)

    def test_a_file_called_as_a_storage_is_not_taken_for_its_settings(self):
        here = self.scratch.folder("here")
        for name in ("default", "east"):
            (here / name).write_text("no settings")
            self.assertIn("name", self.walgd.walg("st", "ls", "--target", name, cwd=here).stdout)

    def test_all_storages_are_put_to_and_checked_each(self):
        file = self.scratch.path / "file"
        file.write_text("content")
        self.walgd.walg("st", "put", file, "misc/file", "--target", "all", "--no-compress")
        self.assertTrue(self.holds("default", "misc/file") and self.holds("east", "misc/file"))
        self.assertEqual(self.walgd.walg("st", "put", "misc/2", "-s", "-t", "all", check=False).returncode, 1)
        self.assertEqual(self.walgd.walg("st", "check", "write", "-t", "all").stderr.count("Write check OK"), 2)
        self.walgd.walg("st", "check", "read", "misc/file", "-t", "all")
        self.kill("east")
        for words in (["write"], ["read"], ["read", "misc/file"]):
            result = self.walgd.walg("st", "check", *words, "-t", "all", check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("1 of 2 storages failed", result.stderr)
            self.assertIn(str(self.folders["east"]), result.stderr)
            self.assertEqual(self.walgd.walg("st", "check", *words, "-t", "all", name="wal-g").returncode, 0)
        self.kill("default")
        self.assertIn("all storages failed", self.walgd.walg("st", "check", "read", "-t", "all", name="wal-g", check=False).stderr)

    def test_a_transfer_from_a_storage_to_itself_moves_nothing(self):
        self.walgd.walg("wal-push", write_segment(self.scratch, 1), "--target-storage", "east")
        link, file = self.scratch.path / "link", self.scratch.path / "east.yaml"
        link.symlink_to(self.folders["east"])
        file.write_text(f"file_prefix: {link}\n")
        self.scratch.own(file)
        files = lambda: sorted(path.name for path in self.folders["east"].rglob("*") if path.is_file())
        before = files()
        for source in ("EAST", file):
            result = self.walgd.walg("st", "transfer", "pg-wals", "--source", source, "--target", "east", "--overwrite", check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("source and target storages must be different", result.stderr)
            self.assertEqual(files(), before)

    def test_objects_move_between_buckets_of_s3(self):
        minio = Minio(self.scratch)
        settings = self.settings(**minio.settings(), WALG_FAILOVER_STORAGES=json.dumps({"east": {"WALG_S3_PREFIX": f"s3://{minio.bucket}/east"}}))
        del settings["WALG_FILE_PREFIX"]
        walgd = self.walgd = Walgd(self.scratch, settings)
        self.push(1)
        walgd.walg("st", "transfer", "pg-wals", "--source", "default", "--target", "east", "--appearance-checks-interval", "10ms")
        self.assertIn(FIRST, walgd.walg("st", "ls", "wal_005/", "--target", "east").stdout)
        self.assertNotIn(FIRST, walgd.walg("st", "ls", "wal_005/").stdout)
        self.assertEqual(self.fetch(FIRST).returncode, 0)

    def test_deleting_stops_where_a_storage_does_not_answer(self):
        self.push(1)
        self.kill("east")
        for words in (["plan"], ["garbage", "--without-backup-check", "--confirm"], ["everything", "FORCE", "--confirm"]):
            refused = self.walgd.walg("delete", *words, check=False, env={"WALGD_KEEP_FULL": "1"})
            self.assertEqual(refused.returncode, 1, words)
            self.assertIn("storage east", refused.stderr)
        self.assertTrue(self.holds("default", f"wal_005/{FIRST}.zst"))
        self.walgd.walg("delete", "everything", "FORCE", "--confirm", name="wal-g")  # as WAL-G: what answers is emptied
        self.assertFalse(self.holds("default", f"wal_005/{FIRST}.zst"))

    def test_settings_that_make_no_storage_are_refused_by_name(self):
        for storages, told in (({"default": {"WALG_FILE_PREFIX": "/x"}}, "is called 'default'"), ({"a": {}}, "has no prefix"),
                               ({"a": {"WALG_FILE_PREFIX": "/x"}, "A": {"WALG_FILE_PREFIX": "/y"}}, "two storages"),
                               ({"a": {"WALG_GS_PREFIX": "gs://x"}}, "does not know"), ({"a": {"WALG_FILE_PREFIX": "/x", "WALG_LIBSODIUM_KEY": "k"}}, "none of a storage's"),
                               ({"a": {"WALG_FILE_PREFIX": "/x", "FILE_PREFX": "1"}}, "is not a setting"), ({"a": "b"}, "not a map of names to settings")):
            refused = self.walgd.walg("backup-list", check=False, env={"WALG_FAILOVER_STORAGES": json.dumps(storages)})
            self.assertEqual(refused.returncode, 1)
            self.assertIn(told, refused.stderr)

    def test_a_settings_file_has_them_as_a_map(self):
        path = self.scratch.path / "walg.json"
        path.write_text(json.dumps({"WALE_FILE_PREFIX": str(self.folders["default"]), "WALG_FAILOVER_STORAGES": {"east": {"WALE_FILE_PREFIX": str(self.folders["east"])}}}))
        path.chmod(0o644)
        env = {name: "" for name in self.settings()}
        told = self.walgd.walg("backup-list", "--config", path, name="wal-g", env=env).stderr
        self.assertIn("List backups from storages: [default east]", told)
        self.assertNotIn("can be read by everyone", told)
        path.write_text(f'failover_storages:\n  east:\n    file_prefix: {self.folders["east"]}\n    aws_secret_access_key: hidden\nfile_prefix: {self.folders["default"]}\n')
        told = self.walgd.walg("config", "--config", path, env=env)
        self.assertIn("holds failover_storages and can be read by everyone", told.stderr)
        self.assertNotIn("hidden", told.stdout + told.stderr)

    def test_backups_are_in_one_storage_each_and_are_restored_from_both(self):
        cluster = Cluster(self.scratch, segment_mb=1)
        walgd = self.walgd = Walgd(self.scratch, self.settings(WALG_DELTA_MAX_STEPS="3"), cluster).start()
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        cluster.pgbench("-i", "-s", "1")
        push = lambda: walgd.walg("backup-push", cluster.data)
        push()
        self.kill("default")
        cluster.switch()
        push()  # its parent would be in the dead storage: a full one
        push()  # and a delta of that
        listed = json.loads(walgd.walg("backup-list", "--json").stdout)
        self.assertEqual([backup["storage_name"] for backup in listed], ["east", "east"])
        self.assertNotIn("_D_", listed[0]["backup_name"])
        self.assertIn("_D_", listed[1]["backup_name"])
        cluster.switch()
        status = json.loads(walgd.walg("status", "--json").stdout)["storages"]
        self.assertIn("dead since", status["default"])
        self.assertEqual(status["east"], "alive, new objects go there")
        self.revive("default")
        until("the daemon to go back", lambda: json.loads(walgd.walg("status", "--json").stdout)["storages"]["default"] == "alive, new objects go there", 30)
        cluster.switch()
        push()
        listed = json.loads(walgd.walg("backup-list", "--json").stdout)
        self.assertEqual([backup["storage_name"] for backup in listed], ["default", "east", "east", "default"])
        cluster.switch()
        expected = cluster.checksum()
        cluster.stop()
        self.assertIn("event=storage_switched from=default to=east", self.log())
        self.assertIn("event=storage_switched from=east to=default", self.log())
        for number, backup in enumerate((listed[2], listed[0])):
            restored = self.scratch.path / f"restored{number}"
            walgd.walg("backup-fetch", restored, backup["backup_name"])
            copy = Cluster(self.scratch, name=restored.name, initdb=False, segment_mb=1, env=walgd.env)
            copy.recover_from(walgd.restore_command())
            copy.start()
            copy.wait_until_writable()
            self.assertEqual(copy.checksum(), expected)
            copy.stop("immediate")

    def test_a_backup_of_one_storage_needs_the_wal_of_any(self):
        # As WAL-G's own tests have it: archive_command knows of no target, and puts into default.
        cluster = Cluster(self.scratch, segment_mb=1)
        walgd = self.walgd = Walgd(self.scratch, self.settings(WALGD_STOP_WAL_TIMEOUT="20s"), cluster)
        cluster.archive_with(f"env -i {' '.join(f'{name}={chr(34)}{value}{chr(34)}' for name, value in walgd.env.items() if not name.endswith('STORAGES'))} "
                             f'{self.scratch.bin}/wal-g wal-push %p')
        cluster.start()
        for name in ("wal-g", "walg"):
            walgd.walg("backup-push", cluster.data, "--target-storage", "east", name=name)
        walgd.walg("backup-push", cluster.data, env={"WALG_TARGET_STORAGE": "east"})
        listed = json.loads(walgd.walg("backup-list", "--json").stdout)
        self.assertEqual([backup["storage_name"] for backup in listed], ["east"] * 3)
        self.assertFalse(self.holds("east", "wal_005"))

    def test_a_mark_is_of_all_copies_and_one_that_has_it_keeps_all(self):
        for folder in self.folders.values():
            shutil.copytree(GOLDEN / "delta-zstd/archive", folder, dirs_exist_ok=True)
        first, latest = "base_000000010000000000000013", "base_000000010000000000000042"
        document = lambda name, backup: self.folders[name] / f"basebackups_005/{backup}/metadata.json"
        permanent = lambda backup: [json.loads(document(name, backup).read_text())["is_permanent"] for name in ("default", "east")]
        for folder in self.folders.values():
            for path in [*folder.glob("basebackups_005/*_D_*"), *folder.glob("wal_005/00000002*")]:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            self.scratch.own_tree(folder)
        for backup in (first, latest):
            self.walgd.walg("backup-mark", backup, name="wal-g")
            self.assertEqual(permanent(backup), [True, True])
            self.walgd.walg("backup-mark", "-i", backup)
            self.assertEqual(permanent(backup), [False, False])
        document("east", first).write_text(document("east", first).read_text().replace('"is_permanent":false', '"is_permanent":true'))
        self.assertEqual(permanent(first), [False, True])
        told = self.walgd.walg("delete", "before", latest, "--confirm", name="wal-g", check=False).stderr
        for name in ("default", "east"):
            self.assertTrue(document(name, first).exists(), told)
        self.walgd.walg("backup-mark", "-i", first)
        self.assertEqual(permanent(first), [False, False])
        self.walgd.walg("delete", "before", latest, "--confirm", name="wal-g")
        self.assertFalse(document("default", first).exists() or document("east", first).exists())

    def test_unchanged_parts_are_copied_while_another_storage_is_dead(self):
        cluster = Cluster(self.scratch, segment_mb=1)
        walgd = self.walgd = Walgd(self.scratch, self.settings(WALG_TAR_SIZE_THRESHOLD="3000000", WALG_UPLOAD_DISK_CONCURRENCY="1"), cluster).start()
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        self.kill("default")
        walgd.walg("backup-push", cluster.data)
        cluster.switch()
        walgd.walg("backup-push", cluster.data, "--copy-composer")
        last = json.loads(walgd.walg("backup-list", "--json").stdout)[-1]
        self.assertEqual(last["storage_name"], "east")
        tars = [path.name for path in (self.folders["east"] / "basebackups_005" / last["backup_name"] / "tar_partitions").iterdir()]
        self.assertTrue([tar for tar in tars if tar.startswith("copy_")], tars)

    def test_a_dead_s3_is_replaced_and_told_in_metrics(self):
        minio, port = Minio(self.scratch), free_port()
        own = {**minio.settings(), "WALG_FAILOVER_STORAGES": json.dumps({"east": {"WALG_FILE_PREFIX": str(self.folders["east"])}}), "WALGD_HTTP_LISTEN": f"127.0.0.1:{port}"}
        settings = self.settings(**own)
        del settings["WALG_FILE_PREFIX"]
        walgd = self.walgd = Walgd(self.scratch, settings).start()
        metrics = lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
        archive = lambda number: run([self.scratch.bin / "walg-push", write_segment(self.scratch, number)], env=walgd.env)
        archive(1)
        self.assertIn('walgd_storage_in_use{storage="default"} 1', metrics())
        stop(minio.process, signal.SIGKILL)
        archive(2)
        self.assertTrue(self.holds("east", f"wal_005/{SECOND}.zst"))
        text = metrics()
        self.assertIn('walgd_storage_in_use{storage="east"} 1', text)
        self.assertIn('walgd_storage_alive{storage="default",use="write"} 0', text)
        self.assertIn("walgd_storage_switches_total 1", text)


if __name__ == "__main__":
    unittest.main()
