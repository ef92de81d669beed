"""Metrics, health, status and the page: what is told, to whom, and that it is told rightly."""
import datetime
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import unittest
import urllib.request

from harness import CACHE, Cluster, TestCase, Walgd, free_port, make_certificate, until


class Http(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()
        self.port = free_port()

    def walgd(self, cluster=None, **settings):
        return Walgd(self.scratch, {**self.settings, "WALGD_HTTP_LISTEN": f"127.0.0.1:{self.port}", **settings}, cluster)

    def ask(self, path, method="GET", context=None, **headers):
        connection = (http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=context) if context
                      else http.client.HTTPConnection("127.0.0.1", self.port, timeout=20))
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def metrics(self):
        status, body = self.ask("/metrics")
        self.assertEqual(status, 200)
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in body.splitlines() if not line.startswith("#")}

    def judge_metrics(self):
        judged = subprocess.run([CACHE / "bin/promtool", "check", "metrics"], input=self.ask("/metrics")[1], capture_output=True, text=True)
        # The exporters' names end in _count, which promtool would not have chosen: nothing else may be found.
        found = [line for line in judged.stderr.splitlines() if not (line.startswith("walg_") and "_count" in line)]
        self.assertEqual(found, [], judged.stdout)
        self.assertIn(judged.returncode, (0, 3), "0: nothing; 3: words about style; else it cannot be parsed")

    def test_metrics_count_what_was_archived_and_promtool_finds_nothing_wrong(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        walgd = self.walgd(cluster).start()
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        for _ in range(3):
            last = cluster.switch()
        until("three pushes to be counted", lambda: self.metrics()['walgd_wal_pushes_total{result="stored"}'] >= 3)
        metrics = self.metrics()
        self.assertEqual(metrics["walg_storage_up"], 1)
        self.assertEqual(metrics["walgd_ready"], 1)
        self.assertEqual(metrics["walgd_wal_push_seconds_count"], metrics['walgd_wal_pushes_total{result="stored"}'] + metrics['walgd_wal_pushes_total{result="already_there"}'])
        self.assertGreaterEqual(metrics['walgd_wal_bytes_total{of="plain"}'], 3 << 20)
        for stage in ("wait", "pack", "put"):
            self.assertGreaterEqual(metrics[f'walgd_wal_stage_seconds_count{{stage="{stage}"}}'], 3)
        self.assertGreater(metrics['walgd_wal_stage_seconds_sum{stage="pack"}'], 0)
        self.assertGreaterEqual(metrics['walgd_storage_request_seconds_count{verb="put"}'], 3)
        self.assertLess(metrics["walgd_wal_seconds_since_last_stored"], 60)
        self.assertEqual(json.loads(self.ask("/status")[1])["wal"]["last_pushed"], last)
        self.judge_metrics()

    def test_segments_that_postgresql_could_not_archive_are_missing_at_the_end(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        walgd = self.walgd(cluster, TOTAL_BG_UPLOADED_LIMIT="0").start()
        cluster.archive_with("false")
        cluster.start()
        cluster.psql("create table t (x int)")
        for _ in range(3):
            cluster.psql("insert into t values (1)")
            cluster.psql("select pg_switch_wal()")
        until("three to be missing", lambda: self.metrics().get("walg_missing_remote_wal_segment_at_end") == 3)
        cluster.configure(f"archive_command = '{walgd.archive_command()}'")
        cluster.psql("select pg_reload_conf()")
        until("none to be missing", lambda: self.metrics().get("walg_missing_remote_wal_segment_at_end") == 0)

    def test_segments_that_postgresql_calls_archived_and_nobody_has_are_lost(self):
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        cluster.archive_with("true")
        cluster.start()
        walgd = self.walgd(cluster, TOTAL_BG_UPLOADED_LIMIT="0", WALGD_CATALOGUE_REFRESH="1s").start()
        names = [cluster.switch() for _ in range(2)]
        lost = lambda: self.metrics().get("walg_archive_lost_segments")
        until("all of them to be lost", lambda: lost() == len(cluster.segments_done()) and lost() >= 2)
        for name in cluster.segments_done():
            walgd.walg("wal-push", cluster.data / "pg_wal" / name)
        until("none to be lost", lambda: lost() == 0)
        self.assertIn(names[1], self.told_by_walg(walgd))
        (cluster.data / "standby.signal").touch()
        until("a standby to say nothing of it", lambda: lost() is None)

    @staticmethod
    def told_by_walg(walgd):
        return walgd.walg("wal-show", "--detailed-json").stdout

    def test_what_is_waiting_is_left_out_where_it_cannot_be_seen(self):
        self.walgd().start()
        self.assertNotIn("walg_missing_remote_wal_segment_at_end", self.metrics())

    def test_it_is_alive_but_not_ready_while_the_storage_fails_and_says_why(self):
        self.walgd().start()
        self.assertEqual(self.ask("/livez"), (200, "ok\n"))
        until("it to be ready", lambda: self.ask("/readyz") == (200, "ok\n"))
        minio_nowhere = {"WALG_S3_PREFIX": "s3://bucket/x", "AWS_ENDPOINT": f"http://127.0.0.1:{free_port()}", "AWS_REGION": "r", "AWS_ACCESS_KEY_ID": "a",
                         "AWS_SECRET_ACCESS_KEY": "b", "AWS_S3_FORCE_PATH_STYLE": "true"}
        other = free_port()
        down = Walgd(self.scratch, {**minio_nowhere, "WALGD_HTTP_LISTEN": f"127.0.0.1:{other}"}).start()
        self.port = other
        until("it to say that the storage fails", lambda: self.ask("/readyz")[0] == 503)
        self.assertIn("the storage fails since", self.ask("/readyz")[1])
        self.assertEqual(self.ask("/livez"), (200, "ok\n"))
        self.assertEqual(self.metrics()["walg_storage_up"], 0)
        self.assertIn('walgd_storage_failures_total{verb="put",cause="transient"}', self.metrics())
        down.stop(signal.SIGKILL)

    def test_the_archive_is_told_under_the_exporters_names(self):
        # Made up: 20 segments, base backups at 3, 6 and 8; then segment 7 is gone.
        wal, backups = self.folder / "wal_005", self.folder / "basebackups_005"
        for folder in (wal, backups):
            folder.mkdir()
        for number in range(1, 21):
            (wal / f"0000000100000000000000{number:02X}.lz4").write_bytes(b"x")
        for number in (3, 6, 8):
            (backups / f"base_0000000100000000000000{number:02X}_backup_stop_sentinel.json").write_text(json.dumps(
                {"LSN": number << 24, "FinishLSN": (number << 24) + 100, "PgVersion": 150000, "UncompressedSize": 1000, "CompressedSize": 100, "Version": 2,
                 "StartTime": f"2026-01-{number:02}T00:00:00Z", "FinishTime": f"2026-01-{number:02}T00:01:00Z", "IsPermanent": False}))
        self.scratch.own_tree(self.folder)
        names = ("walg_total_remote_wal_count", "walg_continuous_wal", "walg_valid_basebackup_count", "walg_missing_remote_wal_segment")

        def five():
            metrics = self.metrics()
            return [metrics.get(name) for name in names]
        self.walgd(WALGD_CATALOGUE_REFRESH="1s").start()
        until("the archive to be looked at", lambda: five() == [20, 18, 3, 0])
        metrics = self.metrics()
        self.assertEqual(metrics['walg_backups{backup_type="full"}'], 3)
        self.assertEqual(metrics["walg_useless_remote_wal_segment"], 2)
        self.assertEqual(metrics["walg_xlogs_since_basebackup"], 12)
        self.assertEqual(metrics['walg_wal_integrity_status{timeline_id="1",timeline_hex="00000001"}'], 1)
        self.assertEqual(metrics['walg_wal_verify_status{operation="integrity"}'], 1)
        self.assertEqual(metrics["walg_last_backup_duration"], 60)
        (wal / "000000010000000000000007.lz4").unlink()
        until("the gap to be seen", lambda: five() == [19, 13, 1, 1])
        self.assertEqual(self.metrics()['walg_wal_verify_status{operation="integrity"}'], 0)
        self.judge_metrics()

    def test_the_page_and_its_events_need_no_other_address(self):
        self.walgd().start()
        status, page = self.ask("/")
        self.assertEqual(status, 200)
        self.assertNotRegex(page, r'(src|href)="?https?:', "no outside assets")
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            lines = connection.makefile("rb")
            self.assertIn(b"200", lines.readline())
            data = next(line for line in lines if line.startswith(b"data: "))
            self.assertTrue(json.loads(data[6:])["status"]["version"])
            self.assertTrue(next(line for line in lines if line.startswith(b"data: ")), "one each second")

    def test_it_ends_when_it_is_told_to_also_with_a_page_open(self):
        walgd = self.walgd().start()
        until("the archive to be listed", lambda: "walg_backups" in "".join(self.metrics()))
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as page:
            page.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            self.assertTrue(page.recv(4096))
            self.assertEqual(walgd.stop(), 0)

    def test_nothing_is_started_without_the_token_or_for_another_site(self):
        self.walgd().start()
        self.assertEqual(self.ask("/backup", "POST")[0], 403, "there is no token, so nobody may")
        self.assertEqual(self.ask("/status", Host="evil.example")[0], 421, "a name that leads here is not ours")
        self.port = free_port()
        self.walgd(WALGD_HTTP_TOKEN="secret-token").start()
        self.assertEqual(self.ask("/backup", "POST")[0], 401)
        self.assertEqual(self.ask("/backup", "POST", Authorization="Bearer secret-tokem")[0], 401)
        self.assertEqual(self.ask("/backup", "POST", Authorization="Bearer secret-token")[0], 202)
        self.assertEqual(self.ask("/backup", Authorization="Bearer secret-token")[0], 405)
        for path in ("/verify", "/mark/base_000000010000000000000002", "/unmark/x"):
            self.assertEqual(self.ask(path, "POST")[0], 401)
        self.assertEqual(self.ask("/mark/base_000000010000000000000002", "POST", Authorization="Bearer secret-token")[0], 409, "there is none")
        self.assertNotIn("secret-token", self.ask("/status")[1] + self.ask("/metrics")[1] + (self.scratch.path / "log").read_text(errors="replace"))

    def test_a_name_that_is_no_utf_8_spoils_no_scrape(self):
        """Prometheus refuses all of a text for one such byte."""
        backups = self.folder / "basebackups_005"
        backups.mkdir(parents=True)
        with open(os.fsencode(backups) + b"/base_0000000100000000000000FF\xff\xc3\xb6_backup_stop_sentinel.json", "w") as file:
            file.write("{}")
        self.scratch.own_tree(self.folder)
        walgd = self.walgd().start()
        def scrape():
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
                return answer.read().decode()

        until("the backup to be told", lambda: "base_0000000100000000000000FF\ufffd\u00f6" in scrape(), 20)
        walgd.stop()

    def test_other_machines_are_served_with_tls_and_token_or_metrics_alone(self):
        everywhere = f"0.0.0.0:{self.port}"
        refused = self.walgd(WALGD_HTTP_LISTEN=everywhere)
        self.assertEqual(refused.start(wait=False).process.wait(20), 1, "neither TLS nor token")
        self.assertIn("which other machines may reach", (self.scratch.path / "log").read_text(errors="replace"))
        self.walgd(WALGD_HTTP_LISTEN=everywhere, WALGD_HTTP_OPEN="true").start()
        self.assertEqual([self.ask(path)[0] for path in ("/metrics", "/livez", "/readyz", "/status", "/", "/events")], [200, 200, 200, 401, 401, 401])
        self.port = free_port()
        certificate, key = make_certificate(self.scratch.folder("tls"), self.scratch.log)
        self.scratch.own_tree(certificate.parent)
        self.walgd(WALGD_HTTP_LISTEN=f"0.0.0.0:{self.port}", WALGD_HTTP_TOKEN="t", WALGD_HTTP_TLS_CERT=str(certificate), WALGD_HTTP_TLS_KEY=str(key)).start()
        context = ssl.create_default_context(cafile=str(certificate))
        self.assertEqual(self.ask("/metrics", context=context)[0], 401)
        self.assertEqual(self.ask("/status", context=context, Authorization="Bearer t")[0], 200)
        told = self.ask("/metrics", context=context, Authorization="bearer t")[1]
        end = float(re.search(r'^walgd_certificate_expiry_timestamp{of="http_tls_cert"} (\S+)$', told, re.MULTILINE)[1])
        dates = subprocess.check_output(["openssl", "x509", "-in", certificate, "-noout", "-enddate", "-dateopt", "iso_8601"], text=True)
        self.assertEqual(datetime.datetime.fromisoformat(dates.strip().removeprefix("notAfter=").replace("Z", "+00:00")).timestamp(), end)

    def test_nonsense_floods_and_silence_cost_little_and_end(self):
        walgd = self.walgd().start()
        for nonsense in (b"\x00\x01\x02\r\n\r\n", b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b"POST /backup HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
                try:
                    connection.sendall(nonsense)
                    answer = connection.recv(4096)
                except ConnectionResetError:
                    answer = b""
                self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer)
        silent = [socket.create_connection(("127.0.0.1", self.port), timeout=20) for _ in range(100)]
        until("the socket to be served all the same", lambda: walgd.walg("status").returncode == 0)
        for connection in silent:
            connection.close()
        until("pages to be served again", lambda: self.ask("/livez")[0] == 200)


if __name__ == "__main__":
    unittest.main()
