"""The way to the S3 server made longer: netem on the loopback of a network namespace of our own, or a proxy where the kernel has no netem.

The delay is the round trip: each direction takes half of it. netem delays every packet, so that TCP's handshake and slow start cost what they cost over such
a way. The proxy (bench_delay) delays bytes and a connection's handshake, but does not imitate slow start.
"""
import os
import socket
import subprocess
import sys

IN_NAMESPACE = "WALGD_BENCH_NAMESPACE"
TRY_NETEM = "ip link set lo up && tc qdisc add dev lo root netem delay 1ms"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process):
    """Until `process` listens there. Fails when it ended instead."""
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
    raise RuntimeError(f"{process.args[0]} ended with {process.returncode} before it listened on port {port}; bench.log has its words")


def enter_namespace():
    """Runs this program again in a network namespace, if netem works in one; else returns, and the proxy is used."""
    if IN_NAMESPACE in os.environ or os.getuid() != 0:
        return
    try:
        works = subprocess.run(["unshare", "--net", "sh", "-c", TRY_NETEM], capture_output=True).returncode == 0
    except FileNotFoundError:
        works = False
    if works:
        os.environ[IN_NAMESPACE] = "1"
        os.execvp("unshare", ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *sys.argv])


class Delay:
    """The way to `port` with a round trip of `round_trip_ms` more. Use `port` of this instead; close() ends it."""

    def __init__(self, port, round_trip_ms, proxy_program, log):
        self.port, self.means, self.proxy = port, None, None
        if not round_trip_ms:
            return
        if IN_NAMESPACE in os.environ:
            self.means = "netem"
            subprocess.check_call(["tc", "qdisc", "replace", "dev", "lo", "root", "netem", "delay", f"{int(round_trip_ms * 500)}us", "limit", "100000"])
            return
        self.means, self.port = "proxy", free_port()
        command = [str(proxy_program), str(self.port), str(port), str(int(round_trip_ms * 1000))]
        self.proxy = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for_port(self.port, self.proxy)

    def close(self):
        if self.proxy:
            self.proxy.terminate()
            self.proxy.wait()
        elif self.means == "netem":
            subprocess.check_call(["tc", "qdisc", "del", "dev", "lo", "root"])
