"""walg init: by its questions on a terminal, and unattended."""
import os
import re
import select
import subprocess
import unittest

from harness import Cluster, TestCase, Walgd, as_server_user, run, until


class Terminal:
    """A program on a terminal of its own: waits for what it asks, and types."""

    def __init__(self, test, command, env):
        self.own, theirs = test.open_terminal()
        self.process = subprocess.Popen(as_server_user(command), env=env, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True, start_new_session=True)
        os.close(theirs)
        self.text = ""
        test.addCleanup(os.close, self.own)
        test.addCleanup(self.process.wait)
        test.addCleanup(self.process.kill)

    def read(self):
        """False when nothing more comes: the other side is closed."""
        if not select.select([self.own], [], [], 0.05)[0]:
            return self.process.poll() is None
        try:
            piece = os.read(self.own, 4096)
        except OSError:
            return False
        self.text += piece.decode().replace("\r\n", "\n")
        return bool(piece)

    def asked(self, question, answer):
        until(f"the question: {question}", lambda: re.search(question, self.text) or (not self.read() and self.text.endswith("never")), 30)
        os.write(self.own, answer.encode() + b"\n")

    def end(self):
        while self.read():
            pass
        return self.process.wait(30)


class Init(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, _ = self.store()
        self.file = self.scratch.folder("etc") / "walgd.yaml"
        self.cluster = Cluster(self.scratch, 15, segment_mb=1)
        self.cluster.start()
        place = {name: value for name, value in self.cluster.environment().items() if name != "PGDATA"}
        self.walgd = Walgd(self.scratch, place)

    def setting(self, name):
        return self.cluster.psql(f"select setting || ' ' || pending_restart from pg_settings where name = '{name}'")

    def test_questions_lead_to_a_checked_file_and_a_server_that_archives(self):
        terminal = Terminal(self, [self.scratch.bin / "walg", "init", "--write", self.file], self.walgd.env)
        terminal.asked(r"Where is the archive to be\? .*: $", str(self.folder))
        terminal.asked(rf"data directory \[{self.cluster.data}\]: $", "")
        terminal.asked(r"ALTER SYSTEM\? yes or no \[no\]: $", "yes")
        self.assertEqual(terminal.end(), 0, terminal.text)
        self.assertIn(f"{self.file} is written", terminal.text)
        self.assertIn("archive_mode needs a restart of PostgreSQL", terminal.text)
        written = self.file.read_text()
        self.assertIn(f'file_prefix: "{self.folder}"\n', written)
        self.assertIn(f'pgdata: "{self.cluster.data}"\n', written)
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o640)
        self.assertEqual(self.setting("archive_mode"), "off true")
        self.cluster.stop()
        # With what was written and set, and nothing else.
        daemon = Walgd(self.scratch, {"WALG_CONFIG_PATH": str(self.file)}).start()
        self.cluster.env = daemon.env
        self.cluster.start()
        self.assertEqual(self.setting("archive_command"), 'walg-push "%p" false')
        name = self.cluster.switch()
        self.assertTrue(list((self.folder / "wal_005").glob(f"{name}*")))
        daemon.walg("backup-push", self.cluster.data)

    def unattended(self, *words, env=None):
        result = run([self.scratch.bin / "walg", "init", "--write", self.file, *words], env={**self.walgd.env, **(env or {})}, check=False, input="")
        return result.returncode, result.stdout + result.stderr

    def test_unattended_it_asks_nothing_and_leaves_the_server_alone_unless_it_is_told(self):
        code, told = self.unattended("--storage", self.folder, "--yes")
        self.assertEqual(code, 0, told)
        self.assertIn("in postgresql.conf: archive_mode = on", told)
        self.assertEqual(self.setting("archive_mode"), "off false")
        code, told = self.unattended("--storage", self.folder, "--yes")
        self.assertEqual(code, 1)
        self.assertIn("is there already", told)
        self.cluster.psql("alter system set archive_command = 'wal-g wal-push %p'")
        self.cluster.psql("alter system set archive_library = 'basic_archive'")
        self.cluster.psql("select pg_reload_conf()")
        code, told = self.unattended("--storage", self.folder, "--yes", "--force", "--alter-system")
        self.assertEqual(code, 0, told)
        self.assertIn("archive_mode needs a restart", told)
        self.assertEqual(self.setting("archive_mode"), "off true")
        self.assertIn("archive_library was: basic_archive", told)
        until("the reload", lambda: self.setting("archive_library").strip() == "false", 20)

    def test_a_server_with_minimal_wal_starts_again(self):
        self.cluster.stop()
        self.cluster.configure("wal_level = minimal\nmax_wal_senders = 0")
        self.cluster.start()
        code, told = self.unattended("--storage", self.folder, "--yes", "--alter-system")
        self.assertEqual(code, 0, told)
        self.assertIn("wal_level was: minimal", told)
        self.cluster.stop()
        self.cluster.start()
        self.assertEqual((self.setting("archive_mode"), self.setting("wal_level")), ("on false", "replica false"))

    def test_a_folder_that_is_named_from_where_one_stands_is_written_whole(self):
        code, told = self.unattended("--storage", str(self.folder).removeprefix("/"), "--yes")  # run() stands in /
        self.assertEqual(code, 0, told)
        self.assertIn(f'file_prefix: "{self.folder}"\n', self.file.read_text())

    def test_what_was_tried_is_what_is_written_and_secrets_are_named(self):
        key = self.scratch.path / "key"
        key.write_text("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
        key.chmod(0o600)
        self.scratch.own(key)
        (self.folder / "below").mkdir()
        self.scratch.own(self.folder / "below")
        env = {"WALG_LIBSODIUM_KEY_PATH": str(key), "WALG_LIBSODIUM_KEY_TRANSFORM": "hex", "WALG_STORAGE_PREFIX": "below", "WALG_COMPRESSION_METHOD": "lz4",
               "AWS_ACCESS_KEY_ID": "canary", "AWS_SECRET_ACCESS_KEY": "canary"}
        code, told = self.unattended("--storage", self.folder, "--yes", env=env)
        self.assertEqual(code, 0, told)
        self.assertRegex(told, r"not written, since they are secrets: aws_access_key_id \(environment AWS_ACCESS_KEY_ID\), aws_secret_access_key \(")
        self.assertNotIn("canary", told + self.file.read_text())
        # The daemon, which has none of that environment, does as it was tried.
        daemon = Walgd(self.scratch, {"WALG_CONFIG_PATH": str(self.file)}).start()
        source = self.scratch.path / "00000002.history"
        source.write_text("1\t0/3000000\tno recovery target specified\n")
        run([self.scratch.bin / "walg-push", source], env=daemon.env)
        stored = self.folder / "below/wal_005/00000002.history.lz4"
        self.assertNotIn(b"recovery target", stored.read_bytes())
        code, told = self.unattended("--storage", self.folder, "--yes", "--force", env={"WALG_LIBSODIUM_KEY": "k" * 32})
        self.assertEqual(code, 0, told)
        self.assertIn("would store what comes unencrypted", told)

    def test_wal_gs_own_settings_file_that_does_not_count_any_more_is_named(self):
        home = self.scratch.folder("home")
        words = [self.scratch.bin / "walg", "init", "--write", self.file, "--yes", "--storage", self.folder]
        env = {**self.walgd.env, "HOME": str(home)}
        self.assertNotIn("passed over", run(words, env=env).stdout)
        (home / ".walg.json").write_text('{"WALG_DELTA_MAX_STEPS": "6"}')
        self.assertIn(f"{home}/.walg.json is passed over from now on", run([*words, "--force"], env=env).stdout)

    def test_what_does_not_work_is_not_written(self):
        code, told = self.unattended("--yes")
        self.assertEqual(code, 1)
        self.assertIn("--storage s3://bucket/path", told)
        code, told = self.unattended("--yes", "--storage", "/nowhere/at/all")
        self.assertEqual(code, 1)
        self.assertIn("/nowhere/at/all", told)
        self.assertEqual(list(self.file.parent.iterdir()), [])

    def test_a_folder_for_the_file_that_is_not_there_is_made(self):
        self.file = self.file.parent / "walgd/walgd.yaml"
        code, told = self.unattended("--yes", "--storage", self.folder)
        self.assertEqual(code, 0, told)
        self.assertEqual(self.file.parent.stat().st_mode & 0o777, 0o750)

    def test_without_a_server_the_file_is_written_all_the_same(self):
        self.cluster.stop()
        code, told = self.unattended("--yes", "--storage", self.folder, "--data-directory", self.cluster.data, "--alter-system")
        self.assertIn("PostgreSQL does not answer", told)
        self.assertEqual((code, self.file.exists()), (0, True), told)

    @unittest.skipUnless(os.getuid() == 0, "files of root's")
    def test_root_tries_all_as_postgresqls_user_whose_group_can_read_what_it_writes(self):
        self.file.parent.chmod(0o755)
        (self.cluster.data / "pg_hba.conf").write_text("local all all peer\n")  # as Debian has it
        self.cluster.stop()
        self.cluster.start()
        folder = self.scratch.folder("srv")
        words = ["init", "--write", self.file, "--yes", "--storage", folder, "--alter-system"]
        by_root = lambda: subprocess.run([self.scratch.bin / "walg", *words], env=self.walgd.env, capture_output=True, text=True)
        os.chown(folder, 0, 0)
        refused = by_root()
        self.assertEqual((refused.returncode, list(self.file.parent.iterdir())), (1, []), "walgd could not write there")
        self.assertIn("Permission denied", refused.stdout)
        self.scratch.own(folder)
        result = by_root()
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual((self.file.stat().st_uid, self.file.stat().st_gid), (0, self.cluster.data.stat().st_gid))
        run(["cat", self.file])
        until("the reload, and the restart to be waited for", lambda: self.setting("archive_mode") == "off true", 20)
        # Before there is a server, or anything that tells of one: as Debian's user.
        self.cluster.stop()
        self.file.unlink()
        result = by_root()
        self.assertEqual((result.returncode, self.file.exists()), (0, True), result.stdout + result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
