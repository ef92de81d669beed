"""The systems that run WAL-G, with walgd's programs under WAL-G's names: their commands, environment and reading of outputs, on real PostgreSQL.

What is theirs stands here as their scripts have it; folders alone are other ones. No daemon runs but where the system has one.
"""
import datetime
import grp
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import unittest

from harness import CACHE, POSTGRES_15, Cluster, Minio, TestCase, as_server_user, run, start, stop, until

ENVDIR = """#!/bin/sh
# As daemontools has it: a file's first line is the variable's value; an empty file unsets.
for file in "$1"/*; do
    [ -e "$file" ] || continue
    name=${file##*/}
    if [ -s "$file" ]; then export "$name=$(head -n 1 "$file")"; else unset "$name"; fi
done
shift
exec "$@"
"""


class Walkthrough(TestCase):
    def image(self, **settings):
        """A container's environment: what PostgreSQL and every command in it gets."""
        return {"PATH": f"{self.scratch.bin}:{POSTGRES_15}:/usr/local/bin:/usr/bin:/bin", "HOME": str(self.scratch.path), "LC_ALL": "C.UTF-8",
                "WALGD_SOCKET": str(self.scratch.path / "nobody.sock"), **settings}

    def file_image(self, **settings):
        self.store_folder, where = self.store()
        return self.image(**where, **settings)

    def minio_image(self, prefix, name="WALG_S3_PREFIX", **settings):
        self.need_minio()
        minio = Minio(self.scratch).settings(prefix)
        where = minio.pop("WALG_S3_PREFIX")
        return self.image(**{name: where}, **minio, **settings)

    def need_minio(self):
        if not (CACHE / "bin/minio").exists() and not os.environ.get("CI"):
            self.skipTest("MinIO is not there: it needs Go to be built")

    def program(self, name, text):
        path = self.scratch.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def at(self, path):
        """WAL-G's program at the place where the system has it."""
        path.symlink_to(self.scratch.bin / "walg")
        return path

    def server(self, env, name="one", archive=None, timeout=0, restore=None, **more):
        cluster = Cluster(self.scratch, 15, name, env=env, **more)
        env.update(cluster.environment())
        if archive:
            cluster.archive_with(archive, timeout)
        if restore:
            cluster.configure(f"restore_command = '{restore}'")
        return cluster.start()

    def restored(self, env, name="two", archive=None, restore=None, more=""):
        """The server that comes up on a restored folder, without and with the settings that its system gives it."""
        cluster = Cluster(self.scratch, 15, name, initdb=False, env=env)
        archiving = f"archive_mode = on\narchive_command = '{archive}'" if archive else "archive_mode = off"
        cluster.configure(f"restore_command = '{restore}'\nrecovery_target_timeline = 'latest'\n{archiving}\n{more}")
        cluster.start()
        cluster.wait_until_writable()
        return cluster

    def sh(self, line, env, **more):
        return run(["sh", "-c", line], env=env, **more)

    def sh_as(self, line, env, uid, gid, groups="", check=True):
        """As another user than PostgreSQL's; needs root."""
        who = ["setpriv", f"--reuid={uid}", f"--regid={gid}", f"--groups={groups}" if groups else "--clear-groups", "--"]
        result = subprocess.run([*who, "sh", "-c", line], env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
        self.assertFalse(check and result.returncode != 0, f"exit {result.returncode}: {line}\n{result.stdout}\n{result.stderr}")
        return result

    def need_root(self):
        if os.getuid() != 0 and not os.environ.get("CI"):
            self.skipTest("needs root to be another user")

    def root_sh(self, line, env, check=True):
        self.need_root()
        return self.sh_as(line, env, 0, 0, check=check)


class WalG(Walkthrough):
    """WAL-G's own documentation."""

    def test_the_documentations_walk_through_archives_backs_up_lists_shows_verifies_marks_deletes_and_restores(self):
        env = self.file_image()
        one = self.server(env, archive='wal-g wal-push "%p"')
        wal_g = lambda line, **more: self.sh(f"wal-g {line}", env, **more)  # noqa: E731
        for number in range(3):
            one.psql(f"create table t{number} as select 1 x")
            wal_g("backup-push $PGDATA")
        one.switch()
        names = [line.split()[0] for line in wal_g("backup-list").stdout.splitlines()[1:]]
        self.assertEqual(len(names), 3)
        shown = wal_g("wal-show").stdout
        self.assertRegex(shown, r"\| TLI \| PARENT TLI \| SWITCHPOINT LSN \| START SEGMENT +\| END SEGMENT +\| SEGMENT RANGE \| SEGMENTS COUNT \| STATUS \| BACKUPS COUNT \|")
        self.assertRegex(shown, r"\|   1 \| +0 \| +0/0 \| 000000010000000000000001 \| .* \| OK     \| +3 \|")
        verified = wal_g("wal-verify integrity timeline").stdout
        self.assertIn("[wal-verify] integrity check status: OK", verified)
        self.assertIn("[wal-verify] timeline check status: OK", verified)
        self.assertLess(verified.index("integrity check"), verified.index("timeline check"))
        wal_g(f"backup-mark {names[0]}")
        dry = wal_g("delete retain FULL 1")
        self.assertIn("Dry run", dry.stderr)
        self.assertEqual(len(wal_g("backup-list").stdout.splitlines()), 4, "nothing goes without --confirm")
        wal_g("delete retain FULL 1 --confirm")
        self.assertEqual([line.split()[0] for line in wal_g("backup-list").stdout.splitlines()[1:]], [names[0], names[2]], "the permanent one and the last")
        self.assertIn("basebackups_005", wal_g("st ls").stdout)
        one.psql("insert into t2 values (2)")
        one.switch()
        one.stop()
        two = self.scratch.path / "two"
        wal_g(f"backup-fetch {two} LATEST && touch {two}/recovery.signal")
        restored = self.restored(env, restore='wal-g wal-fetch "%f" "%p"')
        self.assertEqual(restored.psql("select count(*) from t2"), "2")

    def test_help_and_version_are_as_dockerfiles_ask_for_them(self):
        env = self.image()
        self.assertTrue(self.sh("wal-g --help", env).stdout)
        self.assertRegex(self.sh("wal-g --version", env).stdout, r"^wal-g version \S+\t\S*\t\S*\tPostgreSQL\n$")

    def test_an_empty_archive_has_no_line_of_output(self):
        listed = self.sh("wal-g backup-list", self.file_image())
        self.assertEqual(listed.stdout, "")
        self.assertRegex(listed.stderr, r"(?m)^INFO: \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} ")

    def test_an_empty_archive_is_an_empty_array(self):
        self.assertEqual(json.loads(self.sh("wal-g backup-list --json", self.file_image()).stdout), [])

    def test_settings_by_environment_json_and_yaml_are_the_same(self):
        env = self.file_image(WALG_COMPRESSION_METHOD="brotli")
        self.sh("printf hello > $HOME/word && wal-g st put $HOME/word word", env)
        expected = self.sh("wal-g st ls", env).stdout
        self.assertIn("word.br", expected)
        bare, folder = self.image(), self.scratch.path
        texts = {"c.json": json.dumps({"WALG_FILE_PREFIX": str(self.store_folder), "WALG_DELTA_MAX_STEPS": 6}), "c.yaml": f"WALG_FILE_PREFIX: {self.store_folder}\n"}
        for name, text in texts.items():
            (folder / name).write_text(text)
            with self.subTest(file=name):
                self.assertEqual(self.sh(f"wal-g st ls --config {folder / name}", bare).stdout, expected)
                self.assertEqual(self.sh("wal-g st ls", {**bare, "WALG_CONFIG_PATH": str(folder / name)}).stdout, expected)
        shutil.copy(folder / "c.json", folder / ".walg.json")
        self.assertEqual(self.sh("wal-g st ls", bare).stdout, expected, "~/.walg.json")

    def test_a_segment_pushed_twice_stays_and_another_content_is_refused(self):
        env = self.file_image(WALG_PREVENT_WAL_OVERWRITE="1")
        one = self.server(env, archive="wal-g wal-push %p")
        name = one.switch()
        stored = self.store_folder / f"wal_005/{name}.lz4"
        before = stored.stat().st_mtime_ns
        self.sh(f"wal-g wal-push $PGDATA/pg_wal/{name}", env)
        self.sh(f"cd $PGDATA && wal-g wal-push pg_wal/{name}", env)
        self.assertEqual(stored.stat().st_mtime_ns, before)
        other = self.scratch.folder("other") / name
        content = bytearray((one.data / "pg_wal" / name).read_bytes())
        content[-1] ^= 1
        other.write_bytes(content)
        other.chmod(0o644)
        refused = self.sh(f"wal-g wal-push {other}", env, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(name, refused.stderr)
        self.assertEqual(stored.stat().st_mtime_ns, before)

    def test_an_absent_segment_is_74_and_an_outage_1_and_neither_leaves_a_file(self):
        out = self.scratch.folder("out")
        env = self.file_image()
        self.assertEqual(self.sh(f"wal-g wal-fetch 0000000100000000000000AA {out}/x", env, check=False).returncode, 74)
        self.store_folder.rename(self.scratch.path / "gone")
        self.assertEqual(self.sh(f"wal-g wal-fetch 0000000100000000000000AA {out}/x", env, check=False).returncode, 1)
        self.assertEqual(os.listdir(out), [])


class Archivers(Walkthrough):
    """The users of WAL-G's daemon, and of its JSON: walg-daemon-client and CloudNativePG's plugin. (walg_archive's names: test_walg_socket.)"""

    def test_postgresql_archives_and_recovers_through_the_daemon_and_its_client(self):
        env = self.file_image()
        path = self.scratch.path / "wal-g.sock"
        archive, restore = (f"walg-daemon-client {path} {words}" for words in ("wal-push %f", "wal-fetch %f %p"))
        one = self.server(env, archive=archive)
        daemon = start([self.scratch.bin / "wal-g", "daemon", path], self.scratch.log, env=env)
        self.scratch.stack.callback(stop, daemon)
        until("the socket", path.exists, 30)
        self.sh("wal-g backup-push $PGDATA", env)
        one.psql("create table t as select generate_series(1, 5) x")
        one.switch()
        one.stop()
        stop(daemon)
        two = self.scratch.path / "two"
        self.sh(f"wal-g backup-fetch {two} LATEST && touch {two}/recovery.signal", env)
        again = start([self.scratch.bin / "wal-g", "daemon", path], self.scratch.log, env={**env, "PGDATA": str(two)})
        self.scratch.stack.callback(stop, again)
        until("the socket", path.exists, 30)
        restored = self.restored(env, restore=restore)
        self.assertEqual(restored.psql("select count(*) from t"), "5")
        self.assertEqual(stop(again), 0, "it does not wait for PostgreSQL")
        self.assertEqual(restored.psql("select 1"), "1")

    def test_cloudnativepgs_plugin_reads_its_backups_marks_and_deletes_them(self):
        env = self.file_image()
        one = self.server(env, archive="wal-g wal-push %p")
        for number in range(2):
            self.sh(f"""wal-g backup-push $PGDATA --add-user-data '{{"a":{number}}}'""", env)
        backups = json.loads(self.sh("wal-g backup-list --detail --json", env).stdout)
        self.assertEqual([backup["user_data"] for backup in backups], [{"a": 0}, {"a": 1}])
        self.assertEqual(backups[0]["system_identifier"], int(one.psql("select system_identifier from pg_control_system()")))
        for name in ("start_time", "finish_time"):
            self.assertRegex(backups[0][name], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$")
        first, second = (backup["backup_name"] for backup in backups)
        self.sh(f"wal-g backup-mark {second}", env)
        self.assertTrue(json.loads(self.sh("wal-g backup-list --detail --json", env).stdout)[1]["is_permanent"])
        self.sh(f"wal-g backup-mark -i {second}", env)
        absent = self.sh("wal-g delete target base_000000010000000000000099 --confirm", env, check=False)
        self.assertNotEqual(absent.returncode, 0)
        self.assertIn("does not exist", absent.stderr)
        self.sh(f"wal-g backup-fetch --turbo {self.scratch.path / 'two'} {first}", env)
        self.sh(f"wal-g delete target {first} --confirm", env)
        self.sh("wal-g delete garbage --confirm", env)
        self.assertEqual([backup["backup_name"] for backup in json.loads(self.sh("wal-g backup-list --json", env).stdout)], [second])
        one.stop()
        self.sh("wal-g delete everything FORCE --confirm", env)
        self.assertEqual(self.sh("wal-g backup-list", env).stdout, "")


class Supabase(Walkthrough):
    user = (64999, 64999)  # wal-g: not PostgreSQL's user, but of its group

    def supabase(self, **more):
        """/etc/wal-g/config.json, with numbers in it, and admin-mgr."""
        env = self.minio_image("project")
        self.config, self.logs = self.scratch.path / "config.json", self.scratch.folder("logs")
        self.logs.chmod(0o300)
        settings = {"AWS_REGION": "us-east-1", "WALG_S3_PREFIX": env.pop("WALG_S3_PREFIX"), "PGDATABASE": "postgres", "PGUSER": "supabase_admin", "WALG_DELTA_MAX_STEPS": 6,
                    "WALG_COMPRESSION_METHOD": "lz4"}
        self.program("admin-mgr", f'#!/bin/sh\nexec wal-g --config {self.config} "$@"\n')
        one = Cluster(self.scratch, 15, "one", env=env)
        if os.getuid() == 0:
            subprocess.check_call(["chmod", "-R", "g+rX", str(one.data)])
        self.config.write_text(json.dumps({**settings, "PGPORT": one.port, **more}))
        self.config.chmod(0o664)
        one.archive_with(f"admin-mgr wal-push %p >> {self.logs}/wal-push.log 2>&1", 120)
        one.configure(f"restore_command = 'admin-mgr wal-fetch %f %p >> {self.logs}/wal-fetch.log 2>&1'")
        one.start()
        one.psql("create role supabase_admin superuser login")
        self.socket_folder = {"PGHOST": str(one.sockets)}
        return env, one

    def as_wal_g(self, line, env, check=True):
        self.need_root()
        return self.sh_as(line, {**env, **self.socket_folder}, *self.user, groups=grp.getgrnam("postgres").gr_gid, check=check)

    def test_another_user_backs_up_with_json_settings_and_the_project_comes_back_on_a_new_host(self):
        env, one = self.supabase()
        logs = self.scratch.folder("wal-g-logs")
        logs.chmod(0o777)
        self.as_wal_g(f"""WALG_SENTINEL_USER_DATA='{{ "project_id": 7, "backup_id": 9 }}' nohup wal-g backup-push {one.data} --config {self.config} --verify """
                      f">> {logs}/backup-push.log 2>&1", env)
        (backup,) = json.loads(self.as_wal_g(f"wal-g --config {self.config} backup-list --detail --json", env).stdout)
        self.assertEqual(backup["user_data"], {"project_id": 7, "backup_id": 9})
        one.psql("create table t as select generate_series(1, 100) x")
        segment = one.switch()
        fetched = self.scratch.folder("wal_fetch_dir")
        fetched.chmod(0o777)
        self.as_wal_g(f"wal-g wal-fetch {segment} {fetched}/{segment} --config {self.config}", env)
        self.assertEqual((fetched / segment).read_bytes(), (one.data / "pg_wal" / segment).read_bytes())
        self.assertEqual(self.as_wal_g(f"wal-g wal-fetch 0000000100000000000000AA {fetched}/x --config {self.config}", env, check=False).returncode, 74)
        self.assertEqual([name for name in os.listdir(fetched) if name != segment and not name.startswith(".wal-g")], [])
        self.assertFalse((one.data / ".wal-g").exists())
        one.stop()
        shutil.rmtree(one.data)

        two = self.scratch.path / "two"
        self.sh(f"wal-g backup-fetch {two} {backup['backup_name']} --config {self.config} && touch {two}/recovery.signal", env)
        self.sh(f"find {two} -type d -exec chmod 0750 {{}} + && find {two} -type f -exec chmod 0640 {{}} +", env)
        restored = self.restored(env, archive=f"admin-mgr wal-push %p >> {self.logs}/wal-push.log 2>&1", restore=f"admin-mgr wal-fetch %f %p >> {self.logs}/wal-fetch.log 2>&1")
        self.assertEqual(restored.psql("select count(*) from t"), "100")
        self.assertTrue(restored.switch().startswith("00000002"), "it archives on the new timeline")

    def test_user_data_picks_the_backup_whatever_its_spacing_and_order(self):
        env = self.file_image()
        self.server(env, archive="wal-g wal-push %p")
        for number in (7, 8):
            self.sh(f"""WALG_SENTINEL_USER_DATA='{{ "project_id": {number}, "backup_id": 9 }}' wal-g backup-push $PGDATA""", env)
        self.sh(f"""wal-g backup-fetch {self.scratch.path}/two --target-user-data '{{"backup_id":9,"project_id":7}}'""", env)
        self.sh(f"""WALG_FETCH_TARGET_USER_DATA='{{"backup_id":9,"project_id":7}}' wal-g backup-fetch {self.scratch.path}/three""", env)
        wanted = self.sh("wal-g backup-list", env).stdout.splitlines()[1].split()[2]
        for target in ("two", "three"):
            self.assertIn(f"(file {wanted})", (self.scratch.path / target / "backup_label").read_text())

    def test_verify_names_a_damaged_block_and_the_backup_is_taken(self):
        env = self.file_image()
        one = self.server(env, archive="wal-g wal-push %p")
        one.psql("create table t as select generate_series(1, 1000) x")
        table = one.data / one.psql("select pg_relation_filepath('t')")
        one.stop()
        content = bytearray(table.read_bytes())
        content[8000] ^= 1
        table.write_bytes(content)
        one.start()
        pushed = self.sh("wal-g backup-push $PGDATA --verify", env)
        self.assertRegex(pushed.stderr, f"(?m)^WARNING: .*{table.name}.*damaged: 0$")
        self.assertIn("base_", self.sh("wal-g backup-list", env).stdout)

    def test_six_deltas_follow_a_full_backup_and_then_comes_a_full_one(self):
        env = self.file_image(WALG_DELTA_MAX_STEPS="6")
        one = self.server(env, archive="wal-g wal-push %p")
        for number in range(8):
            one.psql(f"create table t{number} as select 1")
            self.sh("wal-g backup-push $PGDATA", env)
        names = [line.split()[0] for line in self.sh("wal-g backup-list", env).stdout.splitlines()[1:]]
        self.assertEqual(["_D_" in name for name in names], [False] + [True] * 6 + [False], names)

    def test_logs_cut_by_copytruncate_in_a_folder_that_cannot_be_listed_change_no_exit_code(self):
        env, one = self.supabase()
        one.switch()
        log = self.logs / "wal-push.log"
        self.assertTrue(log.stat().st_size)
        os.truncate(log, 0)
        one.switch()
        text = log.read_text()
        self.assertTrue(text)
        self.assertNotIn("\0", text)
        self.assertEqual(one.psql("select failed_count from pg_stat_archiver"), "0")

    def test_a_fast_shutdown_archives_its_last_segment(self):
        env = self.file_image()
        one = self.server(env, archive="wal-g wal-push %p", timeout=120)
        one.psql("create table t as select 1")
        last = one.psql("select pg_walfile_name(pg_current_wal_insert_lsn())")
        one.stop()
        self.assertTrue((self.store_folder / f"wal_005/{last}.lz4").exists())


class Stolon(Walkthrough):
    def stolon(self):
        """Settings as envdir's files; nothing of them is in PostgreSQL's environment."""
        env = self.minio_image("cluster")
        self.envdir = self.scratch.folder("env")
        for name in [name for name in env if name.startswith(("WALG_S3", "AWS_"))]:
            (self.envdir / name).write_text(env.pop(name) + "\n")
        self.scratch.own_tree(self.envdir)
        self.program("envdir", ENVDIR)
        self.archive = f"envdir {self.envdir} wal-g wal-push %p"
        self.restore = f'envdir {self.envdir} wal-g wal-fetch "%f" "%p"'
        return env, self.server(env, archive=self.archive)

    def keeper_restores(self, env, name):
        """What a keeper does for initMode pitr: an empty folder of mode 0700, then the command through a shell."""
        data = self.scratch.folder(name)
        line = f"envdir {self.envdir} wal-g backup-fetch %d LATEST".replace("%d", str(data))
        self.sh(line, {key: value for key, value in env.items() if not key.startswith("PG")})
        self.assertEqual(data.stat().st_mode & 0o777, 0o700)
        self.assertTrue((data / "backup_label").exists())
        (data / "recovery.signal").touch()
        self.scratch.own(data / "recovery.signal")

    def test_point_in_time_recovery_by_the_guide_to_the_end_to_a_time_and_to_a_name(self):
        env, one = self.stolon()
        self.assertNotIn("walgd-tests-secret", one.psql("show archive_command"))
        self.sh(f"envdir {self.envdir} wal-g backup-push $PGDATA", env)
        one.psql("create table t as select 1 x")
        moment = one.psql("select clock_timestamp()")
        one.psql("insert into t values (2)")
        one.psql("select pg_create_restore_point('two')")
        one.psql("insert into t values (3)")
        one.switch()
        one.stop()
        promote = "recovery_target_action = promote"
        for name, target, rows in (("latest", "", "3"), ("time", f"recovery_target_time = '{moment}'\n{promote}", "1"), ("name", f"recovery_target_name = 'two'\n{promote}", "2")):
            with self.subTest(target=name):
                self.keeper_restores(env, name)
                restored = self.restored(env, name, restore=self.restore, more=target)
                self.assertEqual(restored.psql("select count(*) from t"), rows)
                self.assertEqual(restored.psql("select timeline_id > 1 from pg_control_checkpoint()"), "t")
                restored.stop()

    def test_with_the_daemon_its_envdir_alone_has_the_secrets(self):
        env, one = self.stolon()
        daemon = start(["envdir", self.envdir, self.scratch.bin / "walgd"], self.scratch.log, env={**env, "WALGD_SOCKET": str(self.scratch.path / "walgd.sock")})
        self.scratch.stack.callback(stop, daemon)
        until("walgd to serve its socket", lambda: (self.scratch.path / "walgd.sock").exists(), 30)
        one.configure(f"archive_command = 'WALGD_SOCKET={self.scratch.path}/walgd.sock walg-push %p'")
        one.psql("select pg_reload_conf()")
        segment = one.switch()
        self.assertIn(segment, self.sh(f"envdir {self.envdir} wal-g st ls wal_005/", env).stdout)
        postmaster = (one.data / "postmaster.pid").read_text().split()[0]
        self.assertNotIn(Minio.secret, one.psql("show archive_command") + pathlib.Path(f"/proc/{postmaster}/environ").read_text())
        one.stop()  # first: walgd serves until PostgreSQL is gone

    def test_a_restore_that_fails_leaves_no_cluster(self):
        env = self.file_image()
        data = self.scratch.folder("data")
        self.assertNotEqual(self.sh(f"wal-g backup-fetch {data} LATEST", env, check=False).returncode, 0, "there is no backup")
        self.assertFalse((data / "PG_VERSION").exists())
        one = self.server(env, archive="wal-g wal-push %p")
        self.sh("wal-g backup-push $PGDATA", env)
        one.stop()
        for part in self.store_folder.glob("basebackups_005/*/tar_partitions/*"):
            part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
        self.assertNotEqual(self.sh(f"wal-g backup-fetch {data} LATEST", env, check=False).returncode, 0, "its parts are cut")
        self.assertFalse((data / "PG_VERSION").exists() and (data / "global/pg_control").exists())

    def test_a_folder_that_is_not_empty_is_refused_and_untouched(self):
        env = self.file_image()
        self.server(env, archive="wal-g wal-push %p")
        self.sh("wal-g backup-push $PGDATA", env)
        data = self.scratch.folder("data")
        (data / "mine").write_text("x")
        refused = self.sh(f"wal-g backup-fetch {data} LATEST", env, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("must be empty", refused.stderr)
        self.assertEqual(os.listdir(data), ["mine"])

    def test_a_trailing_slash_and_a_link_to_an_empty_folder_will_do(self):
        env = self.file_image()
        self.server(env, archive="wal-g wal-push %p")
        self.sh("wal-g backup-push $PGDATA/", env)
        self.sh(f"wal-g backup-fetch {self.scratch.folder('slash')}/ LATEST", env)
        real = self.scratch.folder("real")
        (self.scratch.path / "link").symlink_to(real)
        self.sh(f"wal-g backup-fetch {self.scratch.path}/link LATEST", env)
        self.assertTrue((real / "PG_VERSION").exists())

    def test_after_a_failover_segment_partial_and_history_are_three_objects_and_the_old_primary_may_push_again(self):
        env = self.file_image(WALG_PREVENT_WAL_OVERWRITE="1")
        one = self.server(env, archive="wal-g wal-push %p")
        run([POSTGRES_15 / "pg_basebackup", "-h", one.sockets, "-p", one.port, "-U", "postgres", "-D", self.scratch.path / "two", "-R", "-X", "stream", "-c", "fast"])
        two = Cluster(self.scratch, 15, "two", initdb=False, env=env).start()
        one.psql("create table t as select 1 x")
        segment = one.psql("select pg_walfile_name(pg_current_wal_lsn())")
        until("the standby to follow", lambda: two.psql("select pg_last_wal_replay_lsn() >= '" + one.psql("select pg_current_wal_lsn()") + "'") == "t")
        self.assertEqual(two.psql("select archived_count from pg_stat_archiver"), "0", "a standby archives nothing")
        two.psql("select pg_promote()")
        two.wait_until_writable()
        two.switch()
        until("the history file and the partial segment", lambda: two.psql("select archived_count >= 3 from pg_stat_archiver") == "t")
        names = set(os.listdir(self.store_folder / "wal_005"))
        self.assertLessEqual({"00000002.history.lz4", f"{segment}.partial.lz4", f"00000002{segment[8:]}.lz4"}, names)
        one.switch()
        stored = self.store_folder / f"wal_005/{segment}.lz4"
        self.assertTrue(stored.exists())
        self.sh(f"wal-g wal-push {one.data}/pg_wal/{segment}", env)
        one.stop()
        two.stop()

    def test_a_standby_takes_the_backup(self):
        env = self.file_image()
        one = self.server(env, archive="wal-g wal-push %p")
        run([POSTGRES_15 / "pg_basebackup", "-h", one.sockets, "-p", one.port, "-U", "postgres", "-D", self.scratch.path / "two", "-R", "-X", "stream", "-c", "fast"])
        two = Cluster(self.scratch, 15, "two", initdb=False, env=env).start()
        self.sh("nice -n 5 wal-g backup-push $PGDATA", {**env, **two.environment()}, timeout=120)
        (backup,) = json.loads(self.sh("wal-g backup-list --json", env).stdout)
        self.assertTrue(backup["wal_file_name"].startswith("00000001"))


class WalgDocker(Walkthrough):
    def test_the_images_program_and_settings_archive_with_brotli_and_restore(self):
        wal_g = self.at(self.scratch.path / "wal-g")
        env = self.minio_image("path/to/folder", "WALE_S3_PREFIX", WALG_COMPRESSION_METHOD="brotli", ARCHIVE_MODE="on", ARCHIVE_TIMEOUT="0")
        self.sh(f"{wal_g} --help", {})
        archive, restore = f"{wal_g} wal-push %p", f"{wal_g} wal-fetch %f %p"
        one = self.server(env, archive=archive, restore=restore)
        self.sh(f"{wal_g} backup-push $PGDATA", env)
        one.psql("create table t as select generate_series(1, 10) x")
        segment = one.switch()
        plain = self.sh(f"{wal_g} st cat wal_005/{segment}.br > $HOME/segment.br && brotli -d -o $HOME/segment $HOME/segment.br", env)
        self.assertEqual(plain.returncode, 0)
        self.assertEqual((self.scratch.path / "segment").read_bytes(), (one.data / "pg_wal" / segment).read_bytes())
        one.stop()
        two = self.scratch.path / "two"
        self.sh(f"{wal_g} backup-fetch {two} LATEST && touch {two}/recovery.signal", env)
        self.assertEqual(self.restored(env, restore=restore).psql("select count(*) from t"), "10")

    def test_a_user_without_a_name_archives_and_restores(self):
        self.need_root()
        env = self.file_image(PGUSER="postgres")
        one = self.server(env, archive="wal-g wal-push %p")
        segment = one.switch()
        home = self.scratch.folder("home")
        os.chown(home, 1001, 1001)
        store = self.scratch.folder("other-store")
        os.chown(store, 1001, 1001)
        copied = home / segment
        shutil.copy(one.data / "pg_wal" / segment, copied)
        os.chown(copied, 1001, 1001)
        bare = {**self.image(), "HOME": str(home)}
        (home / ".walg.json").write_text(json.dumps({"WALG_FILE_PREFIX": str(store)}))
        (home / ".walg.json").chmod(0o644)
        self.sh_as(f"wal-g wal-push {copied} && wal-g wal-fetch {segment} {home}/back", bare, 1001, 1001)
        self.assertEqual((home / "back").read_bytes(), copied.read_bytes())

    def test_an_endpoint_without_a_scheme_is_reached_by_tls(self):
        self.need_minio()
        minio = Minio(self.scratch, tls=True)
        authority = self.scratch.path / "ca.crt"
        shutil.copy(minio.ca, authority)
        authority.chmod(0o644)
        env = self.image(**{**minio.settings("path"), "AWS_ENDPOINT": minio.endpoint.removeprefix("https://"), "WALG_S3_CA_CERT_FILE": str(authority)})
        self.assertEqual(self.sh("wal-g backup-list", env, timeout=60).stdout, "")


class PostgresWalg(Walkthrough):
    """dump.sh and load.sh, as root."""

    def test_dump_and_load_as_root_with_scripts_that_always_exit_0(self):
        env = self.minio_image("bench")
        one = self.server(env)
        first = self.root_sh("wal-g backup-push $PGDATA", env)
        self.assertRegex(first.stderr, r"(?i)archiv", "it warns that nothing is archived")
        archive = self.program("archive.sh", 'wal-g wal-push $PGDATA/$1\necho "Wal-Push OK $1 $?"\n')
        restore = self.program("restore.sh", 'wal-g wal-fetch $1 $2\necho "Wal-Fetch OK $1 $?"\n')
        one.archive_with(f"sh {archive} %p")
        one.stop()
        one.start()
        one.psql("create database bench")
        bench = [POSTGRES_15 / "pgbench", "-h", one.sockets, "-p", one.port, "-U", "postgres"]
        run([*bench, "-i", "-q", "-s", "10", "bench"])
        run([*bench, "-t", "100", "bench"])
        self.root_sh("wal-g backup-push $PGDATA", env)
        run([*bench, "-n", "-t", "100", "bench"])  # without -n it would empty the history
        one.switch()
        expected = one.psql("select count(*) from pgbench_history", "bench")
        one.stop()
        two = self.scratch.path / "two"
        self.root_sh(f"wal-g backup-fetch {two} LATEST && touch {two}/recovery.signal && chown -R postgres {two}", env)
        loaded = self.restored({**env, "PGDATA": str(two)}, restore=f"sh {restore} %f %p")
        self.assertEqual(loaded.psql("select count(*) from pgbench_history", "bench"), expected)
        self.assertEqual(expected, "200")
        self.assertEqual(loaded.psql("select timeline_id from pg_control_checkpoint()"), "2", "no history file was made up")


class Playground(Walkthrough):
    def contacts(self, keys=None):
        """The README's steps; returns the second server."""
        env = self.minio_image("backup", "WALE_S3_PREFIX", WALG_COMPRESSION_METHOD="brotli", ARCHIVE_MODE="on", ARCHIVE_TIMEOUT="60")
        reader = dict(env)
        if keys:
            env["WALG_PGP_KEY_PATH"], reader["WALG_PGP_KEY_PATH"] = map(str, keys)
        wal_g = self.at(self.scratch.path / "wal-g")
        archive, restore = f"{wal_g} wal-push %p", f"{wal_g} wal-fetch %f %p"
        one = self.server(env, archive=archive, restore=restore, timeout=60)
        one.psql("create table contacts (id serial, name text)")
        rows = "insert into contacts (name) select 'c' || g from generate_series(1, 10) g"
        one.psql(rows)
        self.assertEqual(one.psql("select count(*) from contacts"), "10")
        self.root_sh(f"{wal_g} backup-push -f $PGDATA", env)
        last = lambda: one.psql("select last_archived_wal from pg_stat_archiver")  # noqa: E731
        until("the backup's history file to be the last", lambda: re.fullmatch(r"0000000100000000000000[0-9A-F]{2}\.00000028\.backup", last()))
        one.psql(rows)
        following = one.psql("select pg_walfile_name(pg_current_wal_lsn())")
        until("archive_timeout to close the segment", lambda: last() == following, 90, 0.5)
        self.assertEqual(one.psql("select failed_count from pg_stat_archiver"), "0")
        one.stop()
        two = self.scratch.path / "two"
        reader["PGDATA"] = str(two)
        self.root_sh(f"{wal_g} backup-fetch $PGDATA LATEST; touch $PGDATA/recovery.signal", reader)
        self.scratch.own_tree(two)  # as the image's entrypoint does
        second = self.restored(reader, restore=restore)
        self.assertEqual(second.psql("select count(*) from contacts"), "20")
        self.assertIn("restored log file", second.logfile.read_text())
        self.assertEqual(second.psql("select timeline_id from pg_control_checkpoint()"), "2")
        self.assertNotIn("00000002.history", self.sh("wal-g st ls wal_005/", reader).stdout, "with archive_mode=off nothing is written")
        return env, reader

    def test_the_readmes_contacts_come_back_on_the_second_server(self):
        self.contacts()

    def test_with_a_key_pair_the_first_server_has_the_public_key_alone(self):
        home = self.scratch.path / "g"
        home.mkdir(mode=0o700)
        gpg = ["gpg", "--homedir", str(home), "--batch", "--passphrase", ""]
        self.addCleanup(subprocess.run, ["gpgconf", "--homedir", str(home), "--kill", "all"])
        keys = self.scratch.path / "wal-g-test-1.pub", self.scratch.path / "wal-g-test-1.private"
        subprocess.check_call([*gpg, "--quick-gen-key", "wal-g-test-1"], stdout=self.scratch.log, stderr=self.scratch.log)
        for path, how in zip(keys, ("--export", "--export-secret-keys")):
            path.write_bytes(subprocess.check_output([*gpg, "--pinentry-mode", "loopback", "--armor", how, "wal-g-test-1"]))
            path.chmod(0o644)
        env, reader = self.contacts(keys)
        segment = next(name for name in re.findall(r"[0-9A-F]{24}\.br", self.sh("wal-g st ls wal_005/", reader).stdout))
        stored = self.scratch.path / "stored"
        self.sh(f"wal-g st cat wal_005/{segment} > {stored}", reader)
        subprocess.check_call([*gpg, "-o", str(self.scratch.path / "plain.br"), "-d", str(stored)], stdout=self.scratch.log, stderr=self.scratch.log)
        self.assertEqual(len(subprocess.check_output(["brotli", "-dc", str(self.scratch.path / "plain.br")])), 16 << 20)
        out = self.scratch.folder("out")
        for key, about in (({}, "ERROR"), ({"WALG_PGP_KEY_PATH": str(keys[0])}, "WALG_PGP_KEY")):
            without = {name: value for name, value in reader.items() if name != "WALG_PGP_KEY_PATH"}
            refused = self.sh(f"wal-g backup-fetch {out} LATEST", {**without, **key}, check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(about, refused.stderr)
            self.assertFalse((out / "PG_VERSION").exists())

    def test_a_backup_by_root_gives_the_password_that_scram_asks_for(self):
        env = self.minio_image("backup", PGPASSWORD="sesame")
        one = self.server(env, archive="wal-g wal-push %p")
        one.psql("alter role postgres password 'sesame'")
        (one.data / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        run([POSTGRES_15 / "pg_ctl", "-D", one.data, "reload"])
        wrong = self.root_sh("wal-g backup-push $PGDATA", {**env, "PGPASSWORD": "wrong"}, check=False)
        self.assertEqual(wrong.returncode, 1)
        self.root_sh("wal-g backup-push $PGDATA", env)
        (one.data / "pg_hba.conf").write_text("local all all trust\n")
        run([POSTGRES_15 / "pg_ctl", "-D", one.data, "reload"])


class PostgresFlex(Walkthrough):
    """Its supervisor gives every process a session and a pty of its own, and ends them with SIGINT to the group and SIGKILL 5 s later."""

    def supervised(self, command, env):
        master, slave = self.open_terminal()
        process = subprocess.Popen(as_server_user(command), env=env, cwd="/", stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        os.set_blocking(master, False)
        self.scratch.stack.callback(os.close, master)
        self.scratch.stack.callback(lambda: process.poll() is None and (process.kill(), process.wait()))
        return process, master

    def told(self, master):
        text = b""
        try:
            while part := os.read(master, 65536):
                text += part
        except OSError:
            pass  # nothing more, or the other end is closed
        return text.decode()

    def flex(self, **settings):
        env = self.minio_image("app")
        env["WALGD_SOCKET"] = str(self.scratch.path / "walgd.sock")
        credentials = self.scratch.path / "credentials"
        credentials.write_text(f"[barman]\naws_access_key_id={env.pop('AWS_ACCESS_KEY_ID')}\naws_secret_access_key={env.pop('AWS_SECRET_ACCESS_KEY')}\n")
        credentials.chmod(0o600)
        self.scratch.own(credentials)
        env.update(AWS_SHARED_CREDENTIALS_FILE=str(credentials), AWS_PROFILE="barman", **settings)
        one = Cluster(self.scratch, 15, "one", env=env)
        env.update(one.environment())
        one.archive_with("walg-push %p", 60)
        return env, one

    def walgd(self, env):
        process, master = self.supervised([self.scratch.bin / "walgd"], env)
        until("walgd to serve its socket", lambda: pathlib.Path(env["WALGD_SOCKET"]).exists(), 30)
        return process, master

    def stored(self, env, name):
        return self.sh(f"wal-g st ls wal_005/ | grep -q {name}", env, check=False).returncode == 0

    def test_an_app_with_its_secrets_alone_archives_and_is_plain_on_a_terminal(self):
        env, one = self.flex()
        process, master = self.walgd(env)
        one.start()
        one.psql("create table t as select 1")
        segment = one.psql("select pg_walfile_name(pg_switch_wal())")
        until("the segment to be stored", lambda: self.stored(env, segment), 5)
        text = self.told(master)
        self.assertTrue(text.strip())
        self.assertNotIn("\x1b", text)
        self.assertNotRegex(text, r"\r(?!\n)")
        self.assertNotIn(Minio.secret, text)
        self.assertNotIn(Minio.secret, pathlib.Path(f"/proc/{process.pid}/cmdline").read_text())
        self.assertLessEqual(int(one.psql("select count(*) from pg_stat_activity where backend_type = 'client backend'")), 1, "an idle walgd keeps no Machine awake")

    def test_its_own_secret_is_enough_in_the_environment_and_in_a_file_of_variables(self):
        env, one = self.flex()
        scheme, host = env.pop("AWS_ENDPOINT").split("://")
        bucket, folder = env.pop("WALG_S3_PREFIX").removeprefix("s3://").split("/", 1)
        for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE"):
            del env[name]
        secret = f"{scheme}://{Minio.access}:{Minio.secret}@{host}/{bucket}/{folder}"
        process, master = self.walgd({**env, "S3_ARCHIVE_CONFIG": secret})
        one.start()
        one.switch()
        one.psql("create table t as select 1")
        segment = one.psql("select pg_walfile_name(pg_switch_wal())")
        until("the segment to be stored", lambda: self.stored({**env, "S3_ARCHIVE_CONFIG": secret}, segment), 5)
        self.assertNotIn(Minio.secret, self.told(master) + self.sh("walg config --all", {**env, "S3_ARCHIVE_CONFIG": secret}).stdout)
        file = self.scratch.path / "env"
        file.write_text(f"# as systemd reads it\nexport S3_ARCHIVE_CONFIG='{secret}'\n")
        file.chmod(0o600)
        self.scratch.own(file)
        self.assertIn(segment, self.sh(f"walg --config {file} st ls wal_005/", env).stdout)
        process.kill()

    def test_sigint_to_all_stores_the_last_segment_within_five_seconds(self):
        env, one = self.flex()
        daemon, master = self.walgd(env)
        server, _ = self.supervised([POSTGRES_15 / "postgres", "-D", one.data], env)
        until("PostgreSQL", lambda: one.psql("select 1", check=False) == "1")
        one.psql("create table t as select 1")
        last = one.psql("select pg_walfile_name(pg_current_wal_insert_lsn())")
        for process in (server, daemon):
            os.killpg(process.pid, signal.SIGINT)
        began = datetime.datetime.now()
        for process in (server, daemon):
            process.wait(10)
        self.assertLess((datetime.datetime.now() - began).total_seconds(), 5)
        self.assertTrue(self.stored(env, last))

    def test_a_daemon_that_was_killed_is_started_again_and_archiving_goes_on(self):
        env, one = self.flex()
        first, _ = self.walgd(env)
        one.start()
        one.switch()
        first.kill()
        first.wait()
        one.psql("create table t as select 1")
        segment = one.psql("select pg_walfile_name(pg_switch_wal())")
        until("a failure to be counted", lambda: one.psql("select failed_count > 0 from pg_stat_archiver") == "t")
        self.supervised([self.scratch.bin / "walgd"], env)
        until("the segment to be stored", lambda: self.stored(env, segment), 70, 0.5)
        self.assertNotIn("FATAL", one.logfile.read_text())

    def test_a_restore_to_a_time_on_an_empty_volume_is_one_command_and_one_too_early_is_refused(self):
        env, one = self.flex()
        self.walgd(env)
        one.start()
        self.sh("walg backup-push $PGDATA", env)
        one.psql("create table t as select 1 x")
        moment = one.psql("select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        one.psql("insert into t values (2)")
        one.switch()
        one.stop()
        two = self.scratch.path / "two"
        early = self.sh(f"walg restore {two} --target-time 2001-01-01T00:00:00Z", env, check=False)
        self.assertNotEqual(early.returncode, 0)
        self.assertFalse((two / "PG_VERSION").exists())
        self.sh(f"walg restore {two} --target-time {moment} --target-action promote", {**env, "PGDATA": str(two)})
        restored = Cluster(self.scratch, 15, "two", initdb=False, env=env)
        restored.start()
        restored.wait_until_writable()
        self.assertEqual(restored.psql("select count(*) from t"), "1")


class PostgresHa(Walkthrough):
    def test_the_clusters_archive_command_stores_when_enable_walg_is_set(self):
        wal_g = self.at(self.scratch.path / "wal-g")
        env = self.minio_image("ha", ENABLE_WALG="1")
        one = self.server(env, archive=f'if [ $ENABLE_WALG ]; then {wal_g} wal-push "%p"; fi', timeout=60)
        segment = one.switch()
        self.assertIn(segment, self.sh("wal-g st ls wal_005/", env).stdout)
        self.sh(f"{wal_g} backup-push {one.data}", {name: value for name, value in env.items() if name != "PGDATA"})
        self.assertIn("base_", self.sh("wal-g backup-list", env).stdout)

    def test_without_enable_walg_nothing_is_stored_and_wal_verify_says_so(self):
        env = self.file_image(WALG_UPLOAD_CONCURRENCY="1", WALG_INTEGRITY_MAX_DELAYED_WALS="0")
        wal_g = self.at(self.scratch.path / "wal-g")
        one = self.server(env, archive=f'if [ $ENABLE_WALG ]; then {wal_g} wal-push "%p"; fi')
        for _ in range(4):
            one.switch()
        self.assertFalse((self.store_folder / "wal_005").exists())
        self.assertRegex(self.sh("wal-g wal-verify integrity", env, check=False).stdout, r"\|   1 \| 000000010000000000000001 \| [0-9A-F]{24} \| +\d \| +MISSING_LOST \|")


class Spilo(Walkthrough):
    RESTORE = """#!/bin/bash
[ -z "$1" ] || [ -z "$2" ] && exit 1
[[ "$(basename "$2")" == "$1" ]] && export WALG_DOWNLOAD_CONCURRENCY=1
exec wal-g wal-fetch "$1" "$2"
"""
    LIST = r"wal-g backup-list 2>/dev/null | sed '0,/^\(backup_\)\?name\s*\(last_\)\?modified\s*/d'"

    def spilo(self):
        self.need_minio()
        env = self.image()
        minio = Minio(self.scratch).settings("spilo/scope/wal/15")
        self.envdir = self.scratch.folder("env")
        for name, value in {**minio, "WALE_S3_PREFIX": minio["WALG_S3_PREFIX"], "WALG_DISABLE_S3_SSE": "true", "WALG_UPLOAD_CONCURRENCY": "4", "WALG_DOWNLOAD_CONCURRENCY": "4",
                            "TMPDIR": str(self.scratch.path), "WALE_LOG_DESTINATION": "stderr", "BACKUP_NUM_TO_RETAIN": "5"}.items():
            (self.envdir / name).write_text(value)
        self.scratch.own_tree(self.envdir)
        self.program("envdir", ENVDIR)
        script = self.program("restore_command.sh", self.RESTORE)
        self.restore = f'envdir "{self.envdir}" timeout "30" {script} "%f" "%p"'
        return env, self.server(env, archive=f'envdir "{self.envdir}" wal-g wal-push "%p"', timeout=1800)

    def script(self, name, text, env, check=True):
        """A script of spilo's, under envdir."""
        path = self.program(name, "#!/bin/bash\n" + text + "\n")
        return self.sh(f"envdir {self.envdir} {path}", env, check=check)

    def test_its_scripts_read_the_list_delete_restore_and_clone(self):
        env, one = self.spilo()
        one.psql("create table t as select 1 x")
        for _ in range(3):
            self.script("postgres_backup.sh", 'nice -n 5 wal-g backup-push "$PGDATA"', env)
        names = self.script("list.sh", self.LIST + " | awk '{ print $1, $2 }' | sort -k2r", env).stdout.splitlines()
        self.assertEqual(len(names), 3)
        for line in names:
            self.assertRegex(line, r"^base_[0-9A-F]{24} \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            run(["date", "-ud", line.split()[1]])
        segment = self.script("third.sh", self.LIST + " | tail -n 1 | awk '{ print $3; }' | sed 's/_.*$//'", env).stdout.strip()
        self.assertRegex(segment, r"^[0-9A-F]{24}$")
        before = sorted(line.split()[0] for line in names)[1]
        self.script("delete.sh", f'wal-g delete before FIND_FULL "{before}" --confirm', env)
        listed = self.script("clone.sh", "wal-g backup-list", env).stdout.splitlines()
        self.assertRegex(listed[0], r"^(backup_)?name\s+(last_)?modified\s+")
        backups = [dict(zip(listed[0].split(), line.split())) for line in listed[1:]]
        self.assertEqual(len(backups), 2)
        now = datetime.datetime.now(datetime.timezone.utc)
        newest = max((backup for backup in backups if datetime.datetime.fromisoformat(backup["modified"]) <= now), key=lambda backup: backup["modified"])
        one.psql("insert into t values (2)")
        one.switch()
        one.stop()
        two = self.scratch.path / "two"
        self.script("fetch.sh", f'wal-g backup-fetch "{two}" {newest.get("name") or newest["backup_name"]} && touch {two}/recovery.signal', env)
        self.assertTrue((two / "pg_wal").is_dir())
        self.assertEqual(self.sh(f"find {two} -xtype l", env).stdout, "")
        self.assertEqual(self.restored(env, restore=self.restore).psql("select count(*) from t"), "2")

    def test_an_empty_prefix_lists_nothing_so_that_a_clone_tries_the_next(self):
        self.envdir = self.scratch.folder("env")
        self.program("envdir", ENVDIR)
        self.assertEqual(self.script("list.sh", "wal-g backup-list 2>/dev/null", self.file_image()).stdout, "")

    def test_pg_rewinds_fetch_takes_one_file_and_prefetches_nothing(self):
        env = self.file_image()
        one = self.server(env, archive="wal-g wal-push %p")
        names = [one.switch() for _ in range(4)]
        one.stop()
        data = self.scratch.folder("rewound")
        (data / "pg_wal").mkdir()
        self.scratch.own_tree(data)
        script = self.program("restore_command.sh", self.RESTORE)
        self.sh(f"cd {data} && {script} {names[0]} pg_wal/{names[0]}", {**env, "PGDATA": str(data)})
        self.assertEqual(os.listdir(data / "pg_wal"), [names[0]])
        self.assertEqual(self.sh(f'{script} "" ""', env, check=False).returncode, 1)

    @staticmethod
    def has_open(pid, folder):
        """Whether the process has a file of the folder open, with a name or without."""
        try:
            return any(os.readlink(f"/proc/{pid}/fd/{fd}").startswith(f"{folder}/") for fd in os.listdir(f"/proc/{pid}/fd"))
        except FileNotFoundError:
            return False

    def test_a_fetch_that_timeout_ends_exits_124_and_stops_no_later_one(self):
        env = self.file_image()
        one = self.server(env, archive="wal-g wal-push %p")
        segment = one.switch()
        out = self.scratch.folder("out")
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            hanging = self.image(WALG_S3_PREFIX="s3://bucket/x", AWS_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}", AWS_REGION="r", AWS_ACCESS_KEY_ID="a",
                                 AWS_SECRET_ACCESS_KEY="b", AWS_S3_FORCE_PATH_STYLE="true")
            self.assertEqual(self.sh(f"timeout 1 wal-g wal-fetch {segment} {out}/x", hanging, check=False).returncode, 124)
            self.assertEqual(os.listdir(out), [])
            # timeout(1) signals the program and then its group. Two kinds do not merge on their way as two of one do.
            for _ in range(5):
                with open(os.devnull, "wb") as nowhere:
                    fetch = start(["wal-g", "wal-fetch", segment, f"{out}/x"], nowhere, env=hanging)
                until("the fetch has begun", lambda: self.has_open(fetch.pid, out), step=0.005)
                for how in (signal.SIGTERM, signal.SIGHUP):
                    os.kill(fetch.pid, how)
                fetch.wait(60)
                self.assertEqual(os.listdir(out), [])
        self.sh(f"timeout 30 wal-g wal-fetch {segment} {out}/x", env)

    def test_delete_before_a_delta_takes_its_full_backup_instead(self):
        env = self.file_image(WALG_DELTA_MAX_STEPS="1")
        one = self.server(env, archive="wal-g wal-push %p")
        for number in range(4):
            one.psql(f"create table t{number} as select 1")
            self.sh("wal-g backup-push $PGDATA", env)
        names = [line.split()[0] for line in self.sh("wal-g backup-list", env).stdout.splitlines()[1:]]
        self.assertIn("_D_", names[3])
        self.assertNotEqual(self.sh(f"wal-g delete before FULL {names[3]} --confirm", env, check=False).returncode, 0)
        self.assertEqual(len(self.sh("wal-g backup-list", env).stdout.splitlines()), 5)
        self.sh(f"wal-g delete before FIND_FULL {names[3]} --confirm", env)
        self.assertEqual([line.split()[0] for line in self.sh("wal-g backup-list", env).stdout.splitlines()[1:]], names[2:])

    def test_a_prefix_with_a_slash_at_its_end_is_the_same_archive(self):
        env = self.minio_image("spilo")
        self.sh("printf x > $HOME/x && wal-g st put $HOME/x x", env)
        with_slash = self.sh("wal-g st ls -r", {**env, "WALG_S3_PREFIX": env["WALG_S3_PREFIX"] + "/"}).stdout
        self.assertIn("x.lz4", with_slash)
        self.assertEqual(with_slash, self.sh("wal-g st ls -r", env).stdout)


class Exporters(Walkthrough):
    """How camptocamp's and thedatabaseme's exporters read WAL-G. (walgd's own metrics under their names: test_http.)"""
    FIELDS = {"backup_name", "time", "wal_file_name", "storage_name", "start_time", "finish_time", "date_fmt", "hostname", "data_dir", "pg_version", "start_lsn", "finish_lsn",
              "is_permanent", "system_identifier", "uncompressed_size", "compressed_size", "user_data"}

    def setUp(self):
        super().setUp()
        self.env = self.file_image(WALG_UPLOAD_CONCURRENCY="1", WALG_INTEGRITY_MAX_DELAYED_WALS="0")
        self.one = self.server(self.env, archive="wal-g wal-push %p")
        self.sh("wal-g backup-push $PGDATA", self.env)
        self.last = self.one.switch()

    def test_the_details_have_every_field_and_their_dates_parse(self):
        (backup,) = json.loads(self.sh("wal-g backup-list --detail --json", self.env).stdout)
        self.assertLessEqual(self.FIELDS - {"user_data"}, set(backup))
        self.assertEqual(backup["date_fmt"], "%Y-%m-%dT%H:%M:%S.%fZ")
        begun, ended = (datetime.datetime.strptime(backup[name], backup["date_fmt"]) for name in ("start_time", "finish_time"))
        self.assertLessEqual(begun, ended)
        for name in ("start_lsn", "finish_lsn", "pg_version", "uncompressed_size", "compressed_size", "system_identifier"):
            self.assertIs(type(backup[name]), int, name)
        self.assertGreater(backup["uncompressed_size"], backup["compressed_size"])
        self.assertIs(backup["is_permanent"], False)

    def test_integrity_is_json_with_its_status_and_ranges(self):
        verified = json.loads(self.sh("wal-g wal-verify integrity --json", self.env).stdout)
        self.assertEqual(verified["integrity"]["status"], "OK")
        self.assertLessEqual({"timeline_id", "start_segment", "end_segment", "segments_count", "status"}, set(verified["integrity"]["details"][0]))
        shown = json.loads(self.sh("wal-g wal-show --detailed-json", self.env).stdout)
        self.assertLessEqual({"id", "parent_id", "switch_point_lsn", "start_segment", "end_segment", "segments_count", "missing_segments", "backups", "segment_range_size", "status"},
                             set(shown[0]))

    def test_a_lost_segment_is_in_the_json_of_wal_verify(self):
        for _ in range(3):
            self.one.switch()
        (self.store_folder / f"wal_005/{self.last}.lz4").unlink()
        verified = json.loads(self.sh("wal-g wal-verify integrity --json", self.env, check=False).stdout)
        self.assertEqual(verified["integrity"]["status"], "FAILURE")
        self.assertIn((self.last, "MISSING_LOST"), [(part["start_segment"], part["status"]) for part in verified["integrity"]["details"]])

    def test_the_storages_listing_has_sizes_that_add_up(self):
        lines = self.sh("wal-g st ls -r", self.env).stdout.splitlines()
        self.assertRegex(lines[0], r"^type\s+size\s+last modified\s+name")
        sizes = sum(int(line.split()[1]) for line in lines[1:] if line.split()[0] == "obj")
        self.assertEqual(sizes, sum(path.stat().st_size for path in self.store_folder.rglob("*") if path.is_file()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
