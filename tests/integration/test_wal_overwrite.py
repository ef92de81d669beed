"""WALG_PREVENT_WAL_OVERWRITE under the name wal-g: the steps of the golden fixture wal-overwrite, with WAL-G's texts and exit codes."""
import json
import re
import unittest

from harness import GOLDEN, TestCase, Walgd

FIXTURE = GOLDEN / "wal-overwrite"
SEGMENT, HISTORY = "000000010000000000000003", "00000002.history"


class WalOverwrite(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, settings = self.store()
        self.pg_wal = self.scratch.folder("pg_wal")
        self.walgd = Walgd(self.scratch, {**settings, "WALG_COMPRESSION_METHOD": "lz4", "WALG_PREVENT_WAL_OVERWRITE": "true"})

    def write(self, name, content):
        (self.pg_wal / name).write_bytes(content)
        self.scratch.own(self.pg_wal / name)

    def before(self, number):
        """What the fixture's maker did before the step of that number."""
        if number == 1:
            self.write(SEGMENT, b"one" * 400000)
        elif number in (3, 6):
            self.write(SEGMENT, b"two" * 400000)
        elif number == 9:
            self.write(HISTORY, b"1\t0/3000000\tone\n")
        elif number == 11:
            self.write(HISTORY, b"1\t0/3000000\ttwo\n")
        elif number == 12:
            (self.folder / f"wal_005/{SEGMENT}.lz4").write_bytes(b"no frame of lz4's")
        elif number == 15:
            (self.scratch.path / "FILE").touch()
        elif number == 16:
            (self.scratch.path / "FILE").unlink()

    def test_each_step_ends_as_wal_g_ended_it(self):
        steps = [entry for entry in json.loads((FIXTURE / "listings.json").read_text()) if re.match(r"\d+:", entry["note"])]
        met = 0
        for entry in steps:
            number = int(entry["note"].split(":")[0])
            self.before(number)
            words = entry["command"].split()[1:]
            if words[0] not in ("wal-push", "wal-fetch"):
                continue
            met += 1
            with self.subTest(entry["note"]):
                words = [str(self.scratch.path / "FILE") if word == "FILE" else word for word in words]
                result = self.walgd.walg(*words, name="wal-g", check=False, env=entry.get("env"), cwd=self.scratch.path)
                self.assertEqual(result.returncode, entry["exit_code"], result.stderr)
                self.assertEqual(result.stdout, "")
                self.assert_same_text(result.stderr, (FIXTURE / entry["stderr"]).read_text())
        self.assertEqual(met, 15)

    def assert_same_text(self, ours, theirs):
        """Times apart; what lz4 itself says of its input, and our hints, are not compared."""
        ours = re.sub(r"(?m)^(INFO|WARNING|ERROR): \S+ \S+ ", r"\1: ", ours).replace(f"{self.scratch.path}/", "/srv/pg/wal-overwrite/data/")
        ours = "".join(line for line in ours.splitlines(True) if not line.startswith("HINT"))
        ours, theirs = (text.replace("/srv/pg/wal-overwrite/data/FILE", "FILE").replace("/srv/pg/wal-overwrite/x2", "FILE") for text in (ours, theirs))
        if "lz4: bad magic number" in theirs:
            theirs = theirs.split("lz4: bad magic number")[0].rstrip()
            self.assertTrue(ours.startswith(theirs), ours)
        else:
            self.assertEqual(ours.strip(), theirs.strip())


if __name__ == "__main__":
    unittest.main(verbosity=2)
