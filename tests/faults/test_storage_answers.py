"""A storage that answers, and answers badly. Each fault with the daemon and the shims, as PostgreSQL runs them, against Ceph's gateway;
what is stored is judged past the proxy. The table of all faults: README.md."""
import unittest

from storage_support import FaultCase, faults, run, segment_content

BUSY = ((500, "InternalError"), (502, "BadGateway"), (503, "SlowDown"), (504, "GatewayTimeout"), (429, "TooManyRequests"))


class StorageAnswers(FaultCase):
    def test_push_waits_while_the_storage_is_busy(self):
        daemon = self.ready_daemon()
        for code, name in BUSY:
            with self.subTest(code=code):
                path, told = self.segment(), self.mark()
                self.proxy.fault(faults.status(code, name), "PUT", "wal_005/")
                push = self.push_in_background(daemon, path)
                self.assert_told(daemon, told, "failing", "storage_failing", f"HTTP {code} {name}", path.name)
                self.assertIsNone(push.poll(), "it waits")
                self.proxy.clear()
                self.assertEqual(push.wait(30), 0)
                self.assert_state(daemon, "answering")
                self.assertIn("event=storage_answers", told.text())
                self.assert_stored(path)

    def test_fetch_waits_while_the_storage_is_busy(self):
        daemon = self.ready_daemon()
        for code, name in BUSY:
            with self.subTest(code=code):
                path = self.segment()
                self.assert_pushed(daemon, path)
                self.proxy.fault(faults.status(code, name), "GET", "wal_005/0", times=2)
                self.assert_fetched(daemon, path)
                self.assertEqual(self.proxy.met_count(), 2)
                self.proxy.clear()

    def test_a_403_in_between_is_told_at_once_and_over_when_it_is_over(self):
        daemon = self.ready_daemon()
        old, path, told = self.segment(), self.segment(), self.mark()
        self.assert_pushed(daemon, old)
        self.proxy.fault(faults.status(403, "AccessDenied"))
        result = self.push(daemon, path)
        self.assertEqual(result.returncode, 1)
        self.assertIn("AccessDenied", result.stderr)
        self.assertEqual(self.proxy.met_count(), 1, "not tried again: PostgreSQL does")
        self.assert_told(daemon, told, "failing", "storage_failing", "HTTP 403 AccessDenied")
        result, content = self.fetch(daemon, old.name)
        self.assertEqual((result.returncode, content), (200, None), "not absent: forbidden")
        self.proxy.clear()
        self.assert_pushed(daemon, path)
        self.assert_fetched(daemon, old)
        self.assert_state(daemon, "answering")

    def test_who_may_not_remove_archives_all_the_same(self):
        self.proxy.fault(faults.status(403, "AccessDenied"), "POST", r"\?delete")
        daemon = self.ready_daemon()
        self.assertIn("event=probe_not_removed", self.log.read_text())
        self.assertEqual(self.proxy.met_count(), 1, "it is found out once")
        self.assertIn("works=true", self.log.read_text())
        self.assert_pushed(daemon, self.segment())

    def test_a_put_whose_answer_is_lost_is_stored_once_and_is_success(self):
        daemon, path = self.ready_daemon(), self.segment()
        self.proxy.fault(faults.lost_answer, "PUT", "wal_005/", times=1)
        told = self.mark()
        self.assert_pushed(daemon, path)
        self.assertEqual(self.proxy.met_count(), 1)
        self.assertIn("event=retry", told.text())
        self.assertIn("already_there=false", told.text(), "what is there was read back: it is what was sent")
        self.assert_pushed(daemon, path)

    def test_a_request_that_lost_or_changed_bytes_on_its_way_is_refused_by_the_storage_and_sent_again(self):
        daemon = self.ready_daemon()
        for fault in (faults.cut_request, faults.flipped_request):
            with self.subTest(fault=fault.__name__):
                path, told = self.segment(noise=1000), self.mark()
                self.proxy.clear()
                self.proxy.fault(fault, "PUT", "wal_005/", times=2)
                self.assert_pushed(daemon, path)
                self.assertEqual(self.proxy.met_count(), 2)
                self.assertIn("event=storage_failing", told.text())

    def test_a_yes_that_is_not_the_storages_is_not_believed(self):
        daemon, path, told = self.ready_daemon(WALGD_STORAGE_DEADLINE="3s"), self.segment(), self.mark()
        self.proxy.fault(faults.portal, "PUT", "wal_005/")
        result = self.push(daemon, path)
        self.assertEqual(result.returncode, 1)
        self.assert_told(daemon, told, "failing", "storage_failing", path.name, "without an ETag", "is it an S3 server")
        self.assert_absent(path)
        self.proxy.clear()
        self.proxy.fault(faults.portal)
        result, content = self.fetch(daemon, path.name)
        self.assertEqual((result.returncode, content), (200, None))
        self.proxy.clear()
        self.assert_pushed(daemon, path)

    def test_a_confirmation_with_another_checksum_is_not_believed_and_with_another_etag_is(self):
        daemon = self.ready_daemon()
        for header, value, believed in (("x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", False), ("ETag", None, False),
                                        ("ETag", '"d41d8cd98f00b204e9800998ecf8427e"', True)):
            with self.subTest(header=header, value=value):
                path, told = self.segment(noise=100), self.mark()
                self.proxy.clear()
                self.proxy.fault(faults.with_header(header, value), "PUT", "wal_005/", times=1)
                self.assert_pushed(daemon, path)
                self.assertEqual(self.proxy.met_count(), 1)
                self.assertEqual("event=storage_failing" in told.text(), not believed)
                self.assertEqual("event=retry" in told.text(), not believed)
                self.assertIn("already_there=false", told.text(), "what was there by then was read back: it is what was sent")

    def test_fetch_goes_on_where_a_body_broke_and_refuses_another_object(self):
        daemon, path = self.ready_daemon(), self.segment(noise=200000)
        self.assert_pushed(daemon, path)
        self.proxy.fault(faults.cut_body, "GET", path.name, times=1)
        self.assert_fetched(daemon, path)
        self.assertEqual(self.proxy.met_count(), 1)
        self.proxy.clear()
        told = self.mark()
        self.proxy.fault(faults.cut_body, "GET", path.name, times=1)
        self.proxy.fault(faults.with_header("ETag", '"00000000000000000000000000000000"'), "GET", path.name)
        result, content = self.fetch(daemon, path.name)
        self.assertEqual((result.returncode, content), (200, None))
        self.assertIn("changed while it was read", result.stderr)
        self.assertIn("event=wal_fetch_failed", told.text())
        self.proxy.clear()
        self.assert_fetched(daemon, path)

    def test_fetch_of_changed_bytes_is_200_whatever_packs_them_and_wherever_they_are(self):
        for method in ("zstd", "brotli", "none"):
            for fault, part in ((faults.flipped_bit, "whole"), (faults.wrong_length, "whole"), (faults.flipped_bit, "rest")):
                with self.subTest(method=method, fault=fault.__name__, part=part):
                    prefix = f"{self.prefix}-{method}-{fault.__name__}-{part}"
                    daemon = self.ready_daemon(WALG_S3_PREFIX=self.server.settings(prefix)["WALG_S3_PREFIX"], WALG_COMPRESSION_METHOD=method)
                    self.direct.env.update(self.server.settings(prefix))
                    path, told = self.segment(noise=200000), self.mark()
                    self.assert_pushed(daemon, path)
                    if part == "rest":
                        self.proxy.fault(faults.cut_body, "GET", "wal_005/0", times=1)
                    self.proxy.fault(fault, "GET", "wal_005/0")
                    result, content = self.fetch(daemon, path.name)
                    self.assertEqual((result.returncode, content), (200, None))
                    self.assertIn("event=wal_fetch_failed", told.text())
                    self.assertIn(path.name, self.status(daemon)["wal"]["last_error"])
                    self.proxy.clear()
                    self.assert_fetched(daemon, path)
                    daemon.kill()

    def test_a_body_that_trickles_out_is_slow_and_not_a_failure(self):
        """It takes longer than a connection may stall, and the system would hold all of it in its own buffers."""
        daemon = self.ready_daemon(WALGD_STORAGE_STALL_TIMEOUT="6s")
        path, told = self.segment(noise=900000), self.mark()
        self.proxy.close()
        self.proxy.intake = 5000
        self.proxy.open()
        push = self.push_in_background(daemon, path)
        self.assert_told(daemon, told, "slow", "storage_slow", path.name)
        self.assertEqual(push.wait(60), 0)
        self.assert_state(daemon, "answering")
        self.assert_stored(path)

    def test_a_body_that_trickles_in_is_slow_and_not_a_failure(self):
        daemon, path = self.ready_daemon(), self.segment(noise=300000)
        self.assert_pushed(daemon, path)
        told = self.mark()
        self.proxy.fault(lambda *parts: faults.slow_drip(*parts, step=2000), "GET", "wal_005/0")
        fetch = self.fetch_in_background(daemon, path)
        self.assert_told(daemon, told, "slow", "storage_slow", path.name)
        self.assertEqual(fetch.wait(60), 0)
        self.assertNotIn("event=retry", told.text())
        self.assert_state(daemon, "answering")

    def test_a_segment_that_another_writer_stored_with_other_content_stays_and_is_told_for_good(self):
        for ignoring in (False, True):
            with self.subTest(storage_ignores_if_none_match=ignoring):
                self.proxy.change = faults.strip("if-none-match", self.server.access, self.server.secret) if ignoring else lambda request: request
                daemon = self.ready_daemon()
                path, told = self.segment(noise=50), self.mark()
                theirs = segment_content(int(path.name[16:], 16), noise=60)
                ours = path.read_bytes()
                path.write_bytes(theirs)
                self.direct.walg("wal-push", path)
                path.write_bytes(ours)
                for attempt in range(3):
                    result = self.push(daemon, path)
                    self.assertEqual(result.returncode, 1)
                    for words in (path.name, f"wal_005/{path.name}.zst", "with other content"):
                        self.assertIn(words, result.stderr)
                self.assertIn(f"wal_005/{path.name}.zst", self.status(daemon)["wal"]["last_error"])
                self.assertIn("with other content", daemon.walg("status").stdout)
                self.assertTrue(any("error" in line and "event=wal_push_failed" in line and path.name in line for line in told.text().splitlines()))
                self.assert_stored(path, theirs)
                daemon.kill()

    def test_a_storage_that_ignores_if_none_match_is_found_out_at_start_and_looked_at_before_each_put(self):
        self.proxy.change = faults.strip("if-none-match", self.server.access, self.server.secret)
        daemon = self.ready_daemon()
        self.assertIn("event=conditional_put works=false", self.log.read_text())
        self.assertIn("ignores If-None-Match", self.status(daemon)["overwrite_protection"])
        self.assertIn("ignores If-None-Match", daemon.walg("status").stdout)
        check = run([self.scratch.bin / "walgd", "--check"], env=daemon.env, check=False)
        self.assertRegex(check.stdout, "conditional write.*not kept by this storage: walgd looks before it puts")
        path = self.segment()
        self.assert_pushed(daemon, path)
        self.proxy.fault(faults.lost_answer, "PUT", "wal_005/", times=1)
        other = self.segment()
        self.assert_pushed(daemon, other)
        self.assertEqual(self.proxy.met_count(), 1)

    def test_a_storage_that_refuses_if_none_match_is_one_that_ignores_it(self):
        for refusal in (faults.status(501, "NotImplemented"), faults.status(400, "NotImplemented"), faults.status(400, "InvalidArgument", "If-None-Match: not supported")):
            self.proxy.clear()
            self.proxy.fault(refusal, head="(?i)\nif-none-match:")
            daemon = self.ready_daemon()
            self.assertIn("event=conditional_put works=false", self.log.read_text())
            path = self.segment(noise=50)
            self.assert_pushed(daemon, path)
            path.write_bytes(segment_content(int(path.name[16:], 16), noise=60))
            self.assertIn("with other content", self.push(daemon, path).stderr)
            check = run([self.scratch.bin / "walgd", "--check"], env=daemon.env, check=False)
            self.assertRegex(check.stdout, "conditional write.*walgd looks before it puts")
            daemon.kill()

    def test_a_bucket_that_locks_new_objects_gets_the_md5_that_it_wants(self):
        wanted = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
        self.proxy.fault(faults.status(400, "InvalidRequest", wanted), "PUT", head=r"(?is)\A(?!.*\ncontent-md5:)")
        daemon = self.ready_daemon()
        self.assertIn("event=conditional_put works=true", self.log.read_text())
        self.assertEqual(self.proxy.met_count(), 1, "it is found out once")
        self.assert_pushed(daemon, self.segment(noise=50))

    def test_a_storage_that_keeps_if_none_match_is_said_to(self):
        daemon = self.ready_daemon()
        self.assertIn("event=conditional_put works=true", self.log.read_text())
        self.assertEqual(self.status(daemon)["overwrite_protection"], "conditional put")


if __name__ == "__main__":
    unittest.main(verbosity=2)
