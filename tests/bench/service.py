#!/usr/bin/env python3
"""walgd as a service: how long from its start until it serves, and until it knows the archive; and what it costs when nothing happens.

Fills a folder, or a MinIO, with N segments and M backups (as scale.py does), starts walgd --repeat times with metrics and page on, and prints JSON lines: milliseconds until
READY=1 (it takes WAL from there on) and until the archive is listed (metrics and page tell it), the first start and the median of the others; then its CPU over --idle-seconds.
Programs from the environment: WALGD_DIR (folder with walgd), MINIO. Exit code: 1 when it takes longer, or costs more, than the --max options allow.
"""
import argparse
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

from network import free_port
from scale import Folder, Minio, names

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Daemon:
    """walgd under a made-up systemd, which it tells when it is ready."""

    def __init__(self, scratch, settings):
        self.port = free_port()
        self.place = scratch / "notify"
        self.place.unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(self.place))
        self.notify.settimeout(30)
        env = {**settings, "NOTIFY_SOCKET": str(self.place), "WALGD_SOCKET": str(scratch / "walgd.sock"), "WALGD_HTTP_LISTEN": f"127.0.0.1:{self.port}"}
        self.log = open(scratch / "log", "ab")
        self.began = time.monotonic()
        self.process = subprocess.Popen([pathlib.Path(os.environ["WALGD_DIR"]) / "walgd"], env=env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def ready_ms(self):
        while b"READY=1" not in self.notify.recv(4096):
            pass
        return (time.monotonic() - self.began) * 1000

    def listed_ms(self):
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            connection.request("GET", "/metrics")
            if b"walg_total_remote_wal_count" in connection.getresponse().read():
                return (time.monotonic() - self.began) * 1000
            if time.monotonic() > self.began + 120:
                raise AssertionError("walgd did not list the archive within 120 s")
            time.sleep(0.001)

    def settle(self):
        """Until a second passes without any of its CPU time: what follows the first listing is done."""
        used = -1.0
        while used != (used := cpu_seconds(self.process.pid)):
            time.sleep(1)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.process.send_signal(signal.SIGTERM if failure[0] is None else signal.SIGKILL)
        self.process.wait(60)
        self.notify.close()
        self.log.close()


def measure(scratch, settings, chosen):
    ready, listed = [], []
    for _ in range(chosen.repeat):
        with Daemon(scratch, settings) as daemon:
            ready.append(daemon.ready_ms())
            listed.append(daemon.listed_ms())
    row = {"ready_ms": statistics.median(ready[1:]), "listed_ms": statistics.median(listed[1:]), "first_ready_ms": ready[0], "first_listed_ms": listed[0]}
    with Daemon(scratch, settings) as daemon:
        daemon.ready_ms()
        daemon.listed_ms()
        daemon.settle()
        before, began = cpu_seconds(daemon.process.pid), time.monotonic()
        time.sleep(chosen.idle_seconds)  # this is what is measured
        row["idle_percent"] = 100 * (cpu_seconds(daemon.process.pid) - before) / (time.monotonic() - began)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", required=True, help="scratch, about 8 KB an object with MinIO; emptied afterwards")
    parser.add_argument("--segments", type=int, default=1000)
    parser.add_argument("--backups", type=int, default=10)
    parser.add_argument("--storage", choices=("s3", "file"), default="file")
    parser.add_argument("--repeat", type=int, default=6)
    parser.add_argument("--idle-seconds", type=float, default=60)
    parser.add_argument("--max-ready-ms", type=float, default=100)
    parser.add_argument("--max-listed-ms", type=float, default=1000)
    parser.add_argument("--max-idle-percent", type=float, default=0.2)
    chosen = parser.parse_args()
    if chosen.repeat < 2:
        parser.error("--repeat is at least 2: the first start is told by itself")
    scratch = pathlib.Path(chosen.dir) / "service"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    store = (Minio if chosen.storage == "s3" else Folder)(scratch)
    try:
        store.fill(names(chosen.segments, chosen.backups))
        settings = {"PATH": "/usr/bin:/bin", "HOME": str(scratch), "WALG_COMPRESSION_METHOD": "zstd", "WALG_PG_WAL_SIZE": "16", **store.environment()}
        row = measure(scratch, settings, chosen)
    finally:
        store.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    print(json.dumps({"storage": chosen.storage, "segments": chosen.segments, "backups": chosen.backups, **{name: round(value, 3) for name, value in row.items()}}), flush=True)
    return 0 if row["ready_ms"] <= chosen.max_ready_ms and row["listed_ms"] <= chosen.max_listed_ms and row["idle_percent"] <= chosen.max_idle_percent else 1


if __name__ == "__main__":
    sys.exit(main())
