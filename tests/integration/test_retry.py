"""Dead letters that are published again, to files and to Kafka, with a relay that is killed meanwhile.

usage: test_retry.py MEOWMX TOOLS [--no-kafka] [unittest arguments]
"""
import json
import os
import subprocess
import sys
import threading
import unittest

import psycopg

from operated import Operated, main
from world import Server, wait_until

TOOLS = os.path.abspath(sys.argv[2])
SQL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "store", "postgres", "sql")
NO_KAFKA = "--no-kafka" in sys.argv
kafka = None
LARGE = 5000
COUNT = 6  # aggregates with a large event, of which nine more follow


class Retried(Operated):
    lease = "1s"

    def configured(self, limit, prefix=""):
        routes = {"audit": self.to_file("on_poison: set-aside, ")}
        for name, delivery in (("topics", "at-least-once"), ("once", "exactly-once")) if kafka else ():
            routes[name] = ("{partitions: %d, on_poison: set-aside, kafka: {topic: %s, delivery: %s, partitions: 2, client: "
                            "{bootstrap.servers: '%s', message.max.bytes: %d}}}" %
                            (2 if name == "once" else 1, prefix + name, delivery, kafka.url, limit))
        return routes

    def arrived(self, name):
        """(position, aggregate, version) in the order of the sink, or of each partition."""
        if name == "audit":
            with open(self.file, encoding="utf-8") as lines:
                return [(line["position"], line["aggregate_id"], line["version"]) for line in map(json.loads, lines)]
        dump = subprocess.run([os.path.join(TOOLS, "kafka_dump"), kafka.url, name], check=True, stdout=subprocess.PIPE,
                              text=True)
        rows = [line.split("\t") for line in dump.stdout.splitlines()]
        return [(int(row[3]), row[5], int(row[6])) for row in rows]

    def dead(self, name):
        return self.good("dead", "list", name)

    def set_aside_by_hand(self):
        """A file takes everything: the letters of the events that are too large for a topic are made."""
        subprocess.run(["psql", "-Xq", self.url, "-v", "ON_ERROR_STOP=1", "-c",
                        "INSERT INTO meowmx_dead_letters SELECT 'audit', 0, id, aggregate_type, aggregate_id, version, "
                        "event_type, 'too large', 'invalid', now() FROM es_events WHERE length(json_data::text) > %d"
                        % LARGE], check=True)

    def test_they_are_there_once_and_in_order_whenever_the_relay_is_killed(self):
        self.append(5, "other")
        for name in range(COUNT):
            self.append(1, "k%d" % name, size=LARGE)
            self.append(9, "k%d" % name)
        self.set_aside_by_hand()
        routes = self.configured(2000)
        self.start(routes)
        for name in routes:
            self.wait_caught_up(name, 60)
            self.assertEqual(len(self.dead(name)), 10 * COUNT)
            self.assertEqual(len(self.arrived(name)), 5)
        self.stop()
        routes = self.configured(200000)
        for name in routes:
            self.good("dead", "retry", name, "--yes")
        self.append(20, "k3")
        count = 0
        for _ in range(4):
            self.start(routes)
            wait_until("more of them", lambda: len(self.arrived("audit")) > count or not self.dead("audit"), 20)
            count = len(self.arrived("audit"))
            self.end()  # wherever it is
        self.start(routes)
        for name in routes:
            wait_until("all", lambda: self.dead(name) == [], 30)
            self.wait_caught_up(name, 30)
        self.stop()
        self.start(routes)  # what a start finds is all there
        for name in routes:
            self.wait_caught_up(name, 30)
        self.stop()
        for name in routes:
            seen, after = set(), {}
            for position, aggregate, version in self.arrived(name):
                if position in seen:
                    self.assertEqual(name, "topics")
                    continue
                seen.add(position)
                self.assertEqual(version, after.get(aggregate, 0), name)
                after[aggregate] = version + 1
            self.assertEqual(len(seen), 25 + 10 * COUNT)
        done = self.run_meowmx("verify", "-c", self.config)
        self.assertEqual(done.returncode, 0, done.stdout)


    @unittest.skipIf(NO_KAFKA, "no Kafka connector")
    def test_a_broker_that_refuses_one_again_and_then_takes_it(self):
        """Only the broker knows its limit: each time the sink is given up, and what precedes the event is sent."""
        self.append(1, "a")
        self.append(1, "a", size=1500000)  # 2
        self.append(1, "a")
        self.append(2, "b")
        routes = {name: text for name, text in self.configured(5000000, "broker-").items() if name != "audit"}
        self.start(routes)
        for name in routes:
            self.wait_caught_up(name, 60)
            self.assertEqual([letter["position"] for letter in self.dead(name)], [2, 3])
            self.good("dead", "retry", name, "--yes")
        self.append(1, "b")
        for name in routes:
            wait_until("the end of its retries", lambda: [letter.get("retry_at", 0) for letter in self.dead(name)] == [0, 0],
                       40)
            self.wait_caught_up(name, 60)
            self.assertEqual([position for position, _, _ in self.arrived("broker-" + name)].count(2), 0)
            subprocess.run([os.path.join(TOOLS, "kafka_edit"), kafka.url, "settings", "broker-" + name,
                            "max.message.bytes=5000000"], check=True)
            self.good("dead", "retry", name, "--yes")
            wait_until("all", lambda: self.dead(name) == [], 40)
            self.wait_caught_up(name, 60)
            arrived = [(version, position) for position, aggregate, version in self.arrived("broker-" + name)
                       if aggregate == "a"]
            self.assertEqual(list(dict.fromkeys(arrived)), [(0, 1), (1, 2), (2, 3)])
            self.assertEqual(len(arrived) == 3 or name == "topics", True)
        self.stop()


class AtOnce(Operated):
    """A retry is asked for while an earlier one of its aggregate is found to have failed, as the statements meet."""

    def setUp(self):
        super().setUp()
        self.append(3)
        self.start({"audit": self.to_file("on_poison: set-aside, ")})
        self.wait_caught_up("audit")
        self.stop()
        self.one, self.other = psycopg.connect(self.url, autocommit=True), psycopg.connect(self.url, autocommit=True)
        self.addCleanup(self.one.close)
        self.addCleanup(self.other.close)
        self.one.execute("INSERT INTO meowmx_dead_letters SELECT 'audit', 0, id, aggregate_type, aggregate_id, version, "
                         "event_type, 'too large', 'invalid', now() FROM es_events WHERE id > 1")
        self.good("dead", "retry", "audit", "2", "--yes")
        self.first = self.places()[2]
        self.assertEqual(self.places()[3], 0)

    def places(self):
        return {letter["position"]: letter.get("retry_at", 0) for letter in self.good("dead", "list", "audit")}

    def run_sql(self, session, name, *values):
        with open(os.path.join(SQL, name + ".sql"), encoding="utf-8") as text:
            done = session.pgconn.exec_params(text.read().encode(), [None if each is None else str(each).encode()
                                                                     for each in values])
        self.assertEqual(done.status, psycopg.pq.ExecStatus.TUPLES_OK, session.pgconn.error_message)
        return done.ntuples

    def first_has_failed(self, session):
        """As the relay says it."""
        row = self.one.execute("SELECT layout, partition, epoch, generation FROM meowmx_checkpoints").fetchone()
        failed = [{"retry_at": self.first, "aggregate_type": "order", "aggregate_id": "a", "error": "too large",
                   "error_class": "invalid"}]
        return lambda: self.assertEqual(self.run_sql(session, "retry_end", "audit", *row, json.dumps(failed)), 1)

    def is_blocked(self):
        row = self.one.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                               "AND datname = current_database()").fetchone()
        return row[0] == 1

    def test_a_retry_behind_one_that_is_failing_takes_both(self):
        self.other.execute("BEGIN")
        self.first_has_failed(self.other)()
        retry = subprocess.Popen([self.meowmx, "dead", "retry", "audit", "--yes", "--store", self.url],
                                 stdout=subprocess.DEVNULL)
        wait_until("it waits", self.is_blocked)
        self.other.execute("COMMIT")
        self.assertEqual(retry.wait(timeout=20), 0)
        places = self.places()
        self.assertLess(self.first, places[2])
        self.assertLess(places[2], places[3])

    def test_one_that_fails_behind_a_retry_takes_it_back_when_it_is_told_again(self):
        self.other.execute("BEGIN")
        self.run_sql(self.other, "dead_lock", "audit")
        self.run_sql(self.other, "dead_retry", "audit", 0, None, None)
        fail = self.first_has_failed(psycopg.connect(self.url, autocommit=True))
        thread = threading.Thread(target=fail)
        thread.start()
        wait_until("it waits", self.is_blocked)
        self.other.execute("COMMIT")
        thread.join()
        self.assertEqual(self.places()[2], 0)
        self.assertLess(self.first, self.places()[3])  # which it could not see
        fail()
        self.assertEqual(self.places(), {2: 0, 3: 0})


if __name__ == "__main__":
    kafka = None if NO_KAFKA else Server("kafka")
    main([sys.argv[1]] + [word for word in sys.argv[3:] if word != "--no-kafka"])
