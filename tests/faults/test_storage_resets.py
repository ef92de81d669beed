"""The connection is reset at each byte position of a request's head and body and of an answer's, for put and for get, and the answer to a
get also ends in the ordinary way at each position: each meets a segment of its own. Nothing is lost, nothing is wrong. Against MinIO."""
import concurrent.futures
import re
import threading
import unittest

from storage_support import FaultCase, Minio, faults, need_minio


class Sweep:
    """Gives each object that is asked for the next fault of a list, once; measures the messages so that the list can be made."""

    def __init__(self):
        self.lock, self.left, self.longest = threading.Lock(), {}, [0, 0]

    def measure(self, request, upstream, client):
        head, body = upstream.exchange(request)
        self.longest = [max(self.longest[0], len(request.bytes())), max(self.longest[1], len(head) + 4 + len(body))]
        return faults.passed_on((head, body), client)

    def breaks(self, also_ended):
        ways = [(faults.broken_request, faults.abort, self.longest[0]), (faults.broken_answer, faults.abort, self.longest[1])]
        if also_ended:
            ways.append((faults.broken_answer, faults.end, self.longest[1]))
        return [make(at, how) for make, how, length in ways for at in range(length + 1)]

    def __call__(self, request, upstream, client):
        name = re.search("[0-9A-F]{24}", request.target).group()
        with self.lock:
            fault = self.left.pop(name, None)
        return fault(request, upstream, client) if fault else faults.passed_on(upstream.exchange(request), client)


class StorageResets(FaultCase):
    server_kind = Minio
    at_once = 16

    def each(self, work, items):
        with concurrent.futures.ThreadPoolExecutor(self.at_once) as pool:
            return list(pool.map(work, items))

    def measured(self, method, work):
        """A sweep that knows how long request and answer are."""
        sweep = Sweep()
        self.proxy.fault(sweep.measure, method, "wal_005/0")
        work()
        self.proxy.clear()
        return sweep

    def assign(self, sweep, paths, also_ended):
        """A segment for each position; says how many those are."""
        breaks = sweep.breaks(also_ended)
        self.assertGreater(len(breaks), 1000)
        while len(paths) < len(breaks):
            paths.append(self.segment())
        sweep.left = {path.name: fault for path, fault in zip(paths, breaks)}
        return len(breaks)

    def test_no_position_at_which_a_connection_breaks_loses_or_changes_anything(self):
        daemon = self.ready_daemon(WALG_UPLOAD_CONCURRENCY=str(self.at_once), WALG_DAEMON_WAL_UPLOAD_TIMEOUT="60s", WALGD_FETCH_TIMEOUT="60s")
        first = self.segment()
        put = self.measured("PUT", lambda: self.assert_pushed(daemon, first))
        get = self.measured("GET", lambda: self.assert_fetched(daemon, first))
        paths = []
        puts = self.assign(put, paths, also_ended=False)
        self.proxy.fault(put, "PUT", "wal_005/0")
        codes = self.each(lambda path: self.push(daemon, path).returncode, paths)
        self.assertEqual(set(codes), {0})
        self.assertEqual(put.left, {}, "each position was met")
        self.proxy.clear()
        gets = self.assign(get, paths, also_ended=True)
        self.assertEqual(set(self.each(lambda path: self.push(daemon, path).returncode, paths[puts:])), {0})
        self.proxy.fault(get, "GET", "wal_005/0")
        wrong = [path.name for path, (result, content) in zip(paths, self.each(lambda path: self.fetch(daemon, path.name), paths))
                 if result.returncode != 0 or content != path.read_bytes()]
        self.assertEqual(wrong, [])
        self.assertEqual(get.left, {}, "each position was met")
        self.assert_state(daemon, "answering")
        print(f"{puts} positions of a put, {gets} of a get")


if __name__ == "__main__":
    need_minio()
    unittest.main(verbosity=2)
