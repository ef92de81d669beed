"""The packages, the units and what is shipped with them."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

from harness import BUILD, CACHE, SOURCE, Cluster, TestCase, Walgd, free_port, run, until

MONITORING = SOURCE / "config/monitoring"
UNITS = ("walgd.service", "walgd@.service", "walgd.socket", "walgd-walg.socket")


class Packages(TestCase):
    def debs(self):
        """The two packages, unpacked: folder of walgd's, folder of the shims'."""
        out = self.scratch.path / "debs"
        built = subprocess.run(["cpack", "--config", BUILD.parent / "CPackConfig.cmake", "-B", out], capture_output=True, text=True)
        self.assertEqual(built.returncode, 0, built.stdout + built.stderr)
        folders = []
        for name in ("walgd", "walgd-shims"):
            deb = next(path for path in out.glob("*.deb") if path.name.startswith(name + "_"))
            subprocess.check_call(["dpkg", "-x", deb, self.scratch.path / name])
            folders.append(self.scratch.path / name)
            self.depends = {**getattr(self, "depends", {}), name: subprocess.check_output(["dpkg-deb", "-f", deb, "Depends"], text=True)}
        return folders

    def test_what_is_in_the_packages_works_and_names_what_it_needs(self):
        walgd, shims = self.debs()
        for path in ("bin/walgd", "bin/walg", "bin/wal-g", "share/man/man8/walgd.8.gz", "share/man/man1/walg.1.gz",
                     "share/bash-completion/completions/walg", "share/doc/walgd/walgd.yaml"):
            self.assertTrue((walgd / "usr" / path).exists(), path)
        for unit in UNITS:
            self.assertTrue((walgd / "usr/lib/systemd/system" / unit).exists(), unit)
        self.assertEqual(sorted(path.name for path in (shims / "usr/bin").iterdir()), ["walg-daemon-client", "walg-fetch", "walg-push"])
        for name in ("walg-daemon-client", "walg-fetch", "walg-push"):
            self.assertFalse((shims / "usr/bin" / name).is_symlink())
            page = subprocess.check_output(["zcat", shims / f"usr/share/man/man1/{name}.1.gz"], text=True).replace("\\", "")
            self.assertIn(f"{name} - ", page)
            self.assertIn(".SH EXIT STATUS\n0: ", page)
        self.assertEqual((walgd / "usr/bin/wal-g").readlink(), pathlib.Path("walg"))
        self.assertIn("libpq5", self.depends["walgd"])
        self.assertIn("walgd-shims", self.depends["walgd"])
        self.assertEqual(self.depends["walgd-shims"].strip(), "", "static: nothing but the kernel")
        self.assertIn("walgd", run([walgd / "usr/bin/walg", "--version"]).stdout)
        page = subprocess.check_output(["zcat", walgd / "usr/share/man/man8/walgd.8.gz"], text=True)
        self.assertIn("upload_concurrency", page.replace("\\", ""))
        page = subprocess.check_output(["zcat", walgd / "usr/share/man/man1/walg.1.gz"], text=True).replace("\\", "")
        for verb in ("backup-push", "wal-verify", "delete", "restore"):
            self.assertIn(f".B {verb}\n", page)
        complete = subprocess.run(["bash", "-n", walgd / "usr/share/bash-completion/completions/walg"], capture_output=True, text=True)
        self.assertEqual((complete.returncode, complete.stderr), (0, ""))

    def test_the_units_are_right_and_closed(self):
        # Where the programs are, so that systemd-analyze finds them.
        root = self.scratch.folder("root")
        (root / "usr/bin").mkdir(parents=True)
        shutil.copy2(BUILD / "walgd", root / "usr/bin/walgd")
        for unit in ("walgd.service", "walgd@.service"):
            rating = subprocess.run(["systemd-analyze", "security", "--offline=true", SOURCE / "systemd" / unit], capture_output=True, text=True)
            level = float(re.search(r"exposure level for .*: ([0-9.]+)", rating.stdout).group(1))
            self.assertLessEqual(level, 2.0, unit)
        for unit in UNITS:
            named = "walgd@15-main.service" if "@" in unit else unit
            folder = self.scratch.path / f"units-{unit}"
            shutil.copytree(SOURCE / "systemd", folder)
            here = lambda name: (SOURCE / "systemd" / name).read_text().replace("/usr/bin/walgd", str(root / "usr/bin/walgd")).replace("man:walgd(8)", "file:/dev/null")
            (folder / "walgd.service").write_text(here("walgd.service"))
            (folder / named).write_text(here(unit))
            said = subprocess.run(["systemd-analyze", "verify", folder / named], capture_output=True, text=True)
            ours = [line for line in said.stderr.splitlines() if "walgd" in line and "postgresql" not in line]
            self.assertEqual((said.returncode, ours), (0, []), said.stderr)

    @unittest.skipUnless(os.getuid() == 0, "makes a user in a folder")
    def test_the_user_and_the_folders_are_made_where_they_are_not(self):
        root = self.scratch.path / "root"  # root's: systemd-tmpfiles trusts no folder of another user's
        root.mkdir()
        for name, folder in (("sysusers", "sysusers.d"), ("tmpfiles", "tmpfiles.d")):
            place = root / "usr/lib" / folder
            place.mkdir(parents=True)
            shutil.copy(SOURCE / f"systemd/walgd.{name}", place / "walgd.conf")
        (root / "etc").mkdir()
        for command in (["systemd-sysusers", f"--root={root}"], ["systemd-tmpfiles", f"--root={root}", "--create"]):
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
        user = next(line.split(":") for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("postgres:"))
        number, group = int(user[2]), int(user[3])
        made = {name: (root / name).stat() for name in ("run/walgd", "etc/walgd")}
        self.assertEqual({name: (it.st_uid, it.st_gid, oct(it.st_mode & 0o7777)) for name, it in made.items()},
                         {"run/walgd": (number, group, "0o755"), "etc/walgd": (0, group, "0o750")})

    def test_alerts_fire_as_they_should_and_all_metrics_that_are_asked_for_exist(self):
        promtool = CACHE / "bin/promtool"
        for words in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
            judged = subprocess.run([promtool, *words], cwd=MONITORING, capture_output=True, text=True)
            self.assertEqual(judged.returncode, 0, judged.stdout + judged.stderr)
        dashboard = json.loads((MONITORING / "dashboard.json").read_text())
        asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]] + re.findall(r"expr: (.*)", (MONITORING / "alerts.yaml").read_text())
        names = {re.sub(r"_bucket$", "", name) for text in asked for name in re.findall(r"\bwalgd?_\w+", text)}
        folder, settings = self.store()
        port = free_port()
        cluster = Cluster(self.scratch, 15, segment_mb=1)
        east = json.dumps({"east": {"WALG_FILE_PREFIX": str(self.scratch.folder("east"))}})
        walgd = Walgd(self.scratch, {**settings, "WALGD_HTTP_LISTEN": f"127.0.0.1:{port}", "WALG_FAILOVER_STORAGES": east}, cluster).start()
        cluster.archive_with(walgd.archive_command())
        cluster.start()
        walgd.walg("backup-push", cluster.data)
        import urllib.request
        exported = lambda: {line.split()[2] for line in urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20).read().decode().splitlines() if line.startswith("# TYPE")}
        # Failures have no series before the first one, tasks before they ran, and here is neither TLS nor a key that ends.
        wanted = {name.removesuffix("_count") if name.startswith("walgd_storage_request") else name for name in names} - {"walgd_storage_failures_total", "walgd_task_last_ok", "walgd_certificate_expiry_timestamp", "walgd_credentials_expiry_timestamp"}
        until("all of them to be exported", lambda: wanted <= exported() or print(wanted - exported()), 30, 1)

    def test_examples_use_settings_that_exist(self):
        reference = (SOURCE / "config/REFERENCE.md").read_text()
        for example in sorted((SOURCE / "config/examples").iterdir()):
            for name in set(re.findall(r"\bWALGD?_[A-Z0-9_]+\b", example.read_text())):
                if name == "WALGD_TESTS":  # CMake's, in the Dockerfile
                    continue
                self.assertIn(name, reference, f"{example.name}: {name}")


if __name__ == "__main__":
    unittest.main()
