"""kill -9 at each system call of a push and of a fetch: of walgd, of the shims, and of walg without a daemon; on file storage and MinIO.

   kill_sweep.py [--stride 1] [--seed N] [--storage file|minio|both] [--only TEXT]

Every point is its own story: the program is killed on entering its Nth system call since the request came. Then PostgreSQL's view (the
exit code) is held against the bucket, walgd is started again, and the same request must succeed. A sweep ends when the request gets
through before its Nth call. With a stride only every so-manieth point is tried, beginning with one that the seed chooses.
"""
import argparse
import os
import pwd
import random
import shutil
import signal
import sys
import time

from support import Traced, make_segments
from harness import Minio, Scratch, Walgd, run, start, until

SEGMENTS = 300


def user_of_server():
    """Popen's words for the user postgres, so that the program that is traced is the one that is started."""
    if os.getuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class FileBucket:
    def __init__(self, scratch):
        self.root = scratch.folder("store")
        self.settings = {"WALG_FILE_PREFIX": str(self.root)}

    def objects(self):
        """What a reader of the bucket sees of WAL, and anything that lies where it should not."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file() and "walgd_005" not in path.parts)

    def forget(self, key):
        (self.root / key).unlink()


class MinioBucket:
    def __init__(self, scratch):
        self.server = Minio(scratch)
        self.settings = self.server.settings()
        self.root = scratch.path / f"minio{self.server.port}" / self.server.bucket / "archive"

    def objects(self):
        return sorted(str(path.parent.relative_to(self.root)) for path in self.root.rglob("xl.meta") if "walgd_005" not in path.parts)

    def forget(self, key):
        shutil.rmtree(self.root / key)


class Sweep:
    def __init__(self, scratch, bucket, wal, names):
        self.scratch, self.bucket, self.wal, self.names = scratch, bucket, wal, iter(names)
        settings = {**bucket.settings, "WALG_COMPRESSION_METHOD": "zstd", "WALGD_STORAGE_DEADLINE": "20s"}
        self.daemon = Walgd(scratch, settings)
        self.alone = Walgd(scratch, settings)  # no daemon listens there
        self.target = scratch.folder("target") / "RECOVERYXLOG"
        self.stored = []
        self.out = open(scratch.path / "answers", "ab")

    def fresh_daemon(self):
        """Serving, and done with what it does by itself at the start."""
        self.daemon.kill()
        self.daemon.start()
        until("walgd to know its storage", lambda: "conditional put" in self.daemon.walg("status").stdout, 30, 0.01)

    def content_of(self, name):
        out = self.scratch.path / "judge"
        out.unlink(missing_ok=True)
        self.alone.walg("wal-fetch", name, out)
        return out.read_bytes()

    def check_bucket(self, name, must):
        """`name` is there whole, or not at all; nothing else is there that was not."""
        key = f"wal_005/{name}.zst"
        objects = self.bucket.objects()
        assert [found for found in objects if found not in self.stored] in ([key], [] if not must else [key]), objects[-5:]
        assert len(objects) == len(set(objects)), "a name is there twice"
        if key in objects:
            assert self.content_of(name) == (self.wal / name).read_bytes(), f"{name} is stored torn"

    def command(self, program, operation, name):
        if operation == "push":
            return [self.scratch.bin / program, *(["wal-push"] if program == "walg" else []), self.wal / name]
        return [self.scratch.bin / program, *(["wal-fetch"] if program == "walg" else []), name, self.target]

    def begins_with(self, program, operation):
        """A program's own start, the loading of its libraries, is not part of the request."""
        if program != "walg":
            return None
        return str(self.wal) if operation == "push" else "/.walgd."

    def killed_at(self, program, operation, name, point):
        """The request, with `program` killed at its system call `point`. The exit code that PostgreSQL sees, and the trace."""
        shim = "walg-push" if operation == "push" else "walg-fetch"
        environment = (self.alone if program == "walg" else self.daemon).env
        traced = Traced(point, self.begins_with(program, operation))
        if program == "walgd":
            traced.attach(self.daemon.process.pid)
            client = start(self.command(shim, operation, name), self.out, env=environment)
        else:
            client = traced.start(self.command(program, operation, name), stdout=self.out, stderr=self.out, env=environment, **user_of_server())
        traced.run_until_end_of(client.pid, *([self.daemon.process.pid] if program == "walgd" and traced.killed else []))
        client.returncode = traced.ended[client.pid]
        if program == "walgd":
            self.end_daemon(traced)
        return client.returncode, traced

    def end_daemon(self, traced):
        """It is killed at last where the request got through: that is the point after the answer."""
        if self.daemon.process.pid not in traced.ended:
            os.kill(self.daemon.process.pid, signal.SIGKILL)
            traced.run_until_end_of(self.daemon.process.pid)
        self.daemon.process.returncode = traced.ended[self.daemon.process.pid]

    def push_point(self, program, point):
        name = next(self.names)
        code, traced = self.killed_at(program, "push", name, point)
        assert code in (0, 1, -signal.SIGKILL), f"exit code {code}"
        self.check_bucket(name, must=code == 0)
        if program == "walgd":
            self.fresh_daemon()
        again = run(self.command("walg-push" if program == "walgd" else program, "push", name),
                    env=(self.alone if program == "walg" else self.daemon).env, check=False)
        assert again.returncode == 0, again.stderr
        self.check_bucket(name, must=True)
        # A listing costs system calls for every object: with all of them kept, the sweep would run after its own end.
        self.bucket.forget(f"wal_005/{name}.zst")
        return code, traced

    def fetch_point(self, program, point):
        name = self.stored[0].removeprefix("wal_005/").removesuffix(".zst")
        content = (self.wal / name).read_bytes()
        self.target.unlink(missing_ok=True)
        code, traced = self.killed_at(program, "fetch", name, point)
        assert code in (0, 200, -signal.SIGKILL), f"exit code {code}: a death must not look like an absent file"
        there = self.target.read_bytes() if self.target.exists() else None
        assert there in (None, content), "PostgreSQL would see a part of the file"
        assert code != 0 or there == content, "exit code 0 without the file"
        if program == "walgd":
            self.fresh_daemon()
            assert set(os.listdir(self.target.parent)) <= {self.target.name}, "a temporary file stayed"
        self.target.unlink(missing_ok=True)
        run(self.command("walg-fetch" if program == "walgd" else program, "fetch", name), env=(self.alone if program == "walg" else self.daemon).env)
        assert self.target.read_bytes() == content
        for left in self.target.parent.iterdir():
            assert left == self.target or left.name.startswith(".walgd."), left
            left.unlink()
        return code, traced

    def sweep(self, program, operation, stride, offset):
        """How many kills, and of how many system calls."""
        self.fresh_daemon()
        if not self.stored:  # what the archive's system is known by, and what is fetched
            name = next(self.names)
            self.alone.walg("wal-push", self.wal / name)
            self.stored.append(f"wal_005/{name}.zst")
        kills, story = 0, self.push_point if operation == "push" else self.fetch_point
        point = 1 + offset
        while True:
            try:
                code, traced = story(program, point)
            except AssertionError as error:
                raise AssertionError(f"{operation}, {program} killed at system call {point}: {error}") from error
            if not traced.killed:
                assert code == 0, f"nobody was killed, and the exit code is {code}"
                return kills, traced.calls
            kills += 1
            point += stride


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--stride", type=int, default=1, help="try only every so-manieth system call")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="chooses the first one")
    options.add_argument("--storage", choices=("file", "minio", "both"), default="both")
    options.add_argument("--only", default="", help="only lanes with this text in their name")
    chosen = options.parse_args()
    dice, began, total, calls = random.Random(chosen.seed), time.monotonic(), 0, 0
    print(f"seed {chosen.seed}, stride {chosen.stride}", flush=True)
    for storage, bucket in (("file", FileBucket), ("minio", MinioBucket)):
        if chosen.storage not in (storage, "both"):
            continue
        scratch = Scratch()
        try:
            wal, names = make_segments(scratch, SEGMENTS * (4 if chosen.stride == 1 else 1))
            sweep = Sweep(scratch, bucket(scratch), wal, names)
            for operation in ("push", "fetch"):
                for program in ("walgd", f"walg-{operation}", "walg"):
                    lane = f"{storage} {operation} {program}"
                    if chosen.only not in lane:
                        continue
                    before = time.monotonic()
                    kills, count = sweep.sweep(program, operation, chosen.stride, dice.randrange(chosen.stride))
                    print(f"{lane:<24} {count:>4} system calls, killed at {kills:>4} of them, {time.monotonic() - before:.0f} s", flush=True)
                    total, calls = total + kills, calls + count
        finally:
            scratch.close()
    print(f"{total} kills, of {calls} system calls in all; each time the bucket and the exit code agreed, and the next try succeeded "
          f"({time.monotonic() - began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
