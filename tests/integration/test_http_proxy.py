"""An S3 server that is reached by an HTTP proxy, as HTTPS_PROXY, HTTP_PROXY and NO_PROXY say; its name is known to the proxy alone."""
import base64
import http.client
import http.server
import select
import socket
import threading
import unittest

from harness import Minio, TestCase, Walgd, free_port

NAME = "storage.test"
HISTORY = "00000002.history"
USER = "Basic " + base64.b64encode(b"me:p@ss").decode()


class ForwardProxy(http.server.ThreadingHTTPServer):
    """Leads what is asked of NAME to `port` of this machine. `user`: the Proxy-Authorization that it wants. Keeps what it was asked in `asked`."""
    daemon_threads = True

    def __init__(self, port, user=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port, self.user, self.asked = port, user, []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def let_in(self, name):
        self.server.asked.append(f"{self.command} {self.path}")
        refusal = 407 if self.server.user and self.headers.get("proxy-authorization") != self.server.user else 403 if name != NAME else None
        if refusal:
            self.send_response(refusal)
            self.send_header("content-length", "0")
            self.end_headers()
        return not refusal

    def do_CONNECT(self):
        if not self.let_in(self.path.rsplit(":", 1)[0]):
            return
        with socket.create_connection(("127.0.0.1", self.server.port)) as server:
            self.send_response(200)
            self.end_headers()
            other = {self.connection: server, server: self.connection}
            while True:
                for side in select.select(list(other), [], [])[0]:
                    data = side.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    other[side].sendall(data)

    def pass_on(self):
        name, _, path = self.path.removeprefix("http://").partition("/")
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not self.let_in(name.rsplit(":", 1)[0]):
            return
        server = http.client.HTTPConnection("127.0.0.1", self.server.port)
        server.putrequest(self.command, "/" + path, skip_host=True, skip_accept_encoding=True)
        for header, value in self.headers.items():
            if not header.lower().startswith("proxy-"):
                server.putheader(header, value)
        server.endheaders(body)
        answer = server.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for header, value in answer.getheaders():
            if header.lower() not in ("transfer-encoding", "connection"):
                self.send_header(header, value)
        self.end_headers()
        self.wfile.write(content)
        server.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

    def log_message(self, *arguments):
        pass


class ByProxy(TestCase):
    def setUp(self):
        super().setUp()
        self.source = self.scratch.path / HISTORY
        self.source.write_text("1\t0/3000000\tno recovery target specified\n")

    def proxy(self, server, user=None):
        proxy = ForwardProxy(server.port, user)
        self.addCleanup(proxy.server_close)
        self.addCleanup(proxy.shutdown)
        return proxy

    def walgd(self, server, endpoint, **settings):
        base = {**server.settings("proxied"), "AWS_ENDPOINT": endpoint, "WALG_COMPRESSION_METHOD": "zstd"}
        if server.ca:
            base["WALG_S3_CA_CERT_FILE"] = str(server.ca)
        return Walgd(self.scratch, {**base, **settings})

    def check_way(self, walgd):
        walgd.walg("wal-push", self.source)
        fetched = self.scratch.path / "fetched"
        walgd.walg("wal-fetch", HISTORY, fetched)
        self.assertEqual(fetched.read_text(), self.source.read_text())

    def test_a_plain_server_is_asked_by_the_proxy(self):
        server = Minio(self.scratch)
        proxy = self.proxy(server)
        endpoint = f"http://{NAME}:{server.port}"
        by = {"HTTP_PROXY": f"http://127.0.0.1:{proxy.server_port}"}
        self.check_way(self.walgd(server, endpoint, **by))
        self.assertTrue([line for line in proxy.asked if line.startswith(f"PUT {endpoint}/{server.bucket}/proxied/wal_005/{HISTORY}")], proxy.asked)
        for without in ({"NO_PROXY": f"other,{NAME}"}, {"HTTP_PROXY": ""}, {"HTTP_PROXY": "", "HTTPS_PROXY": by["HTTP_PROXY"]}):
            refused = self.walgd(server, endpoint, **{**by, **without, "S3_MAX_RETRIES": "1"}).walg("wal-push", self.source, check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(f"cannot look up host {NAME}", refused.stderr)
        strict = self.proxy(server, USER)
        refused = self.walgd(server, endpoint, HTTP_PROXY=f"http://127.0.0.1:{strict.server_port}").walg("wal-push", self.source, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"the proxy 127.0.0.1:{strict.server_port} makes no connection to {NAME}:{server.port}: HTTP 407", refused.stderr)
        self.assertIn("user:password", refused.stderr)
        self.check_way(self.walgd(server, endpoint, HTTP_PROXY=f"http://me:p%40ss@127.0.0.1:{strict.server_port}"))

    def test_to_a_server_with_tls_leads_a_tunnel_and_the_daemon_takes_it(self):
        server = Minio(self.scratch, tls=True)
        proxy = self.proxy(server, USER)
        endpoint = f"https://{NAME}:{server.port}"
        walgd = self.walgd(server, endpoint, https_proxy=f"http://me:p%40ss@127.0.0.1:{proxy.server_port}")
        self.check_way(walgd.start())
        self.assertEqual(set(proxy.asked), {f"CONNECT {NAME}:{server.port}"}, "the proxy sees no request")
        for user in ("", "me:s3cret@"):
            stranger = self.walgd(server, endpoint, HTTPS_PROXY=f"http://{user}127.0.0.1:{proxy.server_port}").walg("wal-push", self.source, check=False)
            self.assertEqual(stranger.returncode, 1)
            self.assertIn(f"the proxy 127.0.0.1:{proxy.server_port} makes no connection to {NAME}:{server.port}: HTTP 407", stranger.stderr)
            self.assertIn("user:password", stranger.stderr)
            self.assertNotIn("s3cret", stranger.stderr)

    def test_this_machine_is_reached_without_the_proxy(self):
        server = Minio(self.scratch)
        self.check_way(self.walgd(server, server.endpoint, HTTP_PROXY=f"http://127.0.0.1:{free_port()}"))

    def test_a_proxy_that_is_none_is_told_at_once(self):
        server = Minio(self.scratch)
        wrong = self.walgd(server, server.endpoint, HTTPS_PROXY="socks5://me:s3cret@127.0.0.1:1").walg("backup-list", check=False)
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("the proxy that HTTPS_PROXY names is none that speaks plain HTTP", wrong.stderr)
        self.assertNotIn("s3cret", wrong.stderr)


if __name__ == "__main__":
    unittest.main()
