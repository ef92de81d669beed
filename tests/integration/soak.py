"""An hour of pgbench with base backups in between, while the storage, the network, walgd and PostgreSQL fail now and then in every way that the fault
tests know; then the host is lost and restored, and the tables are compared.

   soak.py [--seconds 3600] [--storage ceph|minio|file] [--rate 150] [--seed N]    prints what it did and what it compared
"""
import argparse
import collections
import pathlib
import random
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "faults"))

import proxy as faults
from harness import Cluster, Minio, Rgw, Scratch, Walgd

REQUEST_FAULTS = (faults.reset, faults.lost_answer, faults.stall, faults.cut_body, faults.slow_drip, faults.cut_request, faults.flipped_request,
                  *(faults.status(code, name) for code, name in ((500, "InternalError"), (503, "SlowDown"), (429, "TooManyRequests"), (403, "AccessDenied"))))


class Soak:
    def __init__(self, chosen, scratch):
        self.chosen, self.scratch = chosen, scratch
        self.dice = random.Random(chosen.seed)
        self.done = collections.Counter()
        self.proxy = None
        if chosen.storage == "file":
            self.direct = {"WALG_FILE_PREFIX": str(scratch.folder("store"))}
        else:
            server = (Rgw if chosen.storage == "ceph" else Minio)(scratch)
            self.direct = server.settings("soak")
            self.proxy = faults.Proxy(("127.0.0.1", server.port))
            scratch.stack.callback(self.proxy.close)
        self.direct["WALG_COMPRESSION_METHOD"] = "zstd"
        settings = dict(self.direct, WALGD_STORAGE_STALL_TIMEOUT="5s")
        if self.proxy:
            settings["AWS_ENDPOINT"] = f"http://127.0.0.1:{self.proxy.port}"
        self.cluster = Cluster(scratch, 15, "data", extra="max_wal_size = '2GB'\ncheckpoint_timeout = '2min'\nfsync = on\n")
        self.daemon = Walgd(scratch, settings, self.cluster).start()
        self.cluster.archive_with(self.daemon.archive_command(), timeout=20)
        self.cluster.start()
        self.cluster.pgbench("-i", "-q", "-s", "10")
        self.cluster.psql("create table ticks (id int, at timestamptz default now())")
        self.load = None

    def pgbench(self):
        self.load = self.cluster.pgbench_in_background(self.chosen.seconds + 600, rate=self.chosen.rate)

    # --- what goes wrong

    def kill(self):
        self.daemon.kill()
        self.daemon.start()

    def restart(self):
        """SIGTERM while PostgreSQL runs: walgd drains until a second signal."""
        self.daemon.process.terminate()
        time.sleep(self.dice.uniform(0.1, 1))  # the moment between the two
        self.daemon.stop()
        self.daemon.start()

    def postgresql(self):
        self.cluster.stop("immediate")
        self.load.wait()
        self.cluster.start()
        self.pgbench()

    def outage(self):
        self.proxy.close()
        time.sleep(self.dice.uniform(1, 20))  # its length
        self.proxy.open()

    def requests(self):
        self.proxy.fault(self.dice.choice(REQUEST_FAULTS), part=self.dice.choice(("wal_005/", "")), times=self.dice.randint(1, 8))

    def backup(self):
        result = self.daemon.walg("backup-push", self.cluster.data, check=False)
        self.done["backups" if result.returncode == 0 else "backups failed"] += 1

    def run(self):
        self.daemon.walg("backup-push", self.cluster.data)
        self.pgbench()
        ways = [(self.kill, 4), (self.restart, 1), (self.postgresql, 0.3), (self.backup, 0.3)]
        if self.proxy:
            ways += [(self.outage, 1), (self.requests, 5)]
        began, ticks = time.monotonic(), 0
        while time.monotonic() - began < self.chosen.seconds:
            time.sleep(self.dice.uniform(1, 10))  # the pace of the faults
            self.cluster.psql(f"insert into ticks values ({ticks})")
            ticks += 1
            way, = self.dice.choices([way for way, _ in ways], [weight for _, weight in ways])
            self.done[way.__name__] += way != self.backup
            way()
        return ticks

    def restored(self):
        """The host is lost; what the archive gives back, compared with what was there."""
        if self.proxy:
            self.done["requests that met a fault"] = self.proxy.met_count()
            self.proxy.clear()
        self.load.terminate()
        self.load.wait()
        last = self.cluster.switch()
        expected = self.cluster.checksum()
        archived = self.cluster.psql("select archived_count || ' archived, ' || failed_count || ' tries failed since the last start' from pg_stat_archiver")
        self.cluster.stop()
        shutil.rmtree(self.cluster.data)
        self.daemon.stop()
        alone = Walgd(self.scratch, self.direct)
        alone.walg("backup-fetch", self.scratch.path / "new", "LATEST")
        new = Cluster(self.scratch, 15, "new", initdb=False)
        new.env = alone.env
        new.recover_from(alone.restore_command())
        new.start(wait=False)
        new.wait_until_writable(1800)
        return new.checksum() == expected, f"{archived}, last {last}"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=int, default=3600)
    options.add_argument("--storage", default="ceph", choices=("ceph", "minio", "file"))
    options.add_argument("--rate", type=int, default=150, help="transactions a second")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    chosen = options.parse_args()
    scratch = Scratch()
    failed = True
    try:
        soak = Soak(chosen, scratch)
        ticks = soak.run()
        equal, archived = soak.restored()
        failed = not equal
        did = ", ".join(f"{count} {name}" for name, count in sorted(soak.done.items()))
        print(f"seed {chosen.seed}: {chosen.seconds} s on {chosen.storage}: {did}; {ticks} ticks, {archived}: restored and {'DIFFERENT' if failed else 'equal'}")
        return 1 if failed else 0
    finally:
        scratch.close(failed)


if __name__ == "__main__":
    sys.exit(main())
