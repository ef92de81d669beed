#!/usr/bin/env python3
"""Five kinds of WAL, made with a PostgreSQL of our own, and what each choice of zstd's parameters costs and stores on them.

Each segment is compressed as walgd does it: a frame for each MiB, in one call, with checksum. CPU is the median of five rounds on warm buffers.
Needs PGBIN (folder of initdb and pg_ctl; pg_config's if not set) and BENCH_DIR (or WALGD_DIR: folder of bench_codec, of the target bench_programs).
The table goes to stdout. Cluster and segments are made once and kept in --dir (about 6 GB).
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

from lab import Cluster, own

SEGMENT_BYTES = 16 << 20
PORT = 54877  # of a socket in the folder
DOCUMENTS = """insert into documents(body, words) select jsonb_build_object('id', g, 'name', md5(g::text), 'tags', jsonb_build_array(g % 7, g % 11, md5((g % 97)::text)),
    'lines', (select jsonb_agg(jsonb_build_object('sku', md5((g * i)::text), 'count', (g * i) % 13, 'price', round(random()::numeric * 1000, 2), 'at', now() + i * interval '1 s'))
              from generate_series(1, 40) i)),
    (select string_agg(md5((g * i)::text) || ' of item ' || i, ', ') from generate_series(1, 60) i) from generate_series({first}, {last}) g"""
LOAD = "create table loaded_{number} as select g id, md5(g::text) code, g % 1000 class, now() + g * interval '1 s' made, 'customer number ' || g % 5000 note from generate_series(1, 300000) g"
INDEXES = "create index on loaded_{number}(id); create index on loaded_{number}(code); create index on loaded_{number}(class, made)"


class Maker:
    def __init__(self, folder, segments, log):
        self.folder, self.segments = folder, segments
        self.cluster = Cluster(folder, folder / "pgdata", PORT, log)

    def position(self):
        return int(self.cluster.psql("select pg_current_wal_lsn() - '0/0'"))

    def written(self, since):
        return (self.position() - since) / SEGMENT_BYTES

    def keep(self, kind, since):
        """The last whole segments since that position."""
        self.cluster.psql("select pg_switch_wal()")
        first = self.cluster.psql(f"select pg_walfile_name('0/0'::pg_lsn + {since} + {SEGMENT_BYTES})")
        names = [name for name in self.cluster.finished_segments() if name >= first]
        to = self.folder / kind
        to.mkdir()
        # The very last one was cut by the switch.
        for name in names[-self.segments - 1:-1]:
            shutil.copyfile(self.cluster.data / "pg_wal" / name, to / name)

    def pgbench(self, since, enough):
        while self.written(since) < enough:
            self.cluster.pgbench("-c", "4", "-T", "3")

    def after_checkpoint(self):
        self.cluster.pgbench("-i", "-q", "-s", "40")
        self.cluster.psql("checkpoint")
        since = self.position()
        self.pgbench(since, self.segments + 2)
        return since

    def long_after_checkpoint(self):
        # So small that every page's image is soon written.
        self.cluster.pgbench("-i", "-q", "-s", "4")
        self.cluster.psql("checkpoint")
        start = self.position()
        self.pgbench(start, 12)
        since = self.position()
        self.pgbench(since, self.segments + 2)
        return since

    def large_rows(self):
        self.cluster.psql("create table documents(id bigserial primary key, body jsonb, words text)")
        since, first = self.position(), 1
        while self.written(since) < self.segments + 2:
            self.cluster.psql(DOCUMENTS.format(first=first, last=first + 1999))
            self.cluster.psql("update documents set body = jsonb_set(body, '{changed}', to_jsonb(clock_timestamp())) where id % 5 = 0")
            first += 2000
        return since

    def wal_compression(self):
        self.cluster.psql("alter system set wal_compression = on")
        self.cluster.psql("select pg_reload_conf()")
        since = self.after_checkpoint()
        self.cluster.psql("alter system reset wal_compression")
        self.cluster.psql("select pg_reload_conf()")
        return since

    def bulk_load(self):
        since, number = self.position(), 1
        while self.written(since) < self.segments + 2:
            self.cluster.psql(LOAD.format(number=number))
            self.cluster.psql(INDEXES.format(number=number))
            number += 1
        return since


KINDS = {"pgbench after a checkpoint": Maker.after_checkpoint, "pgbench long after one": Maker.long_after_checkpoint, "large jsonb and text": Maker.large_rows,
         "wal_compression = on": Maker.wal_compression, "load and index build": Maker.bulk_load}


def make(chosen, folder):
    maker = Maker(folder, chosen.segments, open(folder / "codec_kinds.log", "ab"))
    try:
        for kind, story in KINDS.items():
            if not (folder / kind).exists():
                print(f"making: {kind}", file=sys.stderr)
                maker.keep(kind, story(maker))
    finally:
        maker.cluster.stop()


def measure(folder, program):
    """choice -> kind -> (CPU ms, stored bytes)"""
    found = {}
    for kind in KINDS:
        text = subprocess.check_output([program, *sorted(str(file) for file in (folder / kind).iterdir())], text=True)
        for line in map(json.loads, text.splitlines()):
            found.setdefault(line["choice"], {})[kind] = (line["cpu_ms"], line["stored_bytes"])
    return found


def table(found):
    print(f"| CPU ms / stored KiB a segment | {' | '.join(KINDS)} | all |\n|{'---|' * (len(KINDS) + 2)}")
    for choice, kinds in found.items():
        cells = [*kinds.values(), tuple(sum(column) / len(kinds) for column in zip(*kinds.values()))]
        print(f"| {choice} | {' | '.join(f'{ms:.1f} / {stored / 1024:.0f}' for ms, stored in cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", required=True, help="folder for cluster and segments, made when it is not there")
    parser.add_argument("--segments", type=int, default=4, help="of each kind; default: %(default)s")
    parser.add_argument("--make-only", action="store_true", help="make the segments, measure nothing")
    chosen = parser.parse_args()
    folder = pathlib.Path(chosen.dir).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    own(folder)
    program = pathlib.Path(os.environ.get("BENCH_DIR") or os.environ.get("WALGD_DIR") or ".") / "bench_codec"
    if not program.exists():
        parser.error(f"{program} is not there: build the target bench_programs and name its folder in BENCH_DIR")
    if any(not (folder / kind).exists() for kind in KINDS):
        make(chosen, folder)
    if not chosen.make_only:
        table(measure(folder, program))


main()
