"""What the daemon does by the calendar, and whom it tells."""
import datetime
import http.server
import json
import os
import re
import socket
import struct
import threading
import time
import unittest
import urllib.request

from harness import Cluster, TestCase, Walgd, free_port, run, until

EVERY_MINUTE = "* * * * *"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    def do_POST(self):
        self.server.events.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments):
        pass


class Schedule(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()

    def walgd(self, cluster=None, **settings):
        return Walgd(self.scratch, {**self.settings, **settings}, cluster)

    def archiving_cluster(self, walgd_of):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        walgd = walgd_of(cluster).start()
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        return cluster, walgd

    def hook(self):
        """A program that keeps what it is told, and the function that reads it."""
        told = self.scratch.folder("told") / "events"
        program = self.scratch.path / "hook"
        program.write_text(f'#!/bin/sh\nenv | grep -c WALG >> {told}.env\nenv | grep ^HOME= > {told}.home\ntext=$(cat)\nprintf "%s %s\\n" "$1" "$text" >> {told}\n')
        program.chmod(0o755)

        def events():
            if not told.exists():
                return []
            whole = [line for line in told.read_text().splitlines(keepends=True) if line.endswith("\n")]
            return [(line.split(" ", 1)[0], json.loads(line.split(" ", 1)[1])) for line in whole]
        return str(program), events

    def watched_archive(self):
        """A server whose WAL since its backup is archived and in pg_wal still; the segments' names, and what the daemon's hook is told."""
        program, events = self.hook()
        cluster = Cluster(self.scratch, 15, segment_mb=1, extra="wal_keep_size = 1GB")
        walgd = self.walgd(cluster, WALGD_HOOK_COMMAND=program, WALGD_CATALOGUE_REFRESH="1s", WALGD_HTTP_LISTEN=f"127.0.0.1:{free_port()}").start()
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        walgd.walg("backup-push", cluster.data)
        names = [cluster.switch() for _ in range(4)]
        self.watching = walgd
        return cluster, names, events

    def backups(self, walgd):
        listed = walgd.walg("backup-list", "--json").stdout
        return json.loads(listed) if listed.strip().startswith("[") else []

    def test_a_full_backup_is_taken_when_it_is_due_once_and_hooks_are_told(self):
        server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
        server.events = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        program, events = self.hook()
        metrics = f"127.0.0.1:{free_port()}"
        settings = {"WALGD_HTTP_LISTEN": metrics, "WALGD_SCHEDULE_FULL": EVERY_MINUTE, "WALGD_HOOK_COMMAND": program, "WALGD_HOOK_URL": f"http://127.0.0.1:{server.server_port}/x?key=s3cret"}
        cluster, walgd = self.archiving_cluster(lambda cluster: self.walgd(cluster, **settings))
        until("the scheduled backup", lambda: self.backups(walgd), 120)
        until("the record of it", lambda: json.loads(walgd.walg("schedule", "--json").stdout)[0].get("ok"), 30)
        name = self.backups(walgd)[0]["backup_name"]
        line = json.loads(walgd.walg("schedule", "--json").stdout)[0]
        self.assertEqual((line["what"], line["text"]), ("full", name))
        self.assertIn('walgd_task_last_ok{task="full"} 1', urllib.request.urlopen(f"http://{metrics}/metrics", timeout=20).read().decode())
        self.assertIn(name, walgd.walg("schedule").stdout)
        until("the program to be told", events)
        self.assertEqual((events()[0][0], events()[0][1]["event"], events()[0][1]["text"]), ("backup_done", "backup_done", name))
        self.assertEqual((self.scratch.path / "told/events.env").read_text().split()[0], "0", "a hook gets none of walgd's settings")
        self.assertEqual((self.scratch.path / "told/events.home").read_text(), f"HOME={self.scratch.path}\n", "what a hook runs may have its settings there")
        until("the URL to be posted to", lambda: server.events)
        self.assertEqual(server.events[0]["text"], name)
        self.assertNotIn("s3cret", (self.scratch.path / "log").read_text(errors="replace"))
        # What was done for this minute is not done again after a restart: the archive remembers.
        record = self.folder / "walgd_005/schedule/full.json"
        until("the record to be stored", lambda: record.exists() and json.loads(record.read_text())["text"])
        self.assertEqual(json.loads(record.read_text())["failures"], 0)
        walgd.kill()  # it would wait for PostgreSQL to end
        # What is an hour ahead at most is believed: the clocks of two hosts differ.
        ahead = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=50)
        record.write_text(json.dumps(json.loads(record.read_text()) | {"due": ahead.strftime("%Y-%m-%dT%H:%M:%SZ")}))
        count = len(self.backups(walgd))
        walgd.start()
        until("the record to be read", lambda: "last" in json.loads(walgd.walg("schedule", "--json").stdout)[0])
        self.assertFalse(json.loads(walgd.walg("schedule", "--json").stdout)[0]["overdue"])
        self.assertEqual(len(self.backups(walgd)), count)

    def test_what_was_stored_is_read_back_and_what_need_not_stay_goes(self):
        settings = {"WALGD_SCHEDULE_VERIFY": EVERY_MINUTE, "WALGD_SCHEDULE_RETENTION": EVERY_MINUTE, "WALGD_KEEP_FULL": "1"}
        cluster, walgd = self.archiving_cluster(lambda cluster: self.walgd(cluster, **settings))
        for _ in range(2):
            walgd.walg("backup-push", "--full", cluster.data)
            cluster.switch()
        tasks = lambda: {line["what"]: line for line in json.loads(walgd.walg("schedule", "--json").stdout)}
        until("both to run", lambda: all(tasks()[what].get("ok") for what in ("verify", "retention")), 180)
        self.assertIn("all sound", tasks()["verify"]["text"])
        self.assertEqual(len(self.backups(walgd)), 1, "one full backup is to stay")
        walgd.walg("wal-verify", "integrity", "timeline")

    def test_a_retention_that_keeps_nothing_is_refused_at_the_start(self):
        refused = self.walgd(WALGD_SCHEDULE_RETENTION=EVERY_MINUTE)
        self.assertEqual(refused.start(wait=False).process.wait(20), 1)
        self.assertIn("nothing says what is to stay", (self.scratch.path / "log").read_text(errors="replace"))

    def test_a_first_run_that_this_host_did_not_live_to_end_is_made_up(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        due = now - datetime.timedelta(minutes=5)
        settings = {"WALGD_SCHEDULE_VERIFY": f"{due.minute} {due.hour} * * *", "WALGD_SCHEDULE_TIMEZONE": "UTC"}
        walgd = self.walgd(**settings).start()
        record = self.folder / "walgd_005/schedule/verify.json"
        until("the task to be noted", record.exists)
        line = json.loads(walgd.walg("schedule", "--json").stdout)[0]
        self.assertEqual((line["overdue"], "last" in line), (False, False), "what was due before it was set up is not missed")
        self.assertIn("never ran", walgd.walg("schedule").stdout)
        walgd.kill()
        # As if it had been set up an hour ago, and nothing came of the run five minutes ago.
        record.write_text(json.dumps(json.loads(record.read_text()) | {"due": (now - datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}))
        walgd.start()
        line = until("it to be made up", lambda: next((line for line in json.loads(walgd.walg("schedule", "--json").stdout) if line.get("ok")), None))
        self.assertFalse(line["overdue"])
        until("the record to be stored", lambda: json.loads(record.read_text())["due"] >= due.strftime("%Y-%m-%dT%H:%M:00Z"))

    def test_what_another_host_is_at_is_left_to_it_however_long_it_takes(self):
        text = lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ")
        now = datetime.datetime.now(datetime.timezone.utc)
        due = now - datetime.timedelta(minutes=40)
        folder = self.scratch.folder("store/walgd_005") / "schedule"
        folder.mkdir()
        (folder / "verify.json").write_text(json.dumps({"due": text(now - datetime.timedelta(days=1)), "ended": text(now - datetime.timedelta(hours=23)),
                                                        "failures": 0, "text": "", "host": "db2"}))
        note = folder / "verify-running.json"
        note.write_text(json.dumps({"host": "db2", "at": text(now)}))
        self.scratch.own_tree(self.folder)
        walgd = self.walgd(WALGD_SCHEDULE_VERIFY=f"{due.minute} {due.hour} * * *", WALGD_SCHEDULE_TIMEZONE="UTC").start()
        line = lambda: json.loads(walgd.walg("schedule", "--json").stdout)[0]
        until("it to be waited for", lambda: line()["why"] == "db2 is at it")
        self.assertEqual((line()["overdue"], line()["host"]), (True, "db2"))
        # It died.
        note.write_text(json.dumps({"host": "db2", "at": text(now - datetime.timedelta(minutes=16))}))
        until("it to be done here", lambda: line()["host"] != "db2" and line()["ok"])
        until("the note to go", lambda: not note.exists())

    def test_a_record_that_cannot_be_one_does_not_stop_the_schedule(self):
        record = self.folder / "walgd_005/schedule/verify.json"
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"due": "2026-01-01T00:00:00Z", "ended": "2026-01-01T00:01:00Z", "failures": 1, "text": "x" * 100000, "host": "db1"}))
        self.scratch.own_tree(self.folder)
        walgd = self.walgd(WALGD_SCHEDULE_VERIFY=EVERY_MINUTE).start()
        until("the task to run", lambda: json.loads(walgd.walg("schedule", "--json").stdout)[0].get("ok"), 120)
        until("its record to be stored", lambda: json.loads(record.read_text())["failures"] == 0)

    def test_a_scheduled_backup_that_is_cancelled_has_failed_and_the_schedule_goes_on(self):
        settings = {"WALGD_SCHEDULE_FULL": EVERY_MINUTE, "WALGD_SCHEDULE_VERIFY": EVERY_MINUTE, "WALG_DISK_RATE_LIMIT": "100000"}
        cluster, walgd = self.archiving_cluster(lambda cluster: self.walgd(cluster, **settings))
        until("the backup to run", lambda: json.loads(walgd.walg("status", "--json").stdout).get("backup", {}).get("running"), 120)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(walgd.env["WALGD_SOCKET"])
            client.sendall(struct.pack("<IBBI", 6, 1, 6, 1))  # cancel_job
            self.assertTrue(client.recv(4096))
        tasks = lambda: {line["what"]: line for line in json.loads(walgd.walg("schedule", "--json").stdout)}
        until("the schedule to tell", lambda: tasks()["full"].get("ok") is False)
        self.assertIn("cancelled", tasks()["full"]["text"])
        until("the next task to run", lambda: tasks()["verify"].get("ok"), 30)

    def test_a_failed_task_says_why_and_is_told(self):
        program, events = self.hook()
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        cluster.start()
        port = free_port()
        walgd = self.walgd(cluster, WALGD_SCHEDULE_FULL=EVERY_MINUTE, WALGD_HOOK_COMMAND=program, WALGD_HTTP_LISTEN=f"127.0.0.1:{port}")
        walgd.env["PGDATA"] = os.fsdecode(os.fsencode(self.scratch.folder("not-the-servers")) + b"-\xfc")
        os.mkdir(walgd.env["PGDATA"])
        self.scratch.own(walgd.env["PGDATA"])
        walgd.start()
        until("the failure to be told", events, 120)
        self.assertEqual(events()[0][0], "backup_failed")
        self.assertIn("not-the-servers", events()[0][1]["text"])
        line = until("the schedule to tell", lambda: next((line for line in json.loads(walgd.walg("schedule", "--json").stdout) if line.get("ok") is False), None))
        self.assertIn("not-the-servers", line["text"])
        self.assertTrue(line["overdue"])
        self.assertIn("FAILED", walgd.walg("schedule").stdout)
        self.assertIn("not-the-servers", walgd.walg("status").stdout)
        # The page asks for nothing that is not told.
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).read().decode()
        asked = set(re.findall(r"\bj\.(\w+)", re.search(r"function due\(s\).*", page).group()))
        self.assertTrue({"ok", "text"} <= asked <= set(line), asked)

    def test_a_standby_leaves_it_to_the_primary_until_it_is_one(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        run(["cp", "-a", cluster.data, self.scratch.path / "standby"])
        cluster.start()
        standby = Cluster(self.scratch, 15, "standby", initdb=False, extra="max_wal_senders = 10")
        walgd = self.walgd(standby, WALGD_SCHEDULE_FULL=EVERY_MINUTE).start()
        standby.archive_with(walgd.archive_command())
        standby.configure(f"primary_conninfo = 'host={cluster.sockets} port={cluster.port} user=postgres'")
        (standby.data / "standby.signal").touch()
        self.scratch.own(standby.data / "standby.signal")
        standby.start()
        until("the standby to say why it does not", lambda: "standby" in json.loads(walgd.walg("schedule", "--json").stdout)[0]["why"], 120)
        self.assertEqual(self.backups(walgd), [])
        cluster.stop()
        standby.psql("select pg_promote()")
        until("the new primary to take it", lambda: self.backups(walgd), 180)

    def test_wrong_expressions_are_told_at_the_start(self):
        for name, value, text in (("WALGD_SCHEDULE_FULL", "0 25 * * *", "'25' is no hour"), ("WALGD_SCHEDULE_DELTA", "@often", "@often"),
                                  ("WALGD_SCHEDULE_FULL", "0 3 31 2,4 *", "'0 3 31 2,4 *' never comes"), ("WALGD_SCHEDULE_ON", "moon", "primary")):
            refused = self.walgd(**{name: value})
            self.assertEqual(refused.start(wait=False).process.wait(20), 1)
            self.assertIn(text, (self.scratch.path / "log").read_text(errors="replace"))

    def test_a_gap_heals_from_pg_wal_or_is_named_with_its_cost(self):
        cluster, names, events = self.watched_archive()
        stored = lambda name: next((self.folder / "wal_005").glob(f"{name}.*"), None)
        missing = stored(names[1])
        content = missing.read_bytes()
        for _ in range(2):  # as often as it is lost
            missing.unlink()
            until("the gap to be healed", lambda: stored(names[1]))
            self.assertEqual(stored(names[1]).read_bytes(), content)
        (cluster.data / "pg_wal" / names[2]).unlink()
        stored(names[2]).unlink()
        until("the gap to be told", lambda: [event for event, _ in events()] == ["wal_gap"])
        self.assertEqual((events()[0][1]["first"], events()[0][1]["segments"]), (names[2], 1))
        self.assertIn("take a full base backup now", events()[0][1]["text"])

    def test_a_gap_right_behind_the_oldest_backup_heals_too(self):
        cluster, names, events = self.watched_archive()
        stored = lambda name: next((self.folder / "wal_005").glob(f"{name}.*"), None)
        self.watching.walg("backup-push", cluster.data)
        stored(names[0]).unlink()
        until("the gap to be healed, which no retention made", lambda: stored(names[0]))
        self.assertEqual(events(), [])

    def test_a_segment_that_a_standby_is_still_receiving_heals_no_gap(self):
        cluster, names, events = self.watched_archive()
        stored = next((self.folder / "wal_005").glob(f"{names[2]}.*"))
        # So it looks there: the header is right, and what follows is a file of an older segment that is to be used again.
        used_again = (cluster.data / "pg_wal" / names[0]).read_bytes()
        (cluster.data / "pg_wal" / names[3]).write_bytes(used_again)
        received = (cluster.data / "pg_wal" / names[2]).read_bytes()[:8192]
        (cluster.data / "pg_wal" / names[2]).write_bytes(received + used_again[8192:])
        stored.unlink()
        until("the gap to be told", lambda: [event for event, _ in events()] == ["wal_gap"])
        self.assertFalse(stored.exists())

    def test_a_fetch_that_fails_is_no_wal_that_waits(self):
        program, events = self.hook()
        (self.folder / "wal_005").mkdir()
        (self.folder / "wal_005/000000010000000000000001.zst").write_text("no zstd")
        self.scratch.own_tree(self.folder)
        walgd = self.walgd(WALGD_HOOK_COMMAND=program, WALGD_HOOK_LAG="1s").start()
        target = self.scratch.folder("target") / "segment"
        fetched = run([self.scratch.bin / "walg-fetch", "000000010000000000000001", target], env=walgd.env, check=False)
        self.assertEqual(fetched.returncode, 200)
        time.sleep(4)
        self.assertEqual(events(), [])

    def test_wal_that_waits_for_too_long_is_told_and_that_it_is_over(self):
        program, events = self.hook()
        cluster, walgd = self.archiving_cluster(lambda cluster: self.walgd(cluster, WALGD_HOOK_COMMAND=program, WALGD_HOOK_LAG="1s"))
        cluster.switch()
        wal = self.folder / "wal_005"
        away = self.folder / "away"
        wal.rename(away)
        wal.write_text("not a folder")
        cluster.psql("insert into switches values (now())")
        cluster.psql("select pg_switch_wal()")
        until("the lag to be told", lambda: [event for event, _ in events()] == ["archive_lag"], 120)
        self.assertGreaterEqual(events()[0][1]["files_waiting"], 1)
        wal.unlink()
        away.rename(wal)
        until("its end to be told", lambda: [event for event, _ in events()] == ["archive_lag", "archive_caught_up"], 120)


if __name__ == "__main__":
    unittest.main()
