"""kill -9 of walg and walgd amid backups, restores, deletes, copies and wal-receive, at the system calls that write.

   kill_commands.py [--kills 8] [--seconds S] [--seed N] [--only TEXT]

Every point is its own story: the command is killed on entering one of its calls that change something (write, rename, send, fsync ...).
Then what is listed must be whole, PostgreSQL must refuse what is not, and the same command, run again, must complete; kill_stories.py says
for each command what that is. Of every command so many calls are tried: half of them evenly spread, half among its last ones, where what was made gets its name; the
seed chooses which. --kills 0 tries all of them. --seconds ends the run earlier: the commands take turns.
"""
import argparse
import random
import sys
import time

from kill_world import World  # finds the harness
from harness import Scratch
from kill_stories import STORIES

NEVER = 1 << 60
LAST = 40


class Lane:
    def __init__(self, name, world, dice):
        self.name, self.world, self.dice = name, world, dice
        self.calls, self.kills, self.seconds = 0, 0, 0.0

    def begin(self, kills):
        """The command runs once untouched: how many calls it has."""
        self.story = STORIES[self.name](self.world)
        self.calls = self.try_at(NEVER).calls
        last = max(1, self.calls - LAST)
        self.points = self.spread(1, self.calls, kills // 2) + self.spread(last, self.calls, kills - kills // 2) if kills else range(1, self.calls + 1)
        self.points = sorted(set(self.points), key=lambda _: self.dice.random())

    def spread(self, first, last, count):
        stride = max(1, (last - first + 1) // max(1, count))
        return list(range(first + self.dice.randrange(stride), last + 1, stride))[:count]

    def try_at(self, point):
        began = time.monotonic()
        try:
            traced = self.story.point(point)
            self.world.check_tmp()
        except AssertionError as error:
            at = "left alone" if point == NEVER else f"killed at writing call {point}"
            raise AssertionError(f"{self.name}, {at}: {error}") from error
        self.seconds += time.monotonic() - began
        self.kills += traced.killed
        return traced

    def text(self):
        return f"{self.name:<28} {self.calls:>5} calls that write, killed at {self.kills:>4} of them, {self.seconds:.0f} s"


def sweep(lanes, kills, deadline):
    """One kill of each command in turn, until all are made or the time is over. A command's first costs its untouched run too."""
    begun = []
    waiting = list(lanes)
    while time.monotonic() < deadline:
        if waiting:
            lane = waiting.pop(0)
            lane.begin(kills)
            begun.append(lane)
        else:
            lane = next((lane for lane in sorted(begun, key=lambda lane: lane.kills) if lane.points), None)
            if not lane:
                break
        if lane.points:
            lane.try_at(lane.points.pop())
    return begun


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=8, help="of each command; 0: at each call")
    options.add_argument("--seconds", type=float, default=1e9, help="begin no further story after so long")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="chooses the calls, and the order of the commands")
    options.add_argument("--only", default="", help="only commands with this text in their name")
    chosen = options.parse_args()
    dice, began = random.Random(chosen.seed), time.monotonic()
    print(f"seed {chosen.seed}", flush=True)
    scratch = Scratch()
    failed = True
    try:
        world = World(scratch)
        lanes = [Lane(name, world, dice) for name in STORIES if chosen.only in name]
        dice.shuffle(lanes)
        lanes = sweep(lanes, chosen.kills, began + chosen.seconds)
        failed = False
    finally:
        scratch.close(failed)
    for lane in sorted(lanes, key=lambda lane: lane.name):
        print(lane.text())
    print(f"{sum(lane.kills for lane in lanes)} kills, of {sum(lane.calls for lane in lanes)} writing calls of {len(lanes)} commands; each time what was listed "
          f"was whole, and the second run completed ({time.monotonic() - began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
