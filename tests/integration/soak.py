"""An hour of pgbench on Ceph's gateway, walgd killed now and then, base backups in between; then the host is lost and restored.

   soak.py [--seconds 3600] [--storage ceph|file] [--rate 150]    prints what it did and what it compared
"""
import argparse
import random
import shutil
import sys
import time

from harness import Cluster, Rgw, Scratch, Walgd, until


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=3600)
    options.add_argument("--storage", default="ceph", choices=("ceph", "file"))
    options.add_argument("--rate", type=int, default=150, help="transactions a second")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    chosen = options.parse_args()
    dice = random.Random(chosen.seed)
    scratch = Scratch()
    failed = True
    try:
        if chosen.storage == "ceph":
            settings = Rgw(scratch).settings("soak")
        else:
            settings = {"WALG_FILE_PREFIX": str(scratch.folder("store"))}
        settings["WALG_COMPRESSION_METHOD"] = "zstd"
        cluster = Cluster(scratch, 15, "data", extra="max_wal_size = '2GB'\ncheckpoint_timeout = '2min'\n")
        daemon = Walgd(scratch, settings, cluster).start()
        cluster.archive_with(daemon.archive_command(), timeout=20)
        cluster.start()
        cluster.pgbench("-i", "-q", "-s", "10")
        cluster.psql("create table ticks (id int, at timestamptz default now())")
        daemon.walg("backup-push", cluster.data)
        began, kills, backups, ticks = time.monotonic(), 0, 1, 0
        load = cluster.pgbench_in_background(chosen.seconds + 600, rate=chosen.rate)
        while time.monotonic() - began < chosen.seconds:
            time.sleep(dice.uniform(1, 15))  # the pace of the faults
            cluster.psql(f"insert into ticks values ({ticks})")
            ticks += 1
            daemon.kill()
            kills += 1
            daemon.start()
            if dice.random() < 0.02:
                daemon.walg("backup-push", cluster.data)
                backups += 1
        load.terminate()
        load.wait()
        last = cluster.switch()
        expected = cluster.checksum()
        archived = cluster.psql("select archived_count || ' archived, ' || failed_count || ' tries failed' from pg_stat_archiver")
        cluster.stop()
        shutil.rmtree(cluster.data)
        daemon.stop()
        alone = Walgd(scratch, settings)
        alone.walg("backup-fetch", scratch.path / "new", "LATEST")
        new = Cluster(scratch, 15, "new", initdb=False)
        new.env = alone.env
        new.recover_from(alone.restore_command())
        new.start(wait=False)
        new.wait_until_writable(1800)
        if new.checksum() != expected:
            print("the restored tables differ")
            return 1
        print(f"seed {chosen.seed}: {chosen.seconds} s on {chosen.storage}, {kills} kills, {backups} backups, {ticks} ticks, {archived}, last {last}: restored and equal")
        failed = False
        return 0
    finally:
        scratch.close(failed)


if __name__ == "__main__":
    sys.exit(main())
