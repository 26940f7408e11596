"""The second checker sees each kind of damage, and nothing where there is none: over a store and sinks that are made up."""
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
from check import ONCE, Checker, Entry, partition_of  # noqa: E402

EVENTS = [(1, "a", 0, '{"n": 1.0}'), (2, "b", 0, "{}"), (4, "a", 1, "[]"), (5, "c", 0, "1"), (9, "a", 2, "null")]


class Made:
    """Stands for a reader, and for the session over which the store is read."""
    parsed = False

    def __init__(self, entries=()):
        self.entries, self.away = list(entries), False

    def read(self):
        pass

    def take(self):
        taken, self.entries = self.entries, []
        return taken

    def ask(self, _, last):
        if self.away:
            raise OSError("away")
        return [event for event in EVENTS if event[0] > last]


class Scene:
    name, partitions, direct, quick = "made", 1, Made(), Made()
    position = 9

    def checkpoints(self, _):
        return {(route, 0): (self.position, "RUNNING", "") for route in ("topics", "once", "cache", "audit")}


def entry(position, place=0, **changes):
    event = {each[0]: Entry(*each, place) for each in EVENTS}[position]
    return event._replace(**changes)


class Case(unittest.TestCase):
    def found(self, entries, route="cache", check=Checker.at_the_end):
        checker = Checker(Scene())
        for name, sink in checker.sinks.items():
            sink.reader = Made(entries if name == route else [entry(each[0]) for each in EVENTS])
        faults = check(checker)
        return sorted({invariant for invariant, _ in faults})

    def whole(self):
        return [entry(each[0]) for each in EVENTS]

    def test_what_is_whole_has_no_fault(self):
        for route in ("topics", "once", "cache", "audit"):
            self.assertEqual(self.found(self.whole(), route), [])

    def test_what_is_not_there_is_lost(self):
        self.assertEqual(self.found(self.whole()[:-1]), ["lost"])
        self.assertEqual(self.found(self.whole()[:3] + self.whole()[4:]), ["lost"])

    def test_a_hole_and_a_late_version_are_out_of_order(self):
        self.assertEqual(self.found([entry(1), entry(2), entry(5), entry(9), entry(4)]), ["order"])
        self.assertEqual(self.found([entry(1), entry(2), entry(5), entry(9)]), ["lost", "order"])

    def test_an_aggregate_in_two_places_is_out_of_order(self):
        self.assertEqual(self.found([entry(1), entry(2), entry(4, place=1), entry(5), entry(9)]), ["order"])

    def test_a_repeat_counts_where_each_event_comes_once(self):
        for route in ONCE:
            self.assertEqual(self.found(self.whole() + [entry(2)], route), ["twice"])
        self.assertEqual(self.found(self.whole() + [entry(2)], "topics"), [])

    def test_what_the_store_does_not_have_was_rolled_back(self):
        self.assertEqual(self.found(self.whole() + [entry(9)._replace(position=7, aggregate="d", version=0)]), ["rolled back"])
        self.assertEqual(self.found([entry(1, data='{"n": 1}')] + self.whole()[1:]), ["rolled back"])

    def test_a_checkpoint_beyond_what_the_sink_has_is_ahead_of_it(self):
        def check(checker):
            return checker.in_the_middle(["cache"])
        self.assertEqual(self.found(self.whole(), check=check), [])
        self.assertEqual(self.found(self.whole()[:-1], check=check), ["checkpoint"])
        Scene.position = 8
        self.addCleanup(setattr, Scene, "position", 9)
        self.assertEqual(self.found(self.whole()[:-1], check=check), [])

    def test_what_was_read_while_the_store_was_away_is_not_forgotten(self):
        def check(checker):
            Scene.quick.away = True
            self.assertRaises(OSError, checker.in_the_middle, ["cache"])
            Scene.quick.away = False
            return checker.in_the_middle(["cache"])
        self.assertEqual(self.found(self.whole(), check=check), [])

    def test_the_hash_is_the_relays(self):
        # Those that tests/unit/test_partition.c pins.
        known = {"": [0, 2, 2, 6, 342], "42": [0, 0, 0, 12, 476], "order-1": [1, 1, 1, 5, 757], "注文": [0, 0, 2, 14, 286]}
        for name, numbers in known.items():
            self.assertEqual([partition_of(name, partitions) for partitions in (2, 3, 4, 16, 1000)], numbers)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
