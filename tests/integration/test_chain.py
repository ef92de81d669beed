"""Chains of backups: restored whole, in part, in place, after an interruption; and what of bad ones comes to light."""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tarfile
import unittest

from archive_maker import PAGE, SYSTEM, Archive, Increment, Skipped, Whole, control_file, name_of, tar_of
from harness import GOLDEN, Cluster, TestCase, Walgd, run, start, until

CONTROL = "global/pg_control"
OWN = ("global/pg_control", "backup_label", "tablespace_map")


def page(fill):
    return bytes([fill]) * PAGE


def pages(*fills):
    return b"".join(map(page, fills))


class ChainCase(TestCase):
    def setUp(self):
        super().setUp()
        self.folder, self.settings = self.store()
        self.archive = Archive(self.folder)
        self.target = self.scratch.path / "new"

    def walgd(self, **extra):
        return Walgd(self.scratch, {**self.settings, "WALGD_SOCKET": str(self.scratch.path / "none.sock"), **extra})

    def fetch(self, *words, check=True, target=None, name="walg", **extra):
        self.scratch.own_tree(self.folder)
        return self.walgd(**extra).walg("backup-fetch", target or self.target, *words, check=check, name=name)

    def restored(self, target=None):
        root = pathlib.Path(target or self.target)
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()}

    def check_restored(self, number, target=None):
        found = self.restored(target)
        for name in OWN:
            self.assertIn(name, found)
            del found[name]
        expected = self.archive.expected(number)
        self.assertEqual(sorted(found), sorted(expected))
        for name, content in expected.items():
            self.assertEqual(found[name], content, name)

    def refused(self, *words, target=None, **extra):
        """The fetch fails, and nothing that PostgreSQL would start is there. Returns what was said."""
        result = self.fetch(*words, check=False, target=target, **extra)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertFalse((pathlib.Path(target or self.target) / CONTROL).exists())
        return result.stderr

    def three(self):
        """A full backup and two deltas, of everything that can become of a file."""
        self.archive.full(1, {"base/5/same": Whole(b"same"), "base/5/1": Whole(pages(1, 1, 1, 1)), "base/5/2": Whole(pages(2, 2)), "base/5/3": Whole(pages(3, 3, 3, 3, 3)),
                              "base/5/gone": Whole(pages(9)), "base/5/again": Whole(pages(8)), "pg_xact/0000": Whole(b"x" * 8192)})
        self.archive.delta(2, 1, {"base/5/same": Skipped(), "base/5/1": Increment(5 * PAGE, {0: page(11), 4: page(11)}), "base/5/2": Skipped(), "base/5/3": Increment(2 * PAGE, {}),
                                  "base/5/again": Whole(pages(81, 82)), "base/5/fresh": Whole(pages(7, 7)), "pg_xact/0000": Whole(b"y" * 8192)})
        self.archive.delta(3, 2, {"base/5/same": Skipped(), "base/5/1": Increment(5 * PAGE, {0: page(12), 2: page(12)}), "base/5/2": Increment(2 * PAGE, {1: page(22)}),
                                  "base/5/3": Increment(4 * PAGE, {2: page(33)}), "base/5/again": Increment(3 * PAGE, {2: page(83)}), "base/5/fresh": Skipped(),
                                  "pg_xact/0000": Whole(b"z" * 8192)})


class Chain(ChainCase):
    def test_every_link_of_a_chain_is_restored(self):
        self.three()
        for number in (1, 2, 3):
            target = self.scratch.path / f"restored{number}"
            self.fetch(self.archive.backups[number]["name"], target=target)
            self.check_restored(number, target)
            self.assertIn(self.archive.backups[number]["name"].encode(), (target / "backup_label").read_bytes())
            self.assertEqual(sorted(path.name for path in target.iterdir()), ["backup_label", "base", "global", "pg_wal", "pg_xact", "tablespace_map"])

    def test_what_lay_behind_a_truncation_does_not_come_back(self):
        self.archive.full(1, {"base/5/1": Whole(pages(1, 1, 1, 1, 1, 1))})
        self.archive.delta(2, 1, {"base/5/1": Increment(2 * PAGE, {})})
        self.archive.delta(3, 2, {"base/5/1": Increment(6 * PAGE, {5: page(5)})})
        self.fetch("LATEST")
        self.assertEqual((self.target / "base/5/1").read_bytes(), pages(1, 1, 0, 0, 0, 5))

    def test_random_chains_are_what_applying_them_in_order_gives(self):
        source = random.Random(20261125)
        for turn in range(6):
            shutil.rmtree(self.folder / "basebackups_005", ignore_errors=True)
            self.archive = Archive(self.folder, parts=source.choice((1, 3)))
            self.archive.full(1, {f"base/5/{n}": Whole(source.randbytes(PAGE * source.randrange(0, 9))) for n in range(30)})
            for number in range(2, source.randrange(3, 9)):
                self.archive.delta(number, number - 1, self.next_files(source, self.archive.expected(number - 1)))
            target = self.scratch.path / f"random{turn}"
            self.fetch("LATEST", target=target)
            self.check_restored(max(self.archive.backups), target)

    def next_files(self, source, before):
        files = {}
        for name, content in before.items():
            kind = source.random()
            size = PAGE * source.randrange(1, 10)
            if kind < 0.4:
                files[name] = Skipped()
            elif kind < 0.8 and content:
                files[name] = Increment(size, {block: source.randbytes(PAGE) for block in range(size // PAGE) if source.random() < 0.4})
            elif kind < 0.9:
                files[name] = Whole(source.randbytes(size))
        files[f"base/5/new{source.randrange(10 ** 9)}"] = Whole(source.randbytes(PAGE))
        return files

    def test_a_hundred_links(self):
        self.archive.full(1, {"base/5/1": Whole(pages(*range(100)))})
        for number in range(2, 102):
            self.archive.delta(number, number - 1, {"base/5/1": Increment(100 * PAGE, {number - 2: page(200)})})
        self.fetch("LATEST")
        self.assertEqual((self.target / "base/5/1").read_bytes(), page(200) * 100)

    def test_parts_that_newer_backups_cover_are_not_fetched(self):
        self.archive.parts = 3
        self.archive.full(4, {"base/5/a": Whole(pages(1)), "base/5/b": Whole(pages(2)), "base/5/c": Whole(pages(3))})
        self.archive.delta(5, 4, {"base/5/a": Skipped(), "base/5/b": Whole(pages(4)), "base/5/c": Whole(pages(5))})
        self.archive.part(4, 2).write_bytes(b"broken")
        self.archive.part(4, 3).write_bytes(b"broken")
        self.fetch("LATEST")
        self.check_restored(5)

    def test_without_the_lists_of_members_every_part_is_fetched(self):
        self.archive.full(1, {"base/5/a": Whole(pages(1)), "base/5/b": Whole(pages(2))}, tar_file_sets=False)
        self.archive.delta(2, 1, {"base/5/a": Skipped(), "base/5/b": Whole(pages(4))}, tar_file_sets=False)
        self.fetch("LATEST")
        self.check_restored(2)

    def test_a_full_backup_without_files_metadata_below_a_delta_and_alone(self):
        files = {"base/5/1": Whole(pages(1, 1)), "base/5/2": Whole(pages(2))}
        self.archive.full(1, files, metadata=False)
        self.archive.delta(2, 1, {"base/5/1": Increment(2 * PAGE, {1: page(5)})})
        for number in (1, 2):
            target = self.scratch.path / f"restored{number}"
            self.fetch(self.archive.backups[number]["name"], target=target)
            self.check_restored(number, target)

    def test_what_older_wal_g_wrote_into_the_sentinel_is_read_there(self):
        self.three()
        for number in (1, 2, 3):
            self.archive.into_sentinel(number)
        for number in (1, 2, 3):
            target = self.scratch.path / f"restored{number}"
            self.fetch(self.archive.backups[number]["name"], target=target)
            self.check_restored(number, target)
        self.assertNotIn("lacks files_metadata.json", self.walgd().walg("verify", check=False).stdout)

    def test_what_is_packed_with_lzo_is_told_and_does_not_count_as_absent(self):
        self.archive.full(1, {"base/5/1": Whole(pages(1))})
        self.archive.part(1).rename(str(self.archive.part(1)) + ".lzo")
        self.assertIn("part_001.tar.lzo is packed with lzo, which walgd does not read", self.refused("LATEST"))
        segment = "0000000100000000000000A3"
        (self.folder / "wal_005").mkdir(exist_ok=True)
        (self.folder / "wal_005" / f"{segment}.lzo").write_bytes(b"\x89LZO" + bytes(100))
        self.scratch.own_tree(self.folder)
        for name, code in (("walg", 200), ("wal-g", 1)):
            fetched = self.walgd().walg("wal-fetch", segment, self.scratch.path / "segment", check=False, name=name)
            self.assertEqual(fetched.returncode, code, fetched.stderr)
            self.assertIn(f"{segment}.lzo is packed with lzo", fetched.stderr)

    def test_links_of_which_wal_g_kept_the_name_alone(self):
        links = []
        for name in ("/base/16384", "/own.conf"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, name.split("/")[-1]
            links.append((link, None))
        self.archive.full(1, {"base/5/1": Whole(pages(1))}, extra=links)
        metadata = self.folder / "basebackups_005" / self.archive.backups[1]["name"] / "files_metadata.json"
        text = json.loads(metadata.read_text())
        text["Files"] |= {"/base/16384": text["Files"]["/base/5/1"], "/own.conf": text["Files"]["/base/5/1"]}
        metadata.write_text(json.dumps(text))
        said = self.fetch("LATEST").stderr
        for name in ("base/16384", "own.conf"):
            self.assertIn(f"{name} was a link; the backup tells neither where it led nor what was there", said)
        self.assertFalse(os.path.lexists(self.target / "base/16384"))
        self.check_restored(1)

    def test_a_file_of_a_far_time_is_restored(self):
        self.archive.full(1, {"base/5/1": Whole(pages(1))})
        metadata = self.folder / "basebackups_005" / self.archive.backups[1]["name"] / "files_metadata.json"
        for number, time in enumerate(("2300-01-01T00:00:00Z", "1601-01-01T00:00:00Z")):
            text = json.loads(metadata.read_text())
            text["Files"]["/base/5/1"]["MTime"] = time
            metadata.write_text(json.dumps(text))
            self.fetch("LATEST", target=self.scratch.path / f"restored{number}")

    def test_parts_that_another_try_left_under_the_same_name(self):
        self.three()
        for number, files in ((1, {"base/5/1": pages(5, 5, 5, 5), "base/5/none": b"gone"}), (2, {"base/5/fresh": pages(5)})):
            old = tar_of([(f"/{name}", content, 0o600) for name, content in files.items()])
            self.archive.write(self.archive.backups[number]["name"], "part_009.tar", old + bytes(1 << 20))  # the largest
        for number in (1, 2, 3):
            target = self.scratch.path / f"restored{number}"
            self.fetch(self.archive.backups[number]["name"], target=target)
            self.check_restored(number, target)

    def test_a_fifo_that_wal_g_packed_is_not_missing(self):
        fifo = tarfile.TarInfo("/pipe")
        fifo.type = tarfile.FIFOTYPE
        self.archive.full(1, {"base/5/1": Whole(pages(1))}, extra=[(fifo, None)])
        metadata = self.folder / "basebackups_005" / self.archive.backups[1]["name"] / "files_metadata.json"
        text = json.loads(metadata.read_text())
        text["Files"]["/pipe"] = text["Files"]["/base/5/1"]
        metadata.write_text(json.dumps(text))
        self.fetch("LATEST")
        self.check_restored(1)

    def test_names_that_are_no_utf_8_as_gos_json_has_them(self):
        names = [os.fsdecode(name) for name in (b"caf\xe9", b"x\xe2\x82", b"\xe4\xbd\xc4\xe3", b"\xe0\xa0/y")]
        self.archive.full(1, {name: Whole(name.encode(errors="surrogateescape")) for name in names} | {"base/5/1": Whole(pages(1))})
        metadata = self.folder / "basebackups_005" / self.archive.backups[1]["name"] / "files_metadata.json"
        metadata.write_text(re.sub(r"\\udc..", r"\\ufffd", metadata.read_text()))  # a replacement a byte
        self.fetch("LATEST")
        self.check_restored(1)

    def test_the_backup_can_be_named_by_its_user_data(self):
        self.archive.full(1, {"base/5/1": Whole(b"1")}, sentinel={"UserData": {"b": [1, None], "a": "x"}})
        self.archive.full(2, {"base/5/1": Whole(b"2")}, sentinel={"UserData": "twice"})
        self.archive.full(3, {"base/5/1": Whole(b"3")}, sentinel={"UserData": "twice"})
        self.fetch("--target-user-data", '{ "a": "x", "b": [1.0, null] }')
        self.assertEqual((self.target / "base/5/1").read_bytes(), b"1")
        other = self.scratch.path / "other"
        self.assertIn("No backups found", self.refused("--target-user-data", '{"a": "x"}', target=other))
        self.assertIn("2 backups have", self.refused("--target-user-data", '"twice"', target=other))
        self.assertIn("one of them", self.refused("LATEST", "--target-user-data", '"twice"', target=other))
        self.assertIn("one of them", self.refused(target=other))
        self.assertFalse(other.exists())


class Parts(ChainCase):
    """Parts of a cluster."""

    def setUp(self):
        super().setUp()
        table = lambda oid, node=None: {"oid": oid, "relfilenode": node or oid}
        databases = {"postgres": {"oid": 5, "tables_new": {"pg_catalog.pg_class": table(1259)}},
                     "shop": {"oid": 16400, "tables_new": {"pg_catalog.pg_class": table(1259), "public.orders": table(16500, 16600), "public.clients": table(16501)}},
                     "crm": {"oid": 16401, "tables_new": {"pg_catalog.pg_class": table(1259), "public.calls": table(16700)}}}
        files = {name: Whole(pages(index)) for index, name in enumerate(("base/5/1259", "base/16400/1259", "base/16400/16600", "base/16400/16501", "base/16401/1259", "base/16401/16700", "PG_VERSION"))}
        self.archive.full(1, files, databases=databases)
        self.archive.delta(2, 1, {name: Increment(PAGE, {0: page(99)}) if name.endswith("16600") else Skipped() for name in files}, databases=databases)

    def names(self):
        return sorted(name for name in self.restored() if name not in OWN)

    def test_one_table_and_the_catalogs(self):
        self.fetch("LATEST", "--restore-only", "shop/public.orders")
        self.assertEqual(self.names(), ["PG_VERSION", "base/16400/1259", "base/16400/16600", "base/16401/1259", "base/5/1259"])
        self.assertEqual((self.target / "base/16400/16600").read_bytes(), page(99))
        self.assertTrue((self.target / CONTROL).exists())

    def test_one_database(self):
        self.fetch("LATEST", "--restore-only", "crm")
        self.assertEqual(self.names(), ["PG_VERSION", "base/16400/1259", "base/16401/1259", "base/16401/16700", "base/5/1259"])

    def test_what_is_not_in_the_backup_is_refused_by_name(self):
        self.assertIn("no shop/payments, nowhere", self.refused("LATEST", "--restore-only", "crm,shop/payments,nowhere"))
        self.assertFalse(self.target.exists())

    def test_a_mask_takes_the_files_that_match_and_no_more(self):
        self.fetch("LATEST", "--mask", "base/16400/16[56]*")
        self.assertEqual(sorted(self.restored()), ["base/16400/16501", "base/16400/16600"])
        other = self.scratch.path / "other"
        self.fetch("LATEST", "--mask", "global/*", target=other)
        self.assertEqual(sorted(self.restored(other)), [CONTROL])
        self.assertIn("not a pattern", self.refused("LATEST", "--mask", "base/[", target=self.scratch.path / "third"))
        nothing = self.fetch("LATEST", "--mask", "/base/nowhere", target=self.scratch.path / "fourth").stderr
        self.assertIn("no file of the backup matches the mask '/base/nowhere'", nothing)
        self.assertNotIn("To recover", nothing)

    def test_a_link_that_leads_nowhere_is_named(self):
        link = self.scratch.path / "link"
        link.symlink_to(self.scratch.path / "not-mounted")
        self.assertIn(f"{link} is a link, and it cannot be told where to: No such file or directory", self.refused("LATEST", target=link))


class Bad(ChainCase):
    """Backups that are damaged, contradict themselves, or were made to do harm."""

    def setUp(self):
        super().setUp()
        self.outside = self.scratch.folder("outside")
        (self.outside / "kept").write_text("kept")
        self.scratch.own_tree(self.outside)

    def tearDown(self):
        # Whatever the backup was, nothing but the target was touched.
        self.assertEqual([path.name for path in self.outside.iterdir()], ["kept"])
        self.assertEqual((self.outside / "kept").read_text(), "kept")

    def hostile(self, *members, files=None):
        shutil.rmtree(self.folder / "basebackups_005", ignore_errors=True)
        shutil.rmtree(self.target, ignore_errors=True)
        self.archive.full(1, files or {"base/5/1": Whole(pages(1))}, extra=members, metadata=False)
        return self.refused("LATEST")

    def info(self, name, kind=tarfile.REGTYPE, link="", size=0, **more):
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size, info.mode = kind, link, size, 0o600
        info.pax_headers = more
        return info

    def test_members_that_lead_out_of_the_target(self):
        for name in ("../outside/kept", "/base/../../outside/kept", "base/5/../../../outside/kept", ".."):
            self.assertIn("leads out of the data directory", self.hostile((self.info(name, size=1), b"x")), name)

    def test_an_absolute_name_stays_inside(self):
        inside = str(self.outside / "kept")
        self.archive.full(1, {"base/5/1": Whole(pages(1))}, extra=[(inside, b"x", 0o600)], metadata=False)
        self.fetch("LATEST")
        self.assertEqual((self.target / inside.lstrip("/")).read_bytes(), b"x")

    def test_links_out_of_the_target_and_files_through_them(self):
        for name in ("base/5", "base/link", "global/link", "pg_tblspc/1"):
            said = self.hostile((self.info(name, tarfile.SYMTYPE, str(self.outside)), b""), (self.info(f"{name}/evil", size=1), b"x"))
            self.assertIn("is a link", said, name)
        # One in the top is made, but last: what is named below it lands in the target.
        self.archive.full(2, {"base/5/1": Whole(pages(1))}, extra=[(self.info("evil", tarfile.SYMTYPE, str(self.outside)), b""), (self.info("evil/kept", size=1), b"x")], metadata=False)
        shutil.rmtree(self.target)
        self.fetch("LATEST")
        self.assertEqual((self.target / "evil/kept").read_bytes(), b"x")

    def test_hard_links_sparse_files_and_impossible_sizes(self):
        self.assertIn("hard link", self.hostile((self.info("base/5/2", tarfile.LNKTYPE, "base/5/1"), b"")))
        self.assertIn("sparse", self.hostile((self.info("base/5/2", tarfile.GNUTYPE_SPARSE), b"")))
        self.assertIn("sparse", self.hostile((self.info("base/5/2", **{"GNU.sparse.major": "1"}), b"")))
        self.assertIn("a size that no file has", self.hostile((self.info("base/5/2", size=2 ** 62), None)))
        self.assertIn("more than there is room for", self.hostile((self.info("base/5/2", size=2 ** 45), None)))

    def test_names_that_a_restore_keeps_for_itself(self):
        for name in ("walgd-restore.state", "global/pg_control.walgd-restoring", "./global//pg_control.walgd-restoring"):
            self.assertIn("only a restore makes", self.hostile((self.info(name, size=1), b"x")))

    def test_a_file_that_is_there_twice(self):
        self.assertIn("twice", self.hostile((self.info("/base/5/1", size=1), b"x")))

    def test_increments_that_are_none(self):
        self.archive.full(1, {"base/5/1": Whole(pages(1, 1))})
        good = Increment(2 * PAGE, {1: page(2)})
        for content, said in ((b"x" * 100, "does not begin as one"), (good.content[:-1], "it is cut"), (good.content + b"x", "bytes follow"),
                              (Increment(PAGE, {1: page(2)}).content, "behind the end"), (b"wi2" + good.content[3:], "version '2'"),
                              (Increment(2 ** 50, {}).content, "more than there is room for")):
            entry = Increment(0, {})
            made = type("Made", (Increment,), {"content": content})
            entry.__class__ = made
            shutil.rmtree(self.target, ignore_errors=True)
            shutil.rmtree(self.folder / "basebackups_005" / name_of(2, 1), ignore_errors=True)
            self.archive.delta(2, 1, {"base/5/1": entry})
            message = self.refused("LATEST")
            self.assertIn(said, message)
            self.assertIn("/base/5/1", message)
            self.assertIn(name_of(2, 1), message)

    def test_metadata_that_contradicts_the_chain_or_the_tars(self):
        self.archive.full(1, {"base/5/1": Whole(pages(1, 1))})
        document = lambda number: self.folder / "basebackups_005" / self.archive.backups[number]["name"] / "files_metadata.json"
        self.archive.delta(2, 1, {"base/5/1": Skipped(), "base/5/unknown": Skipped()})
        self.assertIn("no whole copy of 1 files", self.refused("LATEST"))
        self.assertFalse(self.target.exists())
        self.archive.delta(2, 1, {"base/5/1": Increment(2 * PAGE, {})})
        text = json.loads(document(2).read_text())
        text["Files"]["/base/5/1"] |= {"IsIncremented": False, "IsSkipped": True}
        document(2).write_text(json.dumps(text))
        self.assertIn("says that it was unchanged", self.refused("LATEST"))
        shutil.rmtree(self.target)
        text["Files"]["/base/5/1"]["IsIncremented"] = True
        document(2).write_text(json.dumps(text))
        self.assertIn("both unchanged and an increment", self.refused("LATEST"))
        text["Files"]["/base/5/1"] |= {"IsIncremented": False, "IsSkipped": False}
        document(2).write_text(json.dumps(text))
        self.assertIn("is an increment, and the files metadata says that it is whole", self.refused("LATEST"))
        shutil.rmtree(self.target)
        document(2).unlink()
        self.assertIn("has no files metadata", self.refused("LATEST"))
        document(2).write_text('{"Files":{"/base/5/1":')
        self.assertIn("not JSON", self.refused("LATEST"))
        self.assertFalse(self.target.exists())

    def test_members_that_are_in_no_part(self):
        self.archive.full(1, {"base/5/1": Whole(pages(1)), "base/5/2": Whole(pages(1))})
        self.archive.delta(2, 1, {"base/5/1": Increment(PAGE, {}), "base/5/2": Skipped()})
        self.archive.write(name_of(2, 1), "part_001.tar", tar_of([("/", None, 0o700)]))
        self.assertIn("/base/5/1", self.refused("LATEST"))
        self.assertIn("in none of its parts", self.refused("LATEST"))

    def test_a_part_that_is_missing_or_empty_is_told_before_anything_is_written(self):
        self.three()
        self.fetch(self.archive.backups[1]["name"])
        before = self.restored()
        part = self.archive.part(2, 2)
        for harm in (lambda: part.write_bytes(b""), part.unlink):
            harm()
            said = self.fetch("LATEST", "--in-place", check=False)
            self.assertEqual(said.returncode, 1)
            self.assertIn(f"backup {self.archive.backups[2]['name']} has no {part.name} in the storage", said.stderr)
            self.assertEqual(self.restored(), before)

    def test_chains_that_are_none(self):
        self.archive.full(1, {"base/5/1": Whole(pages(1))})
        self.archive.delta(2, 1, {"base/5/1": Skipped()})
        for change, said in (({"DeltaFrom": name_of(2, 1)}, "comes back to"), ({"DeltaFrom": name_of(9)}, "which is not in"), ({"SystemIdentifier": 5}, "of system 5"),
                             ({"Version": 3}, "version 3"), ({"DeltaLSN": 17}, "was made on a"), ({"DeltaFullName": name_of(2, 1)}, "its chain ends at"),
                             ({"DeltaFrom": "../x"}, "no backup's name"), ({"DeltaFullName": None}, "does not tell what it is based on")):
            self.archive.delta(2, 1, {"base/5/1": Skipped()}, sentinel=change)
            self.assertIn(said, self.refused("LATEST"), change)
            self.assertFalse(self.target.exists())

    def test_a_control_file_of_another_system(self):
        self.archive.full(1, {"base/5/1": Whole(pages(1))})
        self.archive.delta(2, 1, {"base/5/1": Skipped()}, control=control_file(system=5))
        self.assertIn("its pg_control of system 5", self.refused("LATEST"))
        for block in (0, 5, 1 << 31):
            self.archive.delta(2, 1, {"base/5/1": Skipped()}, control=control_file(block=block))
            self.assertIn(f"says that pages have {block} bytes", self.refused("LATEST"))
        self.archive.delta(2, 1, {"base/5/1": Skipped()}, control=b"\1" * 8192)
        self.assertIn("pg_control.tar", self.refused("LATEST"))
        self.assertFalse(self.target.exists())


class Key(ChainCase):
    def test_a_link_with_another_key_is_named(self):
        keys = {name: name * 32 for name in "ab"}
        settings = {"WALG_LIBSODIUM_KEY_TRANSFORM": "none"}
        self.archive.full(1, {"base/5/1": Whole(pages(1, 1))})
        self.archive.delta(2, 1, {"base/5/1": Increment(2 * PAGE, {0: page(2)})})
        for number, key in ((1, "a"), (2, "b")):
            for path in sorted((self.folder / "basebackups_005" / self.archive.backups[number]["name"] / "tar_partitions").iterdir()):
                path.write_bytes(encrypt(path.read_bytes(), keys[key]))
        message = self.refused("LATEST", WALG_LIBSODIUM_KEY=keys["b"], **settings)
        self.assertIn(self.archive.backups[1]["name"], message)
        self.assertIn("part_00", message)


class Resume(ChainCase):
    """A second run goes on from what is complete."""

    def setUp(self):
        super().setUp()
        self.archive.parts = 3
        self.archive.full(1, {f"base/5/{n}": Whole(pages(n, n, n)) for n in range(12)} | {"base/5/large": Whole(pages(*range(200)))})
        self.archive.delta(2, 1, {f"base/5/{n}": Skipped() for n in range(12)} | {"base/5/large": Increment(220 * PAGE, {block: page(7) for block in range(200, 220)})})
        self.archive.delta(3, 2, {f"base/5/{n}": Increment(3 * PAGE, {1: page(99)}) if n < 4 else Skipped() for n in range(12)}
                           | {"base/5/large": Increment(210 * PAGE, {0: page(8)}), "base/5/new": Whole(b"new")})
        self.one = {"WALG_DOWNLOAD_CONCURRENCY": "1"}
        self.state = self.target / "walgd-restore.state"

    def close(self, *parts):
        self.scratch.own_tree(self.folder)
        for path in parts:
            path.chmod(0)

    def open(self, *parts):
        for path in parts:
            path.chmod(0o600)

    def outage(self):
        """A run that ends at a part of the full backup. Returns the parts that are complete."""
        closed = min((self.archive.part(1, part) for part in (1, 2, 3)), key=lambda path: path.stat().st_size)
        self.close(closed)
        message = self.refused("LATEST", **self.one)
        self.assertIn(closed.name, message)
        self.assertIn("the same command goes on from there", message)
        self.open(closed)
        done = [self.folder / line for line in self.state.read_text().splitlines() if line.startswith("basebackups_005/")]
        self.assertGreater(len(done), 6)
        return done

    def test_what_is_complete_is_not_fetched_again(self):
        done = self.outage()
        self.close(*done)
        result = self.fetch("LATEST", **self.one)
        self.assertIn(f"{len(done)} parts of {self.archive.backups[3]['name']} are in {self.target} already", result.stderr)
        self.check_restored(3)
        self.assertFalse(self.state.exists())

    def test_a_file_closed_to_its_owner_of_a_part_that_is_fetched_again(self):
        self.archive.full(4, {"aa.key": Whole(b"key", 0o400), "base/5/1": Whole(pages(1)), "base/5/2": Whole(pages(2))})
        self.close(self.archive.part(4, 1))
        self.refused("LATEST", **self.one)
        (self.target / "aa.key").write_bytes(b"key")  # as far as a try came that was killed
        (self.target / "aa.key").chmod(0o400)
        self.scratch.own_tree(self.target)
        self.open(self.archive.part(4, 1))
        self.fetch("LATEST", **self.one)
        self.assertEqual((self.target / "aa.key").stat().st_mode & 0o777, 0o400)
        self.check_restored(4)

    def test_a_remote_backup_of_walg_whose_metadata_has_no_folders(self):
        shutil.rmtree(self.folder)
        shutil.copytree(GOLDEN / "remote-zstd/archive", self.folder)
        (backup,) = (path for path in (self.folder / "basebackups_005").iterdir() if path.is_dir())
        (self.scratch.path / "spec.json").write_text('{"base_prefix":"/x","tablespaces":["16384"],"16384":{"loc":"%s","link":"pg_tblspc/16384"}}' % self.scratch.folder("space"))
        words = ("LATEST", "--restore-spec", self.scratch.path / "spec.json")
        part = min(backup.glob("tar_partitions/part_*"), key=lambda path: path.stat().st_size)
        self.close(part)
        self.refused(*words, **self.one)
        done = [self.folder / line for line in self.state.read_text().splitlines() if line.startswith("basebackups_005/")]
        self.assertGreater(len(done), 1)
        self.open(part)
        self.close(*done)
        self.assertIn("going on from there", self.fetch(*words, **self.one).stderr)
        self.assertTrue((self.target / CONTROL).exists())

    def test_what_was_changed_since_is_made_anew(self):
        for harm in (lambda: (self.target / "base/5/9").write_bytes(b"x"), lambda: (self.target / "base/5/9").unlink(), lambda: os.truncate(self.target / "base/5/large", 5),
                     lambda: os.utime(self.target / "base/5/new"), lambda: (self.target / "pg_wal").rmdir(), lambda: self.state.write_text(self.state.read_text().replace("-", "+", 1))):
            shutil.rmtree(self.target, ignore_errors=True)
            done = self.outage()
            (self.target / "base/5/stray").write_text("of no backup")
            harm()
            self.close(*done)
            self.assertIn("cannot be proved to be whole", self.refused("LATEST", **self.one))
            self.open(*done)
            self.fetch("LATEST", **self.one)
            self.check_restored(3)

    def test_a_state_that_is_cut_or_damaged_counts_as_far_as_it_is_whole(self):
        self.outage()
        text = self.state.read_bytes()
        for cut in (len(text) - 1, len(text) * 2 // 3, len(text) // 3, text.index(b"\n") + 1):
            shutil.copytree(self.target, self.scratch.path / "copy")
            (self.scratch.path / "copy/walgd-restore.state").write_bytes(text[:cut])
            self.scratch.own_tree(self.scratch.path / "copy")
            target = self.scratch.path / "copy"
            self.fetch("LATEST", target=target, **self.one)
            self.check_restored(3, target)
            shutil.rmtree(target)
        # A state without its first line comes before everything else.
        for cut in (10, 0):
            self.state.write_bytes(text[:cut])
            self.assertIn("unfinished restore of something else", self.refused("LATEST"))
        self.assertTrue((self.target / "base/5/9").exists())
        for path in self.target.iterdir():
            if path != self.state:
                shutil.rmtree(path)
        self.fetch("LATEST")
        self.check_restored(3)

    def test_nothing_is_written_through_a_link_that_an_earlier_try_made(self):
        outside = self.scratch.folder("outside")
        link = tarfile.TarInfo("evil")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        name = self.archive.full(4, {"base/5/1": Whole(b"1"), "evil/file": Whole(b"x")})
        self.archive.write(name, "part_001.tar", tar_of([("/base/5/1", b"1", 0o600), (link, b"")]))
        self.scratch.own_tree(self.folder)
        self.archive.part(4, 2).chmod(0)
        self.refused("LATEST", **self.one)
        self.archive.part(4, 2).chmod(0o600)
        (self.target / "evil").symlink_to(outside)
        self.assertIn("is not a folder", self.refused("LATEST", **self.one))
        self.assertEqual(os.listdir(outside), [])

    def test_a_tablespaces_folder_that_somebody_filled_is_not_cleared(self):
        space = self.scratch.folder("space")
        (self.scratch.path / "spec.json").write_text('{"base_prefix":"/x","tablespaces":["16384"],"16384":{"loc":"%s","link":"pg_tblspc/16384"}}' % space)
        words = ("LATEST", "--restore-spec", self.scratch.path / "spec.json")
        self.close(self.archive.part(1, 3))
        self.refused(*words, **self.one)
        self.open(self.archive.part(1, 3))
        (self.target / "pg_tblspc/16384").unlink()
        (space / "kept").write_text("kept")
        self.assertIn("is not empty", self.refused(*words, **self.one))
        self.assertEqual((space / "kept").read_text(), "kept")

    def test_a_tablespace_in_the_root_of_a_file_system(self):
        space = self.scratch.folder("space")
        (space / "lost+found").mkdir(mode=0o700)
        (space / "lost+found/inode").write_text("of fsck")
        (self.scratch.path / "spec.json").write_text('{"base_prefix":"/x","tablespaces":["16384"],"16384":{"loc":"%s","link":"pg_tblspc/16384"}}' % space)
        words = ("LATEST", "--restore-spec", self.scratch.path / "spec.json")
        self.close(self.archive.part(1, 3))
        self.refused(*words, **self.one)
        self.open(self.archive.part(1, 3))
        self.fetch(*words)
        self.assertEqual((space / "lost+found/inode").read_text(), "of fsck")

    def test_only_the_same_restore_goes_on(self):
        self.outage()
        before = self.restored()
        for words in ((self.archive.backups[1]["name"],), ("LATEST", "--mask", "base/*"), ("LATEST", "--in-place")):
            self.assertIn("unfinished restore of something else", self.refused(*words, **self.one))
        self.archive.part(2, 1).write_bytes(self.archive.part(2, 1).read_bytes())
        self.assertIn("unfinished restore of something else", self.refused("LATEST", **self.one))
        self.assertEqual(self.restored(), before)

    def test_killed_as_it_begins_anew(self):
        self.outage()
        line, rest = self.state.read_text().split("\n", 1)
        words = line.split(" ")
        self.state.write_text(" ".join([*words[:-1], "0" * len(words[-1])]) + "\n" + rest)  # of another boot
        self.scratch.own(self.state)
        walgd = self.walgd(**self.one)
        killed = run(["prlimit", "--fsize=0", self.scratch.bin / "walg", "backup-fetch", self.target, "LATEST"], env=walgd.env, check=False)
        self.assertNotEqual(killed.returncode, 0)
        self.assertLess(self.state.stat().st_size, len(rest))
        self.assertIn("beginning anew", self.fetch("LATEST").stderr)
        self.check_restored(3)

    def test_one_that_is_not_the_latest_any_more_is_named_and_goes_on(self):
        self.outage()
        begun = self.archive.backups[3]["name"]
        self.archive.full(4, {"base/5/new": Whole(b"newer")})
        said = self.refused("LATEST", **self.one)
        self.assertIn(f"it has basebackups_005/{begun}/", said)
        self.assertIn("going on from there", self.fetch(begun).stderr)
        self.check_restored(3)

    def test_a_complete_one_that_was_killed_at_its_last_step(self):
        self.outage()
        state = self.state.read_bytes()
        self.fetch("LATEST")
        self.state.write_bytes(state)
        self.scratch.own(self.state)
        self.fetch("LATEST")
        self.assertFalse(self.state.exists())
        self.check_restored(3)
        self.assertIn("must be empty", self.fetch("LATEST", check=False).stderr)

    def test_two_at_once(self):
        self.outage()
        import fcntl
        with open(self.state, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertIn("another process restores", self.refused("LATEST", **self.one))

    def blocks(self):
        try:
            return self.state.read_bytes().count(b"\ntar ")
        except FileNotFoundError:
            return 0

    def test_killed_at_any_moment(self):
        source = random.Random(5)
        self.archive.parts = 8
        self.archive.full(4, {f"base/5/{n}": Whole(source.randbytes(PAGE * 64)) for n in range(64)})
        self.archive.delta(5, 4, {f"base/5/{n}": Increment(PAGE * 64, {n: page(1), n ^ 1: page(2)}) if n % 2 else Skipped() for n in range(64)})
        self.scratch.own_tree(self.folder)
        kills = went_on = 0
        walgd = self.walgd()
        while True:
            before = self.blocks()
            with open(self.scratch.path / "fetch.log", "w+b") as log:
                process = start([self.scratch.bin / "walg", "backup-fetch", self.target, "LATEST"], log, env=walgd.env)
                until("another part, or the end", lambda: process.poll() is not None or self.blocks() > before, 60, 0.0005)
                process.kill()
                code = process.wait()
                log.seek(0)
                said = log.read()
            went_on += b"going on from there" in said
            if code == 0:
                break
            self.assertEqual(code, -signal.SIGKILL, said)
            self.assertFalse((self.target / CONTROL).exists() and not self.state.exists())
            kills += 1
        self.check_restored(5)
        self.assertGreater(kills, 2)
        self.assertGreater(went_on, 1)


class InPlace(ChainCase):
    def setUp(self):
        super().setUp()
        self.three()

    def older(self, number=1):
        self.fetch(self.archive.backups[number]["name"])
        for name in ("log/today.log", "pg_wal/000000010000000000000009", "base/5/stray", "base/6/1", "pg_replslot/standby/state", "recovery.signal", "global/pg_internal.init"):
            (self.target / name).parent.mkdir(exist_ok=True, parents=True)
            (self.target / name).write_text("older")
        self.scratch.own_tree(self.target)

    def check(self, number):
        self.assertEqual((self.target / "log/today.log").read_text(), "older")
        shutil.rmtree(self.target / "log")
        self.check_restored(number)
        self.assertFalse((self.target / "base/6").exists())
        self.assertFalse((self.target / "pg_replslot/standby").exists())

    def test_an_older_copy_is_brought_up_and_only_what_differs_is_written(self):
        self.older()
        long_ago = 1_000_000_000
        for name in self.restored():
            os.utime(self.target / name, (long_ago, long_ago))
        self.fetch("LATEST", "--in-place")
        written = {name for name in self.archive.expected(3) if (self.target / name).stat().st_mtime != long_ago}
        self.check(3)
        self.assertEqual(written, {"base/5/1", "base/5/2", "base/5/3", "base/5/again", "base/5/fresh", "pg_xact/0000"})

    def test_a_newer_copy_goes_back(self):
        self.older(3)
        self.fetch(self.archive.backups[1]["name"], "--in-place")
        self.check(1)

    def test_a_damaged_copy_is_mended(self):
        self.older(3)
        damaged = bytearray((self.target / "base/5/1").read_bytes())
        damaged[PAGE + 17] ^= 1
        (self.target / "base/5/1").write_bytes(damaged + b"tail")
        (self.target / "base/5/2").unlink()
        (self.target / "base/5/3").write_bytes(pages(5, 5, 5, 5, 5, 5, 5))
        (self.target / "base/5/again").write_bytes(b"")
        self.scratch.own_tree(self.target)
        self.fetch("LATEST", "--in-place")
        self.check(3)

    def test_other_names_of_a_file_keep_their_content(self):
        self.older()
        files = [path for path in self.target.rglob("*") if path.is_file() and not path.is_symlink()]
        before = {path: path.read_bytes() for path in files}
        folder = self.scratch.folder("snapshot")
        snapshot = {path: folder / str(index) for index, path in enumerate(files)}
        for path, other in snapshot.items():
            os.link(path, other)
        (self.target / "base/5/3").unlink()
        os.link(self.target / "base/5/2", self.target / "base/5/3")
        self.fetch("LATEST", "--in-place")
        self.check(3)
        self.assertEqual({path: other.read_bytes() for path, other in snapshot.items()}, before)

    def test_files_closed_to_their_owner_and_links_and_files_in_each_others_place(self):
        link = tarfile.TarInfo("/pg_hba.conf")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        files = {**self.archive.backups[1]["files"], "server.key": Whole(b"key", 0o400), "postgresql.conf": Whole(b"# mine")}
        name = self.archive.full(4, files, extra=[(link, None)])
        metadata = self.folder / "basebackups_005" / name / "files_metadata.json"
        document = json.loads(metadata.read_text())
        document["Files"]["/pg_hba.conf"] = document["Files"]["/postgresql.conf"]
        metadata.write_text(json.dumps(document))
        self.fetch("LATEST")
        (self.target / "postgresql.conf").rename(self.scratch.path / "elsewhere.conf")
        (self.target / "postgresql.conf").symlink_to(self.scratch.path / "elsewhere.conf")
        (self.target / "pg_hba.conf").unlink()
        (self.target / "pg_hba.conf").write_text("a file")
        (self.scratch.path / "elsewhere.conf").write_text("# elsewhere")
        self.fetch("LATEST", "--in-place")
        self.assertEqual((self.target / "server.key").stat().st_mode & 0o777, 0o400)
        self.assertFalse((self.target / "postgresql.conf").is_symlink())
        self.assertEqual((self.target / "postgresql.conf").read_text(), "# mine")
        self.assertEqual((self.scratch.path / "elsewhere.conf").read_text(), "# elsewhere")
        self.assertEqual(os.readlink(self.target / "pg_hba.conf"), "/etc/hostname")

    def test_folders_and_files_in_each_others_place_and_closed_folders(self):
        self.older(3)
        (self.target / "base/5/1").unlink()
        (self.target / "base/5/1/below").mkdir(parents=True)
        (self.target / "base/5/1/below/file").write_text("of nobody")
        shutil.rmtree(self.target / "pg_xact")
        (self.target / "pg_xact").write_text("a file")
        (self.target / "closed/inner").mkdir(parents=True)
        (self.target / "closed/inner/file").write_text("of nobody")
        self.scratch.own_tree(self.target)
        (self.target / "closed/inner").chmod(0)
        (self.target / "closed").chmod(0)
        (self.target / "base/5").chmod(0o500)
        self.fetch("LATEST", "--in-place")
        self.assertEqual((self.target / "base/5").stat().st_mode & 0o777, 0o700)
        self.assertFalse((self.target / "closed/inner/file").exists())
        shutil.rmtree(self.target / "closed")
        self.check(3)

    @unittest.skipUnless(os.getuid() == 0, "as root only")
    def test_what_root_restores_is_the_folders_owners(self):
        fetch = lambda *words: subprocess.run([self.scratch.bin / "walg", "backup-fetch", *words], env=self.walgd().env, capture_output=True, text=True)
        owners = lambda folder: {path.lstat().st_uid for path in [folder, *folder.rglob("*")]}
        self.older()
        (self.target / "server.key").write_text("root's")
        self.scratch.own_tree(self.target)
        theirs = owners(self.target)
        self.archive.full(4, {**self.archive.backups[1]["files"], "server.key": Whole(b"key")})
        for name in ("server.key", "base/5/1"):
            os.chown(self.target / name, 0, 0)
        for words in (("LATEST", "--in-place"), (self.archive.backups[1]["name"], "--in-place")):
            said = fetch(self.target, *words)
            self.assertEqual(said.returncode, 0, said.stderr)
            self.assertEqual(owners(self.target), {*theirs, 0} if words[0] == "LATEST" else theirs)
            self.assertEqual({(self.target / "base/5/1").stat().st_uid}, theirs, "nobody but the server reads it")
            self.assertNotIn("belongs to root", said.stderr)
        said = fetch(self.scratch.path / "of-root", "LATEST")
        self.assertEqual(owners(self.scratch.path / "of-root"), {0})
        self.assertIn("belongs to root", said.stderr)
        said = fetch(self.scratch.folder("theirs"), "LATEST")
        self.assertEqual(owners(self.scratch.path / "theirs"), theirs)

    def test_what_is_not_a_stopped_cluster_of_that_system_is_refused(self):
        self.older()
        before = self.restored()
        (self.target / "postmaster.pid").write_text(f"{os.getpid()}\n/data\n")
        self.scratch.own_tree(self.target)
        said = self.fetch("LATEST", "--in-place", check=False)
        self.assertEqual(said.returncode, 1)
        self.assertIn("a server runs on", said.stderr)
        (self.target / "postmaster.pid").unlink()
        self.archive.delta(3, 2, self.archive.backups[3]["files"], control=control_file(system=5), sentinel={"SystemIdentifier": None})
        said = self.fetch("LATEST", "--in-place", check=False)
        self.assertIn("the backup is of system 5", said.stderr)
        said = self.fetch(self.archive.backups[1]["name"], "--in-place", "--mask", "base/*", check=False)
        self.assertIn("not a part of one", said.stderr)
        self.assertEqual(self.restored(), before)
        said = self.fetch(self.archive.backups[1]["name"], "--in-place", check=False, target=self.scratch.folder("empty"))
        self.assertIn("holds no cluster", said.stderr)

    def test_one_that_was_cut_off_does_not_start_and_goes_on(self):
        self.older()
        (self.target / "postmaster.pid").write_text("999999999\n")  # of a server that died
        self.scratch.own_tree(self.folder)
        last = self.archive.part(1, 2)
        last.chmod(0)
        self.refused("LATEST", "--in-place", WALG_DOWNLOAD_CONCURRENCY="1")
        self.assertIn("unfinished restore of something else", self.refused("LATEST"))
        last.chmod(0o600)
        self.assertIn("going on from there", self.fetch("LATEST", "--in-place").stderr)
        self.check(3)


    def test_what_one_left_that_was_killed_at_its_end_is_no_obstacle_to_another(self):
        self.older()
        last = self.archive.part(1, 2)
        self.scratch.own_tree(self.folder)
        last.chmod(0)
        self.refused("LATEST", "--in-place", WALG_DOWNLOAD_CONCURRENCY="1")
        state = self.target / "walgd-restore.state"
        noted = state.read_bytes()
        other = self.archive.backups[2]["name"]
        self.assertIn("unfinished restore of something else", self.refused(other, "--in-place"))
        last.chmod(0o600)
        self.fetch("LATEST", "--in-place")
        changed = bytearray((self.target / "base/5/1").read_bytes())
        changed[PAGE + 17] ^= 1
        for words in (("LATEST", "--in-place"), (other, "--in-place")):
            (self.target / "base/5/1").write_bytes(changed)
            state.write_bytes(noted)
            self.scratch.own(state)
            self.fetch(*words)
            self.assertNotEqual((self.target / "base/5/1").read_bytes(), bytes(changed))
        self.assertFalse(state.exists())
        self.check(2)


class Server(TestCase):
    """With PostgreSQL."""

    def test_a_cluster_that_went_on_is_brought_back_and_starts(self):
        folder, settings = self.store()
        settings["WALG_COMPRESSION_METHOD"] = "zstd"
        cluster = Cluster(self.scratch, 15, "data")
        space = self.scratch.folder("space")
        daemon = Walgd(self.scratch, settings, cluster)
        cluster.archive_with(daemon.archive_command())
        daemon.start()
        cluster.start()
        cluster.psql(f"create tablespace space location '{space}'")
        cluster.psql("create table t as select g id, md5(g::text) m from generate_series(1, 100000) g")
        cluster.psql("create table elsewhere tablespace space as select g id from generate_series(1, 10000) g")
        daemon.walg("backup-push", cluster.data)
        expected = cluster.checksum()
        cluster.psql("update t set m = 'changed' where id % 7 = 0")
        cluster.psql("drop table elsewhere")
        cluster.psql("create table new tablespace space as select g id from generate_series(1, 10000) g")
        cluster.psql("create database other")
        cluster.psql("select pg_create_physical_replication_slot('standby', true)")
        running = daemon.walg("backup-fetch", cluster.data, "LATEST", "--in-place", check=False)
        self.assertEqual(running.returncode, 1)
        self.assertIn("a server runs on", running.stderr)
        cluster.stop("immediate")
        (cluster.data / "pg_tblspc/99999").symlink_to(space)  # another name of a place that is the backup's
        daemon.walg("backup-fetch", cluster.data, "LATEST", "--in-place")
        # Up to the end of the backup, not of the archive.
        cluster.recover_from(daemon.restore_command(), "recovery_target = 'immediate'\nrecovery_target_action = 'promote'")
        cluster.env = daemon.env
        cluster.start()
        cluster.wait_until_writable()
        self.assertEqual(cluster.checksum(), expected)
        self.assertEqual(cluster.psql("select count(*) from pg_database where datname = 'other'"), "0")
        self.assertEqual(cluster.psql("select pg_tablespace_location(oid) from pg_tablespace where spcname = 'space'"), str(space))


    def test_a_tablespace_of_after_the_backup_has_nothing_that_recovery_did_not_bring(self):
        """Pages that a newer copy left there would be taken for recovered ones."""
        for version in (13, 18):
            with self.subTest(version=version):
                cluster = Cluster(self.scratch, version, f"data{version}")
                space = self.scratch.folder(f"late{version}")
                (space / "PG_9.6_201608131").mkdir()
                daemon = Walgd(self.scratch, {"WALG_FILE_PREFIX": str(self.scratch.folder(f"store{version}"))}, cluster)
                cluster.archive_with(daemon.archive_command())
                daemon.start()
                cluster.start()
                daemon.walg("backup-push", cluster.data)
                cluster.psql(f"create tablespace late location '{space}'")
                cluster.psql("create table t tablespace late as select g id from generate_series(1, 1000) g")
                cluster.psql("select pg_create_restore_point('early')")
                cluster.psql("insert into t select g from generate_series(1001, 3000) g")
                self.assertEqual(cluster.psql("select count(*) from t; checkpoint").splitlines()[0], "3000")
                cluster.switch()
                cluster.stop()
                held = {path: path.read_bytes() for path in (*space.rglob("*"), *cluster.data.rglob("*")) if path.is_file()}
                refused = daemon.walg("backup-fetch", cluster.data, "LATEST", "--in-place", check=False)
                self.assertEqual(refused.returncode, 1)
                moved, = re.findall(f"has files of tablespace [0-9]+ in ({space}/PG_{version}_[0-9]+), and the backup does not know", refused.stderr)
                self.assertEqual({path: path.read_bytes() for path in (*space.rglob("*"), *cluster.data.rglob("*")) if path.is_file()}, held)
                pathlib.Path(moved).rename(self.scratch.path / f"moved{version}")
                daemon.walg("backup-fetch", cluster.data, "LATEST", "--in-place")
                self.assertEqual(list((cluster.data / "pg_tblspc").iterdir()), [])
                cluster.recover_from(daemon.restore_command(), "recovery_target_name = 'early'\nrecovery_target_action = 'promote'")
                cluster.env = daemon.env
                cluster.start()
                cluster.wait_until_writable()
                for _ in range(5):
                    cluster.psql("select txid_current()")
                self.assertEqual(cluster.psql("select count(*), max(id) from t"), "1000|1000")
                cluster.stop()


def encrypt(data, key):
    """libsodium's secretstream as WAL-G has it, by libsodium itself."""
    import ctypes
    import ctypes.util
    sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
    state = ctypes.create_string_buffer(sodium.crypto_secretstream_xchacha20poly1305_statebytes())
    header = ctypes.create_string_buffer(24)
    sodium.crypto_secretstream_xchacha20poly1305_init_push(state, header, key.encode())
    out = header.raw
    for at in range(0, len(data) + 1, 8192):
        piece = data[at:at + 8192]
        cipher = ctypes.create_string_buffer(len(piece) + 17)
        last = len(piece) < 8192
        sodium.crypto_secretstream_xchacha20poly1305_push(state, cipher, None, piece, ctypes.c_ulonglong(len(piece)), None, ctypes.c_ulonglong(0), ctypes.c_ubyte(3 if last else 0))
        out += cipher.raw
        if last:
            break
    return out


if __name__ == "__main__":
    unittest.main(verbosity=2)
