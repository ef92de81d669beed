"""The lanes of base backups: each gives a row, a dict of figures."""
import os
import time

from lab import as_postgres
from measure import LaneFailed, run_once

LANES = ("full", "restore", "delta", "sources", "chain", "files", "remote")
OURS_ALONE = ("sources", "remote")
SMALL_FILES = 100_000
CHANGE_SEGMENTS = 48  # so many segments the changes are spread over: maps are of 16 each
MAP_WAIT_S = 60


def change_pages(lab):
    lab.cluster.psql(f"update pgbench_accounts set abalance=abalance+1 where aid%100=7 and aid < {lab.chosen.scale * 20000}")
    lab.cluster.psql("checkpoint")


def timed(lab, subject, command, env):
    """One command to its end, with what it added to the storage. What others wrote is on the disk before it begins."""
    before = subject.stored_mib()
    os.sync()
    row = run_once(as_postgres(command), env, lab.log)
    if row["rc"] != 0:
        raise LaneFailed(f"{command[0]} ended with {row['rc']}; bench.log has its words")
    return dict(row, stored_mb=subject.stored_mib() - before)


def full(lab, subject):
    return timed(lab, subject, *subject.full())


def delta(lab, subject):
    change_pages(lab)
    return timed(lab, subject, *subject.delta())


def sources(lab, subject):
    """Every hundredth page of the largest table changed, as a delta by a scan, and as one by the maps that the daemon made while the WAL passed; both of one
    full backup."""
    lab.cluster.psql("vacuum")  # else what reads pages meanwhile changes more of them than the lane does
    subject.empty_store()
    subject.start(lab.cluster.data, WALG_USE_WAL_DELTA="true")
    first = lab.cluster.psql("select pg_walfile_name(pg_switch_wal())")
    full(lab, subject)
    rows = lab.chosen.scale * 100_000 // CHANGE_SEGMENTS
    for turn in range(CHANGE_SEGMENTS):
        lab.cluster.psql(f"update pgbench_accounts set abalance = abalance + 1 where aid % 6100 = 7 and aid > {turn * rows} and aid <= {(turn + 1) * rows}")
        lab.cluster.psql("select pg_switch_wal()")
    lab.cluster.psql("checkpoint")
    for name in lab.cluster.finished_segments():
        if name >= first:
            command = subject.push(lab.cluster.data).replace("%p", f"{lab.cluster.data}/pg_wal/{name}")
            if run_once(as_postgres(["sh", "-c", command]), subject.env_for(lab.cluster.data), lab.log)["rc"] != 0:
                raise LaneFailed(f"{name} was not archived; bench.log has the words")
    wait_for_map(lab, subject)
    subject.stop()
    command, env = subject.delta()
    row = {}
    for source in ("scan", "map"):
        found = timed(lab, subject, command, dict(env, WALG_USE_WAL_DELTA="true", WALG_DELTA_ORIGIN="LATEST_FULL", WALGD_DELTA_SOURCE=source))
        row.update({f"{source}_{key}": value for key, value in found.items()})
    return row


def wait_for_map(lab, subject):
    """Until the daemon has written the map of the last whole 16 segments."""
    name = lab.cluster.finished_segments()[-1]
    last = f"{name[:16]}{int(name[16:], 16) // 16 * 16 - 16:08X}_delta"
    patience = time.monotonic() + MAP_WAIT_S
    while not list((subject.store() / "wal_005").glob(f"{last}*")):
        if time.monotonic() > patience:
            raise LaneFailed(f"{last} is not in the archive")
        time.sleep(0.1)


def remote(lab, subject):
    """A full backup by the replication protocol; beside it pg_basebackup, which asks the same of the server, and writes what it gets."""
    subject.empty_store()
    command, env = subject.full()
    here = {name: value for name, value in env.items() if name != "PGDATA"}
    row = timed(lab, subject, command[:-1], here)
    to = lab.new_folder()
    taken = timed(lab, subject, [lab.cluster.programs / "pg_basebackup", "-D", to, "-Ft", "-X", "none", "-c", "fast"], here)
    packed = timed(lab, subject, [lab.cluster.programs / "pg_basebackup", "-D", lab.new_folder(), "-Ft", "-X", "none", "-c", "fast", "-Z", "client-zstd:level=1"], here)
    return dict(row, plain_wall_s=taken["wall_s"], plain_cpu_s=taken["cpu_s"], zstd_wall_s=packed["wall_s"], zstd_cpu_s=packed["cpu_s"])


def restored(lab, subject, **settings):
    to = lab.new_folder()
    command, env = subject.restore(to)
    row = timed(lab, subject, command, dict(env, **settings))
    row["files"] = sum(1 for _ in to.rglob("*"))
    return row


def restore(lab, subject):
    """As the subject does it, and where it has a setting for it without fsync."""
    row = restored(lab, subject)
    unsynced = restored(lab, subject, **subject.unsynced) if subject.unsynced else row
    return dict(row, unsynced_wall_s=unsynced["wall_s"], unsynced_cpu_s=unsynced["cpu_s"])


def chain(lab, subject):
    """The newest of a full backup and five deltas, restored; then the same data as one full backup, restored."""
    subject.empty_store()
    full(lab, subject)
    stored = [delta(lab, subject)["stored_mb"] for _ in range(5)]
    row = restored(lab, subject)
    full(lab, subject)
    one = restored(lab, subject)
    return dict(row, stored_mb=sum(stored), full_wall_s=one["wall_s"], full_cpu_s=one["cpu_s"], full_rss_mb=one["rss_mb"])


def files(lab, subject):
    """A cluster of many relations of one page each: full backup and restore, in files a second."""
    with lab.many_files(SMALL_FILES):
        subject.empty_store()
        backup = full(lab, subject)
        fetched = restore(lab, subject)
        subject.empty_store()
    row = {"n": fetched["files"], "backup_files_per_s": fetched["files"] / backup["wall_s"], "backup_cpu_s": backup["cpu_s"], "backup_rss_mb": backup["rss_mb"]}
    return dict(row, restore_files_per_s=fetched["files"] / fetched["wall_s"], restore_cpu_s=fetched["cpu_s"], restore_rss_mb=fetched["rss_mb"],
                unsynced_restore_files_per_s=fetched["files"] / fetched["unsynced_wall_s"])


def measure(lab, lane, subject):
    if lane == "full":
        subject.empty_store()
    return {"full": full, "restore": restore, "delta": delta, "sources": sources, "chain": chain, "files": files, "remote": remote}[lane](lab, subject)
