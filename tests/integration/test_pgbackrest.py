"""walg pgbackrest: repositories that the real pgBackRest wrote are listed, restored and recovered from."""
import datetime
import json
import shutil
import unittest

from harness import Cluster, TestCase, Walgd, run

STANZA = "main"


class Repository:
    """A cluster that archives with pgBackRest, and what comes with it."""

    def __init__(self, scratch, segment_mb=1, **settings):
        self.scratch = scratch
        self.folder = scratch.folder("repository")
        self.config = scratch.path / "pgbackrest.conf"
        self.logs = scratch.folder("pgbackrest-logs")
        self.settings = {"compress-type": "gz", "repo1-path": self.folder, **settings}
        self.cluster = Cluster(scratch, 15, segment_mb=segment_mb)
        self.configure()
        self.cluster.archive_with(f"pgbackrest --config={self.config} --stanza={STANZA} archive-push %p")
        self.cluster.start()
        self.pgbackrest("stanza-create")

    def configure(self, **settings):
        """From the next call on; archive-push is one."""
        self.settings.update({name.replace("_", "-"): value for name, value in settings.items()})
        lines = ["[global]", "start-fast=y", "log-level-console=warn", "log-level-file=off", f"log-path={self.logs}", f"lock-path={self.logs}",
                 f"spool-path={self.logs}", *(f"{name}={value}" for name, value in self.settings.items()),
                 f"[{STANZA}]", f"pg1-path={self.cluster.data}", f"pg1-socket-path={self.cluster.sockets}", f"pg1-port={self.cluster.port}"]
        self.config.write_text("\n".join(lines) + "\n")
        self.scratch.own(self.config)

    def pgbackrest(self, *words, check=True):
        return run(["pgbackrest", f"--config={self.config}", f"--stanza={STANZA}", *words], check=check, env={"PATH": "/usr/bin:/bin"})

    def backup(self, kind):
        """Returns its label."""
        self.pgbackrest("backup", f"--type={kind}")
        return self.info()["backup"][-1]["label"]

    def info(self):
        return json.loads(self.pgbackrest("info", "--output=json").stdout)[0]

    def file(self, backup, pattern):
        """The one object of a backup that is called so."""
        found = list((self.folder / "backup" / STANZA / backup).rglob(pattern))
        assert len(found) == 1, found
        return found[0]


def change_byte(path, at=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 0x10
    path.write_bytes(content)


class Pgbackrest(TestCase):
    def repository(self, **settings):
        self.repo = Repository(self.scratch, **settings)
        self.walgd = Walgd(self.scratch, {"WALG_FILE_PREFIX": str(self.repo.folder)})
        return self.repo

    def walg(self, *words, **options):
        return self.walgd.walg("pgbackrest", *words, **options)

    def test_backup_list_tells_what_pgbackrest_info_tells(self):
        repo = self.repository()
        labels = [repo.backup(kind) for kind in ("full", "diff", "incr")]
        known = repo.info()
        rows = [line.split() for line in self.walg("backup-list").stdout.splitlines()]
        self.assertEqual(rows[0], ["backup_name", "modified", "wal_file_name", "storage_name"])
        self.assertEqual([row[0] for row in rows[1:]], labels)
        self.assertEqual([row[2] for row in rows[1:]], [backup["archive"]["start"] for backup in known["backup"]])
        details = json.loads(self.walg("backup-list", "--detail", "--json").stdout)
        for backup, detail in zip(known["backup"], details, strict=True):
            times = [datetime.datetime.fromisoformat(detail[key]).timestamp() for key in ("StartTime", "FinishTime", "ModifiedTime")]
            self.assertEqual(times, [backup["timestamp"]["start"], backup["timestamp"]["stop"], backup["timestamp"]["stop"]])
            lsns = [f"{number >> 32:X}/{number & 0xFFFFFFFF:X}" for number in (detail["StartLsn"], detail["FinishLsn"])]
            self.assertEqual(lsns, [backup["lsn"]["start"], backup["lsn"]["stop"]])
            self.assertEqual((detail["BackupName"], detail["Type"], detail["WalFileName"]), (backup["label"], backup["type"], backup["archive"]["start"]))
            self.assertEqual((detail["SystemIdentifier"], detail["PgVersion"]), (known["db"][0]["system-id"], known["db"][0]["version"]))
            self.assertIn("pg_data/global", detail["DirectoryPaths"])
            self.assertEqual((detail["DefaultFileMode"], detail["DefaultDirectoryMode"]), (0o600, 0o700))
        brief = json.loads(self.walg("backup-list", "--json").stdout)
        self.assertEqual([list(backup) for backup in brief], [["backup_name", "time", "wal_file_name", "storage_name"]] * 3)
        self.assertEqual([backup["time"] for backup in brief], [detail["ModifiedTime"] for detail in details])
        self.assertIn("| BACKUP NAME", self.walg("backup-list", "--pretty").stdout)
        self.assertEqual(self.walg("backup-list", name="wal-g").stdout, self.walg("backup-list").stdout)

    def test_damaged_and_missing_info_files_are_told(self):
        repo = self.repository()
        repo.backup("full")
        info = repo.folder / f"backup/{STANZA}/backup.info"
        copy = info.with_suffix(".info.copy")
        expected = self.walg("backup-list").stdout
        change_byte(info)
        result = self.walg("backup-list")
        self.assertEqual(result.stdout, expected)
        self.assertIn(f"backup/{STANZA}/backup.info", result.stderr)
        self.assertIn("its copy is read", result.stderr)
        info.unlink()
        result = self.walg("backup-list")
        self.assertEqual(result.stdout, expected)
        self.assertIn("backup.info is missing", result.stderr)
        change_byte(copy)
        result = self.walg("backup-list", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("backup.info.copy", result.stderr)
        copy.unlink()
        result = self.walg("backup-list", check=False)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn(f"stanza '{STANZA}'", result.stderr)

    def test_a_stanza_that_is_not_there_is_told_with_those_that_are(self):
        self.repository()
        for words in (["backup-list"],):
            result = self.walg(*words, check=False, env={"PGBACKREST_STANZA": "other"})
            self.assertIn("there is no stanza 'other'", result.stderr)
            self.assertIn(f"it has {STANZA}", result.stderr)
        result = self.walg("backup-list")
        self.assertEqual(result.stdout, "")
        self.assertIn("No backups found", result.stderr)
        self.assertEqual(self.walg("backup-list", "--json").stdout, "[]\n")
        shutil.rmtree(self.repo.folder / "backup")
        result = self.walg("backup-list", check=False)
        self.assertIn("has no pgBackRest repository", result.stderr)

    def test_an_encrypted_repository_is_refused_by_name(self):
        self.repository(**{"repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": "secret"})
        result = self.walg("backup-list", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("backup.info", result.stderr)
        self.assertIn("is encrypted", result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
