"""Restore to a moment: what is promised before the first byte is what PostgreSQL then has. The many random moments are in targets.py."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import unittest

from harness import GOLDEN, POSTGRES_15, VERSIONS, Failed, TestCase, Walgd, as_server_user, postgres_programs, run, until
from moments import iso, lsn_number, two_turns, waldump_moments, Story


class RestoreMoment(TestCase):
    def moments(self, daemon, timeline, *words):
        text = daemon.walg("restorable", "--moments", "--json", "--target-timeline", str(timeline), *words).stdout
        return [json.loads(line) for line in text.splitlines()]

    def index_objects(self):
        return sorted(str(path.relative_to(self.folder)) for path in (self.folder / "walgd_005/index").rglob("*") if path.is_file())

    def test_ten_random_moments_over_two_timeline_turns(self):
        self.folder, settings = self.store()
        story = two_turns(self.scratch, settings, transactions=40, seed=int(os.environ.get("WALGD_TEST_SEED", "7")))
        for _ in range(10):
            story.check_target(*story.random_target())
        self.check_index(story)
        self.check_gap(story)

    def check_index(self, story):
        """No name that WAL-G's tools could take for a segment's; no WAL is read where the index is; without it the answers are the same."""
        self.assertTrue(self.index_objects())
        for name in self.index_objects():
            self.assertNotRegex(name, "[0-9A-F]{24}")
        event = [event for event in story.path(3) if event.time][-5]
        asked = lambda *words: json.loads(story.daemon.walg("restorable", "--json", *words).stdout)
        by_index = asked("--time", iso(event.time))
        self.assertEqual(by_index["segments_read"], 0)
        self.assertLessEqual(lsn_number(by_index["after"]["lsn"]), lsn_number(event.lsn))
        windows = asked()
        self.assertEqual([timeline["timeline"] for timeline in windows["timelines"]], [1, 2, 3])
        last = [event for event in story.path(1) if event.time][-1]
        # Behind the last of the story's own comes what closes the segment.
        self.assertGreaterEqual(windows["timelines"][0]["windows"][0]["to"]["xid"], last.xid)
        self.assertEqual([timeline["gaps"] for timeline in windows["timelines"]], [[], [], []])
        self.assertEqual(asked("--without-index"), windows)
        written = self.folder / "walgd_005/index"
        shutil.rmtree(written)
        self.assertEqual(asked(), windows)
        self.assertFalse(written.exists(), "nothing is written unasked")
        story.daemon.walg("restorable", "--rebuild")
        again = asked("--time", iso(event.time))
        self.assertEqual(again["segments_read"], 0)
        for path in written.rglob("*.zst"):
            path.write_bytes(b"not an index at all")
        self.assertEqual(asked(), windows, "a damaged index is read around")

    def check_gap(self, story):
        """A segment that is missing is named with what is reachable before it, and nothing is written."""
        last = json.loads(story.daemon.walg("restore", self.scratch.path / "gap", "--check", "--json").stdout)["last_segment"]
        before = f"{int(last[8:], 16) - 1:016X}"
        missing = max(path.name[:24] for path in (self.folder / "wal_005").glob(f"????????{before}.zst"))
        (self.folder / f"wal_005/{missing}.zst").unlink()
        data = self.scratch.path / "gap"
        for words in ([], ["--target-time", iso([event for event in story.path(3) if event.time][-1].time)]):
            failure = story.daemon.walg("restore", data, *words, check=False)
            self.assertEqual(failure.returncode, 1)
            self.assertIn(f"no segment {missing}; nearest reachable: ", failure.stderr)
            self.assertFalse(data.exists())
        gap = json.loads(story.daemon.walg("restorable", "--json").stdout)["timelines"][2]["gaps"]
        self.assertEqual(gap, [{"first": missing, "last": missing, "segments": 1}])
        self.assertIn(f"gap: {missing} to {missing} (1 segments)", story.daemon.walg("restorable").stdout)

    def small_story(self, version=15, segment_mb=1, transactions=25, **settings):
        self.folder, store = self.store()
        story = Story(self.scratch, {**store, **settings}, version, segment_mb, seed=3)
        story.tell(5)
        story.backup()
        story.tell(transactions)
        story.end()
        return story

    def test_what_the_server_wrote_is_what_is_read(self):
        """Every transaction that ended, as the server told of it: by time, id and place, of each version."""
        for version in VERSIONS:
            with self.subTest(version=version):
                story = self.small_story(version)
                found = self.moments(story.daemon, 1)
                ends = {one["xid"]: one for one in found if one["kind"] in ("commit", "abort")}
                for event in story.events[1]:
                    if event.kind == "point":
                        (point,) = [one for one in found if one.get("name") == event.name]
                        self.assertEqual(point["end"], event.lsn)
                        continue
                    self.assertEqual(ends[event.xid]["kind"], "abort" if event.kind == "rollback" else "commit")
                    self.assertEqual("subtransactions" in ends[event.xid], event.kind == "savepoint")
                    if event.time:
                        self.assertEqual(story.as_rfc3339(ends[event.xid]["time"]), event.time)
                        self.assertEqual(ends[event.xid]["end"], event.lsn)
                self.assertTrue([one for one in found if one["kind"] == "checkpoint"])
                self.scratch.close()
                self.setUp()

    def test_what_pg_waldump_reads_is_what_is_read(self):
        story = self.small_story(15, transactions=60)
        plain = self.scratch.folder("plain")
        names = sorted(path.name[:24] for path in (self.folder / "wal_005").glob("*.zst") if len(path.name) == 28)
        for name in names:
            story.daemon.walg("wal-fetch", name, plain / name)
        theirs = waldump_moments(POSTGRES_15 / "pg_waldump", plain, names[0], names[-1])
        ours = [(one["kind"], one["lsn"], one.get("xid"), one["time"]) for one in self.moments(story.daemon, 1)]
        self.assertGreater(len(theirs), 60)
        self.assertEqual([(kind, lsn) for kind, lsn, _, _ in ours], [(kind, lsn) for kind, lsn, _, _ in theirs])
        for mine, other in zip(ours, theirs):
            if other[0] in ("commit", "abort"):
                self.assertEqual(mine[2], other[2])
                self.assertEqual(story.as_rfc3339(mine[3]).strftime("%Y-%m-%d %H:%M:%S.%f"), other[3])

    def test_encrypted_wal_has_an_encrypted_index(self):
        key = {"WALG_LIBSODIUM_KEY": "00" * 32, "WALG_LIBSODIUM_KEY_TRANSFORM": "hex"}
        story = self.small_story(**key)
        (path,) = (self.folder / "walgd_005/index").rglob("*.zst")
        self.assertNotIn(b"restore_points", path.read_bytes())
        self.assertNotEqual(path.read_bytes()[:4], b"\x28\xb5\x2f\xfd", "a zstd frame in plain")
        event = [event for event in story.events[1] if event.kind == "commit"][-2]
        self.assertEqual(story.check_target(["--target-xid", str(event.xid)], event.rows), "reached")
        other = Walgd(self.scratch, {**story.settings, "WALG_LIBSODIUM_KEY": "11" * 32})
        refused = other.walg("restore", self.scratch.path / "wrong", "--target-immediate", "--check", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertFalse((self.scratch.path / "wrong").exists())

    def test_an_index_of_wal_that_was_replaced_since_is_not_believed(self):
        """A virtual machine is set back, and archives other WAL of the same names by one who keeps no index."""
        self.folder, store = self.store()
        story = Story(self.scratch, store, seed=5)
        story.tell(5)
        story.backup()
        story.cluster.stop()
        saved, data = self.scratch.path / "saved", story.cluster.data
        run(["cp", "-a", data, saved])
        before = (story.rows, list(story.events[1]))
        story.cluster.start()
        story.tell(20)
        story.end()
        asked = lambda *words: story.daemon.walg("restorable", "--json", *words)
        shutil.rmtree(data)
        saved.rename(data)
        story.rows, story.events[1] = before
        story.cluster.archive_with(f"WALG_FILE_PREFIX={self.folder} WALG_COMPRESSION_METHOD=zstd {self.scratch.bin}/wal-g wal-push %p")
        story.cluster.start()
        story.tell(20)
        story.cluster.switch()
        story.cluster.stop()
        by_index, by_wal = asked(), asked("--without-index")
        self.assertEqual(json.loads(by_index.stdout), json.loads(by_wal.stdout))
        self.assertIn("the commit-time index is of other objects than are stored", by_index.stderr)
        event = [event for event in story.events[1] if event.kind == "commit"][-1]
        self.assertEqual(story.check_target(["--target-xid", str(event.xid)], event.rows), "reached")
        story.daemon.walg("restorable", "--rebuild")
        rebuilt = asked()
        self.assertEqual((json.loads(rebuilt.stdout), rebuilt.stderr), (json.loads(by_wal.stdout), ""))

    def test_check_writes_nothing_and_refusals_say_why(self):
        story = self.small_story()
        data = self.scratch.path / "new"
        said = story.daemon.walg("restore", data, "--check")
        self.assertIn("ok: backup base_", said.stderr)
        self.assertIn("without a gap", said.stderr)
        self.assertFalse(data.exists())
        event = [event for event in story.events[1] if event.kind == "commit"][-2]
        with_epoch = story.daemon.walg("restore", data, "--check", "--json", "--target-xid", str(event.xid + (3 << 32)))
        self.assertEqual(json.loads(with_epoch.stdout)["last_commit"]["xid"], event.xid)
        full = self.scratch.folder("full")
        (full / "file").touch()
        for folder, words, text in ((full, [], "must be empty"), (full, ["--check"], "must be empty"), (data, ["--target-exclusive"], "goes with --target-time"),
                                    (data, ["--target-time", "12:03:04"], "is no time with its zone"), (data, ["--target-time", ""], "is empty"), (data, ["--backup", ""], "is empty"),
                                    (data, ["--target-timeline", "9"], "00000009.history"),
                                    (data, ["--backup", "base_0"], "there is no backup base_0"),
                                    (data, ["--pg-bin", "/nowhere"], "whose programs were not found")):
            refused = story.daemon.walg("restore", folder, *words, check=False)
            self.assertEqual(refused.returncode, 1, words)
            self.assertIn(text, refused.stderr)
            self.assertFalse(data.exists())
        self.assertNotIn("start PostgreSQL on it", story.daemon.walg("restore", full, check=False).stderr)
        (full / "global").mkdir()
        (full / "global/pg_control").touch()
        (full / "backup_label").touch()
        self.assertIn("start PostgreSQL on it", story.daemon.walg("restore", full, check=False).stderr)
        if os.getuid() == 0:
            refused = subprocess.run([self.scratch.bin / "walg", "restore", data, "--start"], env=story.daemon.env, capture_output=True, text=True)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("PostgreSQL does not run as root", refused.stderr)
            self.assertIn("runuser -u postgres", refused.stderr)

    def test_a_damaged_newest_backup_leaves_the_way_to_an_older_one(self):
        story = self.small_story(WALG_DELTA_MAX_STEPS="3")
        story.cluster.start()
        story.daemon.start()
        story.backup()
        story.tell(3)
        story.end()
        backups = json.loads(story.daemon.walg("backup-list", "--json").stdout)
        older, newest = (one["backup_name"] for one in backups)
        data = self.scratch.path / "new"
        check = lambda *words: story.daemon.walg("restore", data, "--check", "--json", *words, check=False)
        self.assertEqual(json.loads(check().stdout)["backup"], newest)
        self.assertEqual(json.loads(check("--backup", "LATEST").stdout)["backup"], newest)
        metadata = self.folder / "basebackups_005" / newest / "files_metadata.json"
        metadata.write_bytes(metadata.read_bytes()[:100])
        said = check()
        self.assertEqual(json.loads(said.stdout)["backup"], older)
        self.assertIn(f"backup {newest} is left out: ", said.stderr)
        named = check("--backup", newest)
        self.assertEqual(named.returncode, 1)
        self.assertIn("files_metadata.json", named.stderr)
        shutil.rmtree(self.folder / "basebackups_005" / older / "tar_partitions")
        neither = check()
        self.assertEqual(neither.returncode, 1)
        self.assertIn(f"backup {older} is left out: ", neither.stderr)
        self.assertIn(f"backup {older} has no parts", neither.stderr.split("ERROR: ")[-1])
        self.assertFalse(data.exists())

    def test_start_on_a_cluster_with_a_log_of_its_own_and_serializable_transactions(self):
        story = self.small_story()
        with open(story.cluster.data / "postgresql.auto.conf", "a") as file:
            file.write("default_transaction_isolation = 'serializable'\nlogging_collector = on\nlog_destination = 'csvlog'\n")
        story.daemon.start()
        story.cluster.start()
        story.backup()
        story.tell(3)
        story.cluster.psql("select pg_create_restore_point('here')")
        story.cluster.switch()
        story.end()
        data = self.scratch.path / "new"
        said = story.daemon.walg("restore", data, "--target-name", "here", "--start", "--json", "--pg-bin", story.cluster.programs)
        self.addCleanup(run, [story.cluster.programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"])
        self.assertEqual(json.loads(said.stdout)["state"], "paused")
        self.assertIn('recovery stopping at restore point "here"', (self.scratch.path / "new.recovery.log").read_text())

    def test_a_pause_before_the_target_is_no_arrival(self):
        story = self.small_story()
        story.daemon.start()
        story.cluster.start()
        story.backup()
        story.tell(3)
        story.cluster.psql("alter system set max_worker_processes = 40")
        story.cluster.stop()
        story.cluster.start()
        story.cluster.psql("select pg_create_restore_point('here')")
        story.cluster.switch()
        story.end()
        data = self.scratch.path / "new"
        self.addCleanup(run, [story.cluster.programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"])
        refused = story.daemon.walg("restore", data, "--target-name", "here", "--target-action", "promote", "--start", "--pg-bin", story.cluster.programs, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, "PostgreSQL stopped at LSN .*, before restore point 'here' at ")

    def test_a_tablespace_of_after_the_backup_is_made_and_never_in_anothers(self):
        """Recovery makes it where the WAL says: on the host of the cluster that would be that cluster's own folder."""
        for version in (13, 18):
            with self.subTest(version=version):
                story = self.small_story(version, transactions=3)
                story.daemon.start()
                story.cluster.start()
                place, data = self.scratch.folder("fast") / "größe", self.scratch.path / "new"
                place.mkdir()
                self.scratch.own(place)
                story.cluster.psql("select pg_create_restore_point('before')")
                story.cluster.psql(f"create tablespace fast location '{place}'")
                story.cluster.psql("create table quick tablespace fast as select n from generate_series(1, 1000) n")
                story.end()
                held = sorted(place.rglob("*"))
                for words in ([], ["--check"], ["--check", "--without-index"]):
                    refused = story.daemon.walg("restore", data, *words, check=False)
                    self.assertEqual(refused.returncode, 1)
                    self.assertRegex(refused.stderr, f'recovery makes tablespace [0-9]+ in "{place}" .*, where a cluster has its tablespace already: it would write into PG_{version}_')
                    self.assertFalse(data.exists())
                advised, = re.findall("--target-lsn ([0-9A-F/]+) --target-exclusive", refused.stderr)
                for words in (["--target-name", "before"], ["--target-lsn", advised, "--target-exclusive"]):
                    self.assertEqual(story.daemon.walg("restore", data, "--check", *words).returncode, 0)
                self.assertEqual(sorted(place.rglob("*")), held)
                place.rename(place.parent / "away")
                said = story.daemon.walg("restore", data, "--target-action", "promote", "--start", "--pg-bin", story.cluster.programs)
                self.addCleanup(run, [story.cluster.programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], check=False)
                self.assertIn(f"ok: recovery makes tablespaces in {place}, as the WAL says", said.stderr)
                restored = Story.__new__(Story)
                restored.__dict__.update(story.__dict__)
                restored.adopt(data)
                self.assertEqual(restored.cluster.psql("select count(*) from quick"), "1000")
                run([story.cluster.programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"])
                self.scratch.close()
                self.setUp()

    def test_settings_raised_after_the_backup_are_named(self):
        story = self.small_story(transactions=3)
        story.daemon.start()
        story.cluster.start()
        story.cluster.psql("alter system set max_connections = 137")
        story.cluster.stop()
        story.cluster.start()
        story.cluster.psql("select pg_create_restore_point('here')")
        story.end()
        before = story.events[1][-1].lsn
        check = lambda *words: story.daemon.walg("restore", self.scratch.path / "new", "--check", *words).stderr
        self.assertRegex(check(), r"settings were raised after the backup: max_connections = 137 \(before LSN [0-9A-F/]+: [0-9]+\)")
        self.assertIn("max_connections = 137", check("--target-name", "here"))
        self.assertNotIn("were raised", check("--target-lsn", before))

    def test_wal_of_wal_level_minimal_leads_nowhere(self):
        """It all fits one segment, so no segment is missing: PostgreSQL refuses to recover over it all the same."""
        story = self.small_story(transactions=3, segment_mb=16)
        story.daemon.start()
        story.cluster.start()
        story.tell(2)
        last = [event for event in story.events[1] if event.time][-1]
        config = story.cluster.data / "postgresql.auto.conf"
        whole = config.read_text()
        story.cluster.stop()
        config.write_text(whole + "wal_level = minimal\nmax_wal_senders = 0\narchive_mode = off\n")
        story.cluster.start()
        story.cluster.psql("create table bulk as select 1")
        story.cluster.stop()
        config.write_text(whole)
        story.cluster.start()
        story.tell(2)
        story.end()
        data = self.scratch.path / "new"
        refused = story.daemon.walg("restore", data, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("the server wrote it with wal_level = minimal", refused.stderr)
        self.assertIn("nearest reachable: ", refused.stderr)
        self.assertFalse(data.exists())
        said = story.daemon.walg("restore", data, "--target-lsn", last.lsn, "--check", "--json")
        self.assertEqual(json.loads(said.stdout)["last_commit"]["xid"], last.xid)
        story.daemon.walg("backup-fetch", data, "LATEST")
        story.cluster.data = data
        story.cluster.recover_from(story.daemon.restore_command())
        log = self.scratch.path / "refused.log"
        run([story.cluster.programs / "pg_ctl", "-D", data, "-l", log, "-W", "start"], env=story.daemon.env)
        until("PostgreSQL to give the recovery up", lambda: "cannot continue recovering" in log.read_text())

    def test_start_tells_what_this_start_said(self):
        story = self.small_story()
        data, log = self.scratch.path / "new", self.scratch.path / "new.recovery.log"
        log.write_text("FATAL:  of an earlier start\n")
        self.scratch.own(log)
        refused = story.daemon.walg("restore", data, "--restore-command", "exit 200", "--start", "--pg-bin", story.cluster.programs, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("PostgreSQL did not recover", refused.stderr)
        self.assertNotIn("of an earlier start", refused.stderr)

    def test_a_signal_does_not_wait_for_the_recovery_that_it_started(self):
        story = self.small_story(transactions=3)
        data = self.scratch.path / "new"
        words = ["restore", data, "--restore-command", "sleep 300; exit 200", "--start", "--pg-bin", story.cluster.programs]
        process = subprocess.Popen(as_server_user([self.scratch.bin / "walg", *words]), env=story.daemon.env, stderr=subprocess.PIPE, text=True, cwd="/")
        self.addCleanup(run, [story.cluster.programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], check=False)
        until("PostgreSQL to recover", (data / "postmaster.pid").exists)
        process.terminate()
        _, told = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn("cancelled while PostgreSQL was starting", told)
        self.assertEqual(run([story.cluster.programs / "pg_ctl", "-D", data, "status"]).returncode, 0)

    def test_a_signal_while_programs_are_looked_for_does_not_make_them_missing(self):
        story = self.small_story(transactions=3)
        programs = self.scratch.folder("programs")
        script = programs / "postgres"
        script.write_text(f"#!/bin/sh\necho > {programs}/called; sleep 1; echo 'postgres (PostgreSQL) 15.8'\n")
        script.chmod(0o755)
        self.scratch.own(script)
        called = programs / "called"
        process = subprocess.Popen(as_server_user([self.scratch.bin / "walg", "restore", self.scratch.path / "stopped", "--pg-bin", programs]), env=story.daemon.env,
                                   stderr=subprocess.PIPE, text=True, cwd="/")
        until("the program to be asked for its version", called.exists)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn("cancelled", told)
        self.assertNotIn("not found", told)

    def test_without_start_the_settings_are_written_and_no_other_line(self):
        story = self.small_story(WALGD_COMMIT_INDEX="false")
        self.assertFalse((self.folder / "walgd_005/index").exists(), "the index was turned off")
        data = self.scratch.path / "new"
        before = (story.cluster.data / "postgresql.auto.conf").read_text()
        name = [event for event in story.events[1] if event.name][-1]
        words = ("restore", data, "--target-name", name.name, "--target-action", "promote")
        self.assertIn("walgd would fetch ahead", story.daemon.walg(*words).stderr)
        shutil.rmtree(data)
        story.daemon.start()
        said = story.daemon.walg(*words)
        self.assertNotIn("would fetch ahead", said.stderr)
        after = (data / "postgresql.auto.conf").read_text()
        self.assertTrue(after.startswith(before))
        self.assertIn(f"recovery_target_name = '{name.name}'", after)
        self.assertTrue((data / "recovery.signal").exists())
        self.assertIn("last commit: ", said.stdout)
        restored = Story.__new__(Story)
        restored.__dict__.update(story.__dict__)
        restored.adopt(data)
        restored.cluster.env = story.daemon.env
        restored.cluster.start()
        restored.cluster.wait_until_writable()
        self.assertEqual(restored.cluster.psql("select count(*) from log"), str(name.rows))

    def test_an_archive_of_walgs_is_restorable_too(self):
        """Written by WAL-G, without an index: the windows are found in the WAL itself."""
        shutil.copytree(GOLDEN / "delta-zstd/archive", self.scratch.path / "golden")
        self.scratch.own_tree(self.scratch.path / "golden")
        daemon = Walgd(self.scratch, {"WALG_FILE_PREFIX": str(self.scratch.path / "golden"), "WALG_COMPRESSION_METHOD": "zstd"})
        timelines = json.loads(daemon.walg("restorable", "--json").stdout)["timelines"]
        self.assertEqual([one["timeline"] for one in timelines], [1, 2])
        self.assertTrue(all(window["usable"] and window["to"] for one in timelines for window in one["windows"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
