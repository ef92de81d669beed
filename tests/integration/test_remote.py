"""Base backups that the server sends (BASE_BACKUP): of every version, of a standby, interrupted, damaged on the way."""
import contextlib
import json
import shutil
import signal
import socket
import threading
import unittest

from harness import GOLDEN, Cluster, Scratch, TestCase, Walgd, free_port, run, start, until

VERSIONS = (13, 14, 15, 16, 17, 18)
HALF = 6 << 20  # bytes that have been sent by then: of a new cluster, which has 22 MB and more


class Proxy:
    """Passes a server's TCP port on. May replace one text on its way to the client, once; or hold each connection when it has had so many bytes."""

    def __init__(self, port, replace=None, hold_after=None):
        self.server, self.replace, self.hold_after, self.port = port, replace, hold_after, free_port()
        self.replaced, self.held, self.go_on = False, threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def environment(self):
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGSSLMODE": "disable", "PGGSSENCMODE": "disable"}

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)  # what is held stays at the server, not in a buffer of many MiB
            server.connect(("127.0.0.1", self.server))
            threading.Thread(target=self.copy, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.copy, args=(server, client, True), daemon=True).start()

    def copy(self, source, target, to_client):
        count = 0
        try:
            while data := source.recv(1 << 16):
                count += len(data)
                if to_client and self.replace and not self.replaced and self.replace[0] in data:
                    data = data.replace(*self.replace, 1)
                    self.replaced = True
                if to_client and self.hold_after and count > self.hold_after:
                    self.held.set()
                    self.go_on.wait()
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self):
        self.go_on.set()
        self.listener.close()


class Remote(TestCase):
    def make(self, version=15, extra=""):
        """A cluster with a tablespace that archives by its daemon; and walg elsewhere, which knows no data directory."""
        self.folder, settings = self.store()
        self.settings = {**settings, "WALG_COMPRESSION_METHOD": "zstd"}
        self.cluster = Cluster(self.scratch, version, "data", extra=extra)
        self.daemon = Walgd(self.scratch, self.settings, self.cluster).start()
        self.cluster.archive_with(self.daemon.archive_command())
        self.cluster.configure("listen_addresses = '127.0.0.1'")
        self.cluster.start()
        self.tablespace = self.scratch.folder("space")
        self.cluster.psql(f"create tablespace space location '{self.tablespace}'")
        self.cluster.psql("create table t tablespace space as select g id, md5(g::text) m from generate_series(1, 20000) g")
        self.elsewhere = self.client(self.cluster)

    def client(self, cluster, **extra):
        walgd = Walgd(self.scratch, {**self.settings, **extra}, cluster)
        del walgd.env["PGDATA"]
        walgd.env.update(extra)
        return walgd

    def proxy(self, cluster, **how):
        proxy = Proxy(cluster.port, **how)
        self.addCleanup(proxy.close)
        return proxy

    def half_sent(self, cluster, proxy):
        """walg backup-push of a server that stops in the middle of sending: the process, and a function that reads what it said."""
        proxy.held.clear()
        proxy.go_on.clear()
        said = self.scratch.path / "backup.log"
        with open(said, "wb") as log:
            process = start([self.scratch.bin / "walg", "backup-push"], log, env=self.client(cluster, WALG_TAR_SIZE_THRESHOLD="1000000", **proxy.environment()).env)
        self.addCleanup(process.kill)
        until("half of it to be sent", lambda: proxy.held.is_set() or process.poll() is not None)
        return process, said.read_text

    def again(self):
        self.scratch.close()
        self.scratch = Scratch()

    def name(self):
        return self.sentinels()[-1].removesuffix("_backup_stop_sentinel.json")

    def document(self, name):
        return json.loads((self.folder / "basebackups_005" / name).read_text())

    def on_its_way(self):
        return list(self.folder.glob("walgd_005/tmp/*")) + list(self.folder.glob("basebackups_005/*/tar_partitions/*"))

    def wal_senders(self):
        return self.cluster.psql("select count(*) from pg_stat_activity where backend_type = 'walsender'")

    def restore(self, version, expected, extra=""):
        """The old cluster and its tablespace are gone; LATEST takes their place."""
        self.cluster.stop("immediate")
        shutil.rmtree(self.cluster.data)
        shutil.rmtree(self.tablespace)
        data = self.scratch.path / "new"
        self.elsewhere.walg("backup-fetch", data, "LATEST")
        self.assertEqual(data.stat().st_mode & 0o777, 0o700)
        new = Cluster(self.scratch, version, "new", initdb=False)
        new.env = self.daemon.env
        (data / "standby.signal").unlink(missing_ok=True)
        new.recover_from(self.daemon.restore_command(), extra)
        new.start()
        new.wait_until_writable()
        self.assertEqual(new.checksum(), expected)

    def test_every_version_is_sent_restored_and_recovered(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                self.again()
                self.make(version)
                self.cluster.pgbench("-i", "-s", 2, "-q", "--tablespace", "space", "--index-tablespace", "pg_default")
                load = self.cluster.pgbench_in_background(60, rate=200)
                until("the load to begin", lambda: self.cluster.psql("select count(*) > 20 from pgbench_history") == "t")
                said = self.elsewhere.walg("backup-push", name="wal-g" if version % 2 else "walg").stderr
                self.assertIn("sent by the server", said)
                self.assertNotIn("damaged", said)
                load.terminate()
                load.wait(30)
                self.cluster.switch()
                expected = self.cluster.checksum()
                self.check_documents(version)
                self.elsewhere.walg("verify")
                self.restore(version, expected)

    def check_documents(self, version):
        """As WAL-G 3.0.9 writes them (golden fixture remote-zstd), but for what only ours has."""
        golden = GOLDEN / "remote-zstd/archive/basebackups_005"
        (sentinel,) = golden.glob("*_sentinel.json")
        walgs = json.loads(sentinel.read_text())
        ours = self.document(self.sentinels()[-1])
        self.assertEqual(set(walgs) - {"UserData"}, set(ours) - {"DataChecksums"})
        (oid,) = ours["Spec"]["tablespaces"]
        self.assertEqual(ours["Spec"], {"base_prefix": str(self.cluster.data), "tablespaces": [oid], oid: {"loc": str(self.tablespace), "link": f"pg_tblspc/{oid}"}})
        self.assertGreater(ours["FinishLSN"], ours["LSN"])
        self.assertEqual(self.name(), "base_00000001%016X" % (ours["LSN"] >> 24))
        (metadata,) = golden.glob("*/metadata.json")
        self.assertEqual(set(json.loads(metadata.read_text())) - {"user_data"}, set(self.document(self.name() + "/metadata.json")))
        files = self.document(self.name() + "/files_metadata.json")
        self.assertEqual(list(files), ["Files"])
        names = set(files["Files"])
        self.assertLessEqual({"PG_VERSION", "base/1/PG_VERSION"}, names)
        self.assertTrue(any(name.startswith(f"pg_tblspc/{oid}/PG_{version}_") for name in names))
        self.assertFalse(names & {"backup_label", "tablespace_map", "global/pg_control", "global", "base/1"})
        self.assertFalse([name for name in names if name.startswith("/") or name.endswith("/")])

    def test_by_the_daemon_and_always_full(self):
        self.make()
        # A daemon on another host than PostgreSQL's: it has no data directory to name.
        remote = self.client(self.cluster, WALG_DELTA_MAX_STEPS="3").start()
        said = remote.walg("backup-push", "--permanent", "--add-user-data", '{"by": "daemon"}').stderr
        self.assertIn("The daemon at", said)
        self.assertEqual(self.document(self.sentinels()[-1])["UserData"], {"by": "daemon"})
        self.assertTrue(self.document(self.sentinels()[-1])["IsPermanent"])
        self.cluster.psql("create table more as select 1 one")
        self.cluster.switch()
        alone = self.client(self.cluster, WALG_DELTA_MAX_STEPS="3", WALG_TAR_SIZE_THRESHOLD="2000000")
        self.assertIn("Doing full backup", alone.walg("backup-push").stderr)
        self.assertEqual(len(self.sentinels()), 2)
        self.assertNotIn("_D_", self.name())
        parts = sorted(path.name for path in (self.folder / "basebackups_005" / self.name() / "tar_partitions").iterdir())
        self.assertGreater(len(parts), 8)
        self.assertEqual(parts[0], "part_001.tar.zst")
        self.assertEqual(parts[-1], "pg_control.tar.zst")
        first = self.sentinels()[0].removesuffix("_backup_stop_sentinel.json")
        for words in (("--delta-from-name", first), ("--delta-from-user-data", '{"by": "daemon"}')):
            refused = alone.walg("backup-push", *words, check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("backup-push DIRECTORY", refused.stderr)
        # As wal-g, as WAL-G itself, PGDATA alone names no directory; as walg it does.
        local = Walgd(self.scratch, {**self.settings, "WALG_DELTA_MAX_STEPS": "3"}, self.cluster)
        told = local.walg("backup-push", name="wal-g").stderr
        self.assertIn("sent by the server", told)
        self.assertRegex(told, "Wrote backup with name base_[0-9A-F]{24}\n\\Z")  # the last line, where scripts look for it
        # With the directory, the next one is an ordinary one; a remote backup is no parent, and that is told.
        said = local.walg("backup-push", self.cluster.data, check=False).stderr
        self.assertIn("was copied by BASE_BACKUP, or by another program", said)
        self.assertIn(f"backup of {self.cluster.data} ", local.walg("backup-push").stderr)
        told = local.walg("backup-push", self.cluster.data, name="wal-g").stderr
        self.assertRegex(told, "Wrote backup with name base_[0-9A-F]{24}_D_[0-9A-F]{24}\n\\Z")

    def make_standby(self):
        """A standby of the cluster, made of its first remote backup."""
        self.make(16)
        self.elsewhere.walg("backup-push")
        data = self.scratch.path / "standby"
        self.standby_space = self.scratch.folder("standby-space")
        self.standby_space.rmdir()
        spec = self.document(self.sentinels()[-1])["Spec"]
        (oid,) = spec["tablespaces"]
        spec[oid]["loc"] = str(self.standby_space)
        spec["base_prefix"] = str(data)
        spec_file = self.scratch.path / "spec.json"
        spec_file.write_text(json.dumps(spec))
        self.elsewhere.walg("backup-fetch", data, "LATEST", "--restore-spec", spec_file)
        self.standby = Cluster(self.scratch, 16, "standby", initdb=False)
        self.standby.configure(f"primary_conninfo = 'host={self.cluster.sockets} port={self.cluster.port} user=postgres'\n"
                               f"restore_command = '{self.daemon.restore_command()}'\nlisten_addresses = '127.0.0.1'")
        self.standby.env = self.daemon.env
        (data / "standby.signal").touch()
        self.scratch.own(data / "standby.signal")
        self.standby.start()
        until("the standby to stream", lambda: self.cluster.psql("select count(*) from pg_stat_replication where state = 'streaming'") == "1")
        self.cluster.psql("create table more as select g id, md5(g::text) m from generate_series(1, 20000) g; checkpoint")
        place = self.cluster.psql("select pg_current_wal_flush_lsn()")
        until("the standby to replay", lambda: self.standby.psql(f"select pg_last_wal_replay_lsn() >= '{place}'") == "t")
        self.standby.psql("checkpoint")

    def of_the_standby(self):
        """walg backup-push of the standby, in the background: the process, and a function that reads what it said."""
        said = self.scratch.path / "backup.log"
        with open(said, "wb") as log:
            process = start([self.scratch.bin / "walg", "backup-push"], log, env=self.client(self.standby).env)
        self.addCleanup(process.kill)
        return process, said.read_text

    def test_a_standby_made_of_one_is_the_source_of_the_next(self):
        self.make_standby()
        process, said = self.of_the_standby()
        until("the backup to wait for WAL", lambda: "pg_switch_wal()" in said() or process.poll() is not None)
        self.cluster.switch()
        self.assertEqual(process.wait(120), 0, said())
        self.assertEqual(len(self.sentinels()), 2)
        self.assertEqual(self.document(self.sentinels()[-1])["DataDir"], str(self.standby.data))
        expected = self.cluster.checksum()
        self.standby.stop("immediate")
        shutil.rmtree(self.standby_space)
        self.restore(16, expected, "primary_conninfo = ''")

    def test_a_standby_that_is_promoted_meanwhile_gives_none(self):
        self.make_standby()
        first, known = self.sentinels(), set(self.on_its_way())
        proxy = self.proxy(self.standby, hold_after=HALF)
        process, said = self.half_sent(self.standby, proxy)
        self.assertNotEqual(set(self.on_its_way()), known)
        self.assertEqual(self.standby.psql("select pg_promote(true, 60)"), "t")
        proxy.go_on.set()
        self.assertEqual(process.wait(120), 1, said())
        self.assertIn("the standby was promoted during online backup", said())
        self.assertIn("HINT: run backup-push again", said())
        self.assertEqual(self.sentinels(), first)
        self.assertEqual(set(self.on_its_way()), known, "nothing is left behind")

    def test_interrupted_leaves_no_sentinel_and_is_cleaned_up_by_the_next_of_that_server(self):
        self.make()
        proxy = self.proxy(self.cluster, hold_after=HALF)
        for how in (signal.SIGINT, signal.SIGTERM, "lost", signal.SIGKILL):
            with self.subTest(how=how):
                process, said = self.half_sent(self.cluster, proxy)
                until("a part to be stored", lambda: list(self.folder.glob("basebackups_005/*/tar_partitions/part_001*")))
                if how == "lost":
                    self.cluster.psql("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'walsender'")
                    until("the server to give up", lambda: self.wal_senders() == "0", 30)
                    proxy.go_on.set()
                else:
                    process.send_signal(how)
                self.assertNotEqual(process.wait(60), 0)
                until("the server to be out of backup mode", lambda: self.wal_senders() == "0", 30)
                self.assertEqual(self.sentinels(), [])
                left = list((self.folder / "basebackups_005").glob("*"))
                if how == "lost":
                    self.assertIn("the base backup broke off", said())
                if how == signal.SIGKILL:
                    self.assertEqual(len(left), 1)
                else:
                    self.assertEqual(left, [])
        proxy.go_on.set()
        self.client(self.cluster, **proxy.environment()).walg("backup-push")
        self.assertEqual(len(self.sentinels()), 1)
        folders = [path.name for path in (self.folder / "basebackups_005").iterdir() if path.is_dir()]
        self.assertEqual(folders, [self.name()], "leftovers are gone")
        self.assertEqual(list(self.folder.glob("walgd_005/jobs/*")), [])

    def test_a_second_one_and_one_of_its_host_are_refused_meanwhile(self):
        self.make()
        proxy = self.proxy(self.cluster, hold_after=HALF)
        first, said = self.half_sent(self.cluster, proxy)
        local = Walgd(self.scratch, self.settings, self.cluster)
        for second in (self.elsewhere.walg("backup-push", check=False), local.walg("backup-push", self.cluster.data, check=False)):
            self.assertEqual(second.returncode, 1)
            self.assertIn("is being taken already", second.stderr)
        proxy.go_on.set()
        self.assertEqual(first.wait(120), 0, said())
        self.assertEqual(len(self.sentinels()), 1)

    def make_longer(self, path):
        self.cluster.stop()
        with open(self.cluster.data / path, "ab") as file:
            file.write(b"odd")
        self.cluster.start()

    def test_page_damage_is_found_named_and_recorded(self):
        self.make()
        self.cluster.psql("create table plain as select g id, md5(g::text) m from generate_series(1, 20000) g; checkpoint")
        paths = [self.cluster.psql(f"select pg_relation_filepath('{table}')") for table in ("t", "plain")]
        self.cluster.stop()
        for path in paths:
            with open(self.cluster.data / path, "r+b") as file:
                file.seek(3 * 8192 + 4000)
                file.write(b"\xff\x00\xff\x00damaged")
        self.cluster.start()
        self.cluster.psql("create role reader login replication in role pg_read_all_settings")
        for user in ("postgres", "reader"):  # the one may read pages again, the other may not
            with self.subTest(user=user):
                result = self.client(self.cluster, PGUSER=user).walg("backup-push")
                files = self.document(self.name() + "/files_metadata.json")["Files"]
                for path in paths:
                    self.assertIn(f"Corruption found in {path}: 1 of its blocks are damaged: 3", result.stderr)
                    self.assertEqual(files[path]["CorruptBlocks"], {"CorruptBlocksCount": 1, "SomeCorruptBlocks": [3]})
                self.assertIn("2 blocks of the cluster are damaged", result.stderr)
                self.assertNotIn("invalid file size", result.stderr)
                self.cluster.psql(f"create table of_{user} as select 1 one")
                self.cluster.switch()
        self.make_longer(paths[0])
        said = self.client(self.cluster).walg("backup-push").stderr
        self.assertIn(f"{paths[0]} has an invalid file size, ", said)
        # As with WAL-G, a server that is not asked to be looked at is not.
        result = self.client(self.cluster, WALG_VERIFY_PAGE_CHECKSUMS="false").walg("backup-push")
        self.assertNotIn("damaged", result.stderr)

    def test_what_changes_on_the_way_is_no_backup(self):
        for version in (14, 17):
            with self.subTest(version=version):
                self.again()
                self.make(version)
                mark = "a mark that stands nowhere else in it"
                self.cluster.psql(f"create table marked as select '{mark}' || '!' m; checkpoint")
                proxy = self.proxy(self.cluster, replace=(mark.encode() + b"!", mark.encode() + b"?"))
                client = self.client(self.cluster, WALG_VERIFY_PAGE_CHECKSUMS="false", **proxy.environment())
                path = self.cluster.psql("select pg_relation_filepath('marked')")
                refused = client.walg("backup-push", check=False)
                self.assertTrue(proxy.replaced)
                self.assertEqual(refused.returncode, 1)
                self.assertIn(f"the server's backup manifest gives {path} the CRC-32C", refused.stderr)
                self.assertIn("run backup-push again", refused.stderr)
                self.assertEqual(self.sentinels(), [])
                self.assertEqual(self.on_its_way(), [], "nothing is left behind")
                self.assertEqual(client.walg("backup-push").returncode, 0)
                self.assertEqual(len(self.sentinels()), 1)

    def checked(self, walgd):
        """What walgd --check says."""
        result = run([self.scratch.bin / "walgd", "--check"], env=walgd.env, check=False)
        return result.stdout + result.stderr

    def test_a_server_that_gives_none_is_told_with_the_next_step(self):
        self.make()
        self.cluster.psql("create role plain login in role pg_read_all_settings")
        hba = self.cluster.data / "pg_hba.conf"
        rules = hba.read_text()

        def refused(words, **env):
            result = self.client(self.cluster, **env).walg("backup-push", check=False)
            self.assertEqual(result.returncode, 1, result.stderr)
            for word in words:
                self.assertIn(word, result.stderr)
            self.assertEqual(self.sentinels(), [])
            self.assertEqual(self.wal_senders(), "0")

        refused(["REPLICATION attribute"], PGUSER="plain")
        self.assertIn("REPLICATION attribute", self.checked(self.client(self.cluster, PGUSER="plain")))
        self.assertIn("the server sends one when it is asked", self.checked(self.elsewhere))
        hba.write_text("local replication all reject\n" + rules)
        self.cluster.psql("select pg_reload_conf()")
        until("the rule to hold", lambda: "pg_hba.conf" in self.elsewhere.walg("backup-push", check=False).stderr)
        refused(["the database `replication` in pg_hba.conf"])
        hba.write_text(rules)
        self.cluster.stop()
        self.cluster.configure("max_wal_senders = 0\nwal_level = minimal\narchive_mode = off")
        self.cluster.start()
        refused(["max_wal_senders", "raise the limit"])
        # A directory that is named is the wish to read it: where the server is not, that cannot be.
        (self.scratch.path / "empty").mkdir()
        self.cluster.stop()
        self.cluster.configure("max_wal_senders = 4\nwal_level = replica\narchive_mode = on")
        self.cluster.start()
        refused(["is not the same as Postgres' one"], PGDATA=str(self.scratch.path / "empty"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
