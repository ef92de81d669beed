"""Archives that a real WAL-G wrote: every backup restores to its manifest, every WAL file comes back byte for byte."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import unittest

from harness import GOLDEN, TestCase, Walgd, manifest_of


def read_settings(path):
    """settings.env as the fixtures have it; a comment names the key file."""
    settings = {}
    for line in path.read_text().splitlines():
        if line.startswith("# WALG_PGP_KEY_PATH"):
            settings["WALG_PGP_KEY_PATH"] = line.split("=")[1].strip()
        elif line.startswith("# WALG_PGP_KEY "):
            settings["WALG_PGP_KEY"] = "keys/plain.sec.asc"
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            settings[name] = value.strip("'")
    return settings


class Golden(TestCase):
    def prepare(self, fixture, archive="archive", settings="settings.env"):
        """A copy of the archive with WAL-G's modification times, and walg's environment for it."""
        source = GOLDEN / fixture
        store = self.scratch.path / f"{fixture}-{archive}"
        shutil.copytree(source / archive, store)
        for line in (source / f"{archive}.objects.tsv").read_text().splitlines() if (source / f"{archive}.objects.tsv").exists() else []:
            seconds, _, _, path = line.split("\t")[:4]
            if (store / path).exists():
                whole, _, fraction = seconds.partition(".")
                ns = int(whole) * 10**9 + int(fraction.ljust(9, "0")[:9])
                os.utime(store / path, ns=(ns, ns))
        self.scratch.own_tree(store)
        env = read_settings(source / settings)
        if "WALG_PGP_KEY_PATH" in env:
            key = self.scratch.path / "key.asc"
            shutil.copy(source / env["WALG_PGP_KEY_PATH"], key)
            key.chmod(0o644)
            env["WALG_PGP_KEY_PATH"] = str(key)
        if "WALG_PGP_KEY" in env:
            env["WALG_PGP_KEY"] = (source / env["WALG_PGP_KEY"]).read_text().replace("\n", "\\n")
        env = {name: value for name, value in env.items() if name not in ("WALG_DELTA_MAX_STEPS", "WALG_USE_WAL_DELTA")}
        return source, Walgd(self.scratch, {**env, "WALG_FILE_PREFIX": str(store), "WALGD_SOCKET": str(self.scratch.path / "none.sock")})

    def check_backup(self, fixture, backup, *flags):
        source, walgd = self.prepare(fixture)
        target = self.scratch.path / "restored"
        options = []
        spec = None
        manifest = (source / f"expected/{backup}.manifest").read_text().splitlines()
        if any("TABLESPACE/" in line for line in manifest):
            spec = self.scratch.folder("space")
            (self.scratch.path / "spec.json").write_text('{"base_prefix":"%s","tablespaces":["16384"],"16384":{"loc":"%s","link":"pg_tblspc/16384"}}' % (target, spec))
            options = ["--restore-spec", str(self.scratch.path / "spec.json")]
        walgd.walg("backup-fetch", target, backup, *options, *flags)
        expected, real = {}, {}
        for line in manifest:
            kind, mode, size, digest, path = line.split("\t")
            if path.startswith("TABLESPACE/"):
                path = "pg_tblspc/" + path[len("TABLESPACE/"):].removesuffix("/.")
            if kind == "l":
                digest = None
            expected[path] = (kind, mode if kind == "f" else None, size if kind == "f" else None, digest if kind == "f" else None)
        for kind, mode, size, digest, path in self.walk(target):
            real[path] = (kind, mode if kind == "f" else None, str(size) if kind == "f" else None, digest if kind == "f" else None)
        # A folder and the link to it are one path in the restored tree, two lines in the manifest.
        for path in list(expected):
            if expected[path][0] in "dl" and path in real and real[path][0] in "dl":
                real[path] = expected[path]
        # walgd makes what PostgreSQL wants to find in pg_wal.
        if "pg_wal/archive_status" not in expected:
            real.pop("pg_wal/archive_status", None)
        self.assertEqual(real, expected)

    def walk(self, target):
        lines = manifest_of(target)
        for link in sorted((target / "pg_tblspc").iterdir()) if (target / "pg_tblspc").exists() else []:
            if link.is_symlink():
                for kind, mode, size, digest, path in manifest_of(link.resolve()):
                    if path != ".":
                        lines.append((kind, mode, size, digest, f"pg_tblspc/{link.name}/{path}"))
        return lines

    def test_openpgp_without_a_key_says_so(self):
        source, walgd = self.prepare("pgp", "archive", "settings.env")
        env = {name: "" for name in walgd.env if name.startswith("WALG_PGP")}
        for words in (("wal-fetch", "000000010000000000000008", self.scratch.path / "out"), ("backup-fetch", self.scratch.folder("nowhere"), "LATEST")):
            told = walgd.walg(*words, check=False, env=env)
            self.assertNotEqual(told.returncode, 0)
            self.assertIn("it is encrypted with OpenPGP, and no key is set", told.stderr)
            self.assertIn("set WALG_PGP_KEY_PATH", told.stderr)

    def test_openpgp_of_which_only_the_beginning_is_wanted_complains_of_nothing(self):
        # librnp has a voice of its own on stderr: "failed to read data chunk" where it is cut off, as if the segment were damaged.
        _, walgd = self.prepare("pgp")
        name = "000000010000000000000008"
        folder = self.scratch.folder("large")
        walgd.walg("wal-fetch", name, folder / name)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:8192] + os.urandom(len(content) - 8192))
        store = {"WALG_FILE_PREFIX": str(self.scratch.folder("store")), "WALG_COMPRESSION_METHOD": "none"}
        walgd.walg("wal-push", folder / name, name="wal-g", env=store)
        del walgd.env["WALG_PG_WAL_SIZE"]  # so the segment's header has to tell
        told = walgd.walg("wal-show", env=store)
        self.assertIn(name, told.stdout)
        self.assertNotIn("librepgp", told.stderr)

    def check_wal(self, fixture, archive="archive", settings="settings.env", sums="expected/wal.sha256"):
        source, walgd = self.prepare(fixture, archive, settings)
        out = self.scratch.folder(f"wal-{fixture}-{archive}")
        lines = (source / sums).read_text().splitlines()
        self.assertGreater(len(lines), 0)
        for line in lines:
            digest, size, name = line.split("\t")
            if name.endswith("_delta"):
                continue
            walgd.walg("wal-fetch", name, out / name)
            content = (out / name).read_bytes()
            self.assertEqual((hashlib.sha256(content).hexdigest(), len(content)), (digest, int(size)), f"{fixture} {name}")
        self.assertEqual(walgd.walg("wal-fetch", "0000000900000000000000AA", out / "absent", check=False).returncode, 1)
        self.assertEqual(walgd.walg("wal-fetch", "0000000900000000000000AA", out / "absent", check=False, name="wal-g").returncode, 74)
        self.assertFalse((out / "absent").exists())


    def check_listings(self, fixture):
        """backup-list in all its forms, as WAL-G printed it."""
        source, walgd = self.prepare(fixture)
        compared = 0
        for listing in json.loads((source / "listings.json").read_text()):
            words = listing["command"].split()
            if words[:2] != ["wal-g", "backup-list"] or listing.get("env") or "stdout" not in listing or listing.get("exit_code") != 0:
                continue
            with self.subTest(command=listing["command"]):
                result = walgd.walg(*words[1:], name="wal-g")
                self.assertEqual(result.stdout, (source / listing["stdout"]).read_text())
                compared += 1
        self.assertGreater(compared, 0)


    def check_deletes(self, fixture):
        """Every dry run of delete, and backup-mark, as WAL-G said it; but for those that would break what stays."""
        source, walgd = self.prepare(fixture)
        store = pathlib.Path(walgd.env["WALG_FILE_PREFIX"])
        if fixture == "none":  # the fixture leaves this one out
            (store / "basebackups_005/base_000000010000000000000009/tar_partitions/part_001.tar").write_bytes(b"not kept")
            shutil.rmtree(store / "misc")  # put behind these listings
        compared = 0
        for listing in json.loads((source / "listings.json").read_text()):
            words = listing["command"].split()
            if words[1] not in ("delete", "backup-mark") or listing.get("env") or (fixture, " ".join(words[2:])) in DEPARTURES:
                continue
            with self.subTest(command=listing["command"]):
                before = sorted(path for path in store.rglob("*"))
                result = walgd.walg(*words[1:], name="wal-g", check=False)
                said = [line for line in re.sub(r"(?m)^(INFO|WARNING|ERROR): \d{4}/\d\d/\d\d [\d:.]+ ", r"\1: ", result.stderr).splitlines() if "change nothing in this version" not in line]
                expected = (source / listing["stderr"]).read_text().replace(f"/srv/pg/{fixture}/bucket", str(store)).splitlines()
                self.assertEqual(said, expected)
                self.assertEqual(result.stdout, (source / listing["stdout"]).read_text())
                self.assertEqual(result.returncode, listing["exit_code"])
                self.assertEqual(sorted(path for path in store.rglob("*")), before, "a dry run")
                compared += 1
        self.assertGreater(compared, 5)

    def test_where_wal_g_would_break_a_chain_or_take_a_permanent_backup_it_stays(self):
        for command in (words for fixture, words in sorted(DEPARTURES) if fixture == "delta-zstd"):
            with self.subTest(command=command):
                source, walgd = self.prepare("delta-zstd")
                store = pathlib.Path(walgd.env["WALG_FILE_PREFIX"])
                backups = walgd.walg("backup-list", name="wal-g").stdout
                result = walgd.walg("delete", *command.split(), "--confirm", name="wal-g", check=False)
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertRegex(result.stderr, "WARNING: .* base_[0-9A-F_D]* stays: ")
                self.assertEqual(walgd.walg("backup-list", name="wal-g").stdout, backups)
                self.assertTrue((store / "wal_005/000000010000000000000013.zst").exists(), "the WAL of a base that stays")
                if command.startswith("target"):
                    self.assertTrue((store / "wal_005/000000010000000000000008.zst").exists(), "all or nothing")
                else:
                    self.assertFalse((store / "wal_005/000000010000000000000008.zst").exists())
                    self.assertFalse((store / "wal_005/000000010000000000000041.zst").exists(), "between two backups, needed by none")
                shutil.rmtree(store)


BREAKING = ("retain FULL 1", "retain FIND_FULL 1", "retain FULL 1 --use-sentinel-time", "before base_000000010000000000000042",
            "before FIND_FULL base_000000010000000000000042", "before FIND_FULL base_000000020000000000000046_D_000000010000000000000018",
            "target base_000000010000000000000042")
DEPARTURES = {("delta-zstd", command) for command in BREAKING}
FULL_BACKUPS = ["lz4-default16", "brotli", "lzma", "libsodium", "pgp", "pg17-full", "remote-zstd", "delta-zstd", "composers"]
VARIANTS = [("libsodium", "base64"), ("libsodium", "none"), ("libsodium", "none-uncompressed"), ("pgp", "passphrase"), ("pgp", "two"), ("pgp", "inline")]
WAL = [("lz4-default16", "archive", "settings.env"), ("brotli", "archive", "settings.env"), ("lzma", "archive", "settings.env"), ("none", "archive", "settings.env"),
       ("libsodium", "archive", "settings.env"), ("pgp", "archive", "settings.env"), ("delta-zstd", "archive", "settings.env"), ("pg17-full", "archive", "settings.env"), ("composers", "archive", "settings.env"), ("remote-zstd", "archive", "settings.env"),
       ("wal-metadata", "archive", "settings.env")]


def name_of(text):
    return text.replace("-", "_").replace(".", "_")


for fixture in FULL_BACKUPS:
    for manifest in sorted((GOLDEN / fixture / "expected").glob("base_????????????????????????.manifest")):
        backup = manifest.name.removesuffix(".manifest")
        setattr(Golden, f"test_backup_of_{name_of(fixture)}_{backup[-4:]}", lambda self, f=fixture, b=backup: self.check_backup(f, b))
# Deltas, with what they are based on; WAL-G's flags for the order change nothing.
for fixture in ("delta-zstd", "pg17-full"):
    for manifest in sorted((GOLDEN / fixture / "expected").glob("base_????????????????????????_D_????????????????????????.manifest")):
        backup = manifest.name.removesuffix(".manifest")
        setattr(Golden, f"test_chain_of_{name_of(fixture)}_{backup[5:29]}", lambda self, f=fixture, b=backup: self.check_backup(f, b))
        setattr(Golden, f"test_chain_of_{name_of(fixture)}_{backup[5:29]}_with_the_flags",
                lambda self, f=fixture, b=backup: self.check_backup(f, b, "--reverse-unpack", "--skip-redundant-tars"))
for fixture, archive, settings in WAL:
    if (GOLDEN / fixture / "expected/wal.sha256").exists():
        setattr(Golden, f"test_wal_of_{name_of(fixture)}", lambda self, f=fixture, a=archive, s=settings: self.check_wal(f, a, s))
# Not composers, whose listings are of S3, nor pg17-full, whose times are in the zone of its host.
for fixture in ("delta-zstd", "lz4-default16", "brotli", "lzma", "libsodium", "pgp", "remote-zstd"):
    setattr(Golden, f"test_listings_of_{name_of(fixture)}", lambda self, f=fixture: self.check_listings(f))
for fixture in ("delta-zstd", "lz4-default16", "brotli", "lzma", "none", "libsodium", "pgp", "remote-zstd", "pg17-full", "composers"):
    setattr(Golden, f"test_deletes_of_{name_of(fixture)}", lambda self, f=fixture: self.check_deletes(f))
for fixture, variant in VARIANTS:
    setattr(Golden, f"test_wal_of_{name_of(fixture)}_{name_of(variant)}",
            lambda self, f=fixture, v=variant: self.check_wal(f, f"archive-{v}", f"settings-{v}.env", f"expected/wal-{v}.sha256"))

if __name__ == "__main__":
    unittest.main(verbosity=2)
