"""walg verify reads back what a restore would: flipped bits, cuts and gaps are named; what is sound is said to be."""
import json
import os
import random
import shutil
import subprocess
import tarfile
import unittest

from harness import VERSIONS, Cluster, TestCase, Walgd, run


class Verify(TestCase):
    def archive(self, method="zstd", version=15):
        self.folder, settings = self.store()
        self.cluster = Cluster(self.scratch, version, segment_mb=1)
        self.walgd = Walgd(self.scratch, {**settings, "WALG_COMPRESSION_METHOD": method}, self.cluster).start()
        self.cluster.archive_with(self.walgd.archive_command())
        self.cluster.start()
        self.cluster.psql("create table numbers as select n, repeat('x', 100) as text from generate_series(1, 30000) n")
        self.walgd.walg("backup-push", self.cluster.data)
        for statement in ("update numbers set n = n + 1", "checkpoint", "update numbers set n = n + 1", "vacuum numbers"):
            self.cluster.psql(statement)
        self.cluster.switch()
        self.cluster.psql("create index on numbers (n)")
        self.cluster.switch()

    def verify(self, *words, check=True):
        result = self.walgd.walg("verify", "--json", *words, check=False)
        self.assertIn(result.returncode, (0, 1), result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual(report["sound"], result.returncode == 0)
        if check:
            self.assertEqual((report["damaged"], report["sound"]), ([], True))
        return report

    def objects(self):
        return sorted(path for folder in ("wal_005", "basebackups_005") for path in (self.folder / folder).rglob("*") if path.is_file())

    def write(self, path, content):
        path.write_bytes(content)
        self.scratch.own(path)

    def check_sound(self, version):
        self.archive(version=version)
        report = self.verify()
        self.assertEqual(report["objects"], len(self.objects()))
        self.assertGreater(report["wal_records"], 10000)
        self.assertEqual(report["backups"][0]["reaches"], max(path.name[:24] for path in self.objects() if path.parent.name == "wal_005"))

    def test_a_damaged_page_of_an_increment_is_named(self):
        self.archive("none")
        self.walgd.walg("backup-push", self.cluster.data)
        self.cluster.psql("update numbers set n = n + 1 where n % 5000 = 0")
        self.walgd.walg("backup-push", self.cluster.data, env={"WALGD_SOCKET": "/nowhere", "WALG_DELTA_MAX_STEPS": "3"})
        self.verify()
        (folder,) = self.folder.glob("basebackups_005/*_D_*/tar_partitions")
        name = self.cluster.psql("select pg_relation_filepath('numbers')")
        for part in folder.glob("part_*"):
            with tarfile.open(part) as tar:
                for member in tar.getmembers():
                    if member.name.lstrip("/") == name:
                        at, size = member.offset_data, member.size
                        content = bytearray(part.read_bytes())
                        self.assertEqual(content[at:at + 4], b"wi1U")
                        content[at + size - 40] ^= 1
                        self.write(part, content)
        (damage,) = self.verify(check=False)["damaged"]
        self.assertIn(f"{name} has damaged blocks", damage["cause"])

    def unpacked(self, method, content):
        return subprocess.run([method, "-dc"], input=bytes(content), capture_output=True, check=True).stdout

    def flip(self, method):
        self.archive(method)
        dice = random.Random(method)
        whole = {path: path.read_bytes() for path in self.objects() if path.stat().st_size > 0 and not path.name.endswith(".json")}
        names = [dice.choice(sorted(whole)) for _ in range(50)]
        harmless = 0
        for path in names:
            content = bytearray(whole[path])
            bit = dice.randrange(len(content) * 8)
            content[bit // 8] ^= 1 << bit % 8
            self.write(path, content)
            report = self.verify(check=False)
            key = str(path.relative_to(self.folder))
            if key not in [damage["object"] for damage in report["damaged"]]:
                # One bit in a thousand of a zstd frame means nothing: the content is what it was.
                self.assertEqual(self.unpacked(method, content), self.unpacked(method, whole[path]), f"bit {bit} of {path.name}")
                harmless += 1
            else:
                self.assertFalse(report["sound"])
            self.write(path, whole[path])
        self.assertLess(harmless, 3)
        self.verify()

    def test_a_flipped_bit_is_found_in_zstd(self):
        self.flip("zstd")

    def test_a_flipped_bit_is_found_in_lz4(self):
        self.flip("lz4")

    def test_wal_that_is_wrong_inside_of_a_sound_object_is_found(self):
        """Without compression nothing but PostgreSQL's own checks tells."""
        self.archive("none")
        dice = random.Random(1)
        segments = [path for path in self.objects() if path.parent.name == "wal_005" and len(path.name) == 24]
        for path in segments:
            whole = path.read_bytes()
            for _ in range(5):
                content = bytearray(whole)
                used = len(whole.rstrip(b"\0")) * 8
                bit = dice.randrange(used)
                content[bit // 8] ^= 1 << bit % 8
                self.write(path, content)
                report = self.verify(check=False)
                self.assertTrue(any(path.name in damage["object"] for damage in report["damaged"]) or self.in_blind_spot(bit), f"bit {bit} of {path.name}")
            self.write(path, whole)
        self.verify()

    @staticmethod
    def in_blind_spot(bit):
        """What no one reads: the padding of page headers."""
        return (bit // 8) % 8192 in range(20, 24)

    def test_a_damaged_page_in_a_sound_tar_is_found(self):
        self.archive("none")
        part = next(path for path in self.objects() if path.name.startswith("part_"))
        content = bytearray(part.read_bytes())
        at = content.index(b"x" * 100, len(content) // 2)
        content[at] ^= 1
        self.write(part, content)
        report = self.verify(check=False)
        self.assertEqual([damage["object"] for damage in report["damaged"]], [str(part.relative_to(self.folder))])
        self.assertRegex(report["damaged"][0]["cause"], "base/[0-9]+/[0-9]+ has damaged blocks: ")
        self.assertFalse(report["backups"][0]["restorable"])
        self.assertTrue(part.exists(), "never deleted")

    def test_pages_of_a_cluster_whose_checksums_were_turned_off_are_not_damaged(self):
        self.archive()
        self.cluster.stop()
        run([self.cluster.programs / "pg_checksums", "--disable", "-D", self.cluster.data])
        self.cluster.start()
        for statement in ("update numbers set n = n + 1", "vacuum numbers", "create table more as select * from numbers"):
            self.cluster.psql(statement)
        self.walgd.walg("backup-push", self.cluster.data)
        self.cluster.switch()
        self.verify()

    def test_a_damaged_pg_control_in_a_sound_tar_is_found(self):
        self.archive("none")
        tar = next(path for path in self.objects() if path.name.startswith("pg_control"))
        content = bytearray(tar.read_bytes())
        content[512 + 40] ^= 1
        self.write(tar, content)
        report = self.verify(check=False)
        self.assertEqual([damage["object"] for damage in report["damaged"]], [str(tar.relative_to(self.folder))])
        self.assertFalse(report["backups"][0]["restorable"])

    def test_since_the_last_time_damage_is_told_until_it_is_mended(self):
        self.archive()
        an_hour_ago = int(os.stat(self.folder).st_mtime) - 3600
        for path in self.objects():
            os.utime(path, (an_hour_ago, an_hour_ago))
        part = next(path for path in self.objects() if path.name.startswith("part_"))
        whole = part.read_bytes()
        self.write(part, whole[:-5])
        os.utime(part, (an_hour_ago, an_hour_ago))
        first = self.verify("--since-last", check=False)
        self.assertEqual([damage["object"] for damage in first["damaged"]], [str(part.relative_to(self.folder))])
        again = self.verify("--since-last", check=False)
        self.assertEqual((again["damaged"], again["objects"], again["backups"][0]["restorable"]), (first["damaged"], 0, False))
        self.write(part, whole)
        self.assertEqual(self.verify("--since-last")["objects"], 1)

    def test_a_part_that_is_gone_is_named_until_it_is_back(self):
        self.archive()
        self.walgd.walg("backup-push", self.cluster.data, env={"WALGD_SOCKET": "/nowhere", "WALG_TAR_SIZE_THRESHOLD": "4000000"})
        self.verify()
        *_, part = sorted(self.folder.glob("basebackups_005/*/tar_partitions/part_001.*"))
        whole = part.read_bytes()
        part.unlink()
        for words in ([], ["--since-last"]):  # the second time out of the note of the first
            report = self.verify(*words, check=False)
            self.assertEqual([damage["object"] for damage in report["damaged"]], [str(part.relative_to(self.folder))])
            self.assertEqual([(backup["restorable"], backup["defect"]) for backup in report["backups"]],
                             [(True, ""), (False, f"{part.relative_to(self.folder)} is not there")])
        self.assertIn("the last verify found 1 objects damaged or gone", self.walgd.walg("doctor", check=False).stdout)
        retain = self.walgd.walg("delete", "retain", "1")
        self.assertNotRegex(retain.stdout, "full +goes", "what cannot be restored does not count among those to keep")
        self.write(part, whole)
        self.assertNotIn("the last verify found", self.walgd.walg("doctor", check=False).stdout)
        self.assertRegex(self.walgd.walg("delete", "retain", "1").stdout, "full +goes")
        self.verify("--since-last")
        self.verify()

    def test_metadata_that_a_restore_would_refuse_is_named_until_it_is_mended(self):
        self.archive()
        self.cluster.psql("update numbers set n = n + 1 where n % 5000 = 0")
        self.walgd.walg("backup-push", self.cluster.data, env={"WALGD_SOCKET": "/nowhere", "WALG_DELTA_MAX_STEPS": "3"})
        self.verify("--since-last")
        (delta,) = self.folder.glob("basebackups_005/*_D_*/files_metadata.json")
        full = next(path for path in self.folder.glob("basebackups_005/*/files_metadata.json") if path != delta)
        backups = {path: path.parent.name for path in (full, delta)}
        changes = ((delta, b'"IsIncremented":true', b'"IsIncremdnted":true', delta, "does not tell IsIncremented of"),
                   (delta, b'"IsSkipped":true', b'"IsSkippee":true', delta, "does not tell IsSkipped of"),
                   (delta, b'"Files"', b'"Giles"', delta, "has no files metadata"), (full, b'"/base/5/', b'"/bqse/5/', full, "files that none of the backup's parts has"),
                   (full, b'"/base/5/1259"', b'"/base/5/1258"', full, "it names 1 files that none"))
        for changed, was, now, named, cause in changes:
            whole = changed.read_bytes()
            self.assertIn(was, whole)
            self.write(changed, whole.replace(was, now))
            for words in ([], ["--since-last"]):
                report = self.verify(*words, check=False)
                self.assertIn(cause, "\n".join(damage["cause"] for damage in report["damaged"] if damage["object"] == str(named.relative_to(self.folder))) or "nothing")
                self.assertFalse({backup["backup_name"]: backup["restorable"] for backup in report["backups"]}[backups[delta]])
            self.assertNotEqual(self.walgd.walg("backup-fetch", self.scratch.path / "refused", backups[delta], check=False).returncode, 0)
            self.write(changed, whole)
            self.verify("--since-last")

    def test_a_delta_whose_sentinel_lost_its_base_is_none_that_can_be_restored(self):
        self.archive()
        self.cluster.psql("update numbers set n = n + 1 where n % 5000 = 0")
        self.walgd.walg("backup-push", self.cluster.data, env={"WALGD_SOCKET": "/nowhere", "WALG_DELTA_MAX_STEPS": "3"})
        (sentinel,) = self.folder.glob("basebackups_005/*_D_*sentinel.json")
        before = {path: path.read_bytes() for path in self.objects()}
        for key in (b"DeltaFrom", b"DeltaLSN", b"DeltaFullName"):
            self.write(sentinel, before[sentinel].replace(b'"' + key + b'"', b'"X' + key[1:] + b'"'))
            report = self.verify(check=False)
            self.assertEqual([damage["object"] for damage in report["damaged"]], [str(sentinel.relative_to(self.folder))])
            deleted = self.walgd.walg("delete", "retain", "FULL", "1", "--confirm", check=False)
            self.assertEqual(deleted.returncode, 1)
            self.assertIn("does not tell what it is based on", deleted.stderr)
            self.assertEqual(set(self.objects()), set(before))

    def test_an_archive_that_nobody_may_write_to_is_reported_all_the_same(self):
        self.archive()
        segment = [path for path in self.objects() if path.parent.name == "wal_005"][0]
        self.write(segment, b"damage")
        shutil.rmtree(self.folder / "walgd_005", ignore_errors=True)
        self.folder.chmod(0o500)
        try:
            result = self.walgd.walg("verify", "--json", check=False, env={"WALGD_SOCKET": "/nowhere"})
        finally:
            self.folder.chmod(0o700)
        self.assertEqual(result.returncode, 1)
        self.assertIn(segment.name, [damage["object"].removeprefix("wal_005/") for damage in json.loads(result.stdout)["damaged"]])
        self.assertIn("walgd_005/verify.json was not written", result.stderr)

    def test_a_damaged_note_of_the_last_time_counts_as_none(self):
        self.archive()
        self.verify("--since-last")
        whole = self.verify()["objects"]
        for content in (b"", b"{}", b"\0" * 40):
            self.write(self.folder / "walgd_005/verify.json", content)
            self.assertEqual(self.verify("--since-last")["objects"], whole)

    def test_a_budget_that_ends_between_objects_of_one_time_leaves_none_out(self):
        self.archive()
        an_hour_ago = int(os.stat(self.folder).st_mtime) - 3600
        for path in self.objects():
            os.utime(path, (an_hour_ago, an_hour_ago))
        read = sum(self.verify("--since-last", "--bytes", "1")["objects"] for _ in self.objects())
        self.assertEqual(read, len(self.objects()))

    def test_cuts_gaps_and_damaged_documents_are_named_and_end_nothing(self):
        self.archive()
        segments = [path for path in self.objects() if path.parent.name == "wal_005" and len(path.name) == 28]
        gone = segments[-2]
        gone.unlink()
        report = self.verify()
        self.assertEqual(report["backups"][0]["reaches"], segments[-3].name[:24])
        self.write(segments[-3], b"")
        sentinel = next(path for path in self.objects() if path.name.endswith("sentinel.json"))
        document = sentinel.read_bytes()
        self.write(sentinel, document[:-5])
        (self.folder / "wal_005/odd name'\".txt").write_text("x")
        report = self.verify(check=False)
        self.assertEqual({damage["object"] for damage in report["damaged"]}, {str(path.relative_to(self.folder)) for path in (segments[-3], sentinel)})
        self.assertGreater(report["foreign"], 0)
        self.assertEqual(report["backups"], [])

    def test_many_at_once_report_what_one_after_the_other_does(self):
        self.archive()
        dice = random.Random(7)
        objects = [path for path in self.objects() if path.stat().st_size > 0]
        for path in dice.sample(objects, 6):
            content = bytearray(path.read_bytes())
            content[dice.randrange(len(content))] ^= 0x10
            self.write(path, bytes(content))
        self.write(self.folder / "wal_005/strange", b"x")
        largest = max(path.stat().st_size for path in objects)
        for words in ([], ["--json"], ["--bytes", str(3 * largest)], ["--since-last", "--bytes", str(largest)]):
            # What --since-last leaves behind is taken away: both begin at the same place.
            told = []
            for concurrency, budget in (("1", "512MiB"), ("8", "512MiB"), ("8", "80MiB")):
                (self.folder / "walgd_005/verify.json").unlink(missing_ok=True)
                env = {"WALG_DOWNLOAD_CONCURRENCY": concurrency, "WALGD_MEMORY_BUDGET": budget}
                told.append(self.walgd.walg("verify", *words, check=False, env=env).stdout)
            self.assertIn("damaged", told[0])
            self.assertEqual(told[1:], [told[0]] * 2, words)

    def test_a_sample_a_budget_and_what_came_since_the_last_time(self):
        self.archive()
        self.assertEqual(self.verify("--sample", "3")["objects"], 3)
        old = 1_700_000_000
        objects = self.objects()
        for index, path in enumerate(objects):
            os.utime(path, (old + index, old + index))
        seen = 0
        for _ in range(len(objects)):
            report = self.verify("--since-last", "--bytes", "300KiB")
            seen += report["objects"]
            if report["left_out"] == 0:
                break
        self.assertEqual(seen, len(objects), "each once, a budget at a time")
        self.assertEqual(self.verify("--since-last")["objects"], 0)
        self.cluster.switch()
        self.assertGreaterEqual(self.verify("--since-last")["objects"], 1)
        self.assertEqual(self.walgd.walg("verify", "--bytes", "many", check=False).returncode, 1)


for version in VERSIONS:
    setattr(Verify, f"test_a_sound_archive_of_{version}_is_sound", lambda self, v=version: self.check_sound(v))

if __name__ == "__main__":
    unittest.main()
