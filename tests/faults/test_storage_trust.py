"""A storage that cannot be reached or trusted, or that does not trust us: names, clocks, certificates, credentials. Against Ceph's
gateway, whose own refusals are what is tested wherever it can be brought to make them. The table of all faults: README.md."""
import os
import re
import signal
import ssl
import subprocess
import time
import unittest
import urllib.request

from storage_support import FaultCase, faults, free_port, until


class StorageTrust(FaultCase):
    def test_a_storage_that_cannot_be_reached_at_start_is_told_and_served_once_it_is_there(self):
        old = self.stored_before()
        self.proxy.close()
        told, path = self.mark(), self.segment()
        daemon = self.daemon()
        self.assert_told(daemon, told, "failing", "storage_failing", "refused")
        self.assertIn("not known yet", self.status(daemon)["overwrite_protection"])
        push, fetch = self.push_in_background(daemon, path), self.fetch_in_background(daemon, old)
        self.proxy.open()
        self.assertEqual(push.wait(30), 0)
        self.assert_waits_for(fetch, old)
        self.assert_stored(path)
        self.assert_state(daemon, "answering")
        until("If-None-Match to be found out", lambda: self.status(daemon)["overwrite_protection"] == "conditional put", 30)

    def test_a_storage_that_says_nothing_at_start_is_told_and_served_once_it_speaks(self):
        old = self.stored_before()
        self.proxy.fault(faults.stall)
        told, path = self.mark(), self.segment()
        daemon = self.daemon(WALGD_STORAGE_STALL_TIMEOUT="30s", WALGD_FETCH_TIMEOUT="60s")
        fetch = self.fetch_in_background(daemon, old)
        self.assert_told(daemon, told, "slow", "storage_slow", "no answer for 3 s")
        self.proxy.clear()
        self.assert_pushed(daemon, path)
        self.assert_waits_for(fetch, old)
        self.assert_state(daemon, "answering")

    def test_a_name_that_does_not_resolve_is_told_and_served_once_it_does(self):
        hosts = self.scratch.path / "hosts"
        hosts.write_text("127.0.0.1 localhost\n")
        told, path = self.mark(), self.segment()
        daemon = self.daemon(preload="libnss_wrapper.so", NSS_WRAPPER_HOSTS=str(hosts), AWS_ENDPOINT=f"http://storage.invalid:{self.proxy.port}")
        push = self.push_in_background(daemon, path)
        self.assert_told(daemon, told, "failing", "storage_failing", "cannot look up host storage.invalid", "DNS")
        hosts.write_text("127.0.0.1 localhost storage.invalid\n")
        os.utime(hosts, (time.time() + 10, time.time() + 10))  # it is read anew when its second is another
        self.assertEqual(push.wait(30), 0)
        self.assert_stored(path)
        self.assert_state(daemon, "answering")

    def test_a_clock_20_minutes_off_is_told_as_such_and_over_once_it_is_set(self):
        clock = self.scratch.path / "clock"
        for offset in ("+20m", "-20m"):
            with self.subTest(offset=offset):
                clock.write_text(offset + "\n")
                told, path = self.mark(), self.segment()
                daemon = self.daemon(preload="faketime/libfaketimeMT.so.1", FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1",
                                     FAKETIME_DONT_FAKE_MONOTONIC="1")
                result = self.push(daemon, path)
                self.assertEqual(result.returncode, 1)
                self.assertIn("RequestTimeTooSkewed", result.stderr)
                self.assertIn("clock is wrong", result.stderr)
                self.assert_told(daemon, told, "failing", "storage_failing", "RequestTimeTooSkewed", "clock is wrong")
                self.assert_absent(path)
                result, content = self.fetch(daemon, path.name)
                self.assertEqual((result.returncode, content), (200, None), "not absent: nobody was asked")
                clock.write_text("+0\n")
                self.assert_pushed(daemon, path)
                self.assert_state(daemon, "answering")
                daemon.kill()

    def test_a_machine_that_was_suspended_trusts_no_connection_from_before(self):
        clock = self.scratch.path / "clock"
        clock.write_text("+0\n")
        before, path = self.segment(), self.segment()
        daemon = self.daemon(preload="faketime/libfaketimeMT.so.1", FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1",
                             WALGD_STORAGE_STALL_TIMEOUT="120s")
        self.assert_pushed(daemon, before)
        daemon.process.send_signal(signal.SIGSTOP)
        self.proxy.silence()
        clock.write_text("+10m\n")  # the storage bears a quarter of an hour
        daemon.process.send_signal(signal.SIGCONT)
        push = self.push_in_background(daemon, path)
        self.assertEqual(push.wait(30), 0, "it waited for an answer on a connection of ten minutes ago")
        self.assert_stored(path)
        self.assert_state(daemon, "answering")

    def certificate(self, name, *when):
        key, crt = self.scratch.path / f"{name}.key", self.scratch.path / f"{name}.crt"
        subprocess.run([*when, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", key, "-out", crt], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(crt, key)
        return context, crt.read_text()

    def test_an_expired_certificate_is_told_as_such_and_over_once_it_is_renewed(self):
        expired, its_text = self.certificate("expired", "faketime", "3 days ago")
        renewed, text = self.certificate("renewed")
        trusted = self.scratch.path / "trusted.pem"
        trusted.write_text(its_text + text)
        self.proxy.tls = expired
        told, path = self.mark(), self.segment()
        metrics = f"127.0.0.1:{free_port()}"
        daemon = self.daemon(AWS_ENDPOINT=f"https://127.0.0.1:{self.proxy.port}", WALG_S3_CA_CERT_FILE=str(trusted), WALGD_HTTP_LISTEN=metrics)
        result = self.push(daemon, path)
        self.assertEqual(result.returncode, 1)
        self.assertIn("certificate has expired", result.stderr)
        self.assert_told(daemon, told, "failing", "storage_failing", "certificate has expired", f"127.0.0.1:{self.proxy.port}")
        self.assert_absent(path)
        self.assertEqual(self.fetch(daemon, path.name)[0].returncode, 200)
        self.proxy.tls = renewed
        self.assert_pushed(daemon, path)
        self.assert_state(daemon, "answering")
        told = urllib.request.urlopen(f"http://{metrics}/metrics", timeout=20).read().decode()
        end = float(re.search(rf'^walgd_certificate_expiry_timestamp{{of="127.0.0.1:{self.proxy.port}"}} (\S+)$', told, re.MULTILINE)[1])
        self.assertTrue(0 < end - time.time() <= 24 * 3600, end)

    def test_a_certificate_that_nobody_vouches_for_is_refused(self):
        self.proxy.tls, _ = self.certificate("stranger")
        told, path = self.mark(), self.segment()
        daemon = self.daemon(AWS_ENDPOINT=f"https://127.0.0.1:{self.proxy.port}")
        self.assertEqual(self.push(daemon, path).returncode, 1)
        self.assertEqual(self.fetch(daemon, path.name)[0].returncode, 200)
        self.assert_told(daemon, told, "failing", "storage_failing", "certificate", "WALG_S3_CA_CERT_FILE")
        self.assertEqual(self.proxy.requests, 0, "nothing was sent")

    def make_key(self, access):
        self.server.ceph("radosgw-admin", "key", "create", "--uid=walgd", "--key-type=s3", f"--access-key={access}", f"--secret-key={access}-secret")
        return f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {access}-secret\n"

    def with_credentials_file(self, text, **settings):
        path = self.scratch.path / "credentials"
        path.write_text(text)
        settings = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SHARED_CREDENTIALS_FILE": str(path), **settings}
        return path, self.ready_daemon(**settings)

    def test_credentials_that_expired_are_read_anew_and_the_request_repeated(self):
        # Where it is looked first, the request is a HEAD, whose answer does not tell why.
        for ignoring, fetches in ((False, False), (False, True), (True, False)):
            with self.subTest(storage_ignores_if_none_match=ignoring, fetches=fetches):
                if ignoring:
                    self.proxy.change = faults.strip("if-none-match", self.server.access, self.server.secret)
                key, before = f"{ignoring}{fetches}", self.segment()
                file, daemon = self.with_credentials_file(self.make_key(f"old{key}"))
                self.assert_pushed(daemon, before)
                file.write_text(self.make_key(f"new{key}"))
                self.proxy.fault(faults.status(400, "ExpiredToken"), head=f"Credential=old{key}/")
                told = self.mark()
                if fetches:
                    self.assert_fetched(daemon, before)
                else:
                    self.assert_pushed(daemon, self.segment())
                # One, or a few that were under way together.
                met = self.proxy.met_count()
                self.assertGreaterEqual(met, 1)
                self.assert_pushed(daemon, self.segment())
                self.assertEqual(self.proxy.met_count(), met, "from then on with the new ones")
                self.assertNotIn("event=storage_failing", told.text())
                self.proxy.clear()
                daemon.kill()

    def test_credentials_that_expired_are_told_while_there_are_no_newer_ones(self):
        file, daemon = self.with_credentials_file(self.make_key("expired"))
        self.proxy.fault(faults.status(400, "ExpiredToken"), head="Credential=expired/")
        path, told = self.segment(), self.mark()
        result = self.push(daemon, path)
        self.assertEqual(result.returncode, 1)
        self.assert_told(daemon, told, "failing", "storage_failing", "ExpiredToken", "check the credentials")
        self.assert_absent(path)
        self.assertEqual(self.fetch(daemon, path.name)[0].returncode, 200, "not absent: nobody was let in")
        file.write_text(self.make_key("fresh"))
        self.assert_pushed(daemon, path)
        self.assert_state(daemon, "answering")

    def test_a_key_that_was_withdrawn_is_told_until_another_is_there(self):
        file, daemon = self.with_credentials_file(self.make_key("withdrawn"))
        self.assert_pushed(daemon, self.segment())
        self.server.ceph("radosgw-admin", "key", "rm", "--uid=walgd", "--key-type=s3", "--access-key=withdrawn")
        path, told = self.segment(), self.mark()
        result = self.push(daemon, path)
        self.assertEqual(result.returncode, 1)
        self.assertIn("InvalidAccessKeyId", result.stderr)
        self.assert_told(daemon, told, "failing", "storage_failing", "InvalidAccessKeyId", "check the credentials")
        self.assertEqual(self.fetch(daemon, path.name)[0].returncode, 200)
        file.write_text(self.make_key("its-heir"))
        self.assert_pushed(daemon, path)
        self.assert_state(daemon, "answering")


if __name__ == "__main__":
    unittest.main(verbosity=2)
