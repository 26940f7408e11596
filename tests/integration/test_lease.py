"""Several relays share the partitions of a route: they share fairly, take over from one that died, hangs or stops, and one
that wakes behind its lease changes nothing. Every event arrives once, in order per aggregate.

usage: test_lease.py MEOWMX [unittest arguments]
"""
import json
import os
import signal
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request

from world import Psql, Redis, Server, free_port, scratch, wait_until

MEOWMX = os.path.abspath(sys.argv[1])
LEASE = 2  # seconds
postgres = redis = None


class Relay:
    def __init__(self, url, routes, name):
        self.port = free_port()
        config = os.path.join(scratch(), name + ".yaml")
        with open(config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\nhttp: {listen: '127.0.0.1:%d'}\nrelay: {lease: %ds, backoff_max: 1s}\n"
                      "routes:\n" % (url, self.port, LEASE))
            for route, text in routes.items():
                out.write("  %s: %s\n" % (route, text))
        self.path = os.path.join(scratch(), name + ".log")
        with open(self.path, "ab") as log:
            self.process = subprocess.Popen([MEOWMX, "relay", "-c", config], stderr=log)

    def get(self, path):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.port, path), timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as failure:
            return failure.code, failure.read().decode()
        except OSError:
            return 0, ""

    def route(self, name):
        status, text = self.get("/status")
        return {route["name"]: route for route in json.loads(text)["routes"]}.get(name, {}) if status == 200 else {}

    def said(self):
        with open(self.path, encoding="utf-8") as log:
            return log.read()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


class Writer(threading.Thread):
    """Appends until it is told to end."""

    def __init__(self, url):
        super().__init__()
        self.url, self.over, self.failure = url, threading.Event(), None
        self.start()

    def run(self):
        lines = "".join('{"aggregate_type":"order","aggregate_id":"%d","type":"e","data":{}}\n' % (i % 40)
                        for i in range(100)).encode()
        while not self.over.is_set():
            done = subprocess.run([MEOWMX, "append", "-", "--store", self.url], input=lines, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, check=False)
            if done.returncode != 0:
                self.failure = done.stderr.decode()
                return
            self.over.wait(0.02)

    def end(self):
        self.over.set()
        self.join()
        if self.failure:
            raise RuntimeError(self.failure)


class Case(unittest.TestCase):
    count = 0

    def setUp(self):
        Case.count += 1
        self.name = "lease%d" % Case.count
        subprocess.run(["psql", "-XAtq", postgres.url.rsplit("/", 1)[0] + "/postgres", "-c", "CREATE DATABASE " + self.name],
                       check=True)
        self.url = postgres.url.rsplit("/", 1)[0] + "/" + self.name
        self.meowmx("setup", "--id-type", "TEXT")
        self.psql = Psql(self.url)
        self.addCleanup(self.psql.close)
        self.client = Redis(redis.port)
        self.client.ask("FLUSHALL")
        self.relays, self.writer = [], None
        self.addCleanup(self.end)

    def end(self):
        if self.writer:
            self.writer.over.set()
            self.writer.join()
        for relay in self.relays:
            if relay.process.poll() is None:
                relay.process.kill()
                relay.process.wait()

    def meowmx(self, *words, **more):
        return subprocess.run([MEOWMX, *words, "--store", self.url], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, **more).stdout

    def relay(self, routes):
        relay = Relay(self.url, routes, "%s-%d" % (self.name, len(self.relays)))
        self.relays.append(relay)
        return relay

    def to_redis(self, partitions):
        return {"cache": "{partitions: %d, redis: {url: '%s', stream: 'events:{partition}'}}" % (partitions, redis.url)}

    def owned(self, relay, state="RUNNING"):
        """The partitions that run there."""
        return [int(line) for line in self.psql.run(
            "SELECT partition FROM meowmx_checkpoints WHERE lease_holder LIKE '%%:%d:%%' AND state = '%s' "
            "AND lease_until > clock_timestamp() ORDER BY 1" % (relay.process.pid, state))]

    def numbers(self, column):
        return [int(line) for line in self.psql.run("SELECT %s FROM meowmx_checkpoints ORDER BY partition" % column)]

    def shares(self, *relays):
        return sorted(len(self.owned(relay)) for relay in relays)

    def took(self, relay, wanted, seconds):
        """How long until the relay runs so many partitions."""
        began = time.monotonic()
        while len(self.owned(relay)) < wanted:
            if time.monotonic() - began > seconds:
                raise RuntimeError("after %.1f s it has %s: %s" % (seconds, self.owned(relay), relay.said()[-2000:]))
            time.sleep(0.005)
        return time.monotonic() - began

    def arrived(self, partitions):
        """Everything in the streams, checked for order; position, aggregate and version of each."""
        entries = []
        for partition in range(partitions):
            for entry, fields in self.client.ask("XRANGE", "events:%d" % partition, "-", "+"):
                fields = dict(zip(fields[::2], fields[1::2]))
                entries.append((int(entry.split("-")[0]), fields["aggregate_id"], int(fields["version"]), partition))
        return entries

    def check(self, entries):
        """Once each, in order per aggregate, and each aggregate in one place."""
        head = int(self.psql.run("SELECT count(*) FROM es_events")[0])
        self.assertEqual(len({entry[0] for entry in entries}), head)
        self.assertEqual(len(entries), head)
        places, versions = {}, {}
        for _, aggregate, version, place in entries:
            self.assertEqual(places.setdefault(aggregate, place), place)
            self.assertEqual(version, versions.get(aggregate, -1) + 1)
            versions[aggregate] = version
        self.assertGreater(len(set(places.values())), 1)

    def wait_for_all(self, relays):
        self.writer.end()
        head = int(self.psql.run("SELECT max(id) FROM es_events")[0])
        wait_until("all events", lambda: min(self.numbers("position")) >= head)
        for relay in relays:
            self.assertEqual(relay.end(), 0)
        self.assertEqual(self.psql.run("SELECT count(*) FROM meowmx_checkpoints WHERE lease_until IS NOT NULL"), ["0\n"])
        wait_until("that none counts any more", lambda: self.psql.run(
            "SELECT count(*) FROM meowmx_relays WHERE until > clock_timestamp()") == ["0\n"], LEASE)


class Sharing(Case):
    def test_relays_come_and_go(self):
        routes = self.to_redis(4)
        self.writer = Writer(self.url)
        first = self.relay(routes)
        self.took(first, 4, 20)
        second = self.relay(routes)
        wait_until("fair shares", lambda: self.shares(first, second) == [2, 2], 10)
        self.assertIn("giving the partition to a relay that has fewer", first.said())
        third = self.relay(routes)
        wait_until("a third one's share", lambda: self.shares(first, second, third) == [1, 1, 2], 10)
        wait_until("that the standby partitions are ready", lambda: third.get("/readyz")[0] == 200, 10)
        self.assertIn("waits_for", json.dumps(third.route("cache")["partitions"]))
        text = first.get("/metrics")[1]
        self.assertIn('meowmx_route_state{route="cache",state="RUNNING"} 1\n', text)
        self.assertIn('meowmx_lease_epoch{route="cache"} ', text)

        first.process.kill()
        first.process.wait()
        began = time.monotonic()
        wait_until("the dead one's partitions", lambda: self.shares(second, third) == [2, 2], LEASE + 5)
        taken = time.monotonic() - began
        print("after kill -9 taken over in %.2f s, lease %d s" % (taken, LEASE))
        self.assertLess(taken, LEASE + 3)  # and room for a machine that others use

        third.process.send_signal(signal.SIGTERM)
        self.took(second, 4, 5)
        self.assertEqual(third.process.wait(timeout=20), 0)
        self.wait_for_all([second])
        self.check(self.arrived(4))

    def test_a_graceful_stop_hands_over_at_once(self):
        routes = self.to_redis(2)
        self.writer = Writer(self.url)
        owner, times = self.relay(routes), []
        self.took(owner, 2, 20)
        for _ in range(4):
            other = self.relay(routes)
            wait_until("fair shares", lambda: self.shares(owner, other) == [1, 1], 10)  # pylint: disable=cell-var-from-loop
            owner.process.send_signal(signal.SIGTERM)
            times.append(self.took(other, 2, 5))
            self.assertEqual(owner.process.wait(timeout=20), 0)
            owner = other
        print("handed over in", " ".join("%.0f" % (1000 * each) for each in times), "ms")
        # To wait for the lease to run out would take two thirds of it at least, each time.
        self.assertLess(sorted(times)[(len(times) - 1) // 2], LEASE / 2)
        self.assertLess(min(times), LEASE / 4)
        self.wait_for_all([owner])
        self.check(self.arrived(2))

    def test_one_that_wakes_behind_its_lease_changes_nothing(self):
        routes = self.to_redis(2)
        self.writer = Writer(self.url)
        frozen = self.relay(routes)
        self.took(frozen, 2, 20)
        for _ in range(3):
            other = self.relay(routes)
            wait_until("fair shares", lambda: self.shares(frozen, other) == [1, 1], 10)  # pylint: disable=cell-var-from-loop
            frozen.process.send_signal(signal.SIGSTOP)
            taken = self.took(other, 2, LEASE + 5)
            print("from a frozen one taken over in %.2f s" % taken)
            self.assertLess(taken, LEASE + 3)  # and room for a machine that others use
            epochs, before = self.numbers("epoch"), self.numbers("delivered")
            wait_until("that it goes on", lambda: min(self.numbers("delivered")) > max(before))  # pylint: disable=cell-var-from-loop
            before = self.numbers("delivered")
            frozen.process.send_signal(signal.SIGCONT)
            wait_until("that it notices", lambda: "could not be renewed" in frozen.said() or  # pylint: disable=cell-var-from-loop
                       "another relay has taken" in frozen.said() or "is another's now" in frozen.said(), 10)  # pylint: disable=cell-var-from-loop
            after = self.numbers("delivered")
            self.assertTrue(all(a >= b for a, b in zip(after, before)), (before, after))
            self.assertTrue(all(a >= b for a, b in zip(self.numbers("epoch"), epochs)))
            frozen.process.kill()
            frozen.process.wait()
            self.took(other, 2, LEASE + 5)
            frozen = other
        self.wait_for_all([frozen])
        self.check(self.arrived(2))


class Repartition(Case):
    def repartition(self, route, partitions, routes):
        """Exit status, and what it says."""
        config = os.path.join(scratch(), self.name + ".yaml")
        with open(config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\nroutes:\n" % self.url +
                      "".join("  %s: %s\n" % each for each in routes.items()))
        done = subprocess.run([MEOWMX, "subscription", "repartition", route, str(partitions), "-c", config, "--yes"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout

    def append(self, aggregates):
        lines = "".join('{"aggregate_type":"order","aggregate_id":"%s","type":"e","data":{}}\n' % aggregate
                        for aggregate in aggregates)
        self.meowmx("append", "-", input=lines.encode())

    def head(self):
        return int(self.psql.run("SELECT max(id) FROM es_events")[0])

    def run_up_to(self, routes, position):
        relay = self.relay(routes)
        wait_until("all positions", lambda: self.numbers("position") == [position, position])
        return relay

    def test_old_partitions_run_to_the_cut_and_new_ones_begin_there(self):
        self.append(range(40))
        relay = self.run_up_to(self.to_redis(2), 40)
        status, said = self.repartition("cache", 3, self.to_redis(3))
        self.assertEqual(status, 69, said)
        self.assertIn("cache is run by ", said)
        self.assertEqual(relay.end(), 0)
        places = {aggregate: place for _, aggregate, _, place in self.arrived(2)}
        # As if partition 0 had run on while partition 1 stood still.
        self.append([aggregate for aggregate, place in places.items() if place == 1])
        cut = self.head()
        self.psql.run("UPDATE meowmx_checkpoints SET position = %d WHERE partition = 0" % cut)
        self.append(range(40))
        status, said = self.repartition("cache", 3, self.to_redis(2))
        self.assertEqual((status, "set partitions: 3 first" in said), (78, True))
        status, said = self.repartition("cache", 3, self.to_redis(3))
        self.assertEqual(status, 69, said)
        self.assertIn("1 of the 2 partitions of cache are behind position %d, the lowest at 40" % cut, said)

        relay = self.run_up_to(self.to_redis(2), cut)
        wait_until("that it says so", lambda: relay.said().count("has run to the end of its layout") == 2, 10)
        self.assertEqual(relay.get("/readyz")[0], 200)
        self.assertEqual(max(position for position, _, _, _ in self.arrived(2)), cut)
        self.assertEqual(relay.end(), 0)
        before = self.numbers("epoch")
        status, said = self.repartition("cache", 3, self.to_redis(3))
        self.assertEqual((status, "begin behind position %d" % cut in said), (0, True), said)
        old = [int(line) for line in self.psql.run("SELECT epoch FROM meowmx_checkpoints WHERE layout = 0 ORDER BY partition")]
        self.assertTrue(all(a > b for a, b in zip(old, before)))
        store = self.psql.run("SELECT left(store_id::text, 8) FROM meowmx_meta")[0].strip()
        for partition, epoch in enumerate(old):  # whoever still publishes for the old layout is refused by Redis
            key = "meowmx:%s:cache:0:%d:epoch" % (store, partition)
            self.assertTrue(self.client.ask("GET", key).startswith("%d." % epoch))
        self.assertEqual(len(self.meowmx("subscription", "show", "cache", "--json").splitlines()), 3)

        relay = self.relay(self.to_redis(3))
        self.took(relay, 3, 20)
        wait_until("all events", lambda: len(self.arrived(3)) >= self.head())
        self.assertEqual(relay.end(), 0)
        entries = sorted(self.arrived(3))
        self.assertEqual([position for position, _, _, _ in entries], list(range(1, self.head() + 1)))
        versions = {}
        for _, aggregate, version, _ in entries:
            self.assertEqual(version, versions.get(aggregate, -1) + 1)
            versions[aggregate] = version
        relay = self.relay(self.to_redis(2))
        wait_until("a stopped route", lambda: "repartition cache 2" in relay.route("cache").get("reason", ""))
        self.assertEqual(relay.end(), 0)

    def test_in_a_sqlite_store(self):
        self.url = "sqlite:" + os.path.join(scratch(), self.name + ".db")
        self.meowmx("setup")
        path = os.path.join(scratch(), self.name + "-{partition}.jsonl")
        routes = lambda count: {"audit": "{partitions: %d, file: {path: '%s'}}" % (count, path)}  # noqa: E731

        def lines(count):
            found = []
            for partition in range(count):
                if os.path.exists(path.replace("{partition}", str(partition))):
                    with open(path.replace("{partition}", str(partition)), encoding="utf-8") as file:
                        found += [json.loads(line)["position"] for line in file]
            return sorted(found)

        self.append(range(20))
        relay = self.relay(routes(1))
        wait_until("its events", lambda: len(lines(1)) == 20)
        self.assertEqual(self.repartition("audit", 2, routes(2))[0], 69)
        self.assertEqual(relay.end(), 0)
        self.append(range(20))
        status, said = self.repartition("audit", 2, routes(2))
        self.assertEqual(status, 0, said)
        relay = self.relay(routes(2))
        wait_until("all events", lambda: len(lines(2)) >= 40)
        self.assertEqual(relay.end(), 0)
        self.assertEqual(lines(2), list(range(1, 41)))
        self.assertGreater(len(lines(2)), len(lines(1)))


class Files(Case):
    def to_files(self, partitions):
        self.file = os.path.join(scratch(), self.name + "-{partition}.jsonl")
        return {"audit": "{partitions: %d, file: {path: '%s'}}" % (partitions, self.file)}

    def lines(self, partitions):
        entries = []
        for partition in range(partitions):
            with open(self.file.replace("{partition}", str(partition)), encoding="utf-8") as lines:
                entries += [(event["position"], event["aggregate_id"], event["version"], partition)
                            for event in map(json.loads, lines)]
        return entries

    def test_a_file_for_each_partition(self):
        routes = self.to_files(3)
        self.writer = Writer(self.url)
        first = self.relay(routes)
        self.took(first, 3, 20)
        second = self.relay(routes)
        wait_until("fair shares", lambda: self.shares(first, second) == [1, 2], 10)
        self.assertEqual(first.end(), 0)
        self.took(second, 3, 10)
        self.wait_for_all([second])
        self.check(self.lines(3))

    def test_another_number_of_partitions_stops_the_route_alone(self):
        other = {"other": "{file: {path: '%s'}}" % os.path.join(scratch(), self.name + "-other.jsonl")}
        relay = self.relay({**self.to_files(2), **other})
        wait_until("both routes", lambda: self.owned(relay) == [0, 0, 1])
        self.assertEqual(relay.end(), 0)
        relay = self.relay({**self.to_files(3), **other})
        wait_until("a stopped route", lambda: relay.route("audit").get("state") in ("FAILED", "UNASSIGNED") and
                   all(part["state"] == "FAILED" for part in relay.route("audit")["partitions"]))
        self.assertIn("in 2 partitions, the configuration in 3", relay.route("audit")["reason"])
        wait_until("the other one", lambda: relay.route("other").get("state") == "RUNNING")
        self.assertEqual(relay.get("/readyz")[0], 503)
        self.assertEqual(relay.said().count("in 2 partitions"), 3)
        self.assertEqual(relay.end(), 0)
        relay = self.relay({**self.to_files(2), **other})
        wait_until("both routes again", lambda: self.owned(relay) == [0, 0, 1])
        self.assertEqual(relay.end(), 0)

    def test_two_configurations_that_mean_different_things_by_one_name(self):
        other = {"other": "{file: {path: '%s'}}" % os.path.join(scratch(), self.name + "-other.jsonl")}
        first = self.relay(self.to_files(2))
        wait_until("its partitions", lambda: self.owned(first) == [0, 1])
        # Its own free partition, and another sink: each would get a part of the events.
        second = self.relay({**{"audit": "{partitions: 2, categories: [order], redis: {url: '%s', stream: 's{partition}'}}" %
                                redis.url}, **other})
        wait_until("a stopped route", lambda: second.route("audit").get("partitions") and
                   all(part["state"] == "FAILED" for part in second.route("audit")["partitions"]))
        reason = second.route("audit")["reason"]
        self.assertIn("runs a route of this name that publishes file path ", reason)
        self.assertIn("and this one publishes redis stream s{partition} as data, of order", reason)
        self.assertEqual(second.get("/readyz")[0], 503)
        wait_until("the other one", lambda: second.route("other").get("state") == "RUNNING")
        self.meowmx("append", "order", "o", "e", "{}")
        wait_until("where it belongs", lambda: sum(os.path.exists(self.file.replace("{partition}", str(part))) and
                   os.path.getsize(self.file.replace("{partition}", str(part))) for part in range(2)) > 0)
        self.assertEqual(self.client.ask("KEYS", "s*"), [])
        self.assertEqual(first.end(), 0)  # then it takes over, as after any change of a configuration
        wait_until("its leases", lambda: all(part.get("epoch", 0) > 0 for part in second.route("audit")["partitions"]), 20)
        self.assertEqual(second.end(), 0)

    def test_a_name_that_a_handler_has_is_no_routes(self):
        session = Psql(self.url)
        session.run("INSERT INTO meowmx_layouts (subscription, layout, partitions) VALUES ('audit', 0, -1);"
                    "INSERT INTO meowmx_checkpoints (subscription) VALUES ('audit')")
        session.close()
        relay = self.relay(self.to_files(3))
        wait_until("a stopped route", lambda: relay.route("audit").get("state") in ("FAILED", "UNASSIGNED") and
                   all(part["state"] == "FAILED" for part in relay.route("audit")["partitions"]))
        self.assertIn("give the route a name of its own", relay.route("audit")["reason"])
        self.assertEqual(relay.end(), 0)
        done = subprocess.run([MEOWMX, "subscription", "repartition", "audit", "3", "--yes", "-c",
                               relay.path.replace(".log", ".yaml")], stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 65, done.stderr)
        self.assertIn("has no partitions", done.stderr)

    def test_a_sqlite_store_has_leases_too(self):
        self.url = "sqlite:" + os.path.join(scratch(), self.name + ".db")
        self.meowmx("setup")
        routes = self.to_files(2)
        self.writer = Writer(self.url)
        first = self.relay(routes)
        wait_until("both partitions", lambda: first.route("audit").get("state") == "RUNNING" and
                   all(part["state"] == "RUNNING" for part in first.route("audit")["partitions"]))
        second = self.relay(routes)
        running = lambda relay: sum(part["state"] == "RUNNING" for part in relay.route("audit").get("partitions", []))  # noqa: E731
        wait_until("fair shares", lambda: (running(first), running(second)) == (1, 1), 10)
        first.process.kill()
        first.process.wait()
        began = time.monotonic()
        wait_until("the dead one's partition", lambda: running(second) == 2, LEASE + 5)
        self.assertLess(time.monotonic() - began, LEASE + 3)
        self.writer.end()
        count = len(self.meowmx("load").splitlines())
        wait_until("all events", lambda: len(self.lines(2)) >= count)
        self.assertEqual(second.end(), 0)
        entries = self.lines(2)
        self.assertEqual((len(entries), len({entry[0] for entry in entries})), (count, count))


if __name__ == "__main__":
    postgres, redis = Server("postgres"), Server("redis")
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], warnings="ignore")
