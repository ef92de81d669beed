"""The numbers to reach, from the rows of one run: what walgd did, the best peer, their ratio, and whether it is enough."""
import statistics

PEERS = ("walrus", "walrus daemon", "pgbackrest", "pgbackrest async", "wal-g", "wal-g daemon")
HEAD = ("lane", "where", "walgd", "best peer", "ratio", "to reach", "reached")


class Rows:
    """The rows without errors; of repeated ones the medians."""

    def __init__(self, rows):
        self.found = {}
        for row in rows:
            if "error" not in row:
                self.found.setdefault((row["lane"], row.get("subject"), self.place(row)), []).append(row)

    @staticmethod
    def place(row):
        if "storage" not in row:
            return ""
        delay = row.get("delay_ms", 0)
        return f"s3, {delay:g} ms by {row['delay_by']}" if delay else row["storage"]

    def places(self, lane):
        return sorted({place for found, subject, place in self.found if found == lane and subject == "walgd"})

    def value(self, lane, subject, place, key):
        """Nothing when that was not measured."""
        values = [row[key] for row in self.found.get((lane, subject, place), []) if row.get(key) is not None]
        return statistics.median(values) if values else None

    def best_peer(self, lane, place, key, best, peers=PEERS):
        """Value and name; nothing when no peer was measured there."""
        values = [(self.value(lane, peer, place, key), peer) for peer in peers]
        values = [pair for pair in values if pair[0] is not None]
        return best(values) if values else (None, None)

    def all_values(self, subject, key):
        return [row[key] for (_, name, _), rows in self.found.items() if name == subject for row in rows if row.get(key) is not None]


def compared(name, place, ours, peer, peer_name, unit, limit, *, more_is_better=False, of="best peer"):
    """A line of the table about a ratio."""
    if ours is None or not peer:
        return None
    ratio = ours / peer
    reached = ratio >= limit if more_is_better else ratio <= limit
    asked = f"{'at least' if more_is_better else 'at most'} {limit:g} of {of}"
    return name, place, f"{ours:.1f} {unit}", f"{peer:.1f} {unit} ({peer_name})", f"{ratio:.2f}", asked, reached


def limited(name, place, ours, unit, limit, *, below=False):
    """A line of the table about a plain limit."""
    if ours is None:
        return None
    return name, place, f"{ours:.2f} {unit}", "", "", f"{'below' if below else 'at most'} {limit:g} {unit}", ours < limit if below else ours <= limit


def push_lines(rows, place):
    p50, peer = rows.best_peer("push", place, "p50_ms", min)
    yield compared("push, p50", place, rows.value("push", "walgd", place, "p50_ms"), p50, peer, "ms", 0.5)
    if peer:
        yield compared("push, p99", place, rows.value("push", "walgd", place, "p99_ms"), rows.value("push", peer, place, "p99_ms"), peer, "ms", 1)
    cpu = rows.value("push", "walgd", place, "cpu_ms_per_seg")
    peer_cpu, peer = rows.best_peer("push", place, "cpu_ms_per_seg", min, ("walrus", "walrus daemon"))
    yield compared("push, CPU a segment", place, cpu, peer_cpu, peer, "ms", 0.65, of="WAL-RUS")
    if peer:
        yield compared("push, stored", place, rows.value("push", "walgd", place, "stored_mb"), rows.value("push", peer, place, "stored_mb"), peer, "MiB", 1,
                       of="WAL-RUS")
    yield compared("push, CPU a segment", place, cpu, rows.value("floor", None, "", "one_call_cpu_ms_per_seg"), "floor, one call", "ms", 1.2, of="the floor")
    yield compared("push, CPU a segment", place, cpu, rows.value("floor", None, "", "frames_cpu_ms_per_seg"), "floor, frames of 1 MiB", "ms", 1.2,
                   of="the floor with our frames")


def full_lines(rows, place):
    for key, unit, limit in (("wall_s", "s", 0.6), ("cpu_s", "CPU s", 0.8)):
        yield compared("full backup", place, rows.value("full", "walgd", place, key), *rows.best_peer("full", place, key, min), unit, limit)
    stored, peer = rows.best_peer("full", place, "stored_mb", min, ("walrus",))
    yield compared("full backup, stored", place, rows.value("full", "walgd", place, "stored_mb"), stored, peer, "MiB", 1, of="WAL-RUS")
    yield limited("full backup, peak memory", place, rows.value("full", "walgd", place, "rss_mb"), "MiB", 64)


def restore_lines(rows, place):
    for key, unit in (("wall_s", "s"), ("cpu_s", "CPU s")):
        peer = rows.best_peer("restore", place, f"unsynced_{key}", min)
        yield compared("restore, neither with fsync", place, rows.value("restore", "walgd", place, f"unsynced_{key}"), *peer, unit, 0.65)
    yield compared("restore, ours with fsync", place, rows.value("restore", "walgd", place, "wall_s"), *rows.best_peer("restore", place, "unsynced_wall_s", min), "s", 1)
    yield limited("restore, peak memory", place, rows.value("restore", "walgd", place, "rss_mb"), "MiB", 64)


def lines(rows):
    for place in rows.places("push"):
        yield from push_lines(rows, place)
    for lane, least in (("drain", 1.7), ("fetch", 2)):
        for place in rows.places(lane):
            rate, peer = rows.best_peer(lane, place, "seg_per_s", max)
            limit = 1.4 if lane == "drain" and place.startswith("s3") else least
            if lane == "fetch":
                yield compared("fetch, segments/s", place, rows.value(lane, "walgd", place, "seg_per_s"),
                               *rows.best_peer(lane, place, "seg_per_s", max, PEERS[:4]), "/s", limit, more_is_better=True, of="WAL-RUS and pgBackRest")
                yield compared("fetch, segments/s", place, rows.value(lane, "walgd", place, "seg_per_s"),
                               *rows.best_peer(lane, place, "seg_per_s", max, PEERS[4:]), "/s", 1, more_is_better=True, of="WAL-G")
                yield limited("fetch, peak memory", place, rows.value(lane, "walgd", place, "hwm_mb"), "MiB", 48)
            else:
                yield compared("drain, segments/s", place, rows.value(lane, "walgd", place, "seg_per_s"), rate, peer, "/s", limit, more_is_better=True)
    for place in rows.places("full"):
        yield from full_lines(rows, place)
    for place in rows.places("restore"):
        yield from restore_lines(rows, place)
    for place in rows.places("delta"):
        for key, unit in (("wall_s", "s"), ("cpu_s", "CPU s")):
            yield compared("delta by scan", place, rows.value("delta", "walgd", place, key), *rows.best_peer("delta", place, key, min), unit, 0.7)
        yield limited("delta, peak memory", place, rows.value("delta", "walgd", place, "rss_mb"), "MiB", 64)
    for place in rows.places("sources"):
        yield compared("delta by map, CPU", place, rows.value("sources", "walgd", place, "map_cpu_s"), rows.value("sources", "walgd", place, "scan_cpu_s"), "by scan",
                       "CPU s", 0.25, of="the scan's")
    for place in rows.places("remote"):
        yield limited("remote full backup, peak memory", place, rows.value("remote", "walgd", place, "rss_mb"), "MiB", 64)
    for place in rows.places("chain"):
        yield compared("restore of a full and 5 deltas", place, rows.value("chain", "walgd", place, "wall_s"), rows.value("chain", "walgd", place, "full_wall_s"),
                       "one full", "s", 1.15, of="one full of the same data")
        yield limited("restore of a chain, peak memory", place, rows.value("chain", "walgd", place, "rss_mb"), "MiB", 64)
    for place in rows.places("files"):
        for way in ("backup", "restore", "unsynced_restore"):
            key = f"{way}_files_per_s"
            peers = "restore_files_per_s" if way == "unsynced_restore" else key
            yield compared(f"100,000 files, {way.replace('_', ' ')}", place, rows.value("files", "walgd", place, key), *rows.best_peer("files", place, peers, max), "/s", 2,
                           more_is_better=True)
        for way in ("backup", "restore"):
            yield limited(f"100,000 files, {way}, peak memory", place, rows.value("files", "walgd", place, f"{way}_rss_mb"), "MiB", 64)
    yield limited("shim, p50 above /bin/true", "", rows.value("shim", None, "", "above_true_ms"), "ms", 2.5)
    yield limited("shim, resident memory", "", rows.value("shim", None, "", "client_rss_mb"), "MiB", 1.5, below=True)
    yield limited("daemon, peak memory of all rows", "", max(rows.all_values("walgd", "hwm_mb"), default=None), "MiB", 40)
    idle = rows.all_values("walgd", "idle_before_mb") + rows.all_values("walgd", "idle_after_mb")
    yield limited("daemon, idle memory, the highest", "", max(idle, default=None), "MiB", 16)
    for place in rows.places("growth"):
        count = rows.value("growth", "walgd", place, "n")
        yield limited(f"daemon, growth over {count:g} segments", place, rows.value("growth", "walgd", place, "grown_mb"), "MiB", 2)
    for lane in ("push", "drain"):
        for place in rows.places(lane):
            yield limited(f"{lane}, requests a segment", place, rows.value(lane, "walgd", place, "requests_per_seg"), "requests", 1)


def show(rows, file):
    print(f"{file}\n\n| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for line in lines(Rows(rows)):
        if line:
            print(f"| {' | '.join(line[:-1])} | {'yes' if line[-1] else 'NO'} |")
    for row in rows:
        if "error" in row:
            print(f"\n{row['lane']} {row.get('subject', '')} {row.get('storage', '')} was not measured: {row['error']}")
