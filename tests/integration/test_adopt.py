#!/usr/bin/env python3
"""`meowmx subscription adopt`: what Python's worker handled and what meowmx delivers from there on is everything.

usage: test_adopt.py MEOWMX TOOLS [--seed N] [unittest arguments]
"""
import json
import os
import random
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import python_meowmx as interpreter  # noqa: E402

interpreter.enter()

import meowmx  # noqa: E402
import psycopg  # noqa: E402
from python_world import Store, Worker  # noqa: E402
from servers import Server  # noqa: E402
from world import wait_until  # noqa: E402

MEOWMX, TOOLS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
server = None


class Writer:
    """A transaction of an application, step by step."""

    def __init__(self, store, name):
        self.connection, self.name = psycopg.connect(store.url), name

    def run(self, text, *values):
        return self.connection.execute(text, values).fetchone()

    def draw_id(self):
        """An id before there is a transaction id, as an ORM may do it. (One draw in 32 writes WAL, and takes one.)"""
        while True:
            position = self.run("SELECT nextval('es_events_id_seq')")[0]
            if self.run("SELECT pg_current_xact_id_if_assigned()")[0] is None:
                return position
            self.connection.rollback()

    def take_transaction_id(self):
        return self.run("SELECT pg_current_xact_id()::text")[0]

    def insert(self, position):
        self.connection.execute("INSERT INTO es_aggregates VALUES (%s, 0, 'order')", (self.name,))
        self.connection.execute("INSERT INTO es_events (id, transaction_id, aggregate_id, version, event_type, "
                                "json_data) VALUES (%s, pg_current_xact_id(), %s, 0, 'late', '{}')", (position, self.name))

    def commit(self):
        self.connection.commit()
        self.connection.close()


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.store = Store(MEOWMX, server, "TEXT", "python")

    def save(self, name):
        return self.store.python.save_events("order", name, [meowmx.NewEvent("e", "{}")], version=None)[0].id

    def handle(self, count, name="orders", types=None):
        """Lets Python's subscription handle so many events, if it finds them. Their positions."""
        handled = []
        self.store.python._handle_subscription_events(name, types or meowmx.All(), count,
                                                      lambda session, event: handled.append(event.id))
        return handled

    def adopt(self, *words):
        done = self.store.meowmx("subscription", "adopt", *words)
        self.assertEqual((done.returncode, done.stdout), (0, b""), done.stderr)
        return done.stderr.decode()

    def refused(self, status, text, *words):
        done = self.store.meowmx("subscription", "adopt", *words)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(text, done.stderr.decode())

    def checkpoints(self):
        return self.store.sql("SELECT subscription, position, delivered FROM meowmx_checkpoints ORDER BY 1")

    def deliver(self, route, last, settings=""):
        """What a relay with a route to a file delivers until it is at position `last`."""
        relay, path = self.store.relay(route, settings)
        relay.start()
        self.addCleanup(relay.process.kill)
        wait_until("the route", lambda: relay.routes().get(route, {}).get("position", 0) >= last)
        relay.end()
        with open(path, encoding="utf-8") as lines:
            return [json.loads(line)["position"] for line in lines]


class Positions(Case):
    def test_it_goes_on_where_python_stands(self):
        for name in "abc":
            self.save(name)
        self.assertEqual(self.handle(2), [1, 2])
        said = self.adopt("orders", "--yes")
        self.assertIn("orders of Python meowmx stands at event 2 of transaction", said)
        self.assertIn("orders begins behind position 2", said)
        shown = json.loads(self.store.good("subscription", "show", "orders", "--json"))
        self.assertEqual((shown["position"], shown["delivered"], shown["state"]), (2, 2, "UNASSIGNED"))
        self.assertEqual(self.deliver("orders", 3), [3])
        self.assertEqual(self.handle(9), [3])  # Python's own checkpoint stayed what it was

    def test_one_that_has_handled_nothing_begins_at_the_start(self):
        self.assertEqual(self.handle(1), [])
        self.save("a")
        self.adopt("orders", "--yes")
        self.assertEqual(self.checkpoints(), "orders|0|0")
        # Not at now, as a new route would.
        self.assertEqual(self.deliver("orders", 1, "start: now, "), [1])
        self.refused(65, "orders has already moved", "orders", "--yes")

    def test_an_early_transaction_that_appended_late(self):
        early = Writer(self.store, "early")
        early.take_transaction_id()
        self.save("a")
        early.insert(early.run("SELECT nextval('es_events_id_seq')")[0])
        early.commit()
        self.assertEqual(self.handle(1), [2])  # in the order of transaction ids
        said = self.adopt("orders", "--yes")
        self.assertIn("orders begins behind position 0: 1 event that Python has handled comes again", said)
        self.assertEqual(self.deliver("orders", 2), [1, 2])

    def begin_late(self):
        """A transaction that has drawn an id, while Python passes the next one."""
        self.save("a")
        late = Writer(self.store, "late")
        self.addCleanup(late.connection.close)
        position = late.draw_id()
        self.assertEqual(self.save("b"), position + 1)
        self.assertEqual(self.handle(9), [1, position + 1])
        return late, position

    def test_a_late_commit_below_what_python_has_passed(self):
        late, position = self.begin_late()
        late.run("SELECT set_config('application_name', 'the late one', false)")
        self.refused(69, "(the late one) has drawn an event's id and may still commit it", "orders", "--yes")
        self.assertEqual(self.checkpoints(), "")
        late.insert(position)
        late.commit()
        self.adopt("orders", "--yes")
        self.assertEqual(self.deliver("orders", position + 1), [position, position + 1])

    def test_a_late_commit_while_it_waits(self):
        late, position = self.begin_late()
        adoption = subprocess.Popen([MEOWMX, "subscription", "adopt", "orders", "--yes", "--store", self.store.url],
                                    stderr=subprocess.PIPE)
        lock = "relation = 'es_event_subscriptions'::regclass AND mode = 'RowShareLock'"
        wait_until("its lock", lambda: self.store.sql("SELECT count(*) FROM pg_locks WHERE " + lock) == "1", 4)
        late.insert(position)
        late.commit()
        _, said = adoption.communicate(timeout=20)
        self.assertEqual(adoption.returncode, 0, said)
        self.assertEqual(self.checkpoints(), "orders|%d|%d" % (position - 1, position - 1))

    def test_a_subscription_of_one_type(self):
        self.save("a")
        self.store.good("append", "payment", "p", "e", "{}")
        self.save("b")
        self.store.good("append", "payment", "q", "e", "{}")
        self.assertEqual(self.handle(9, types="order"), [1, 3])
        self.adopt("orders", "--yes")
        self.assertEqual(self.checkpoints(), "orders|3|3")
        self.save("c")
        self.assertEqual(self.deliver("orders", 5, "categories: [order], "), [5])


class Refusals(Case):
    def test_what_cannot_be_adopted(self):
        self.save("a")
        self.handle(1)
        self.refused(66, "there is no subscription nobody of Python meowmx", "nobody", "--yes")
        self.refused(64, "a subscription needs a name", "orders", "--as", "", "--yes")
        self.refused(64, "give --yes to do it, or --dry-run", "orders")
        with psycopg.connect(self.store.url) as worker:
            worker.execute("SELECT FROM es_event_subscriptions WHERE subscription_name = 'orders' FOR UPDATE")
            self.refused(69, "at work on subscription orders: stop all of its workers first", "orders", "--yes")
        self.assertIn("dry run: nothing was done", self.adopt("orders", "--dry-run", "--yes"))
        self.assertEqual(self.checkpoints(), "")
        self.adopt("orders", "--as", "shop", "--yes")
        self.assertEqual(self.checkpoints(), "shop|1|1")
        self.refused(65, "shop has already moved", "orders", "--as", "shop", "--dry-run")

    def test_a_route_that_runs_already(self):
        """It stands at 0 because its sink is away; from then on it counts from where it was put."""
        self.save("a")
        self.save("b")
        self.handle(1)
        relay, path = self.store.relay("orders")
        os.mkdir(path)
        relay.start()
        self.addCleanup(relay.process.kill)
        wait_until("a failing route", lambda: self.store.sql("SELECT count(*) FROM meowmx_checkpoints") == "1")
        self.adopt("orders", "--yes")
        os.rmdir(path)
        wait_until("the route", lambda: relay.routes()["orders"]["delivered"] >= 2)
        relay.end()
        with open(path, encoding="utf-8") as lines:
            self.assertEqual([json.loads(line)["position"] for line in lines], [2])


class Storm(Case):
    def test_nothing_is_missing_under_a_mixed_load(self):
        """The worker is stopped, and its subscription adopted, while writers go on that do their worst to the order."""
        storm = subprocess.Popen([os.path.join(TOOLS, "storm"), self.store.url, "8", "6", str(Storm.seed), "20"])
        self.addCleanup(storm.kill)
        worker, late = Worker(self.store, "orders", batch=40), Writer(self.store, "late")
        wait_until("a begin", lambda: worker.handled())
        position = late.draw_id()
        wait_until("some work", lambda: worker.handled()[-1][1] > position + 300)
        worker.stop()
        late.insert(position)
        late.commit()
        said = self.adopt("orders", "--yes")
        self.assertEqual(storm.wait(60), 0)
        stored = [event["position"] for event in self.store.load()]
        handled = [position for _, position in worker.handled()]
        delivered = self.deliver("orders", stored[-1])
        again = len(set(handled) & set(delivered))
        below = len([position for position in stored if position < max(handled) and position not in handled])
        print("%d events, %d handled, %d delivered, %d of them twice; %d below the last that was handled were not" % (
            len(stored), len(handled), len(delivered), again, below))
        self.assertEqual(sorted(set(handled) | set(delivered)), stored)
        self.assertEqual(delivered, sorted(set(delivered)))
        self.assertIn(": %d event%s that Python has handled" % (again, "" if again == 1 else "s"), said)
        self.assertGreater(below, 0)  # or any way to do it would have passed


def main():
    global server
    words = sys.argv[3:]
    Storm.seed = int(words.pop(words.index("--seed") + 1)) if "--seed" in words else random.randrange(1 << 30)
    print("seed %d" % Storm.seed)
    server = Server("postgres")
    unittest.main(argv=[sys.argv[0], *[word for word in words if word != "--seed"]])


if __name__ == "__main__":
    main()
