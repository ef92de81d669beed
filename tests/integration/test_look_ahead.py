"""Storing ahead: walgd follows pg_wal/archive_status and stores what PostgreSQL will ask for next."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "faults"))

import proxy as faults
from harness import Cluster, Minio, TestCase, Walgd, run, until


class LookAhead(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()
        self.cluster = Cluster(self.scratch, 15, segment_mb=1, extra="wal_keep_size = 1GB")

    def walgd(self, **settings):
        walgd = Walgd(self.scratch, {**self.settings, "WALG_COMPRESSION_METHOD": "zstd"}, self.cluster)
        walgd.env.update(settings)
        return walgd

    def backlog(self, segments):
        """A server whose archive_command fails, with so many closed segments, all .ready."""
        self.cluster.archive_with("false")
        self.cluster.start()
        self.cluster.psql("create table t (x int)")
        for _ in range(segments):
            self.cluster.psql("insert into t values (1)")
            self.cluster.psql("select pg_switch_wal()")
        return self.names(".ready")

    def names(self, suffix):
        return sorted(name[:-len(suffix)] for name in os.listdir(self.cluster.data / "pg_wal/archive_status") if name.endswith(suffix))

    def stored(self):
        path = self.folder / "wal_005"
        return sorted(name.removesuffix(".zst") for name in os.listdir(path)) if path.exists() else []

    def status(self, walgd):
        return json.loads(walgd.walg("status", "--json").stdout)["wal"]

    def test_a_backlog_is_stored_before_postgresql_asks_and_its_requests_are_answered_at_once(self):
        ready = self.backlog(40)
        walgd = self.walgd(TOTAL_BG_UPLOADED_LIMIT="100").start()
        until("the backlog to be stored ahead", lambda: self.stored() == ready)
        self.assertEqual(self.names(".ready"), ready, "PostgreSQL was told nothing")
        self.assertEqual(self.status(walgd)["stored_ahead"], len(ready))
        self.cluster.configure(f"archive_command = '{walgd.archive_command()}'")
        self.cluster.psql("select pg_reload_conf()")
        until("PostgreSQL to have all archived", lambda: not self.names(".ready"))
        status = self.status(walgd)
        self.assertGreaterEqual(status["answered_at_once"], len(ready))
        self.assertEqual(status["already_there"], 0, "no second request for what is stored")
        self.cluster.stop()
        for name in self.stored():
            walgd.walg("wal-fetch", name, self.scratch.path / "judge")
            self.assertEqual((self.scratch.path / "judge").read_bytes(), (self.cluster.data / "pg_wal" / name).read_bytes())
            (self.scratch.path / "judge").unlink()

    def test_no_more_is_stored_ahead_than_allowed(self):
        ready = self.backlog(12)
        self.walgd(TOTAL_BG_UPLOADED_LIMIT="5").start()
        until("five to be stored ahead", lambda: len(self.stored()) == 5)
        self.assertEqual(self.stored(), ready[:5])

    def test_zero_turns_it_off(self):
        ready = self.backlog(3)
        walgd = self.walgd(TOTAL_BG_UPLOADED_LIMIT="0").start()
        run([self.scratch.bin / "walg-push", self.cluster.data / "pg_wal" / ready[0]], env=walgd.env)
        self.assertEqual(self.stored(), ready[:1])

    def test_what_is_stored_ahead_is_marked_done_on_request(self):
        ready = self.backlog(10)
        self.walgd(PG_READY_RENAME="true").start()
        until("all to be marked .done", lambda: self.names(".done") == ready)
        self.assertEqual(self.stored(), ready)
        self.assertEqual(self.names(".ready"), [])

    def swapping_storage(self):
        """While a PUT of a segment is under way another file comes to its place, as where another cluster comes there. Returns the PUT's fault and its names."""
        swapped = []

        def swap(request, upstream, client):
            name = request.target.rsplit("/", 1)[1].removesuffix(".zst")
            path, other = (self.cluster.data / "pg_wal" / file for file in (name, "other"))
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            other.write_bytes(content)
            self.scratch.own(other)
            other.rename(path)
            swapped.append(name)
            return faults.passed_on(upstream.exchange(request), client)
        minio = Minio(self.scratch)
        proxy = faults.Proxy(("127.0.0.1", minio.port))
        self.addCleanup(proxy.close)
        self.settings = {**minio.settings(), "AWS_ENDPOINT": f"http://127.0.0.1:{proxy.port}"}
        return proxy, swap, swapped

    def test_a_file_that_took_the_place_of_the_one_that_was_stored_ahead_is_not_marked_done(self):
        ready = self.backlog(4)
        proxy, swap, swapped = self.swapping_storage()
        proxy.fault(swap, method="PUT", part=f"wal_005/{ready[1]}", times=1)
        walgd = self.walgd(PG_READY_RENAME="true").start()
        until("the others to be marked .done", lambda: self.names(".done") == [ready[0], *ready[2:]])
        until("it to be stored", lambda: f"event=wal_stored_ahead segment={ready[1]}" in (self.scratch.path / "log").read_text(errors="replace"))
        self.assertEqual((self.names(".ready"), swapped), ([ready[1]], [ready[1]]))
        result = run([self.scratch.bin / "walg-push", self.cluster.data / "pg_wal" / ready[1]], env=walgd.env, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("other content", result.stderr)

    def test_wal_push_without_a_daemon_marks_no_file_done_that_took_the_place_of_another(self):
        ready = self.backlog(4)
        proxy, swap, swapped = self.swapping_storage()
        proxy.fault(swap, method="PUT", part=f"wal_005/{ready[2]}", times=1)
        self.walgd(PG_READY_RENAME="true").walg("wal-push", self.cluster.data / "pg_wal" / ready[0])
        self.assertEqual((self.names(".ready"), swapped), ([ready[0], ready[2]], [ready[2]]))

    def test_wal_push_without_a_daemon_stores_ahead_and_marks_done_on_request(self):
        for name in ("walg", "wal-g"):
            ready = self.backlog(6) if name == "walg" else self.names(".ready")
            walgd = self.walgd(PG_READY_RENAME="true", TOTAL_BG_UPLOADED_LIMIT="2")
            path = self.cluster.data / "pg_wal" / ready[0]
            self.assertIn(ready[2], walgd.walg("wal-push", path, name=name).stderr)
            self.assertEqual(self.names(".ready"), [ready[0], *ready[3:]], "the file asked for is PostgreSQL's to rename")
            self.assertEqual(self.stored(), sorted({*self.names(".done"), ready[0]}))

    def test_wal_push_leaves_ready_what_it_cannot_store_ahead(self):
        ready = self.backlog(4)
        walgd = self.walgd(PG_READY_RENAME="true")
        other = self.scratch.folder("elsewhere") / ready[2]
        content = bytearray((self.cluster.data / "pg_wal" / ready[2]).read_bytes())
        content[-1] ^= 1
        other.write_bytes(content)
        self.scratch.own(other)
        alone = walgd.walg("wal-push", other)
        self.assertIn("nothing is stored ahead", alone.stderr)
        result = walgd.walg("wal-push", self.cluster.data / "pg_wal" / ready[0])
        self.assertIn(f"{ready[2]} was not stored ahead", result.stderr)
        self.assertEqual(self.names(".ready"), [ready[0], ready[2]])
        self.assertEqual(self.names(".done"), [name for name in ready[1:] if name != ready[2]])

    def test_a_file_that_is_not_the_one_stored_ahead_is_not_taken_for_it(self):
        ready = self.backlog(3)
        walgd = self.walgd().start()
        until("the backlog to be stored ahead", lambda: self.stored() == ready)
        other = self.scratch.folder("elsewhere") / ready[0]
        content = bytearray((self.cluster.data / "pg_wal" / ready[0]).read_bytes())
        content[-1] ^= 1
        other.write_bytes(content)
        self.scratch.own(other)
        result = run([self.scratch.bin / "walg-push", other], env=walgd.env, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("other content", result.stderr)

    def test_new_segments_are_followed_while_it_runs(self):
        self.backlog(1)
        walgd = self.walgd().start()
        until("looking ahead", lambda: self.status(walgd)["looking_ahead"] == "yes")
        for _ in range(5):
            self.cluster.psql("insert into t values (1)")
            self.cluster.psql("select pg_switch_wal()")
            until("the closed segment to be stored", lambda: self.stored() == self.names(".ready"))

    def test_a_data_directory_that_was_moved_away_and_replaced_is_followed(self):
        """As before a restore: the old one is kept under another name."""
        self.backlog(1)
        walgd = self.walgd().start()
        until("the segment to be stored", lambda: len(self.stored()) == 1)
        self.cluster.stop()
        old = self.cluster.data.with_name("old")
        self.cluster.data.rename(old)
        until("walgd to say so", lambda: "moved away" in self.status(walgd)["looking_ahead"] or "cannot watch" in self.status(walgd)["looking_ahead"], 60)
        self.assertEqual(self.status(walgd)["ready"], 0)
        subprocess.check_call(["cp", "-a", old, self.cluster.data])
        until("walgd to follow the new one", lambda: self.status(walgd)["looking_ahead"] == "yes", 30)
        self.cluster.start()
        for count in (2, 3):
            self.cluster.psql("insert into t values (1); select pg_switch_wal()")
            until("a new segment to be stored at once, and not by the next scan", lambda: len(self.stored()) >= count, 5)

    def test_a_data_directory_that_cannot_be_read_is_said_and_pushes_work(self):
        ready = self.backlog(2)
        walgd = self.walgd(PGDATA=str(self.scratch.path / "nowhere")).start()
        run([self.scratch.bin / "walg-push", self.cluster.data / "pg_wal" / ready[1]], env=walgd.env)
        self.assertEqual(self.stored(), ready[1:])
        self.assertIn("nowhere", self.status(walgd)["looking_ahead"])

    def test_a_data_directory_that_appears_later_is_followed(self):
        ready = self.backlog(2)
        link = self.scratch.path / "later"
        walgd = self.walgd(PGDATA=str(link)).start()
        until("no look ahead", lambda: "later" in self.status(walgd)["looking_ahead"])
        link.symlink_to(self.cluster.data)
        until("the backlog to be stored ahead", lambda: self.stored() == ready)


if __name__ == "__main__":
    unittest.main(verbosity=2)
