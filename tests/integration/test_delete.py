"""delete, backup-mark and the policy on archives of a real PostgreSQL: what stays restores, what may not go stays, and what happened is told."""
import json
import os
import re
import shutil
import time
import unittest

from harness import Cluster, Minio, TestCase, Walgd, signed_request, until


class Delete(TestCase):
    def archive(self, settings=None, backups=3):
        """Backups of a cluster that goes on writing, oldest first."""
        self.folder = None
        if settings is None:
            self.folder, settings = self.store()
        self.cluster = Cluster(self.scratch, 15, segment_mb=1)
        self.walgd = Walgd(self.scratch, settings, self.cluster).start()
        self.cluster.archive_with(self.walgd.archive_command())
        self.cluster.start()
        self.cluster.psql("create table numbers as select n from generate_series(1, 100) n")
        for _ in range(backups):
            self.cluster.psql("insert into numbers select n from generate_series(1, 20000) n")
            self.cluster.switch()
            self.walgd.walg("backup-push", self.cluster.data)
            self.cluster.switch()
        return self.names()

    def names(self):
        return [item["backup_name"] for item in json.loads(self.walgd.walg("backup-list", "--json").stdout)]

    def delete(self, *words, name="walg", check=True, env=None):
        return self.walgd.walg("delete", *words, name=name, check=check, env=env)

    def segments(self):
        return sorted(name[:24] for name in os.listdir(self.folder / "wal_005") if len(name.split(".")[0]) == 24 and ".backup" not in name)

    def check_restores(self, backup):
        """The backup comes up, and recovers to the end."""
        wanted = self.cluster.checksum()
        target = self.scratch.path / f"restored-{backup[-6:]}"
        self.walgd.walg("backup-fetch", target, backup)
        restored = Cluster(self.scratch, 15, target.name, initdb=False, env={**self.walgd.env, "PATH": "/usr/bin:/bin"})
        restored.recover_from(self.walgd.restore_command())
        (target / "recovery.signal").touch()
        self.scratch.own(target / "recovery.signal")
        restored.start()
        until("the end of recovery", lambda: restored.psql("select pg_is_in_recovery()") == "f")
        self.assertEqual(restored.checksum(), wanted)
        restored.stop()

    def test_retain_takes_the_old_backups_and_their_wal_and_what_stays_restores(self):
        old, middle, new = self.archive()
        dry = self.delete("retain", "FULL", "2")
        self.assertEqual(self.names(), [old, middle, new])
        self.assertIn("nothing was deleted", dry.stderr)
        self.assertRegex(dry.stdout, f"{old} .*goes")
        empty = self.delete("retain", "FULL", "1", "--after", "", "--confirm", check=False)
        self.assertEqual((empty.returncode, self.names()), (1, [old, middle, new]))
        self.assertIn("--after: is empty", empty.stderr)
        for name in ("walg", "wal-g"):
            empty = self.delete("before", "", "--confirm", name=name, check=False)
            self.assertEqual((empty.returncode, self.names()), (1, [old, middle, new]), name)
            self.assertIn("wants a backup's name or a time" if name == "wal-g" else "is empty: is a variable not set?", empty.stderr)
        result = self.delete("retain", "FULL", "2", "--confirm")
        self.assertEqual(self.names(), [middle, new])
        self.assertFalse((self.folder / "basebackups_005" / old).exists() and any((self.folder / "basebackups_005" / old).rglob("*.*")))
        self.assertEqual(self.segments()[0], middle[5:29], result.stdout)
        self.check_restores(middle)

    def test_a_permanent_backup_stays_with_its_own_wal_until_the_mark_is_taken_away(self):
        old, middle, new = self.archive()
        self.walgd.walg("backup-mark", old)
        self.delete("retain", "1", "--confirm")
        self.assertEqual(self.names(), [old, new])
        self.assertIn(old[5:29], self.segments())
        self.assertNotIn(middle[5:29], self.segments())
        for program in ("walg", "wal-g"):
            refused = self.delete("target", old, "--confirm", name=program, check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("it is permanent", refused.stderr)
        self.assertIn(f"Found permanent backups=[{old}]", self.delete("everything", "--confirm", check=False).stderr)
        self.assertEqual(self.names(), [old, new])
        self.walgd.walg("backup-mark", "-i", old)
        self.delete("target", old, "--confirm")
        self.assertEqual(self.names(), [new])

    def test_the_last_backup_goes_only_with_everything(self):
        (only,) = self.archive(backups=1)
        refused = self.delete("target", only, "--confirm", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("the last one that can be restored", refused.stderr)
        self.assertEqual(self.names(), [only])
        (self.folder / "wal_005/not-ours.txt").write_text("x")
        (self.folder / "notes.txt").write_text("x")
        self.scratch.own_tree(self.folder)
        result = self.delete("everything", "--confirm")
        self.assertIn("notes.txt is none of", result.stderr)
        self.assertEqual(self.names(), [])
        self.assertEqual([path for path in self.folder.rglob("*") if path.is_file()], [self.folder / "notes.txt"])

    def test_metadata_that_is_missing_or_unreadable_stops_what_depends_on_it(self):
        old, middle, new = self.archive()
        metadata = self.folder / f"basebackups_005/{old}/metadata.json"
        metadata.unlink()
        result = self.delete("retain", "1", "--confirm", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"{old} stays: its metadata.json is not there", result.stderr)
        self.assertEqual(self.names(), [old, new])
        sentinel = self.folder / f"basebackups_005/{old}_backup_stop_sentinel.json"
        for damage in ("", "{", "[]", '{"LSN":"x"}', '{"LSN":1,"DeltaFrom":"base"}'):
            sentinel.write_text(damage)
            before = sorted(self.folder.rglob("*"))
            for words in (("retain", "1"), ("garbage",), ("before", new), ("target", new)):
                result = self.delete(*words, "--confirm", check=False)
                self.assertEqual(result.returncode, 1, damage)
                self.assertIn(f"{old}_backup_stop_sentinel.json", result.stderr)
            self.assertEqual(sorted(self.folder.rglob("*")), before)
        self.walgd.walg("backup-list")

    def test_a_damaged_backup_keeps_no_other_one_from_being_protected(self):
        old, middle, new = self.archive()
        sentinel = self.folder / f"basebackups_005/{old}_backup_stop_sentinel.json"
        sentinel.write_text("{")
        for name in ("walg", "wal-g"):
            self.walgd.walg("backup-mark", middle if name == "walg" else new, name=name)
        document = lambda backup: json.loads((self.folder / f"basebackups_005/{backup}/metadata.json").read_text())
        self.assertEqual([document(backup)["is_permanent"] for backup in (old, middle, new)], [False, True, True])
        for words in ((old,), ("-i", middle)):
            refused = self.walgd.walg("backup-mark", *words, check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(f"{old}_backup_stop_sentinel.json", refused.stderr)
            self.assertNotIn("deleted", refused.stderr)
        self.assertEqual(document(middle)["is_permanent"], True)
        gone = self.delete("everything", "FORCE", "--confirm")
        self.assertIn(f"cannot be read, and goes by FORCE: basebackups_005/{old}_backup_stop_sentinel.json", gone.stderr)
        self.assertEqual(self.names(), [])

    def test_a_key_that_is_not_deleted_is_an_error_by_name(self):
        old, new = self.archive(backups=2)
        parts = self.folder / f"basebackups_005/{old}/tar_partitions"
        if os.getuid() == 0:
            shutil.chown(parts, "root", "root")
        parts.chmod(0o555)
        result = self.delete("retain", "1", "--confirm", check=False)
        parts.chmod(0o755)
        self.scratch.own_tree(parts)
        self.assertEqual(result.returncode, 1)
        self.assertIn("part_001.tar", result.stderr)
        self.assertIn("was not deleted", result.stderr)
        self.assertEqual(self.names(), [new], "sentinels go first: what is left is garbage")
        self.assertIn("younger than a day", self.delete("garbage").stdout)
        yesterday = time.time() - 90000
        for path in (self.folder / f"basebackups_005/{old}").rglob("*"):
            os.utime(path, (yesterday, yesterday))
        self.delete("garbage", "--confirm")
        self.assertEqual([path for path in (self.folder / f"basebackups_005/{old}").rglob("*") if path.is_file()], [])
        self.check_restores(new)

    def test_garbage_takes_what_interrupted_uploads_left_also_where_there_is_nothing_else(self):
        self.archive(backups=1)
        self.delete("garbage", "--confirm")
        temporary = self.folder / "walgd_005/tmp/left-by-somebody"
        temporary.write_bytes(b"half")
        self.scratch.own(temporary)
        os.utime(temporary, (time.time() - 90000,) * 2)
        self.delete("garbage")
        self.assertTrue(temporary.exists(), "nothing goes without --confirm")
        self.delete("garbage", "--confirm")
        self.assertFalse(temporary.exists())

    def test_garbage_takes_a_whole_backup_that_lost_its_sentinel_once_another_was_taken(self):
        old, middle, new = self.archive()
        (self.folder / f"basebackups_005/{old}_backup_stop_sentinel.json").unlink()
        folder, young = (self.folder / "basebackups_005" / name for name in (old, middle))
        backups = self.delete("garbage", "BACKUPS", name="wal-g").stderr
        self.assertIn(f"marked for deletion: basebackups_005/{old}/metadata.json", backups)
        self.assertNotIn("wal_005", backups)
        self.assertNotIn("basebackups_005", self.delete("garbage", "ARCHIVES", name="wal-g").stderr)
        self.delete("garbage", "--confirm", name="wal-g")
        self.assertEqual([path for path in folder.rglob("*") if path.is_file()], [])
        self.assertTrue(any(path.is_file() for path in young.rglob("*")))
        self.assertEqual(self.names(), [middle, new])
        self.check_restores(middle)

    def test_wal_stays_that_a_backup_needs_which_began_before_the_oldest_that_stays_and_has_not_ended(self):
        old, middle, new = self.archive()
        sentinel = self.folder / f"basebackups_005/{middle}_backup_stop_sentinel.json"
        metadata = self.folder / f"basebackups_005/{middle}/metadata.json"
        documents = {path: path.read_bytes() for path in (sentinel, metadata)}
        for path in documents:
            path.unlink()
        result = self.delete("retain", "1", "--confirm")
        self.assertEqual(self.names(), [new])
        self.assertIn(f"{middle}/ may be a backup that is being taken", result.stdout)
        for path, text in documents.items():
            path.write_bytes(text)
            self.scratch.own(path)
        self.assertNotIn(old[5:29], self.segments())
        self.check_restores(middle)

    def test_the_policy_is_a_plan_first_and_then_applied(self):
        old, middle, new = self.archive()
        self.assertIn("keep:", self.delete("plan", check=False).stderr)
        config = self.scratch.path / "walgd.yaml"
        config.write_text("keep: {full: 2, weekly: 1}\n")
        env = {"WALG_CONFIG_PATH": str(config)}
        plan = json.loads(self.delete("plan", "--json", env=env).stdout)
        self.assertEqual({item["backup_name"]: item["stays"] for item in plan["backups"]}, {old: False, middle: True, new: True})
        self.delete("apply", env=env)
        self.delete("plan", "--confirm", env=env)
        self.assertEqual(self.names(), [old, middle, new])
        self.delete("apply", "--confirm", env=env)
        self.assertEqual(self.names(), [middle, new])
        again = json.loads(self.delete("plan", "--json", env=env).stdout)
        self.assertEqual(again["objects"], 0)
        config.write_text("keep: {fulls: 2}\n")
        self.assertIn("did you mean keep_full?", self.delete("plan", env=env, check=False).stderr)

        config.write_text("keep: {full: 1}\n")
        for word in ("plan", "apply"):
            refused = self.delete(word, "FULL", "7", "--confirm", env=env, check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(f"delete {word} knows no 'FULL'", refused.stderr)

    def test_wal_that_the_policy_let_go_is_not_lost_and_other_wal_is(self):
        old, middle, new = self.archive()
        for path in (self.folder / "basebackups_005" / f"{old}_backup_stop_sentinel.json", self.folder / "basebackups_005" / old / "metadata.json"):
            path.write_text(re.sub(r'(?i)"((start|finish)_?time)":"[^"]*"', r'"\1":"2026-05-01T10:00:00Z"', path.read_text()))
            self.scratch.own(path)
        check = lambda: json.loads(self.walgd.walg("wal-verify", "integrity", "--json", check=False, env={"WALG_UPLOAD_CONCURRENCY": "1"}).stdout)["integrity"]
        gap = self.folder / "wal_005" / next(name for name in os.listdir(self.folder / "wal_005") if name[:24] == self.segments()[self.segments().index(old[5:29]) + 2])
        content = gap.read_bytes()
        gap.unlink()
        self.assertEqual(check()["status"], "FAILURE")
        gap.write_bytes(content)
        self.scratch.own(gap)
        config = self.scratch.path / "walgd.yaml"
        config.write_text("keep: {full: 1, monthly: 3}\n")
        self.delete("apply", "--confirm", env={"WALG_CONFIG_PATH": str(config)})
        self.assertEqual(sorted(self.names()), [old, new])
        self.assertFalse(gap.exists())
        self.assertEqual(json.loads((self.folder / "walgd_005/kept_alone.json").read_text()), {"backups": [old]})
        told = check()
        self.assertEqual((told["status"], told["details"][0]["start_segment"]), ("OK", new[5:29]))
        self.assertEqual(self.walgd.walg("doctor", check=False).stdout.count("WAL segments lack"), 0)
        self.check_restores(new)
        *_, behind, _, _ = self.segments()
        for path in (self.folder / "wal_005").glob(f"{behind}.*"):
            path.unlink()
        self.assertEqual(check()["status"], "FAILURE")

    def test_a_bucket_with_versions_is_told_from_one_where_objects_are_gone(self):
        minio = Minio(self.scratch)
        settings = minio.settings()
        status, _ = signed_request("PUT", minio.endpoint, f"/{minio.bucket}?versioning=", minio.access, minio.secret,
                                   body=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        self.assertEqual(status, 200)
        old, new = self.archive(settings, backups=2)
        result = self.delete("retain", "1", "--confirm")
        self.assertIn("this bucket keeps versions", result.stderr)
        self.assertEqual(self.names(), [new])
        self.check_restores(new)


if __name__ == "__main__":
    unittest.main()
