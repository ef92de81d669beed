"""What PostgreSQL's archiver and startup process do: one command at a time through sh. Runs as PostgreSQL's user; standard input is JSON, so is the answer.

commands: templates with %p and %f, called in turn for each name; names: the files; folder: PGDATA; pause_s: idle time after each; fetch: the file must come; ready: "all" of
them wait to be archived (.ready) from the moment that the clock starts, so that who looks ahead has not begun before; or "each" when its turn comes; or "none".
"""
import json
import os
import resource
import sys
import time

SEGMENT_BYTES = 16 << 20


def make_ready(name):
    open(f"pg_wal/archive_status/{name}.ready", "w").close()


def call(template, name, fetch):
    """Seconds that it took; nothing when it failed."""
    path = "restored" if fetch else "pg_wal/" + name
    if fetch and os.path.exists(path):  # PostgreSQL never fetches onto a file that is there
        os.unlink(path)
    command = template.replace("%p", path).replace("%f", name)
    began = time.monotonic()
    code = os.system(command + " >/dev/null 2>&1")
    seconds = time.monotonic() - began
    return None if code or (fetch and os.path.getsize(path) != SEGMENT_BYTES) else seconds


def main():
    work = json.load(sys.stdin)
    os.chdir(work["folder"])
    latencies = [[] for _ in work["commands"]]
    began = time.monotonic()
    for name in work["names"] if work["ready"] == "all" else ():
        make_ready(name)
    for name in work["names"]:
        if work["ready"] == "each":
            make_ready(name)
        for template, taken in zip(work["commands"], latencies):
            seconds = call(template, name, work["fetch"])
            if seconds is None:
                return {"failed": name, "command": template}
            taken.append(seconds)
        ready = f"pg_wal/archive_status/{name}.ready"
        if os.path.exists(ready):
            os.rename(ready, ready[:-5] + "done")
        if work["pause_s"]:
            time.sleep(work["pause_s"])
    wall = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"latencies": latencies, "wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime}


print(json.dumps(main()))
