"""The lanes of base backups: each gives a row, a dict of figures."""
import os

from lab import as_postgres
from measure import LaneFailed, run_once

LANES = ("full", "restore", "delta", "chain", "files")
SMALL_FILES = 100_000


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
    return {"full": full, "restore": restore, "delta": delta, "chain": chain, "files": files}[lane](lab, subject)
