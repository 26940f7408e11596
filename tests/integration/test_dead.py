"""Events that a sink will never take, set aside: order per aggregate, restarts, rewinds, and a person's decision.

usage: test_dead.py MEOWMX [unittest arguments]

Redis with a small proto-max-bulk-len stands for a sink that refuses what is too large.
"""
import json
import signal
import subprocess
import sys

from operated import Operated, main
from world import wait_until

LIMIT = 1 << 20
LARGE = 2 << 20


class OnPostgres(Operated):
    def setUp(self):
        super().setUp()
        limit = self.client.ask("CONFIG", "GET", "proto-max-bulk-len")[1]
        self.client.ask("CONFIG", "SET", "proto-max-bulk-len", str(LIMIT))
        self.addCleanup(self.client.ask, "CONFIG", "SET", "proto-max-bulk-len", limit)
        self.routes = {"cache": self.to_redis("events{generation}", "on_poison: set-aside, ")}

    def dead(self):
        return [(letter["position"], letter["aggregate_id"], "error" in letter)
                for letter in self.good("dead", "list", "cache")]

    def ids(self, generation=0):
        return [int(entry.split("-")[0]) for entry in self.entries("events%d" % generation)]

    def metric(self, name):
        for line in self.get("/metrics").splitlines():
            if line.startswith(name + '{route="cache"}'):
                return float(line.split()[-1])
        return None

    def fill(self):
        self.append(2, "a")         # 1 2
        self.append(1, "a", size=LARGE)  # 3: will never be taken
        self.append(2, "b")         # 4 5
        self.append(2, "a")         # 6 7: follow it
        self.append(1, "c", size=LARGE)  # 8
        self.append(1, "b")         # 9

    ASIDE = [(3, "a", True), (6, "a", False), (7, "a", False), (8, "c", True)]

    def test_it_is_set_aside_with_what_follows_it_and_others_go_on(self):
        self.fill()
        self.start(self.routes)
        self.wait_caught_up("cache")
        self.assertEqual(self.ids(), [1, 2, 4, 5, 9])
        self.assertEqual(self.dead(), self.ASIDE)
        self.append(1, "a")  # 10
        self.append(1, "b")  # 11
        self.wait_caught_up("cache")
        self.assertEqual(self.ids(), [1, 2, 4, 5, 9, 11])
        self.assertEqual(self.dead(), self.ASIDE + [(10, "a", False)])
        self.assertEqual(self.shown("cache")["dead_letters"], 5)
        wait_until("the metrics", lambda: self.metric("meowmx_dead_letters") == 5)
        self.assertEqual(self.metric("meowmx_held_aggregates"), 2)
        self.assertGreaterEqual(self.metric("meowmx_dead_letter_oldest_seconds"), 0)
        letter, event = self.good("dead", "show", "cache", "3")
        self.assertIn("proto-max-bulk-len", letter["error"])
        self.assertEqual((letter["error_class"], letter["version"]), ("invalid", 2))
        self.assertEqual((event["position"], len(event["data"]["x"])), (3, LARGE))
        self.assertIn("5 dead letters", self.run_meowmx("subscription", "list").stdout)

    def test_a_restart_keeps_what_is_held(self):
        self.fill()
        self.start(self.routes)
        self.wait_caught_up("cache")
        for kill in (False, True):
            if kill:
                self.end()
            else:
                self.stop()
            self.append(1, "a")
            self.append(1, "b")
            self.start(self.routes)
            self.wait_caught_up("cache", 30)
        self.assertEqual(self.ids(), [1, 2, 4, 5, 9, 11, 13])
        self.assertEqual(self.dead(), self.ASIDE + [(10, "a", False), (12, "a", False)])

    def test_discard_in_order_and_the_aggregate_goes_on(self):
        self.fill()
        self.start(self.routes)
        self.wait_caught_up("cache")
        self.refused(64, "nobody can be asked", "dead", "discard", "cache")
        self.assertIn("Discard 4 events", self.run_meowmx("dead", "discard", "cache", "--dry-run").stderr)
        self.refused(65, "stand before", "dead", "discard", "cache", "6", "--yes")
        self.refused(66, "no such dead letter", "dead", "discard", "cache", "4", "--yes")
        self.refused(66, "no such dead letter", "dead", "discard", "cache", "order", "b", "--yes")
        self.refused(66, "no event at position 4", "dead", "show", "cache", "4")
        self.good("dead", "discard", "cache", "3", "--yes")
        self.assertEqual(self.dead(), self.ASIDE[1:])
        self.good("dead", "discard", "cache", "order", "a", "--yes")
        self.assertEqual(self.dead(), self.ASIDE[3:])
        wait_until("one aggregate to be free", lambda: self.metric("meowmx_held_aggregates") == 1)
        self.append(1, "a")  # 10
        self.append(1, "c")  # 11: still held
        self.wait_caught_up("cache")
        self.assertEqual(self.ids(), [1, 2, 4, 5, 9, 10])
        self.assertEqual(self.dead(), [(8, "c", True), (11, "c", False)])
        self.good("dead", "discard", "cache", "--yes")
        self.assertEqual(self.dead(), [])

    def test_a_rewind_brings_again_what_lies_beyond_it(self):
        self.fill()
        self.start(self.routes)
        self.wait_caught_up("cache")
        self.client.ask("CONFIG", "SET", "proto-max-bulk-len", str(LARGE * 2))
        self.stop()
        self.good("subscription", "rewind", "cache", "5", "--yes")
        self.assertEqual(self.dead(), self.ASIDE[:1])  # which holds a
        self.start(self.routes)
        self.wait_caught_up("cache")
        self.assertEqual(self.ids(1), [8, 9])
        self.assertEqual(self.dead(), self.ASIDE[:3])
        self.good("subscription", "rewind", "cache", "start", "--yes")
        wait_until("all", lambda: self.ids(2) == list(range(1, 10)), 10)
        self.assertEqual(self.dead(), [])

    def arrived(self, generation=0):
        """(place, position, aggregate, version) of each entry, in the stream's order."""
        found = []
        for entry, fields in self.client.ask("XRANGE", "events%s" % generation, "-", "+"):
            fields = dict(zip(fields[::2], fields[1::2]))
            place = int(entry.split("-")[0])
            found.append((place, int(fields.get("position", place)), fields["aggregate_id"], int(fields["version"])))
        return found

    def allow(self):
        self.client.ask("CONFIG", "SET", "proto-max-bulk-len", str(LARGE * 2))

    def test_a_retry_publishes_them_behind_the_rest_in_their_order(self):
        self.fill()
        self.start(self.routes)
        self.wait_caught_up("cache")
        self.refused(64, "nobody can be asked", "dead", "retry", "cache")
        self.refused(66, "no such dead letter", "dead", "retry", "cache", "4", "--yes")
        self.refused(65, "stand before the dead letter at 7, at 3, 6: retry them first", "dead", "retry", "cache", "7",
                     "--yes")
        self.refused(65, "stand before the dead letter at 7, at 3, 6: discard them first", "dead", "discard", "cache",
                     "7", "--yes")
        self.assertIn("Publish 4 events once more", self.run_meowmx("dead", "retry", "cache", "--dry-run").stderr)
        # Refused again: nothing has moved, whatever followed.
        self.good("dead", "retry", "cache", "--yes")  # 10 to 13
        self.wait_caught_up("cache")
        wait_until("the end of the retries", lambda: not any(
            "retry_at" in letter for letter in self.good("dead", "list", "cache")))
        self.assertEqual((self.ids(), self.dead()), ([1, 2, 4, 5, 9], self.ASIDE))
        # One of an aggregate, then the others.
        self.allow()
        self.good("dead", "retry", "cache", "3", "--yes")  # 14
        wait_until("it", lambda: self.arrived()[-1] == (14, 3, "a", 2), 10)
        wait_until("it closed", lambda: self.dead() == self.ASIDE[1:])
        self.append(1, "a")  # 15: behind the others
        self.append(1, "b")  # 16
        self.wait_caught_up("cache")
        self.assertEqual(self.arrived()[-1], (16, 16, "b", 3))
        self.good("dead", "retry", "cache", "order", "a", "--yes")  # 17 to 19
        self.good("dead", "retry", "cache", "--yes")  # 20: the rest
        wait_until("all", lambda: self.dead() == [], 10)
        self.append(1, "a")  # 21
        self.append(1, "c")
        self.wait_caught_up("cache")
        self.assertEqual(self.arrived()[5:], [
            (14, 3, "a", 2), (16, 16, "b", 3), (17, 6, "a", 3), (18, 7, "a", 4), (19, 15, "a", 5), (20, 8, "c", 0),
            (21, 21, "a", 6), (22, 22, "c", 1)])
        wait_until("the metrics", lambda: self.metric("meowmx_held_aggregates") == 0)
        self.stop()
        result, text = self.verified()
        self.assertEqual((result["holds"], result["retried"], result["set_aside"]), (True, 5, 0))
        self.assertIn("5 late by a retry", text)

    def test_a_retry_waits_for_a_relay_and_survives_kills_anywhere(self):
        self.lease = "1s"
        for name in range(5):
            self.append(1, "k%d" % name, size=LARGE)
            self.append(9, "k%d" % name)
        self.start(self.routes)
        self.wait_caught_up("cache")
        self.assertEqual(len(self.dead()), 50)
        self.stop()
        self.allow()
        self.good("dead", "retry", "cache", "--yes")
        self.refused(65, "waits for its retry already", "dead", "retry", "cache", "--yes")
        self.append(20, "k3")
        count = 0
        for _ in range(4):
            self.start(self.routes)
            wait_until("more of them", lambda: len(self.arrived()) > count or not self.dead(), 20)
            count = len(self.arrived())
            self.end()  # wherever it is
        self.start(self.routes)
        wait_until("all", lambda: self.dead() == [], 30)
        self.wait_caught_up("cache")
        self.stop()
        positions = [position for _, position, _, _ in self.arrived()]
        self.assertEqual(sorted(positions), list(range(1, 51)) + list(range(101, 121)))
        after = {}
        for _, _, aggregate, version in self.arrived():
            self.assertEqual(version, after.get(aggregate, 0))
            after[aggregate] = version + 1
        self.assertEqual(self.verified()[0]["records"], 70)

    def test_a_redis_that_fell_back_gets_what_was_retried_again(self):
        self.fill()
        self.start(self.routes)
        self.wait_caught_up("cache")
        self.stop()
        (position,) = [key for key in self.client.ask("KEYS", "meowmx:*:cache:0:0")]
        for key in ("events0", position):
            self.client.ask("COPY", key, "old" + key)
        self.allow()
        self.good("dead", "retry", "cache", "--yes")  # 10 to 13
        self.append(1, "a")
        self.start(self.routes)
        wait_until("all", lambda: self.dead() == [], 20)
        self.append(1, "c")
        self.wait_caught_up("cache")
        self.stop()
        arrived = self.arrived()
        self.assertEqual(arrived[5:], [(10, 3, "a", 2), (11, 6, "a", 3), (12, 7, "a", 4), (13, 8, "c", 0), (14, 14, "a", 5),
                                       (15, 15, "c", 1)])
        for key in ("events0", position):
            self.client.ask("RENAME", "old" + key, key)
        self.start(self.routes)
        wait_until("the same again", lambda: self.arrived() == arrived, 20)
        self.assertEqual(self.dead(), [])
        self.stop()

    def test_what_was_discarded_is_not_published_when_it_is_read_again(self):
        self.fill()
        self.append(2, "a")  # 10 11: behind what was delivered
        self.start(self.routes)
        self.wait_caught_up("cache")
        self.allow()
        self.good("dead", "discard", "cache", "--yes")
        wait_until("that none is held", lambda: self.metric("meowmx_held_aggregates") == 0)
        self.process.send_signal(signal.SIGSTOP)
        if not self.sqlite:  # a lost connection: it goes on from what was delivered
            subprocess.run(["psql", "-Xq", self.url, "-c", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                            "datname = current_database() AND pid <> pg_backend_pid()"], check=True,
                           stdout=subprocess.DEVNULL)
        self.append(1, "b")
        self.append(1, "a")
        self.process.send_signal(signal.SIGCONT)
        self.wait_caught_up("cache", 30)
        self.assertEqual(self.ids(), [1, 2, 4, 5, 9, 12, 13])

    def verified(self, status=0):
        """What `verify` found of the route, as JSON and as text."""
        done = self.run_meowmx("verify", "-c", self.config, "--json")
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout), self.run_meowmx("verify", "-c", self.config).stdout

    def test_verify_tells_what_was_set_aside_from_what_is_lost(self):
        self.fill()
        self.start(self.routes)
        self.wait_caught_up("cache")
        result, text = self.verified()
        self.assertEqual((result["holds"], result["set_aside"], result["events"], result["records"]), (True, 4, 9, 5))
        self.assertEqual([kind for kind in result if isinstance(result[kind], dict) and result[kind]["count"]], [])
        self.assertIn("4 set aside: ", text)
        self.good("dead", "discard", "cache", "order", "a", "--yes")  # nor will the sink ever get these
        self.assertEqual(self.verified()[0]["set_aside"], 4)
        self.client.ask("XDEL", "events0", "5-0")
        result, _ = self.verified(65)
        self.assertEqual(([lost["position"] for lost in result["lost"]["first"]], result["set_aside"]), ([5], 4))
        # Once they are published after all, their loss is one.
        self.client.ask("CONFIG", "SET", "proto-max-bulk-len", str(LARGE * 2))
        self.good("subscription", "rewind", "cache", "start", "--yes")
        wait_until("all", lambda: self.ids(1) == list(range(1, 10)), 10)
        self.stop()
        self.assertEqual(self.verified()[0]["set_aside"], 0)
        self.client.ask("XDEL", "events1", "6-0")
        self.assertEqual(self.verified(65)[0]["lost"]["first"][0]["position"], 6)

    def streams(self, count):
        """(place, position, aggregate, version) of each entry of each partition's stream."""
        return [self.arrived("-%d" % partition) for partition in range(count)]

    def move(self, stream, entry, to):
        """That of the stream at the place stands at another one."""
        ((_, fields),) = self.client.ask("XRANGE", stream, "%d-0" % entry, "%d-0" % entry)
        self.client.ask("XDEL", stream, "%d-0" % entry)
        self.client.ask("XADD", stream, "%d-0" % to, *fields)

    def psql(self, sql):
        subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", self.url, "-c", sql], check=True)

    def publish_before(self, old, new, entry, position):
        """What is a retry in the new stream stands in the old one as if it had been published in its turn."""
        ((_, fields),) = self.client.ask("XRANGE", new, "%d-0" % entry, "%d-0" % entry)
        at = fields.index("position")
        entries = self.client.ask("XRANGE", old, "-", "+") + [["%d-0" % position, fields[:at] + fields[at + 2:]]]
        self.client.ask("DEL", old)
        for name, values in sorted(entries, key=lambda one: int(one[0].split("-")[0])):
            self.client.ask("XADD", old, name, *values)
        self.client.ask("XDEL", new, "%d-0" % entry)

    def test_a_retry_behind_a_repartition_is_the_new_partitions(self):
        split = "on_poison: set-aside, partitions: %d, "
        for name in "abcdef":
            self.append(1, name)
            self.append(1, name, size=LARGE)  # 2, 5, 8, 11, 14, 17
            self.append(1, name)
        self.start({"cache": self.to_redis("events-{partition}", split % 2)})
        wait_until("both partitions", lambda: [shown["position"] for shown in self.good(
            "subscription", "list", "--json")] == [18, 18])
        self.stop()
        self.configure({"cache": self.to_redis("events-{partition}", split % 3)})
        self.good("subscription", "repartition", "cache", "3", "-c", self.config, "--yes")
        before = {aggregate: old for old, stream in enumerate(self.streams(2)) for _, _, aggregate, _ in stream}
        self.allow()
        self.good("dead", "retry", "cache", "--yes")  # 19 to 30
        self.start({"cache": self.to_redis("events-{partition}", split % 3)})
        wait_until("the retries", lambda: self.dead() == [])
        self.append(1, "a")  # 31
        wait_until("all", lambda: len(sum(self.streams(3), [])) == 19)
        self.stop()
        retried = [[entry for entry in stream if 18 < entry[0] < 31] for stream in self.streams(3)]
        self.assertTrue(any(before[entry[2]] != new for new, stream in enumerate(retried) for entry in stream))
        for stream in retried:
            self.assertEqual(stream, sorted(stream, key=lambda entry: entry[1]))
        result, _ = self.verified()
        self.assertEqual((result["holds"], result["events"], result["records"], result["retried"], result["set_aside"]),
                         (True, 19, 19, 12, 0))
        # One that went to another partition: lost, twice, and behind the next of its aggregate.
        new, first = next((new, entry) for new, stream in enumerate(retried) for entry in stream
                          if before[entry[2]] != new)
        (second,) = [entry for entry in retried[new] if entry[2] == first[2] and entry[3] == first[3] + 1]
        stream = "events-%d" % new
        found = lambda: {fault: sample["first"][0]["position"] for fault, sample in self.verified(65)[0].items()
                         if isinstance(sample, dict) and sample["count"]}
        self.move(stream, first[0], 40)
        self.assertEqual(found(), {"out_of_order": first[1]})
        ((_, fields),) = self.client.ask("XRANGE", stream, "40-0", "40-0")
        self.client.ask("XADD", stream, "41-0", *fields)
        self.move(stream, second[0], 42)
        self.assertEqual(found(), {"twice": first[1]})
        self.client.ask("XDEL", stream, "41-0")
        if not self.sqlite:  # the next was no dead letter, and published by the old partition
            self.psql("DELETE FROM meowmx_dead_letters WHERE position = %d" % second[1])
            self.publish_before("events-%d" % before[first[2]], stream, 42, second[1])
            self.assertEqual(found(), {"out_of_order": first[1]})
        self.client.ask("XDEL", stream, "40-0")
        self.assertEqual(found(), {"lost": first[1]})

    def test_without_set_aside_dead_letters_stop_the_route(self):
        self.fill()
        self.start(self.routes)
        self.wait_caught_up("cache")
        self.stop()
        self.append(1, "a")
        self.start({"cache": self.to_redis("events{generation}")})
        wait_until("its stop", lambda: self.route("cache").get("state") == "FAILED")
        self.assertIn("4 dead letters", self.route("cache")["reason"])
        self.assertEqual(self.ids(), [1, 2, 4, 5, 9])
        wait_until("it in the store", lambda: self.shown("cache")["state"] == "FAILED")
        self.good("dead", "discard", "cache", "--yes")
        self.good("subscription", "resume", "cache", "--yes")
        self.wait_caught_up("cache")
        self.assertEqual(self.ids(), [1, 2, 4, 5, 9, 10])

    def test_delete_takes_the_dead_letters_along(self):
        self.fill()
        self.start(self.routes)
        self.wait_caught_up("cache")
        self.stop()
        self.good("subscription", "delete", "cache", "--yes")
        self.assertEqual(self.dead(), [])


class OnSqlite(OnPostgres):
    sqlite = True


if __name__ == "__main__":
    main(sys.argv[1:])
