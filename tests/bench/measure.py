"""CPU time and memory of processes, read from /proc."""
import os
import re
import subprocess
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")


def process_tree(pid):
    """The process and all that descend from it, parents first."""
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        found.append(parent)
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as children:
                    todo += [int(child) for child in children.read().split()]
        except OSError:  # it ended
            pass
    return found


def cpu_seconds(pid):
    """User and system time of a live process, its live descendants, and those that were waited for."""
    total = 0.0
    for process in process_tree(pid):
        try:
            with open(f"/proc/{process}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            total += sum(int(field) for field in fields[11:15]) / TICKS
        except OSError:
            pass
    return total


def memory_mib(pid, key="VmRSS", without=()):
    """A line of /proc/PID/status, summed over the process tree: VmRSS is now, VmHWM each process's own peak."""
    total = 0
    for process in process_tree(pid):
        if process in without:
            continue
        try:
            with open(f"/proc/{process}/status") as status:
                total += int(re.search(key + r":\s+(\d+)", status.read()).group(1))
        except (OSError, AttributeError):
            pass
    return total / 1024


class MemoryPeak(threading.Thread):
    """The peak of a process tree's summed VmRSS, sampled every 20 ms."""

    def __init__(self, pid, without=()):
        super().__init__(daemon=True)
        self.pid, self.without, self.peak, self.ending = pid, without, 0.0, threading.Event()
        self.start()

    def run(self):
        while not self.ending.wait(0.02):
            self.peak = max(self.peak, memory_mib(self.pid, without=self.without))

    def stop(self):
        self.ending.set()
        self.join()
        return self.peak


class LaneFailed(Exception):
    """A lane without figures; the message tells why."""


def run_once(command, env, log):
    """Runs one command to its end: exit code, seconds, CPU seconds of it and of its children, peak MiB."""
    began = time.monotonic()
    process = subprocess.Popen(command, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
    peak = MemoryPeak(process.pid)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return {"rc": process.returncode, "wall_s": seconds, "cpu_s": used.ru_utime + used.ru_stime, "rss_mb": peak.stop()}


def percentiles(seconds):
    """p50, p99 and the slowest, in milliseconds."""
    ordered = sorted(seconds)
    return {"p50_ms": 1e3 * ordered[len(ordered) // 2], "p99_ms": 1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], "max_ms": 1e3 * ordered[-1]}
