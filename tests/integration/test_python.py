#!/usr/bin/env python3
"""Python meowmx 0.4.1 and meowmx on one store, each set up by either side first.

usage: test_python.py MEOWMX TOOLS [unittest arguments]
"""
import json
import os
import random
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import python_meowmx as interpreter  # noqa: E402

SOURCE = interpreter.enter()

import meowmx  # noqa: E402
import sqlalchemy  # noqa: E402
import sqlalchemy.orm  # noqa: E402
from python_world import Store, Worker, write_from_both  # noqa: E402
from servers import ROOT, Server, scratch  # noqa: E402
from world import Tail, wait_until  # noqa: E402

MEOWMX, TOOLS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
server = None

# What a parser that reads and writes again would not give back.
ODD = ['1.0', '1e400', '-0', '12345678901234567890', '{"a":1,"a":2}', '{"b" :  [ 1 ,2],"a":{}}', '"\\u0000\\ud800"',
       'null', '"注文 \\u6ce8 😀"', '"\\/\\n"', '[[],[[]]]', '"' + "x" * 3000000 + '"']


def event(text, kind="P"):
    return meowmx.NewEvent(kind, text)


class Shared:
    """On a store that both have set up."""
    maxDiff = None

    def setUp(self):
        self.store = Store(MEOWMX, server, self.id_type, self.first)
        self.python = self.store.python

    def refused(self, status, words, *arguments):
        done = self.store.meowmx(*arguments)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(words, done.stderr.decode())

    def snapshot(self, *words):
        return subprocess.run([os.path.join(TOOLS, "snapshot"), self.store.url, *map(str, words)], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()

    def versions(self, name):
        """What both load must be the same."""
        ours = self.store.load("order", name)
        python = list(self.python.iter_events(name))
        self.assertEqual([(e["position"], e["version"], e["type"], e["aggregate_type"]) for e in ours],
                         [(e.id, e.version, e.event_type, e.aggregate_type) for e in python])
        return [e["version"] for e in ours]


class Appends(Shared):
    def test_each_appends_behind_the_other_and_meets_its_conflicts(self):
        name = self.store.new_id()
        self.python.save_events("order", name, [event("1"), event("2")], version=0)
        self.refused(75, "found version 1", "append", "order", name, "--expect", "0", "M", "3")
        self.refused(75, "found version 1", "append", "order", name, "--expect", "new", "M", "3")
        self.store.good("append", "order", name, "--expect", "1", "M", "3")
        with self.assertRaises(meowmx.ExpectedVersionFailure):
            self.python.save_events("order", name, [event("4")], version=2)
        self.python.save_events("order", name, [event("4")], version=3)
        self.store.good("append", "order", name, "M", "5")
        self.python.save_events("order", name, [event("6")], version=None)
        self.assertEqual(self.versions(name), [0, 1, 2, 3, 4, 5])

    def test_each_may_begin(self):
        name = self.store.new_id()
        self.store.good("append", "order", name, "--expect", "new", "M", "1")
        with self.assertRaises(meowmx.ExpectedVersionFailure):
            self.python.save_events("order", name, [event("2")], version=0)
        self.python.save_events("order", name, [event("2")], version=1)
        self.assertEqual(self.versions(name), [0, 1])
        listed = self.python.list_aggregates(limit=10).aggregates
        self.assertEqual([(one.id.rstrip(), one.version, one.aggregate_type) for one in listed], [(name, 1, "order")])

    def test_a_row_without_events_is_a_new_aggregate(self):
        name = self.store.new_id()
        with sqlalchemy.orm.Session(self.python._engine) as session, session.begin():
            with self.assertRaises(meowmx.ExpectedVersionFailure):  # it leaves its row, at -1
                self.python.save_events("order", name, [event("1")], version=5, session=session)
        self.assertEqual(self.store.sql("SELECT version FROM es_aggregates"), "-1")
        self.assertEqual(self.versions(name), [])
        self.store.good("append", "order", name, "--expect", "new", "M", "1")
        self.assertEqual(self.versions(name), [0])

    def test_both_in_one_transaction_of_python(self):
        """An application's own transaction: what is rolled back is for nobody."""
        name = self.store.new_id()
        with sqlalchemy.orm.Session(self.python._engine) as session:
            self.python.save_events("order", name, [event("1")], version=0, session=session)
            self.assertEqual(self.store.load("order", name), [])
            session.rollback()
        self.store.good("append", "order", name, "--expect", "new", "M", "1")
        self.assertEqual(self.versions(name), [0])

    def test_json_stays_byte_for_byte(self):
        python, ours = self.store.new_id(), self.store.new_id()
        self.python.save_events("order", python, [event(text) for text in ODD], version=0)
        lines = "".join('{"type":"M","data":%s,"metadata":%s}\n' % (text, text) for text in ODD)
        self.store.good("append", "order", ours, "-", stdin=lines.encode())
        self.assertEqual([e.json for e in self.python.iter_events(ours)], ODD)
        for text, line in zip(ODD, self.store.good("load", "order", python).splitlines(), strict=True):
            self.assertTrue(line.endswith((',"data":%s}' % text).encode()), text[:60])

    def test_a_category_has_what_python_wrote_before_set_up_and_after(self):
        store, wanted = Store(MEOWMX, server, self.id_type, None), []
        store.python.setup_tables(self.id_type)
        for part in ("before", "after"):
            for kind in ("order", "payment", "order"):
                name = store.new_id()
                saved = store.python.save_events(kind, name, [event('"%s"' % part), event("2")], version=0)
                wanted += [(e.id, name, e.version) for e in saved if kind == "order"]
            if part == "before":
                store.good("setup")
                store.python.setup_tables(self.id_type)
        self.assertEqual(store.sql("SELECT count(*) FROM es_events WHERE aggregate_type IS NULL"), "6")
        self.assertEqual(store.sql("SELECT aggregate_type, count(*) FROM es_events WHERE aggregate_type IS NOT NULL "
                                   "GROUP BY 1 ORDER BY 1"), "order|4\npayment|2")
        ours = store.load("order")
        self.assertEqual([(e["position"], e["aggregate_id"], e["version"]) for e in ours], wanted)
        self.assertEqual({e["aggregate_type"] for e in ours}, {"order"})

    def test_python_deletes_and_cuts_what_has_snapshots(self):
        gone, cut = self.store.new_id(), self.store.new_id()
        for name in (gone, cut):
            self.python.save_events("order", name, [event(str(i)) for i in range(6)], version=0)
        for name in (gone, cut):
            for e in self.store.load("order", name):
                if e["version"] in (1, 4):
                    self.snapshot("save", "order", name, e["version"], e["position"], '"as of %d"' % e["version"])
        self.assertIn('"as of 4"', self.snapshot("load", "order", cut, 5))
        self.assertEqual(self.python.delete_events(gone), 6)
        self.assertEqual(self.python.delete_events(cut, from_version=3), 3)
        self.assertEqual(self.versions(gone), [])
        self.refused(75, "found version 2", "append", "order", cut, "--expect", "5", "M", "0")
        self.store.good("append", "order", cut, "--expect", "2", "M", '"anew"')
        self.python.save_events("order", cut, [event('"and on"')], version=4)
        self.assertEqual(self.versions(cut), [0, 1, 2, 3, 4])
        self.assertEqual([e["data"] for e in self.store.load("order", cut)], [0, 1, 2, "anew", "and on"])
        # That of version 4 is still there, but of another history.
        self.assertEqual(self.store.sql("SELECT string_agg(version::text, ' ' ORDER BY version) "
                                        "FROM es_aggregate_snapshot"), "1 4")
        self.assertIn('"as of 1"', self.snapshot("load", "order", cut, 4))
        self.store.good("append", "refund", gone, "--expect", "new", "M", "1")
        self.assertEqual([e.aggregate_type for e in self.python.iter_events(gone)], ["refund"])


class Together(Shared):
    def test_writers_of_both_at_once(self):
        ids = [self.store.new_id() for _ in range(4)]
        python, ours = write_from_both(self.store, ids, seconds=5, writers=3, seed=self.seed)
        tags = []
        for name in ids:
            versions = self.versions(name)
            self.assertEqual(versions, list(range(len(versions))))
            tags += [e["data"] for e in self.store.load("order", name)]
        self.assertEqual(sorted(tags), sorted(tag for one in python + ours for tag in one.tags))
        for side, written in (("python", python), ("meowmx", ours)):
            appended, conflicts = sum(len(one.tags) for one in written), sum(one.conflicts for one in written)
            print("%s: %d appended, %d conflicts" % (side, appended, conflicts))
            self.assertGreater(appended, 0)
            self.assertGreater(conflicts, 0)

    def test_pythons_workers_go_on_while_meowmx_follows(self):
        everything, orders = Worker(self.store, "everything"), Worker(self.store, "orders", "order")
        tail, (relay, path) = Tail(MEOWMX, self.store.url), self.store.relay("everything")
        self.addCleanup(tail.process.kill)
        relay.start()
        self.addCleanup(relay.process.kill)
        ids = [self.store.new_id() for _ in range(20)]
        write_from_both(self.store, ids, seconds=4, writers=2, seed=self.seed)
        self.store.good("append", "payment", self.store.new_id(), "M", "1")
        stored = self.store.load()
        positions = [e["position"] for e in stored]
        tail.wait(positions[-1])
        wait_until("the route", lambda: relay.routes().get("everything", {}).get("delivered", 0) >= positions[-1])
        wait_until("Python's workers", lambda: len(everything.handled()) >= len(positions)
                   and len(orders.handled()) >= len(positions) - 1)
        for worker, wanted in ((everything, positions), (orders, positions[:-1])):
            worker.stop()
            handled = worker.handled()
            self.assertEqual(sorted(position for _, position in handled), wanted)
            self.assertEqual(handled, sorted(handled))
            checkpoint = self.store.sql("SELECT last_transaction_id, last_event_id FROM es_event_subscriptions "
                                        "WHERE subscription_name = '%s'" % worker.name)
            self.assertEqual(checkpoint, "%d|%d" % handled[-1])
        relay.end()
        tail.end()
        self.assertEqual(tail.events, stored)
        with open(path, encoding="utf-8") as lines:
            self.assertEqual([json.loads(line) for line in lines], stored)


class UuidPythonFirst(Appends, Together, unittest.TestCase):
    id_type, first = "UUID", "python"


class UuidMeowmxFirst(Appends, unittest.TestCase):
    id_type, first = "UUID", "meowmx"


class CharPythonFirst(Appends, unittest.TestCase):
    id_type, first = "CHAR(20)", "python"


class CharMeowmxFirst(Appends, Together, unittest.TestCase):
    id_type, first = "CHAR(20)", "meowmx"


class ItsOwnSuite(unittest.TestCase):
    """The tests of Python meowmx itself, as its justfile runs them, on tables that `meowmx setup` made."""

    def run_suite(self, id_type, uuid_type):
        store = Store(MEOWMX, server, id_type, "meowmx")
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--sql-type",
                               "postgresql", "--sql-url", interpreter.engine_url(store.url), "--uuid-type", uuid_type,
                               "--iterations", "40", "tests"], cwd=SOURCE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=240)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"(?m)^1\d passed")
        self.assertGreater(len(store.load()), 100)
        self.assertEqual(store.sql("SELECT count(*) FROM es_events WHERE aggregate_type IS NULL"), "0")

    def test_uuid(self):
        self.run_suite("UUID", "uuid")

    def test_char_36(self):
        self.run_suite("CHAR(36)", "char 36")

    def test_xid(self):
        self.run_suite("CHAR(20)", "xid")


class FromSqlite(unittest.TestCase):
    def test_its_events_come_over_as_the_page_says(self):
        path = os.path.join(scratch(), "old.db")
        client = meowmx.Client(sqlalchemy.create_engine("sqlite:///" + path))
        client.setup_tables()
        client.save_events("order", "o 1", [event(text) for text in ODD[:6]], version=0)
        client.save_events("支払い", "p", [event(ODD[8], 'the "type"')], version=0)
        client.save_events("order", "o 1", [event(text) for text in ODD[6:]], version=6)
        with open(os.path.join(ROOT, "docs", "from-python-meowmx.md"), encoding="utf-8") as page:
            script = re.search(r"^```python\n(.*?)^```$", page.read(), re.M | re.S).group(1)
        lines = subprocess.run([sys.executable, "-c", script, path], check=True, stdout=subprocess.PIPE).stdout
        store = Store(MEOWMX, server, "TEXT", "meowmx")
        store.good("append", "-", stdin=lines)
        self.assertEqual([e.json for e in store.python.iter_events("o 1")], ODD)
        self.assertEqual([(e["aggregate_type"], e["aggregate_id"], e["version"], e["type"]) for e in store.load()],
                         [("order", "o 1", i, "P") for i in range(6)] + [("支払い", "p", 0, 'the "type"')] +
                         [("order", "o 1", i, "P") for i in range(6, len(ODD))])


def main():
    global server
    Shared.seed = random.randrange(1 << 30)
    print("seed %d" % Shared.seed)
    server = Server("postgres")
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])


if __name__ == "__main__":
    main()
