"""Random moments of an archive with two timeline turns: each is reached exactly, or refused rightly.
  tests/integration/targets.py [--targets 200] [--version 15] [--seed N] [--segment-mb 1]"""
import argparse
import collections
import random
import time

from harness import Scratch
from moments import two_turns


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--version", type=int, default=15)
    parser.add_argument("--segment-mb", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print(f"seed {options.seed}, PostgreSQL {options.version}", flush=True)
    scratch = Scratch()
    try:
        began = time.monotonic()
        store = scratch.folder("store")
        story = two_turns(scratch, {"WALG_FILE_PREFIX": str(store)}, options.version, options.segment_mb, seed=options.seed)
        print(f"the archive: {len(list(store.glob('wal_005/*')))} WAL files, {time.monotonic() - began:.0f} s", flush=True)
        outcomes = collections.Counter()
        for number in range(options.targets):
            words, rows = story.random_target()
            outcome = story.check_target(words, rows)
            outcomes[outcome, words[0]] += 1
            print(f"{number + 1}: {' '.join(words)}: {outcome}{'' if rows is None else f' ({rows} rows)'}", flush=True)
        for (outcome, kind), count in sorted(outcomes.items()):
            print(f"{outcome:8} {kind:14} {count}")
        print(f"{options.targets} targets, {sum(count for (what, _), count in outcomes.items() if what == 'reached')} reached exactly, "
              f"{sum(count for (what, _), count in outcomes.items() if what == 'refused')} refused rightly, {time.monotonic() - began:.0f} s")
    except BaseException:
        scratch.close(failed=True)
        raise
    scratch.close()


if __name__ == "__main__":
    main()
