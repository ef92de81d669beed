"""walg wal-receive on real PostgreSQL: what it stores, what the slot keeps, and that no fault makes a hole."""
import pathlib
import signal
import unittest

from harness import Cluster, Minio, TestCase, Walgd, run, start, stop, until

ZSTD = {"WALG_COMPRESSION_METHOD": "zstd"}


class Receiver:
    """walg wal-receive beside the test, with a log of its own."""

    def __init__(self, test, walgd, *words, env=None):
        self.test, self.walgd, self.words, self.env = test, walgd, words, {**walgd.env, **(env or {})}
        self.logfile = test.scratch.path / "receive.log"
        self.process = None

    def start(self):
        with open(self.logfile, "ab") as log:
            self.process = start([self.walgd.scratch.bin / "walg", "wal-receive", *self.words], log, env=self.env)
        self.walgd.scratch.stack.callback(self.kill)
        return self

    def text(self):
        return self.logfile.read_text(errors="replace")

    def says(self, words, seconds=60):
        def there():
            if self.process.poll() is not None and words not in self.text():
                raise AssertionError(f"wal-receive ended with {self.process.returncode}:\n{self.text()}")
            return words in self.text()
        until(f"wal-receive to say '{words}'", there, seconds)
        return self

    def stop(self):
        return stop(self.process, signal.SIGTERM, 30)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def wait(self, seconds=60):
        return self.process.wait(seconds)


class WalReceive(TestCase):
    def setUp(self):
        super().setUp()
        self.use_store("store")

    def use_store(self, name):
        """A storage of its own from now on."""
        self.folder = self.scratch.folder(name)
        self.settings = {"WALG_FILE_PREFIX": str(self.folder), **ZSTD}

    def clean(self):
        log = self.scratch.path / "receive.log"
        outcome = getattr(self, "_outcome", None)
        if outcome is not None and not outcome.success and log.exists():
            print("--- wal-receive\n" + log.read_text(errors="replace")[-4000:])
        super().clean()

    def cluster(self, version=15, name="data", segment_mb=1, extra="", **options):
        """Keeps all its WAL, so that it can be compared with what was stored."""
        return Cluster(self.scratch, version, name, segment_mb=segment_mb, extra="wal_keep_size = 2GB\nmax_wal_size = 4GB\n" + extra, **options)

    def stored(self, pattern="*"):
        """Names in wal_005, without the method's suffix."""
        wal = self.folder / "wal_005"
        return sorted(path.name.removesuffix(".zst") for path in wal.glob(pattern + ".zst")) if wal.exists() else []

    def content(self, walgd, name):
        target = self.scratch.path / "fetched"
        target.unlink(missing_ok=True)
        walgd.walg("wal-fetch", name, target)
        return target.read_bytes()

    def write(self, cluster, segments=1):
        """So many full segments more. Returns the name of the last."""
        for _ in range(segments):
            cluster.psql("create table if not exists filler (id int); insert into filler values (1)")
            name = cluster.psql("select pg_walfile_name(pg_switch_wal())")
        return name

    def wait_stored(self, name, seconds=60):
        until(f"{name} to be stored", lambda: name in self.stored(), seconds)

    def slot(self, cluster, name="walg"):
        return cluster.psql(f"select restart_lsn from pg_replication_slots where slot_name = '{name}'")

    def drop_slot(self, cluster):
        """The server lets go of it a moment after its client is gone."""
        until("the slot to be free", lambda: cluster.psql("select active from pg_replication_slots where slot_name = 'walg'") == "f")
        cluster.psql("select pg_drop_replication_slot('walg')")

    def check_all(self, walgd, cluster, timeline="00000001"):
        """Every stored segment is the server's, and none is missing between the first and the last. Returns how many there are."""
        names = [name for name in self.stored() if len(name) == 24 and name.startswith(timeline)]
        server = {path.name for path in (cluster.data / "pg_wal").iterdir() if len(path.name) == 24}
        wanted = sorted(name for name in server if names and names[0] <= name <= names[-1] and name.startswith(timeline))
        self.assertEqual(names, wanted)
        for name in names:
            self.assertEqual(self.content(walgd, name), (cluster.data / "pg_wal" / name).read_bytes(), name)
        return len(names)

    def test_everything_is_received_under_load_and_recovers(self):
        for version in (15, 13, 18):
            with self.subTest(version=version):
                self.use_store(f"store{version}")
                self.receive_and_recover(version)

    def receive_and_recover(self, version):
        old = self.cluster(version, f"old{version}").start()
        walgd = Walgd(self.scratch, self.settings, old)
        receiver = Receiver(self, walgd).start().says("receiving WAL of timeline 1")
        self.assertTrue(self.slot(old), "a slot that keeps WAL was made")
        old.pgbench("-i", "-q", "-s", "2")
        load = old.pgbench_in_background(60)
        until("ten segments", lambda: len(self.stored()) >= 10)
        # The backup's own WAL comes by wal-receive too: archive_mode is off.
        walgd.walg("backup-push", old.data)
        old.psql("create table notes as select g id, md5(g::text) t from generate_series(1, 5000) g")
        stop(load)
        last = self.write(old)
        self.wait_stored(last)
        self.assertGreater(self.check_all(walgd, old), 10)
        expected = old.checksum()
        self.assertEqual(receiver.stop(), 0)
        receiver.logfile.unlink()
        old.stop("immediate")

        data = self.scratch.path / f"new{version}"
        walgd.walg("backup-fetch", data, "LATEST")
        new = Cluster(self.scratch, version, f"new{version}", initdb=False)
        new.env = {**walgd.env, "WALGD_SOCKET": "/nowhere/x.sock"}
        new.recover_from(walgd.restore_command())
        new.start()
        new.wait_until_writable()
        self.assertEqual(new.checksum(), expected)
        new.stop("immediate")

    def test_segments_of_16_and_64_mib(self):
        # 64 MiB is put together on disk, and goes out in pieces.
        for segment_mb in (16, 64):
            cluster = self.cluster(15, f"data{segment_mb}", segment_mb=segment_mb).start()
            self.use_store(f"store{segment_mb}")
            walgd = Walgd(self.scratch, self.settings, cluster)
            receiver = Receiver(self, walgd, env={"WALG_SLOTNAME": "other"}).start().says("receiving")
            last = self.write(cluster, 3)
            self.wait_stored(last)
            self.assertGreaterEqual(self.check_all(walgd, cluster), 3)
            self.assertTrue(self.slot(cluster, "other"))
            self.assertEqual(receiver.stop(), 0)
            receiver.logfile.unlink()
            cluster.stop()

    def test_killed_at_any_time_there_is_no_hole_and_the_slot_only_moves_over_stored_wal(self):
        cluster = self.cluster().start()
        walgd = Walgd(self.scratch, self.settings, cluster)
        cluster.pgbench("-i", "-q", "-s", "1")
        Receiver(self, walgd).start().says("is stored").kill()
        load = cluster.pgbench_in_background(120)
        for _ in range(8):
            before = len(self.stored())
            receiver = Receiver(self, walgd).start()
            until("more segments", lambda: len(self.stored()) >= before + 2)
            receiver.kill()
            restart = self.slot(cluster)
            newest = cluster.psql(f"select pg_walfile_name('{restart}'::pg_lsn + 1)")
            names = [name for name in self.stored() if len(name) == 24]
            wanted = sorted(path.name for path in (cluster.data / "pg_wal").iterdir() if len(path.name) == 24 and names[0] <= path.name < newest)
            self.assertEqual([name for name in names if name < newest], wanted, "what the slot let go is stored")
        stop(load)
        receiver = Receiver(self, walgd).start()
        self.wait_stored(self.write(cluster))
        self.assertEqual(receiver.stop(), 0)
        self.assertGreater(self.check_all(walgd, cluster), 16)

    def test_a_server_restart_is_waited_out_and_its_shutdown_does_not_wait_for_us(self):
        for version in (15, 13, 18):
            with self.subTest(version=version):
                cluster = self.cluster(version, f"data{version}").start()
                self.use_store(f"store{version}")
                walgd = Walgd(self.scratch, self.settings, cluster)
                receiver = Receiver(self, walgd).start().says("receiving")
                self.wait_stored(self.write(cluster))
                cluster.psql("insert into filler select generate_series(1, 1000)")
                cluster.stop("fast", 20)
                receiver.says("trying again")
                cluster.start()
                self.wait_stored(self.write(cluster, 2))
                self.check_all(walgd, cluster)
                self.assertEqual(receiver.stop(), 0)
                receiver.logfile.unlink()
                cluster.stop()

    def standby_of(self, primary, name="standby"):
        data = self.scratch.path / name
        run([primary.programs / "pg_basebackup", "-h", primary.sockets, "-p", primary.port, "-U", "postgres", "-D", data, "-X", "stream", "-c", "fast"])
        standby = Cluster(self.scratch, primary.version, name, initdb=False)
        standby.configure(f"primary_conninfo = 'host={primary.sockets} port={primary.port} user=postgres'\nrecovery_target_timeline = 'latest'")
        (data / "standby.signal").touch()
        self.scratch.own(data / "standby.signal")
        return standby.start()

    def promote(self, standby):
        standby.psql("select pg_promote()")
        standby.wait_until_writable()

    def check_turn(self, walgd, old, new):
        """Timeline 1 up to its end, the begun segment as .partial, the history, and timeline 2 from the segment of the switch point
        on. Returns the name of that segment on timeline 1."""
        history = (new.data / "pg_wal/00000002.history").read_bytes()
        self.assertEqual(self.content(walgd, "00000002.history"), history)
        end = int(history.decode().split()[1].split("/")[1], 16)
        number, offset = divmod(end, 1 << 20)
        switched = f"0000000100000000{number:08X}"
        self.assertEqual(self.stored("*.partial"), [switched + ".partial"] if offset else [])
        if offset:
            partial = self.content(walgd, switched + ".partial")
            self.assertEqual(len(partial), 1 << 20)
            self.assertEqual(partial[:offset], (old.data / "pg_wal" / switched).read_bytes()[:offset])
            self.assertEqual(partial[offset:].strip(b"\0"), b"")
        self.check_all(walgd, old)
        self.assertIn(f"0000000100000000{number - 1:08X}", self.stored())
        self.assertIn("00000002" + switched[8:], self.stored())
        self.assertGreaterEqual(self.check_all(walgd, new, "00000002"), 2)
        return switched

    def wait_replayed(self, primary, standby):
        end = primary.psql("select pg_current_wal_lsn()")
        until("the standby to have all", lambda: standby.psql(f"select pg_last_wal_replay_lsn() >= '{end}'") == "t")

    def test_the_standby_that_it_streams_from_is_promoted(self):
        primary = self.cluster().start()
        standby = self.standby_of(primary)
        walgd = Walgd(self.scratch, self.settings, standby)
        receiver = Receiver(self, walgd).start().says("receiving WAL of timeline 1")
        self.wait_stored(self.write(primary, 2))
        primary.psql("insert into filler select generate_series(1, 100)")
        self.wait_replayed(primary, standby)
        primary.stop("immediate")
        self.promote(standby)
        receiver.says("timeline 2 follows").says("receiving WAL of timeline 2")
        self.wait_stored(self.write(standby, 2))
        switched = self.check_turn(walgd, primary, standby)
        self.assertNotIn(switched, self.stored(), "timeline 1 never filled it")
        self.assertEqual(receiver.stop(), 0)
        order = sorted(("00000002.history", "00000002" + switched[8:]), key=lambda name: (self.folder / f"wal_005/{name}.zst").stat().st_mtime_ns)
        self.assertEqual(order[0], "00000002.history", "the history was stored first")

    def test_failover_to_a_server_without_the_slot(self):
        for where in ("in a segment", "at its end"):
            with self.subTest(where):
                self.use_store("store " + where)
                self.fail_over(where)

    def fail_over(self, where):
        primary = self.cluster(name="primary " + where).start()
        standby = self.standby_of(primary, "standby " + where)
        walgd = Walgd(self.scratch, self.settings, primary)
        receiver = Receiver(self, walgd).start().says("receiving WAL of timeline 1")
        self.wait_stored(self.write(primary, 3))
        if where == "in a segment":
            primary.psql("insert into filler select generate_series(1, 100)")
        self.wait_replayed(primary, standby)
        # Nobody receives while the old primary goes and the new one fills some segments.
        receiver.kill()
        primary.stop("immediate")
        self.promote(standby)
        self.write(standby, 2)
        moved = Receiver(self, Walgd(self.scratch, self.settings, standby)).start()
        moved.says("made the replication slot walg").says("receiving WAL of timeline 2")
        self.wait_stored(self.write(standby, 1))
        self.assertEqual(moved.stop(), 0)
        moved.logfile.unlink()
        self.check_turn(walgd, primary, standby)
        standby.stop()

    def test_wal_that_only_the_old_primary_had_does_not_mislead(self):
        primary = self.cluster().start()
        standby = self.standby_of(primary)
        walgd = Walgd(self.scratch, self.settings, primary)
        receiver = Receiver(self, walgd).start().says("receiving WAL of timeline 1")
        self.wait_stored(self.write(primary, 2))
        primary.psql("insert into filler select generate_series(1, 100)")
        self.wait_replayed(primary, standby)
        standby.stop()
        # Stored, but not part of what timeline 2 came from.
        ahead = self.write(primary, 3)
        self.wait_stored(ahead)
        self.assertEqual(receiver.stop(), 0)
        primary.stop("immediate")
        standby.configure("primary_conninfo = ''")
        standby.start()
        self.promote(standby)
        moved = Receiver(self, Walgd(self.scratch, self.settings, standby)).start().says("receiving WAL of timeline 2")
        self.wait_stored(self.write(standby, 2))
        self.check_turn(walgd, primary, standby)
        self.assertIn(ahead, self.stored())
        self.assertEqual(moved.stop(), 0)

    def test_a_storage_that_is_away_holds_the_slot_and_nothing_is_lost(self):
        cluster = self.cluster().start()
        walgd = Walgd(self.scratch, self.settings, cluster)
        receiver = Receiver(self, walgd).start().says("receiving")
        self.wait_stored(self.write(cluster))
        away = self.scratch.path / "away"
        until("the slot to move over what is stored", lambda: cluster.psql(
            f"select restart_lsn from pg_replication_slots where slot_name = 'walg' and pg_walfile_name(restart_lsn + 1) > '{self.stored()[-1]}'"))
        held = self.slot(cluster)
        self.folder.rename(away)
        last = self.write(cluster, 6)
        receiver.says("the server keeps the WAL until then")
        self.assertEqual(self.slot(cluster), held)
        away.rename(self.folder)
        self.wait_stored(last)
        self.check_all(walgd, cluster)
        until("the slot to move on", lambda: cluster.psql(f"select restart_lsn > '{held}' from pg_replication_slots") == "t")
        # Stopped while the storage is away: within its grace, with 0.
        self.folder.rename(away)
        self.write(cluster, 3)
        until("a push to fail", lambda: receiver.text().count("the server keeps the WAL until then") > 1)
        self.assertEqual(receiver.stop(), 0)
        away.rename(self.folder)
        Receiver(self, walgd).start()
        self.wait_stored(self.write(cluster))
        self.check_all(walgd, cluster)

    def test_a_slow_storage_makes_the_server_wait_in_bounded_memory(self):
        cluster = self.cluster(segment_mb=16).start()
        walgd = Walgd(self.scratch, self.settings, cluster)
        receiver = Receiver(self, walgd).start().says("receiving")
        away = self.scratch.path / "away"
        self.folder.rename(away)
        self.write(cluster, 2)
        receiver.says("the server keeps the WAL until then")
        cluster.pgbench("-i", "-q", "-s", "10")
        last = self.write(cluster)
        sent = lambda: cluster.psql("select pg_wal_lsn_diff(pg_current_wal_lsn(), write_lsn) from pg_stat_replication")
        until("the server to be ahead of the receiver by segments", lambda: sent() and int(sent()) > 32 << 20)
        peak = int(next(line for line in pathlib.Path(f"/proc/{receiver.process.pid}/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1])
        self.assertLess(peak, 64 << 10)
        away.rename(self.folder)
        self.wait_stored(last)
        self.check_all(walgd, cluster)
        self.assertEqual(receiver.stop(), 0)

    def test_archive_timeout_bounds_what_is_not_stored(self):
        cluster = self.cluster(extra="archive_timeout = 1\n").start()
        walgd = Walgd(self.scratch, self.settings, cluster)
        receiver = Receiver(self, walgd).start().says("receiving")
        cluster.psql("checkpoint; create table notes (id int)")
        name = cluster.psql("select pg_walfile_name(pg_current_wal_lsn())")
        self.wait_stored(name)
        self.assertEqual(receiver.stop(), 0)
        self.check_all(walgd, cluster)

    def test_minio(self):
        minio = Minio(self.scratch)
        cluster = self.cluster().start()
        walgd = Walgd(self.scratch, {**minio.settings(), **ZSTD}, cluster)
        receiver = Receiver(self, walgd).start().says("receiving")
        last = self.write(cluster, 3)
        receiver.says(f"{last} is stored")
        self.assertEqual(self.content(walgd, last), (cluster.data / "pg_wal" / last).read_bytes())
        self.assertEqual(receiver.stop(), 0)

    def test_another_system_is_refused(self):
        cluster = self.cluster().start()
        receiver = Receiver(self, Walgd(self.scratch, self.settings, cluster)).start().says("receiving")
        self.wait_stored(self.write(cluster))
        receiver.stop()
        other = self.cluster(name="other").start()
        before = self.stored()
        refused = Receiver(self, Walgd(self.scratch, self.settings, other)).start()
        self.assertEqual(refused.wait(), 1)
        self.assertIn("belongs to the cluster", refused.text())
        self.assertEqual(self.slot(other), "", "no slot was left there")
        self.assertEqual(self.stored(), before)

    def test_a_hole_is_refused_until_it_is_accepted(self):
        cluster = Cluster(self.scratch, 15, "data", segment_mb=1, extra="min_wal_size = 2MB\nmax_wal_size = 4MB\nwal_keep_size = 0\n").start()
        walgd = Walgd(self.scratch, self.settings, cluster)
        receiver = Receiver(self, walgd).start().says("receiving")
        self.wait_stored(self.write(cluster))
        receiver.stop()
        self.drop_slot(cluster)
        missing = self.stored()[-1][:16] + f"{int(self.stored()[-1][16:], 16) + 1:08X}"
        self.write(cluster, 12)
        cluster.psql("checkpoint")
        self.write(cluster, 1)
        cluster.psql("checkpoint")
        self.assertFalse((cluster.data / "pg_wal" / missing).exists())
        # As often as it is tried: the slot that was made stays at WAL that is there.
        for _ in range(5):
            refused = Receiver(self, walgd).start()
            self.assertEqual(refused.wait(), 1)
            self.assertIn(missing, refused.text())
            self.assertIn("--accept-gap", refused.text())
            kept = cluster.psql("select pg_walfile_name(restart_lsn + 1) from pg_replication_slots")
            self.assertTrue((cluster.data / "pg_wal" / kept).exists(), kept)
            refused.logfile.unlink()
        accepted = Receiver(self, walgd, "--accept-gap").start()
        self.wait_stored(self.write(cluster))
        self.assertEqual(accepted.stop(), 0)
        self.assertNotIn(missing, self.stored())
        # From then on it goes on where it was.
        again = Receiver(self, walgd).start()
        self.wait_stored(self.write(cluster))
        self.assertEqual(again.stop(), 0)

    def test_segments_that_are_stored_already_are_compared(self):
        cluster = self.cluster().start()
        walgd = Walgd(self.scratch, self.settings, cluster)
        cluster.psql("select pg_create_physical_replication_slot('walg', true)")
        name = self.write(cluster)
        walgd.walg("wal-push", cluster.data / "pg_wal" / name)
        receiver = Receiver(self, walgd).start().says(f"{name} is in the archive already, with the same content")
        self.wait_stored(self.write(cluster))
        receiver.stop()
        self.check_all(walgd, cluster)
        # Other content is never replaced.
        self.drop_slot(cluster)
        cluster.psql("select pg_create_physical_replication_slot('walg', true)")
        name = cluster.psql("select pg_walfile_name(pg_current_wal_lsn() + 1)")
        (self.folder / f"wal_005/{self.stored()[-1]}.zst").rename(self.folder / f"wal_005/{name}.zst")
        before = (self.folder / f"wal_005/{name}.zst").read_bytes()
        refused = Receiver(self, walgd).start()
        self.write(cluster)
        self.assertEqual(refused.wait(), 1)
        self.assertIn("with other content", refused.text())
        self.assertEqual((self.folder / f"wal_005/{name}.zst").read_bytes(), before)

    def test_a_second_one_waits_for_the_slot(self):
        cluster = self.cluster().start()
        walgd = Walgd(self.scratch, self.settings, cluster)
        first = Receiver(self, walgd).start().says("receiving")
        second = Receiver(self, walgd)
        second.logfile = self.scratch.path / "second.log"
        second.start().says("is active for PID")
        first.kill()
        second.says("receiving")
        self.wait_stored(self.write(cluster))
        self.assertEqual(second.stop(), 0)

    def test_wrong_settings_and_rights_end_it(self):
        cluster = self.cluster().start()
        cluster.psql("create role plain login")
        walgd = Walgd(self.scratch, self.settings, cluster)
        for env, words in (({"WALG_SLOTNAME": "No-Slot"}, "cannot be the name of a replication slot"), ({"PGUSER": "plain"}, "replication role"),
                           ({"PGUSER": "nobody"}, "nobody")):
            for name in ("walg", "wal-g"):
                result = walgd.walg("wal-receive", name=name, env=env, check=False, timeout=30)
                self.assertEqual(result.returncode, 1, (env, result.stderr))
                self.assertIn(words, result.stderr)
        self.assertIn("WALG_SLOTNAME", run([self.scratch.bin / "walg", "wal-receive", "--help"], env={}).stdout)

    def test_a_slot_of_another_kind_is_refused(self):
        for version in (15, 13):
            cluster = self.cluster(version, f"logical{version}", extra="wal_level = logical\n").start()
            cluster.psql("select pg_create_logical_replication_slot('walg', 'pgoutput')")
            self.use_store(f"store{version}")
            result = Walgd(self.scratch, self.settings, cluster).walg("wal-receive", check=False, timeout=30)
            self.assertEqual(result.returncode, 1)
            self.assertIn("logical", result.stderr)
            cluster.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
