"""Every version of PostgreSQL, every kind of server, every source of what changed: a full backup and two deltas, each restored, recovered, looked at by
amcheck, and compared table by table. Each cell takes 10 to 40 seconds.
  tests/integration/matrix.py [--versions 13,14,15,16,17,18] [--servers primary,standby,remote] [--sources scan,wal,map,summaries]"""
import argparse
import json
import sys
import time
import unittest

from harness import VERSIONS, Cluster, Walgd, until
from test_delta import Sources

NAMES = {"scan": "scan of page LSNs", "wal": "block references of the WAL", "map": "maps of changed pages", "summaries": "WAL summaries"}


class Cell(Sources):
    server, source = "primary", "scan"

    def runTest(self):
        extra = "summarize_wal = on" if self.source == "summaries" else ""
        self.make(self.version, segment_mb=1, extra=extra, **({"WALG_USE_WAL_DELTA": "true"} if self.source == "map" else {}))
        if self.source == "map":
            self.ready = self.wait_for_maps
        getattr(self, "of_" + self.server)()

    def id(self):
        return f"{self.version} {self.server} {self.source}"

    def of_primary(self):
        self.check_all(NAMES[self.source], WALGD_DELTA_SOURCE=self.source)

    def of_remote(self):
        """By BASE_BACKUP, which knows no deltas: a full one."""
        self.fill_all()
        self.change()
        settings = {name: value for name, value in self.alone().env.items() if name != "PGDATA"}
        before = self.archive.names()
        remote = Walgd(self.scratch, settings)
        remote.walg("backup-push", env={**{name: value for name, value in self.cluster.environment().items() if name != "PGDATA"}})
        (name,) = set(self.archive.names()) - set(before)
        self.cluster.psql("update t set m = 'after' where id % 999 = 0")
        self.cluster.switch()
        self.compare([name])

    def of_standby(self):
        self.fill_all()
        full, _ = self.push("--full")
        standby = self.start_standby(self.restore(full), "summarize_wal = on" if self.source == "summaries" else "")
        # The primary goes on, so that it closes and archives the segments in which the standby's backups end.
        self.cluster.psql("alter system set archive_timeout = 1")
        self.cluster.psql("select pg_reload_conf()")
        self.cluster.pgbench("-i", "-q", "-s", "1")
        load = self.cluster.pgbench_in_background(600, clients=1, rate=20)
        names = [self.push_standby(standby, "--full")]
        self.change()
        for _ in range(2):
            self.cluster.psql("update t set m = m || 'y' where id % 777 = 0; insert into visible select id + 50000, m from t where id < 100")
            self.cluster.psql("vacuum visible")
            self.ready()
            names.append(self.push_standby(standby))
        load.terminate()
        load.wait()
        self.cluster.psql("update t set m = 'after' where id % 999 = 0")
        self.cluster.switch()
        self.compare(names)

    def fill_all(self):
        self.fill()
        self.cluster.psql("create database reused template copied")

    def replayed(self, standby):
        place = self.cluster.psql("select pg_current_wal_flush_lsn()")
        until("the standby to replay", lambda: standby.psql(f"select pg_last_wal_replay_lsn() >= '{place}'") == "t")

    def push_standby(self, standby, *words):
        before = self.archive.names()
        self.cluster.psql("checkpoint")  # a standby's backup begins at the last one
        self.replayed(standby)
        standby.psql("checkpoint")
        said = Walgd(self.scratch, {**self.settings, "WALGD_DELTA_SOURCE": self.source}, standby).walg("backup-push", *words, standby.data).stderr
        (name,) = set(self.archive.names()) - set(before)
        self.assertEqual(self.is_delta(name), not words, said)
        if not words:
            self.assertIn(f"made by {NAMES[self.source]}", said)
        return name

    def compare(self, names):
        expected = self.checksums(self.cluster)
        for name in names:
            with self.subTest(name=name):
                recovered = self.fetched(name)
                self.assertEqual(self.checksums(recovered), expected)
                self.check_sound(recovered)
                recovered.stop()

    def fetched(self, name):
        """By walg, tablespaces elsewhere, recovered to the end of the archive."""
        self.restored += 1
        spec = {**self.archive.sentinel(name)["Spec"]}
        for oid in spec["tablespaces"]:
            spec[oid] = {"loc": str(self.scratch.folder(f"fetched{self.restored}-{oid}")), "link": f"pg_tblspc/{oid}"}
        where = self.scratch.path / f"spec{self.restored}.json"
        where.write_text(json.dumps(spec))
        self.scratch.own(where)
        data = self.scratch.path / f"fetched{self.restored}"
        self.alone().walg("backup-fetch", data, name, "--restore-spec", where)
        cluster = Cluster(self.scratch, self.version, data.name, initdb=False)
        (data / "standby.signal").unlink(missing_ok=True)
        cluster.env = {**self.alone().env}
        cluster.recover_from(self.daemon.restore_command(), "primary_conninfo = ''")
        cluster.start()
        cluster.wait_until_writable()
        return cluster


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", default=",".join(str(version) for version in sorted(VERSIONS)))
    parser.add_argument("--servers", default="primary,standby,remote")
    parser.add_argument("--sources", default="scan,wal,map,summaries")
    options = parser.parse_args()
    failed, cells = [], 0
    for version in (int(word) for word in options.versions.split(",")):
        for server in options.servers.split(","):
            for source in options.sources.split(",") if server != "remote" else ["none"]:
                if source == "summaries" and version < 17:
                    continue  # PostgreSQL 17 brought them
                cell = Cell()
                cell.version, cell.server, cell.source = version, server, source
                began, outcome = time.monotonic(), unittest.TestResult()
                cell.run(outcome)
                cells += 1
                well = outcome.wasSuccessful() and not outcome.skipped
                print(f"PostgreSQL {version}, {server}, {'full' if server == 'remote' else 'full and deltas by ' + source}: {'equal' if well else 'FAILED'}, "
                      f"{time.monotonic() - began:.0f} s", flush=True)
                if not well:
                    failed.append(cell.id())
                    for _, text in outcome.failures + outcome.errors + outcome.skipped:
                        print(text, file=sys.stderr)
    print(f"{cells} cells, {cells - len(failed)} equal, failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
