"""The lanes: each gives a row, a dict of figures."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import backup_lanes
from lab import as_postgres, own
from measure import LaneFailed, MemoryPeak, cpu_seconds, memory_mib, percentiles

SHIM_CALLS = 500
PUSH_PAUSE_S = 0.05
GROWTH_BATCH = 50
GROWTH_EARLY = 500
GROWTH_MIB_MAX = 2.0
SEGMENT_BYTES = 16 << 20


def drive(lab, commands, names, folder, env, *, pause_s=0.0, fetch=False, ready="none"):
    """Calls the commands for each name as PostgreSQL does. What drive.py answers, with the peak memory of the commands."""
    helper = lab.scratch / "drive.py"
    shutil.copyfile(os.path.join(os.path.dirname(__file__), "drive.py"), helper)
    work = json.dumps({"commands": commands, "names": names, "folder": str(folder), "pause_s": pause_s, "fetch": fetch, "ready": ready})
    process = subprocess.Popen(as_postgres([sys.executable, helper]), env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=lab.log, text=True)
    peak = MemoryPeak(process.pid, without=(process.pid,))
    text, _ = process.communicate(work)
    answer = json.loads(text) if text else {"failed": f"the driver, code {process.returncode}"}
    answer["rss_mb"] = peak.stop()
    if "latencies" not in answer:
        raise LaneFailed(f"{answer['failed']}: {answer.get('command', '')} failed; bench.log may have its words")
    return answer


def archive(lab, subject, template, pgdata, names, **how):
    """Figures of one subject's command over the names. Memory is the daemon's, or where there is none, that of the commands."""
    daemon = subject.daemon.pid if subject.daemon else None
    cpu_before = cpu_seconds(daemon) if daemon else 0
    peak = MemoryPeak(daemon) if daemon else None
    answer = drive(lab, [template], names, pgdata, subject.env_for(pgdata), **how)
    cpu = answer["cpu_s"] + (cpu_seconds(daemon) - cpu_before if daemon else 0)
    row = {"n": len(names), "wall_s": answer["wall_s"], "seg_per_s": len(names) / answer["wall_s"], **percentiles(answer["latencies"][0]),
           "cpu_ms_per_seg": 1e3 * cpu / len(names), "rss_mb": answer["rss_mb"]}
    if daemon:
        # Samples miss what is short; the kernel's own mark does not.
        row.update(rss_mb=peak.stop(), hwm_mb=memory_mib(daemon, "VmHWM"), client_rss_mb=answer["rss_mb"])
    return row


def wal_lane(lab, lane, subject):
    """push, drain or fetch."""
    names = lab.segment_names(lab.chosen.push_segments if lane == "push" else lab.chosen.first)
    pgdata = lab.pgdata_with_segments(subject.file_name)
    if lane != "fetch":
        subject.empty_store()
    counting = lab.chosen.requests and subject.storage == "s3"
    subject.start(pgdata)
    idle = {"idle_before_mb": memory_mib(subject.daemon.pid)} if subject.daemon else {}
    template = subject.fetch(pgdata) if lane == "fetch" else subject.push(pgdata)
    if counting:
        if lane != "fetch":  # what it asks once, at its start and with its first segment, is not counted
            drive(lab, [template], names[:1], pgdata, subject.env_for(pgdata), ready="each")
            names = names[1:]
        lab.objects.requests()
    row = archive(lab, subject, template, pgdata, names, pause_s=PUSH_PAUSE_S if lane == "push" else 0, fetch=lane == "fetch",
                  ready={"push": "each", "drain": "all", "fetch": "none"}[lane])
    if counting:
        row["requests"] = lab.objects.requests()
        row["requests_per_seg"] = sum(row["requests"].values()) / len(names)
    subject.stop()
    shutil.rmtree(pgdata)
    return dict(row, **idle, stored_mb=subject.stored_mib())


def floor_lane(lab):
    """What no push can go below: starting a shell, reading the segment, the codec. Over the push lane's segments, with its pauses."""
    names = lab.segment_names(lab.chosen.push_segments)
    env = {"PATH": os.environ["PATH"]}
    shell = drive(lab, ['/bin/true "%p"'], names, lab.scratch, env, pause_s=PUSH_PAUSE_S)
    row = {"n": len(names), **percentiles(shell["latencies"][0]), "shell_cpu_ms_per_seg": 1e3 * shell["cpu_s"] / len(names)}
    for key, frame_bytes in (("one_call", 0), ("frames", 1 << 20)):
        command = [lab.program("bench_floor"), "--pause-ms", int(PUSH_PAUSE_S * 1e3), "--frame-bytes", frame_bytes, *(lab.segments / name for name in names)]
        codec = json.loads(subprocess.check_output([str(word) for word in command], stderr=lab.log))
        row[f"{key}_cpu_ms_per_seg"] = row["shell_cpu_ms_per_seg"] + codec["cpu_ms_per_seg"]
        row[f"{key}_stored_mb"] = codec["stored_bytes_per_seg"] * len(names) / 2**20
    return row


class Answers:
    """bench_answers while it is entered: a daemon that says ok at once."""

    def __init__(self, lab, *options):
        self.socket = lab.scratch / "answers.sock"
        self.command, self.log = as_postgres([lab.program("bench_answers"), self.socket, *options]), lab.log

    def __enter__(self):
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        while not self.socket.exists():
            if self.process.poll() is not None:
                raise LaneFailed(f"bench_answers ended with {self.process.returncode}; bench.log has its words")
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.printed = self.process.communicate()[0]


def shim_lane(lab):
    """walg-push against a daemon that answers at once, and /bin/true, in turn, both through sh."""
    name = lab.segment_names(1)[0]
    pgdata = lab.pgdata_with_segments("shim")
    shim = f'{os.environ["WALGD_DIR"]}/walg-push "%p"'
    with Answers(lab) as daemon:
        env = {"PATH": os.environ["PATH"], "WALGD_SOCKET": str(daemon.socket)}
        answer = drive(lab, ['/bin/true "%p"', shim], [name] * SHIM_CALLS, pgdata, env)
    with Answers(lab, "--memory") as daemon:
        drive(lab, [shim], [name] * 20, pgdata, env)
    shutil.rmtree(pgdata)
    true, pushed = (percentiles(latencies) for latencies in answer["latencies"])
    memory = [int(kib) for kib in daemon.printed.split()]
    if len(memory) != 20 or min(memory) <= 0:
        raise LaneFailed("bench_answers could not read the shim's memory")
    return {"n": SHIM_CALLS, "p50_ms": pushed["p50_ms"], "p99_ms": pushed["p99_ms"], "true_p50_ms": true["p50_ms"], "true_p99_ms": true["p99_ms"],
            "above_true_ms": pushed["p50_ms"] - true["p50_ms"], "client_rss_mb": max(memory) / 1024}


def next_names(first, count):
    """`count` names of 16 MiB segments from `first` on, each with the WAL address that its header has."""
    timeline, number = first[:8], int(first[8:16], 16) * 256 + int(first[16:], 16)
    return [(f"{timeline}{at // 256:08X}{at % 256:08X}", at * SEGMENT_BYTES) for at in range(number, number + count)]


def recycle(wal, old, new):
    """As PostgreSQL does it: old segments get new names; here they also get the header of what they claim to hold."""
    for before, (name, address) in zip(old, new):
        (wal / f"archive_status/{before}.done").unlink(missing_ok=True)
        if before != name:
            (wal / before).rename(wal / name)
        with open(wal / name, "r+b") as segment:
            segment.seek(8)
            segment.write(address.to_bytes(8, "little"))


def growth_lane(lab, subject):
    """Many segments through one daemon: its memory early, at the end, and idle before and after."""
    batch = min(GROWTH_BATCH, len(lab.segment_names()))
    step = len(lab.segment_names()) // batch
    names = lab.segment_names()[::step][:batch]
    pgdata = lab.empty_pgdata("growth")
    wal = pgdata / "pg_wal"
    for name in names:
        shutil.copyfile(lab.segments / name, wal / name)
    own(wal)
    subject.empty_store()
    subject.start(pgdata)
    daemon, first, done, early = subject.daemon.pid, names[0], 0, None
    row = {"idle_before_mb": memory_mib(daemon)}
    began = time.monotonic()
    while done < lab.chosen.growth_segments:
        new = next_names(first, done + batch)[done:]
        recycle(wal, names, new)
        names = [name for name, _ in new]
        drive(lab, [subject.push(pgdata)], names, pgdata, subject.env_for(pgdata), ready="all")
        done += batch
        subject.empty_store_of_wal()
        if early is None and done >= min(GROWTH_EARLY, lab.chosen.growth_segments // 2):
            early = memory_mib(daemon)
    row.update(n=done, wall_s=time.monotonic() - began, rss_early_mb=early, rss_end_mb=memory_mib(daemon), hwm_mb=memory_mib(daemon, "VmHWM"))
    time.sleep(5)  # what the figure is defined by
    row.update(idle_after_mb=memory_mib(daemon), grown_mb=row["rss_end_mb"] - early)
    subject.stop()
    shutil.rmtree(pgdata)
    if row["grown_mb"] > GROWTH_MIB_MAX:
        row["error"] = f"grew by {row['grown_mb']:.1f} MiB between segment {min(GROWTH_EARLY, done // 2)} and {done}; at most {GROWTH_MIB_MAX} MiB is right"
    return row


WAL_LANES = ("push", "drain", "fetch")


def measure(lab, lane, subject):
    """A row of a lane that has a subject."""
    try:
        if lane in WAL_LANES:
            return wal_lane(lab, lane, subject)
        if lane == "growth":
            return growth_lane(lab, subject)
        return backup_lanes.measure(lab, lane, subject)
    finally:
        subject.stop()
