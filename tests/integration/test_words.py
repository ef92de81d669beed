"""WAL-G's words over archives that WAL-G wrote: each command's streams and exit code as WAL-G 3.0.9 had them, times apart."""
import contextlib
import json
import re
import unittest

from harness import GOLDEN
from test_golden import Golden as GoldenArchives

FIXTURES = ("brotli", "composers", "delta-zstd", "libsodium", "lz4-default16", "lzma", "none", "pg17-full", "pgp", "remote-zstd", "wal-metadata")
WORDS = ("backup-list", "backup-show", "wal-show", "wal-verify", "st ls", "st cat", "st stat")
STAMP = re.compile(r"^(INFO|WARNING|ERROR|DEBUG): \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} ", re.MULTILINE)


def without_times(text):
    return STAMP.sub(r"\1: ", text)


def blocks(text, start):
    """Lines in groups that begin with `start`: the order of wal-verify's checks is random in WAL-G."""
    groups = [[]]
    for line in text.splitlines():
        if line.startswith(start) and groups[-1]:
            groups.append([])
        groups[-1].append(line)
    return sorted(groups)


class Words(GoldenArchives):
    """Compares; the tests are made below."""

    def comparable(self, fixture, listing, command):
        note = listing.get("note", "")
        if not command.startswith(WORDS) or "stdout" not in listing:
            return False
        # Made before the archive was complete, or of an object that is not kept.
        if "server running" in note or "before timeline 2" in note or "after the failed copy push" in note:
            return False
        if fixture == "none" and (command == "st ls" or "put" in command or ("st ls" in command and "misc" not in command)):
            return False
        # Where the host is in another zone WAL-G's file storage speaks of local times; walgd always says UTC.
        return fixture != "pg17-full" or bool(listing.get("env")) or command in ("wal-show", "wal-show --without-backups", "st ls") or command.startswith("wal-verify")

    @contextlib.contextmanager
    def settled(self, store, note):
        """The archive as the listing found it."""
        without = re.search(r"without (wal_005/\S+)", note)
        if not without:
            yield
            return
        aside = self.scratch.path / "aside"
        (store / without[1]).rename(aside)
        try:
            yield
        finally:
            aside.rename(store / without[1])

    def check_words(self, fixture):
        compared = 0
        source, walgd = self.prepare(fixture)
        walgd.env.pop("WALG_UPLOAD_WAL_METADATA", None)
        for number, listing in enumerate(json.loads((GOLDEN / fixture / "listings.json").read_text())):
            command = listing["command"].removeprefix("wal-g ")
            if not self.comparable(fixture, listing, command):
                continue
            with self.subTest(command=command, number=number), self.settled(self.scratch.path / f"{fixture}-archive", listing.get("note", "")):
                self.compare(walgd, command, listing, source)
                compared += 1
        self.assertGreater(compared, 1)

    def compare(self, walgd, command, listing, source):
        result = walgd.walg(*command.split(), name="wal-g", check=False)
        expected = (source / listing["stdout"]).read_text()
        errors = (source / listing["stderr"]).read_text()
        self.assertEqual(self.by_check(result.stdout), self.by_check(expected))
        self.assertEqual(blocks(without_times(result.stderr), "INFO: Building"), blocks(errors, "INFO: Building"))
        self.assertEqual(result.returncode, listing["exit_code"])

    def by_check(self, text):
        return sorted(re.split(r"(?=\[wal-verify\] \w+ check status)", text))


# Only what is compared here: the tests of the class that is built on have their own lane.
for name in [name for name in dir(GoldenArchives) if name.startswith("test_")]:
    setattr(Words, name, None)
for fixture in FIXTURES:
    if (GOLDEN / fixture / "listings.json").exists():
        setattr(Words, f"test_words_over_{fixture.replace('-', '_')}", lambda self, f=fixture: self.check_words(f))
del GoldenArchives

if __name__ == "__main__":
    unittest.main(verbosity=2)
