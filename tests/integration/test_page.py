"""The page at / in a real browser: headless Chromium, driven by its WebDriver (plain HTTP and JSON)."""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import unittest
import urllib.error
import urllib.request

from harness import Cluster, TestCase, Walgd, free_port, until

SHOTS = pathlib.Path(__file__).resolve().parents[2] / "build" / "test-logs"
TOKEN = "page-token"
TAB, ENTER = "\ue004", "\ue007"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One window of a headless Chromium, in a profile of its own; ends with the test."""

    def __init__(self, test):
        self.port, self.base = free_port(), None
        self.profile = test.scratch.folder("browser")
        self.log = open(test.scratch.path / "chromedriver.log", "wb")
        self.process = subprocess.Popen(["chromedriver", f"--port={self.port}"], stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)
        test.addCleanup(self.close)
        until("the driver of the browser to answer", lambda: self.ask("GET", "/status", quietly=True))
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", f"--user-data-dir={self.profile}"]
        session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": {
            "args": arguments, "binary": shutil.which("chromium")}, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.base = f"/session/{session['sessionId']}"

    def ask(self, method, path, body=None, quietly=False):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body or {}).encode() if method == "POST" else None, method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from None
        except OSError:
            if quietly:
                return None
            raise

    def call(self, path, body=None, method="POST"):
        return self.ask(method, self.base + path, body)

    def open(self, url):
        self.call("/url", {"url": url})

    def script(self, text, *arguments):
        return self.call("/execute/sync", {"script": text, "args": list(arguments)})

    def text(self, name):
        return self.script("return document.getElementById(arguments[0]).textContent", name)

    def keys(self, text):
        """As a person without a mouse: to whatever has the focus."""
        self.call("/actions", {"actions": [{"type": "key", "id": "k", "actions": [step for key in text for step in (
            {"type": "keyDown", "value": key}, {"type": "keyUp", "value": key})]}]})

    def tab_to(self, wanted):
        """Presses Tab until `wanted`, a piece of JavaScript over the focused element `e`, is true."""
        self.script("document.activeElement.blur()")
        for _ in range(60):
            self.keys(TAB)
            if self.script(f"const e = document.activeElement; return Boolean({wanted})"):
                return
        raise AssertionError(f"Tab never comes to {wanted}")

    def window(self, width, height, scheme):
        self.call("/window/rect", {"width": width, "height": height})
        self.call("/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}})
        self.call("/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": [{"name": "prefers-color-scheme", "value": scheme}]}})

    def shot(self, name):
        SHOTS.mkdir(parents=True, exist_ok=True)
        whole = self.call("/goog/cdp/execute", {"cmd": "Page.captureScreenshot", "params": {"captureBeyondViewport": True}})
        (SHOTS / f"page-{name}.png").write_bytes(base64.b64decode(whole["data"]))

    def complaints(self):
        return [line["message"] for line in self.call("/se/log", {"type": "browser"}) if "favicon" not in line["message"]]

    def close(self):
        if self.base:
            self.call("", method="DELETE")
        os.killpg(self.process.pid, 9)
        self.process.wait()
        self.log.close()


class Page(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, settings = self.store()
        self.cluster = Cluster(self.scratch, 15, segment_mb=1)
        self.url = f"127.0.0.1:{free_port()}"
        self.walgd = Walgd(self.scratch, {**settings, "WALGD_HTTP_LISTEN": self.url, "WALGD_HTTP_TOKEN": TOKEN, "WALGD_CATALOGUE_REFRESH": "1s",
                                          "WALGD_SCHEDULE_FULL": "@weekly", "WALG_DELTA_MAX_STEPS": "3"}, self.cluster).start()
        self.cluster.archive_with(self.walgd.archive_command())
        self.cluster.start()
        self.browser = Browser(self)

    def shows(self, name, text):
        until(f"#{name} to show '{text}'", lambda: text in self.browser.text(name))

    def backup(self):
        self.walgd.walg("backup-push", self.cluster.data)
        return json.loads(self.walgd.walg("backup-list", "--json").stdout)[-1]["backup_name"]

    def test_what_is_safe_what_is_restorable_and_what_is_missing(self):
        self.browser.open(f"http://{self.url}/")
        self.shows("link", "live")
        self.shows("window", "Nothing can be restored yet")
        self.assertIn("full", self.browser.text("due"))
        full = self.backup()
        self.cluster.psql("create table t as select generate_series(1, 30000) x")
        delta = self.backup()
        last = self.cluster.switch()
        self.shows("state", "all well")
        self.shows("safe2", last)
        self.shows("archive", "2 base backups")
        self.shows("window", "Restorable: any moment from")
        self.assertIn("_D_", delta)
        titles = "return [...document.querySelectorAll('#archive svg title')].map(t => t.textContent)"
        self.assertTrue({full, delta} <= set(self.browser.script(titles)))
        self.assertEqual(self.browser.script("return document.querySelectorAll('#archive svg path[fill=none]').length"), 1, "the chain's link")
        for _ in range(3):
            self.cluster.switch()
        gone = self.cluster.switch()
        self.cluster.switch()
        self.cluster.stop()
        shutil.rmtree(self.cluster.data / "pg_wal")  # else walgd would put it again
        next((self.folder / "wal_005").glob(gone + "*")).unlink()
        self.shows("archive", f"Missing: {gone}")
        self.shows("state", "needs a look")
        self.assertIn("until segment", self.browser.text("window"))
        self.assertRegex(self.browser.text("safe"), "Safe until segment [0-9A-F]{24} only")
        for name, width, height, scheme in (("wide-light", 1200, 1100, "light"), ("wide-dark", 1200, 1100, "dark"), ("phone-dark", 390, 844, "dark"), ("phone-light", 390, 844, "light")):
            self.browser.window(width, height, scheme)
            self.assertEqual(self.browser.script("return [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll *, svg *') && "
                                                 "e.getBoundingClientRect().right > arguments[0]).map(e => e.outerHTML)", width), [], "nothing hangs out at the side")
            self.browser.shot(name)
        self.assertEqual(self.browser.complaints(), [])

    def test_who_has_the_token_starts_things_with_the_keyboard_alone(self):
        self.browser.open(f"http://{self.url}/")
        self.shows("link", "live")
        self.browser.tab_to("e.tagName === 'SUMMARY'")
        self.browser.keys(ENTER)
        self.browser.tab_to("e.id === 'start'")
        self.browser.keys(ENTER)
        self.shows("said", "token is wanted")
        self.assertEqual(json.loads(self.walgd.walg("backup-list", "--json").stdout or "[]"), [], "nothing was started")
        self.browser.tab_to("e.id === 'token'")
        self.browser.keys(TOKEN + TAB + ENTER)
        self.shows("said", "a base backup has begun")
        self.shows("job", "Done: base_")
        self.browser.tab_to("e.id === 'check'")
        self.browser.keys(ENTER)
        self.shows("verify", "all sound")
        keep = "e.dataset.name && e.dataset.to === 'mark'"
        until("the backup to be listed", lambda: self.browser.script("return document.querySelectorAll('button[data-name]').length") == 1)
        self.browser.tab_to(keep)
        self.browser.keys(ENTER)
        self.shows("marked", "is permanent now")
        self.assertTrue(json.loads(self.walgd.walg("backup-list", "--json", "--detail").stdout)[0]["is_permanent"])
        until("the page to show it and keep the focus", lambda: self.browser.script("const e = document.activeElement; return Boolean(e.dataset.to === 'unmark')"))
        self.browser.keys(ENTER)
        self.shows("marked", "is not permanent now")
        self.assertFalse(json.loads(self.walgd.walg("backup-list", "--json", "--detail").stdout)[0]["is_permanent"])

    def test_an_open_page_says_that_walgd_is_gone_and_comes_back(self):
        self.browser.open(f"http://{self.url}/")
        self.shows("link", "live")
        self.walgd.kill()
        self.shows("link", "no answer from walgd")
        self.walgd.start()
        self.shows("link", "live")


if __name__ == "__main__":
    unittest.main()
