#!/usr/bin/env python3
"""Listing, showing and checking an archive of many WAL objects: walgd beside WAL-RUS on the same storage, in one run.

Fills a MinIO on loopback, or a folder, with N segments (a gap in every 10,000, a history of two timelines) and M backups, then runs each command --repeat times and
prints a JSON line for each: wall time, CPU, peak memory, requests (walgd's own count). The objects of a MinIO are made by copying on its disk what it wrote for one of them.
Then it starts walgd, and asks it when it has listed the archive: how long that took and in how much memory, how long wal-show takes, whose output must be that of a listing, and how
long a scrape of the metrics.
Programs from the environment: WALGD_DIR (folder with walg and walgd), MINIO, WALRUS (left out when it is not given).
Exit code: 1 when walgd needs more memory or time than --max-mib, --max-seconds and --max-daemon-ms allow.
"""
import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import s3_signing
from network import free_port, wait_for_port

USER, SECRET, BUCKET, PREFIX = "walgd-bench", "walgd-bench-secret", "bench", "archive"
PER_LOG = 256
SYSTEM = 7711127754801677347


def segment(timeline, number):
    return f"{timeline:08X}{number // PER_LOG:08X}{number % PER_LOG:08X}"


def names(segments, backups):
    """Keys with their content: most of the segments on timeline 1, the rest on 2."""
    switch = segments * 3 // 4
    yield "wal_005/00000002.history", f"1\t{switch * 16 << 20 >> 32:X}/{(switch * 16 << 20) & 0xFFFFFFFF:X}\tno recovery target specified\n".encode()
    for number in range(1, segments + 1):
        if number % 10000 != 5000:
            yield f"wal_005/{segment(1 if number < switch else 2, number)}.lz4", b"segment"
    for index in range(backups):
        number = 1 + index * (segments - 2) // max(1, backups)
        timeline = 1 if number < switch else 2
        name, start = f"base_{segment(timeline, number)}", number * (16 << 20) + 40
        common = {"StartTime": "2026-05-01T10:00:00Z", "FinishTime": "2026-05-01T10:01:00Z", "DateFmt": "%Y-%m-%dT%H:%M:%S.%fZ", "Hostname": "pg1", "DataDir": "/data", "IsPermanent": False}
        sentinel = {"LSN": start, "PgVersion": 150020, "FinishLSN": start + 200, "SystemIdentifier": SYSTEM, "UncompressedSize": 1, "CompressedSize": 1, "DataCatalogSize": 1, "Spec": None,
                    "FilesMetadataDisabled": False, "ChkpNum": None, "DeltaChkpNum": None, "Version": 2, **common}
        metadata = {"start_time": common["StartTime"], "finish_time": common["FinishTime"], "date_fmt": common["DateFmt"], "hostname": "pg1", "data_dir": "/data", "pg_version": 150020,
                    "start_lsn": start, "finish_lsn": start + 200, "is_permanent": False, "system_identifier": SYSTEM, "uncompressed_size": 1, "compressed_size": 1}
        yield f"basebackups_005/{name}_backup_stop_sentinel.json", json.dumps(sentinel).encode()
        yield f"basebackups_005/{name}/metadata.json", json.dumps(metadata).encode()
        yield f"basebackups_005/{name}/tar_partitions/part_001.tar.lz4", b"segment"


class Folder:
    def __init__(self, scratch):
        self.root = scratch / "store"

    def fill(self, objects):
        for key, content in objects:
            path = self.root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def environment(self):
        return {"WALG_FILE_PREFIX": str(self.root)}

    def stop(self):
        pass


class Minio:
    def __init__(self, scratch):
        self.data = scratch / "minio"
        (self.data / BUCKET).mkdir(parents=True)
        self.port = free_port()
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.data), "MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"}
        self.process = subprocess.Popen([os.environ["MINIO"], "server", "--quiet", "--address", f"127.0.0.1:{self.port}", str(self.data)], env=env,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def put(self, key, content):
        path = f"/{BUCKET}/{PREFIX}/{key}"
        host = f"127.0.0.1:{self.port}"
        headers = {"host": host, "x-amz-date": s3_signing.stamp(), "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
        headers["Authorization"] = s3_signing.authorization("PUT", path, headers, USER, SECRET)
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request("PUT", path, content, headers)
        status = connection.getresponse().status
        connection.close()
        return status

    def fill(self, objects):
        root = self.data / BUCKET / PREFIX
        model = None
        deadline = time.monotonic() + 60
        while self.put("model", b"segment") != 200:
            if time.monotonic() > deadline:
                raise AssertionError("MinIO does not take objects")
            time.sleep(0.2)  # it starts
        for key, content in objects:
            if content != b"segment":
                assert self.put(key, content) == 200, key
                continue
            model = model or (root / "model/xl.meta").read_bytes()
            folder = root / key
            folder.mkdir(parents=True)
            (folder / "xl.meta").write_bytes(model)
        shutil.rmtree(root / "model")

    def environment(self):
        return {"WALG_S3_PREFIX": f"s3://{BUCKET}/{PREFIX}", "AWS_ENDPOINT": f"http://127.0.0.1:{self.port}", "AWS_S3_FORCE_PATH_STYLE": "true", "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": SECRET}

    def stop(self):
        self.process.kill()
        self.process.wait()


def subjects(segments):
    """Command lines by subject and lane; of WAL-RUS those that ask no server."""
    at = (segments + 1) * (16 << 20)
    lsn = f"{at >> 32:X}/{at & 0xFFFFFFFF:X}"
    walg = pathlib.Path(os.environ["WALGD_DIR"]) / "walg"
    lanes = {"backup-list": ["backup-list"], "list-detail": ["backup-list", "--detail", "--json"], "wal-show": ["wal-show"], "wal-verify": ["wal-verify", "integrity", "timeline", "--lsn", lsn, "--timeline", "2"],
             "delete-plan": ["delete", "retain", "7"]}
    rows = [("walgd", lane, [walg, *words, "--stats"]) for lane, words in lanes.items()]
    if os.environ.get("WALRUS"):
        theirs = {"backup-list": ["backup-list"], "wal-show": ["wal-show"], "wal-verify": ["wal-verify", "integrity"], "delete-plan": ["delete", "retain", "7"]}
        rows += [("walrus", lane, [os.environ["WALRUS"], *words]) for lane, words in theirs.items()]
    return rows


def run(command, env, scratch):
    """Wall and CPU seconds, peak MiB (never below this program's own), exit code, last line of stderr."""
    with open(scratch / "out", "wb") as out, open(scratch / "err", "wb") as err:
        began = time.monotonic()
        process = subprocess.Popen([str(word) for word in command], env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    with open(scratch / "err", "rb") as err:
        err.seek(max(0, err.seek(0, os.SEEK_END) - 4096))  # a plan names every object
        errors = err.read().decode(errors="replace")
    told = re.search(r"(\d+) storage requests", errors)
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "mib": usage.ru_maxrss / 1024, "exit": process.returncode,
            "requests": int(told[1]) if told else None, "error": errors.strip().splitlines()[-1][:200] if process.returncode not in (0, 1) and errors.strip() else None}


class Daemon:
    """walgd, which lists the archive when it starts."""

    def __init__(self, scratch, settings):
        self.http = f"127.0.0.1:{free_port()}"
        self.env = {**settings, "WALGD_HTTP_LISTEN": self.http}
        self.began = time.monotonic()
        self.log = open(scratch / "log", "wb")
        self.process = subprocess.Popen([pathlib.Path(os.environ["WALGD_DIR"]) / "walgd"], env=self.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def listed_seconds(self):
        while b"event=archive_listed" not in pathlib.Path(self.log.name).read_bytes():
            if self.process.poll() is not None or time.monotonic() > self.began + 300:
                raise AssertionError("walgd did not list the archive")
            time.sleep(0.005)
        return time.monotonic() - self.began

    def scrape_seconds(self, count=20):
        """Of one connection that stays, as Prometheus' does; the first one apart."""
        connection = http.client.HTTPConnection(self.http, timeout=30)
        seconds = []
        for _ in range(count + 1):
            began = time.monotonic()
            connection.request("GET", "/metrics")
            text = connection.getresponse().read()
            seconds.append(time.monotonic() - began)
            assert b"walg_total_remote_wal_count" in text
        return statistics.median(seconds[1:])

    def peak_mib(self):
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024

    def stop(self):
        self.process.kill()
        self.process.wait()


def ask_daemon(scratch, env, repeat):
    """The row of wal-show by a daemon."""
    walg = pathlib.Path(os.environ["WALGD_DIR"]) / "walg"
    daemon = Daemon(scratch, env)
    try:
        listed = daemon.listed_seconds()
        rows = [run([walg, "wal-show", "--stats"], env, scratch) for _ in range(max(5, repeat))]
        told = (scratch / "out").read_bytes()
        scrape = daemon.scrape_seconds()
        run([walg, "wal-show", "--no-daemon"], env, scratch)
        return {"lane": "wal-show by the daemon", "subject": "walgd", "seconds": round(statistics.median(one["seconds"] for one in rows), 3), "requests": rows[0]["requests"],
                "mib": round(max(one["mib"] for one in rows), 1), "same": told == (scratch / "out").read_bytes(), "daemon_listed_seconds": round(listed, 2),
                "daemon_mib": round(daemon.peak_mib(), 1), "scrape_ms": round(scrape * 1000, 2)}
    finally:
        daemon.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", required=True, help="scratch, about 8 KB an object with MinIO; emptied afterwards")
    parser.add_argument("--segments", type=int, default=100_000)
    parser.add_argument("--backups", type=int, default=200)
    parser.add_argument("--storage", choices=("s3", "file"), default="s3")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--max-mib", type=float, default=200)
    parser.add_argument("--max-seconds", type=float, default=20)
    parser.add_argument("--max-daemon-ms", type=float, default=100)
    parser.add_argument("--lock", help="a file that is locked while commands are measured, where others use the machine too")
    chosen = parser.parse_args()
    scratch = pathlib.Path(chosen.dir) / "scale"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    store = (Minio if chosen.storage == "s3" else Folder)(scratch)
    within = True
    try:
        began = time.monotonic()
        store.fill(names(chosen.segments, chosen.backups))
        print(json.dumps({"filled_seconds": round(time.monotonic() - began, 1), "segments": chosen.segments, "backups": chosen.backups, "storage": chosen.storage}), flush=True)
        env = {"PATH": "/usr/bin:/bin", "HOME": str(scratch), "WALG_COMPRESSION_METHOD": "lz4", "WALG_PG_WAL_SIZE": "16", "WALGD_SOCKET": str(scratch / "walgd.sock"), **store.environment()}
        if chosen.lock:
            import fcntl
            lock = open(chosen.lock, "r+")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for subject, lane, command in subjects(chosen.segments):
            rows = [run(command, env, scratch) for _ in range(chosen.repeat)]
            row = {"lane": lane, "subject": subject, "seconds": round(statistics.median(one["seconds"] for one in rows), 3), "cold_seconds": round(rows[0]["seconds"], 3),
                   "cpu": round(statistics.median(one["cpu"] for one in rows), 3), "mib": round(max(one["mib"] for one in rows), 1), "requests": rows[0]["requests"], "exit": rows[0]["exit"]}
            if rows[0]["error"]:
                row["error"] = rows[0]["error"]
            print(json.dumps(row), flush=True)
            if subject == "walgd":
                within = within and row["mib"] <= chosen.max_mib and row["cold_seconds"] <= chosen.max_seconds and row["exit"] in (0, 1)
        row = ask_daemon(scratch, env, chosen.repeat)
        print(json.dumps(row), flush=True)
        within = within and row["same"] and row["requests"] == 0 and row["seconds"] * 1000 <= chosen.max_daemon_ms and row["daemon_mib"] <= chosen.max_mib
    finally:
        store.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
