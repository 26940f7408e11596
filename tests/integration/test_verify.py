"""`meowmx verify`: sinks that a relay filled, undamaged and damaged in every way.

usage: test_verify.py MEOWMX TOOLS [--no-kafka] [unittest arguments]
"""
import json
import os
import pty
import random
import signal
import subprocess
import sys
import unittest

from world import Redis, Relay, Server, World, free_port, scratch, wait_until

MEOWMX, TOOLS = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
NO_KAFKA = "--no-kafka" in sys.argv
postgres = redis = kafka = None
FAULTS = ["lost", "twice", "out_of_order", "late", "changed", "misplaced", "foreign", "not_in_store"]

# Ten events of three aggregates, with what the formats must carry unaltered.
EVENTS = [
    ("order", "o-1", "placed", '{"n": 1}', None),
    ("注文", "あ-1", "発注", '{"数": 1.10, "big": 12345678901234567890, "huge": 1e400}', '{"traceparent": "00-a-b-01"}'),
    ("order", "o-2", "placed", '{"n":\n 2,\r\n "pretty": [ ]}', '{"by": "\\u00e4", "a": 1, "a": -0}'),
    ("order", "o-1", "paid", '{"t": "\\u0000\\"\\\\", "x": [1, -1, 0.1, 1E+2, 18446744073709551615, -9223372036854775808]}', None),
    ("order", "o-1", "sent", "null", None),
    ("注文", "あ-1", "発送", '"text"', None),
    ("order", "o-2", "paid", "12345678901234567890123", '"only text"'),
    ("order", "o-1", "back", '{"deep": [[[{"a": {}}, []], true], false]}', None),
    ("order", "o-2", "sent", '{"n": 0.1000000000000000055, "e": 5e-324, "z": 1.0}', None),
    ("order", "o-1", "paid", '{"last": 1}', None),
]


class Case(unittest.TestCase):
    count = 0
    faults_of = {}

    def setUp(self):
        Case.count += 1
        self.name = "verify%d" % Case.count
        self.psql("CREATE DATABASE " + self.name, "postgres")
        self.url = postgres.url.rsplit("/", 1)[0] + "/" + self.name
        subprocess.run([MEOWMX, "setup", "--store", self.url, "--id-type", "TEXT"], check=True,
                       stderr=subprocess.DEVNULL)
        self.file = os.path.join(scratch(), self.name + ".jsonl")
        self.config = os.path.join(scratch(), self.name + ".yaml")
        self.client = redis.client
        self.client.ask("FLUSHALL")
        self.routes = {}
        self.relay = None
        self.addCleanup(self.end)

    def end(self):
        if self.relay and self.relay.process and self.relay.process.poll() is None:
            self.relay.process.kill()
            self.relay.process.wait()

    def psql(self, sql, database=None):
        url = self.url if database is None else postgres.url.rsplit("/", 1)[0] + "/" + database
        return subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", url, "-c", sql], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()

    def append(self, events=None):
        for kind, aggregate, event, data, metadata in events or EVENTS:
            line = '{"type":%s,"data":%s%s}' % (json.dumps(event), data.replace("\n", " ").replace("\r", " "),
                                               ',"metadata":' + metadata if metadata else "")
            subprocess.run([MEOWMX, "append", kind, aggregate, "-", "--store", self.url], check=True,
                           input=line.encode(), stdout=subprocess.DEVNULL)
        # As other writers leave them: a document over several lines, an event without a time, one without a type.
        if events is None:
            self.psql("UPDATE es_events SET json_data = E'%s' WHERE id = 3; "
                      "UPDATE es_events SET created_at = NULL WHERE id = 4; "
                      "UPDATE es_events SET aggregate_type = NULL WHERE id = 5" %
                      EVENTS[2][3].replace("\n", "\\n").replace("\r", "\\r"))

    def to_file(self, more=""):
        return "{%sfile: {path: '%s'}}" % (more, self.file)

    def to_redis(self, more="", stream="s:{aggregate_type}"):
        return "{%sredis: {url: '%s', stream: '%s'}}" % (more, redis.url, stream)

    def to_kafka(self, more="", partitions=3, settings=""):
        return ("{%skafka: {topic: '%s.{aggregate_type}', topics: {'注文': '%s.japan'}, partitions: %d, %s"
                "client: {bootstrap.servers: '%s'}}}" % (more, self.name, self.name, partitions, settings, kafka.url))

    def configure(self):
        self.port = free_port()
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\nhttp: {listen: '127.0.0.1:%d'}\nrelay: {backoff_max: 1s}\nroutes:\n" %
                      (self.url, self.port))
            for name, text in self.routes.items():
                out.write("  %s: %s\n" % (name, text))

    def start(self):
        self.configure()
        self.relay = Relay(MEOWMX, self.config, self.port)
        self.relay.start()

    def caught_up(self):
        head = int(self.psql("SELECT coalesce(max(id), 0) FROM es_events"))
        routes = self.relay.routes()
        return routes and all(route["position"] >= head for route in routes.values())

    def deliver(self, **routes):
        """A relay delivers everything and ends."""
        self.routes.update(routes)
        self.start()
        wait_until("all routes", self.caught_up)
        self.relay.end()

    def verify(self, *words, status=0):
        done = subprocess.run([MEOWMX, "verify", "-c", self.config, "--json", *words], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.said = done.stderr
        return {result["route"]: result for result in map(json.loads, done.stdout.splitlines())}

    def found(self, result):
        return {fault: [sample["position"] for sample in result[fault]["first"]] for fault in FAULTS
                if result[fault]["count"]}

    def check(self, status=0, words=(), expired=0, **faults):
        """The one route's faults are these positions, and nothing else."""
        (result,) = self.verify(*words, status=status).values()
        self.assertEqual(self.found(result), faults)
        self.assertEqual(result["expired"], expired, result)
        self.assertEqual(result["holds"], status == 0)
        return result


class Whole(Case):
    def test_every_format_and_sink_without_damage(self):
        self.append()
        for form in ("data", "envelope", "msgpack"):
            self.routes["r-" + form] = self.to_redis("format: %s, " % form, form + ":{aggregate_type}")
            if kafka:
                self.routes["k-" + form] = self.to_kafka("format: %s, " % form).replace(
                    self.name + ".", self.name + form + ".")
        if kafka:
            self.routes["k-once"] = self.to_kafka(settings="delivery: exactly-once, ").replace(
                self.name + ".", self.name + "once.")
        # Half a surrogate pair is in no event here, so msgpack takes them all.
        self.deliver(f=self.to_file())
        results = self.verify()
        self.assertEqual(set(results), set(self.routes))
        for result in results.values():
            self.assertEqual(self.found(result), {}, result)
            self.assertEqual((result["events"], result["records"], result["to"], result["expired"]), (10, 10, 10, 0))

    def test_names_of_all_attributes(self):
        self.append()
        self.deliver(r=self.to_redis(stream="x{{1}}:{aggregate_type}:{aggregate_id}:{type}:{partition}:{generation}"))
        self.assertEqual(self.client.ask("EXISTS", "x{1}:order:o-1:placed:0:0"), "1")
        self.assertEqual(self.verify()["r"]["records"], 10)

    def test_routes_of_several_partitions(self):
        self.append()
        self.append([("order", "p-%d" % (i % 40), "placed", '{"i": %d}' % i, None) for i in range(60)])
        split = os.path.join(scratch(), self.name + "-{partition}.jsonl")
        self.routes = {"f": "{partitions: 3, file: {path: '%s'}}" % split,
                       "r": self.to_redis("partitions: 4, ", "s:{aggregate_type}:{partition}")}
        if kafka:
            self.routes["k"] = self.to_kafka("partitions: 5, ")
        self.start()
        # A relay's status tells only of the partitions that it has got so far.
        wait_until("every partition", lambda: int(self.psql(
            "SELECT count(*) FROM meowmx_checkpoints WHERE position >= 70")) == (12 if kafka else 7))
        self.relay.end()
        for result in self.verify().values():
            self.assertEqual((result["events"], result["records"], self.found(result)), (70, 70, {}), result)
        for result in self.verify("--from", "11").values():
            self.assertEqual((result["events"], result["records"], self.found(result)), (60, 60, {}), result)
        # A partition that is behind is compared as far as it is.
        first = int(self.psql("SELECT min(delivered) FROM meowmx_checkpoints WHERE subscription = 'r'"))
        self.assertLess(0, first)
        streams = [self.client.ask("XRANGE", "s:order:%d" % partition, "-", "+") for partition in range(4)]
        lost = streams[1][2]
        self.client.ask("XDEL", "s:order:1", lost[0])
        self.client.ask("XADD", "s:order:2", "999-0", *streams[2][0][1])
        result = self.verify("r", status=65)["r"]
        self.assertEqual(self.found(result), {"lost": [int(lost[0][:-2])], "foreign": [999]})
        self.psql("UPDATE meowmx_checkpoints SET delivered = 1, position = 1 WHERE subscription = 'r' AND partition = 1")
        result = self.verify("r", status=65)["r"]
        self.assertEqual((self.found(result), result["checkpoint"]), ({"foreign": [999]}, 1))
        # An entry of another partition.
        self.client.ask("XDEL", "s:order:2", "999-0")
        self.client.ask("DEL", "s:order:3")
        self.client.ask("XADD", "s:order:3", streams[0][3][0], *streams[0][3][1])
        self.assertEqual(self.verify("r", status=65)["r"]["misplaced"]["count"], 1)

    def split_into(self, counts):
        """The routes of so many partitions, and how many those are."""
        split = os.path.join(scratch(), self.name + "-{partition}.jsonl")
        self.routes = {"f": "{partitions: %d, file: {path: '%s'}}" % (counts["f"], split),
                       "r": self.to_redis("partitions: %d, " % counts["r"], "s:{aggregate_type}:{partition}")}
        if kafka:
            self.routes["k"] = self.to_kafka("partitions: %d, " % counts["k"])
        return sum(counts[name] for name in self.routes)

    def run_to_the_end(self, partitions):
        self.start()
        wait_until("every partition", lambda: int(self.psql(
            "SELECT count(*) FROM meowmx_checkpoints c WHERE layout = (SELECT max(layout) FROM meowmx_layouts l WHERE "
            "l.subscription = c.subscription) AND position >= (SELECT max(id) FROM es_events)")) == partitions)
        self.relay.end()

    def test_another_number_of_partitions(self):
        self.append([("order", "p-%d" % (i % 40), "placed", '{"i": %d}' % i, None) for i in range(60)])
        old, new = {"f": 3, "r": 4, "k": 2}, {"f": 5, "r": 2, "k": 3}
        self.run_to_the_end(self.split_into(old))
        partitions = self.split_into(new)
        self.configure()
        self.verify("f", status=78)
        self.assertIn("the store has f in 3 partitions, the configuration in 5", self.said)
        for name in self.routes:
            subprocess.run([MEOWMX, "subscription", "repartition", name, str(new[name]), "-c", self.config, "--yes"],
                           check=True, stderr=subprocess.DEVNULL)
        # The new ones have not begun, nor made their files.
        for result in self.verify(*set(self.routes) - {"f"}).values():
            self.assertEqual((result["events"], result["records"], self.found(result)), (60, 60, {}), result)
        self.append([("order", "p-%d" % (i % 40), "placed", '{"i": %d}' % i, None) for i in range(60)])
        self.run_to_the_end(partitions)
        for result in self.verify().values():
            self.assertEqual((result["events"], result["records"], result["checkpoint"], self.found(result)),
                             (120, 120, 120, {}), result)
        # Below the cut the streams are those of the old partitions, also of those that are no more.
        gone = self.client.ask("XRANGE", "s:order:3", "-", "+")
        self.assertLess(int(gone[-1][0][:-2]), 61)
        self.client.ask("XDEL", "s:order:3", gone[1][0])
        kept = self.client.ask("XRANGE", "s:order:0", "61", "+")
        self.client.ask("XDEL", "s:order:0", kept[0][0])
        self.client.ask("XADD", "s:order:3", *[kept[0][0]] + kept[0][1])
        result = self.verify("r", status=65)["r"]
        lost = [int(gone[1][0][:-2]), int(kept[0][0][:-2])]
        self.assertEqual((sorted(self.found(result)["lost"]), self.found(result)["misplaced"]), (sorted(lost), lost[1:]))
        # What a rewind publishes again is the new partitions', below the cut as well.
        for name in self.routes:
            if name != "r":
                subprocess.run([MEOWMX, "subscription", "rewind", name, "30", "--store", self.url, "--yes"], check=True,
                               stderr=subprocess.DEVNULL)
        self.run_to_the_end(partitions)
        for name in set(self.routes) - {"r"}:
            result = self.verify(name)[name]
            self.assertEqual((result["replayed"], self.found(result)), (90, {}), result)

    def test_an_empty_store_and_a_route_that_never_ran(self):
        self.routes = {"f": self.to_file(), "r": self.to_redis(stream="one")}
        if kafka:
            self.routes["k"] = self.to_kafka()
        self.configure()
        for result in self.verify().values():
            self.assertEqual((result["events"], result["records"], result["checkpoint"]), (0, 0, 0))
        self.append(EVENTS[:2])
        for result in self.verify().values():
            self.assertEqual((result["events"], result["checkpoint"], result["holds"]), (0, 0, True))

    def test_from_and_to(self):
        self.append()
        self.deliver(r=self.to_redis(), f=self.to_file())
        for result in self.verify("--from", "3", "--to", "7").values():
            self.assertEqual((result["events"], result["records"], result["from"], result["to"]), (5, 5, 3, 7))
        self.client.ask("XDEL", "s:order", "3-0")
        self.assertEqual(self.found(self.verify("r", "--from", "2", status=65)["r"]), {"lost": [3]})
        self.assertEqual(self.found(self.verify("r", "--from", "4")["r"]), {})
        self.assertEqual(self.found(self.verify("r", "--to", "2")["r"]), {})
        # The first event of the range is lost, not expired: the stream has older ones.
        self.assertEqual(self.found(self.verify("r", "--from", "3", status=65)["r"]), {"lost": [3]})

    def test_categories(self):
        self.append()
        self.deliver(one=self.to_file("categories: [注文], "),
                     two=self.to_redis("categories: [注文, order], ", "two"))
        results = self.verify()
        self.assertEqual((results["one"]["events"], results["two"]["events"]), (2, 10))
        # A filter that was made smaller since: what is there of other categories is no fault.
        self.routes["two"] = self.to_redis("categories: [注文], ", "two")
        self.configure()
        result = self.verify("two")["two"]
        self.assertEqual((result["events"], result["unwanted"], self.found(result)), (2, 8, {}))

    def test_start_now_and_deletions_break_nothing(self):
        self.append()
        self.routes = {"r": self.to_redis("start: now, ")}
        self.start()
        wait_until("it", lambda: self.relay.routes().get("r", {}).get("position", 0) >= 10)
        self.append([("order", "o-9", "placed", '{"i": %d}' % i, None) for i in range(3)])
        wait_until("three more", self.caught_up)
        self.relay.end()
        self.check(expired=10)
        self.psql("DELETE FROM es_events WHERE id = 12; DELETE FROM es_events WHERE id = 1")
        self.check(expired=9, not_in_store=[12])

    def test_a_large_event(self):
        self.append([("order", "o-1", "big", '{"x": "%s"}' % ("注" * 3500000), None),
                     ("order", "o-1", "small", "{}", None)])
        self.routes = {"r": self.to_redis(), "f": self.to_file()}
        if kafka:
            self.routes["k"] = self.to_kafka().replace("'}}}", "', message.max.bytes: 20000000}}}")
        self.deliver()
        for result in self.verify().values():
            self.assertEqual((result["events"], result["records"], self.found(result)), (2, 2, {}))

    def test_beside_a_working_relay(self):
        self.routes = {"r": self.to_redis(), "f": self.to_file(), "trimmed": self.to_redis(stream="t").replace(
            "stream:", "maxlen: 40, trim: exact, stream:")}
        if kafka:
            self.routes["k"] = self.to_kafka()
        self.start()
        storm = subprocess.Popen([os.path.join(TOOLS, "storm"), self.url, "4", "6", "1", "2"], stdout=subprocess.DEVNULL)
        rounds, most = 0, 0
        wait_until("some events", lambda: self.relay.routes().get("f", {}).get("delivered", 0) > 50)
        while storm.poll() is None:
            results = self.verify()
            most = max(most, max(result["events"] for result in results.values()))
            rounds += 1
        self.assertEqual(storm.returncode, 0)
        self.assertGreater(rounds, 2)
        self.assertGreater(most, 100)
        wait_until("all routes", self.caught_up)
        self.relay.end()
        for result in self.verify().values():
            self.assertEqual(result["events"], int(self.psql("SELECT count(*) FROM es_events")))


    def rewind(self):
        """What a rewind to the beginning leaves behind: the next generation, published from there."""
        self.psql("UPDATE meowmx_checkpoints SET generation = generation + 1, delivered = 0, position = 0, "
                  "fingerprint = NULL")
        self.deliver()

    def test_a_rewind_publishes_again_and_is_no_fault(self):
        self.append()
        self.routes = {"f": self.to_file()}
        if kafka:
            self.routes["k"] = self.to_kafka()
        self.deliver()
        self.rewind()
        for result in self.verify().values():
            self.assertEqual((result["events"], result["records"], result["replayed"], self.found(result)),
                             (10, 20, 10, {}))
        self.append(EVENTS[:2])
        self.deliver()
        self.rewind()
        for result in self.verify().values():
            self.assertEqual((result["events"], result["records"], result["replayed"], self.found(result)),
                             (12, 34, 22, {}))
        with open(self.file, encoding="utf-8") as file:
            lines = file.readlines()
        self.assertEqual(len(lines), 34)

        def write(changed):
            with open(self.file, "w", encoding="utf-8") as out:
                out.writelines(changed)
        # Within a later generation: order and repeats are judged anew, and what an earlier one has is not lost.
        write(lines[:13] + [lines[14], lines[13]] + lines[15:])
        self.assertEqual(self.found(self.verify("f", status=65)["f"]), {"out_of_order": [4]})
        write(lines[:13] + [lines[13], lines[13]] + lines[14:])
        self.assertEqual(self.found(self.verify("f", status=65)["f"]), {"twice": [4]})
        write(lines[:13] + lines[14:])
        self.assertEqual(self.found(self.verify("f")["f"]), {})
        # And what the first one lost is there once any has it.
        write(lines[:3] + lines[4:])
        self.assertEqual(self.found(self.verify("f")["f"]), {})

    def test_a_store_in_a_sqlite_file(self):
        self.url = "sqlite:" + os.path.join(scratch(), self.name + ".db")
        subprocess.run([MEOWMX, "setup", "--store", self.url], check=True, stderr=subprocess.DEVNULL)
        self.append(EVENTS[:8])
        self.routes = {"f": self.to_file(), "r": self.to_redis("format: msgpack, ")}
        self.start()
        wait_until("both", lambda: [r["position"] for r in self.relay.routes().values()] == [8, 8])
        self.relay.end()
        for result in self.verify().values():
            self.assertEqual((result["events"], result["records"], self.found(result)), (8, 8, {}))
        self.client.ask("XDEL", "s:order", "3-0", "5-0")
        self.assertEqual(self.found(self.verify("r", status=65)["r"]), {"lost": [3, 5]})

    def test_by_a_sentinel_and_with_a_password(self):
        with Server("sentinel", "sentinel=monitor main 127.0.0.1 %d 1" % redis.port) as sentinel:
            self.append()
            url = "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/main/0" % (free_port(), sentinel.port)
            self.deliver(r="{redis: {url: '%s', stream: guarded}}" % url)
            self.assertEqual(self.verify()["r"]["records"], 10)
            self.client.ask("XDEL", "guarded", "3-0")
            self.check(65, lost=[3])
            self.routes = {"r": self.routes["r"].replace("/main/", "/other/")}
            self.configure()
            self.verify(status=69)
            self.assertIn('does not know the master "other"', self.said)
        with Server("redis") as locked:
            Redis(locked.port).ask("CONFIG", "SET", "requirepass", "a b@c")
            self.psql("DELETE FROM meowmx_checkpoints")
            url = "redis://:%s@127.0.0.1:%d/3" % ("a%20b%40c", locked.port)
            self.deliver(r="{redis: {url: '%s', stream: locked}}" % url)
            self.assertEqual(self.verify()["r"]["records"], 10)
            self.routes = {"r": self.routes["r"].replace("a%20b", "a%20x")}
            self.configure()
            self.verify(status=77)

    def test_a_redis_behind_tls(self):
        folder = os.path.join(scratch(), self.name + "-tls")
        os.mkdir(folder)
        for name, host in (("good", "IP:127.0.0.1"), ("other", "DNS:elsewhere.test")):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=" + host, "-keyout",
                            "%s/%s.key" % (folder, name), "-out", "%s/%s.pem" % (folder, name)], check=True,
                           stderr=subprocess.DEVNULL)
        port = free_port()
        self.routes = {"r": "{redis: {url: 'rediss://127.0.0.1:%d/0', stream: tls, tls_ca: '%s/good.pem'}}" %
                            (port, folder)}
        self.configure()
        if subprocess.run([MEOWMX, "config", "check", "-c", self.config], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("this build has no TLS for Redis")
        settings = ["tls-port=%d" % port, "tls-ca-cert-file=%s/good.pem" % folder, "tls-auth-clients=no"]
        self.append()
        with Server("redis", *settings, "tls-cert-file=%s/good.pem" % folder, "tls-key-file=%s/good.key" % folder):
            self.deliver()
            self.assertEqual(self.verify()["r"]["records"], 10)
        with Server("redis", *settings, "tls-cert-file=%s/other.pem" % folder, "tls-key-file=%s/other.key" % folder):
            self.verify(status=69)
            self.assertIn("TLS", self.said)

class RedisDamage(Case):
    def setUp(self):
        super().setUp()
        self.append()
        self.deliver(r=self.to_redis())

    def entries(self, stream="s:order"):
        return self.client.ask("XRANGE", stream, "-", "+")

    def rewrite(self, change, stream="s:order"):
        entries = self.entries(stream)
        self.client.ask("DEL", stream)
        for identity, fields in entries:
            self.client.ask("XADD", stream, *change(identity, list(fields)))

    def test_lost(self):
        self.client.ask("XDEL", "s:order", "4-0", "8-0")
        result = self.check(65, lost=[4, 8])
        self.assertEqual(result["lost"]["first"][0], {"position": 4, "aggregate_type": "order", "aggregate_id": "o-1",
                                                      "version": 1, "where": "s:order"})

    def test_lost_at_the_end(self):
        self.client.ask("XDEL", "s:order", "10-0")
        self.check(65, lost=[10])

    def test_a_stream_that_is_gone(self):
        self.client.ask("DEL", "s:注文")
        self.check(65, lost=[2, 6])

    def test_trimmed_is_expired(self):
        self.client.ask("XTRIM", "s:order", "MAXLEN", "3")
        self.check(0, expired=5)
        self.client.ask("XTRIM", "s:order", "MAXLEN", "0")
        self.client.ask("XDEL", "s:注文", "6-0")
        self.check(65, expired=8, lost=[6])

    def test_a_foreign_entry(self):
        self.client.ask("XADD", "s:order", "*", "some", "body")
        self.check(65, foreign=[None])

    def test_an_entry_that_the_store_has_not_drawn(self):
        fields = self.entries()[-1][1]
        self.client.ask("XADD", "s:order", "4000-0", *fields)
        self.check(65, foreign=[4000])

    def test_an_entry_of_ours_under_a_foreign_id(self):
        fields = self.entries()[-1][1]
        self.client.ask("XADD", "s:order", "10-7", *fields)
        self.check(65, foreign=[None])

    def test_changed_fields(self):
        for name in ("type", "aggregate_type", "aggregate_id", "version", "data", "time"):
            before = self.entries()

            def change(identity, fields, name=name):
                if identity == "1-0":
                    at = fields.index(name) + 1
                    fields[at] = fields[at].replace("1", "2") if "1" in fields[at] else "7"
                return [identity, *fields]
            self.rewrite(change)
            result = self.check(65, changed=[1])
            self.assertEqual(result["changed"]["first"][0]["what"], name)
            self.client.ask("DEL", "s:order")
            for identity, fields in before:
                self.client.ask("XADD", "s:order", identity, *fields)
        self.check(0)

    def test_a_missing_and_an_altered_metadata(self):
        self.rewrite(lambda identity, fields: [identity, *(fields[:-2] if identity == "7-0" else fields)])
        self.assertEqual(self.check(65, changed=[7])["changed"]["first"][0]["what"], "metadata")

    def test_an_entry_in_another_stream(self):
        fields = dict(self.entries())["8-0"]
        self.client.ask("XDEL", "s:order", "8-0")
        self.client.ask("XADD", "s:注文", "8-0", *fields)
        self.check(65, lost=[8], misplaced=[8])

    def test_the_same_entry_in_a_second_stream(self):
        self.client.ask("XADD", "s:注文", "8-0", *dict(self.entries())["8-0"])
        self.check(65, misplaced=[8])

    def test_a_key_of_another_type(self):
        self.client.ask("DEL", "s:order")
        self.client.ask("SET", "s:order", "x")
        self.verify(status=78)
        self.assertIn("WRONGTYPE", self.said)

    def test_other_formats_notice_a_changed_byte(self):
        for form in ("envelope", "msgpack"):
            self.deliver(**{"r": self.to_redis(), form: self.to_redis("format: %s, " % form, form)})
        self.rewrite(lambda identity, fields: [identity, *(
            fields if identity != "10-0" else [fields[0], fields[1].replace('"last": 1', '"last": 2'), *fields[2:]])],
            "envelope")
        result = self.verify("envelope", status=65)["envelope"]
        self.assertEqual((self.found(result), result["changed"]["first"][0]["what"]), ({"changed": [10]}, "data"))
        # In Redis itself, since this client reads texts alone.
        self.client.ask("EVAL", """
            local entries = redis.call('XRANGE', 'msgpack', '-', '+')
            redis.call('DEL', 'msgpack')
            for _, entry in ipairs(entries) do
              if entry[1] == '10-0' then entry[2][2] = string.gsub(entry[2][2], 'last\\1', 'last\\2') end
              redis.call('XADD', 'msgpack', entry[1], unpack(entry[2]))
            end""", "0")
        result = self.verify("msgpack", status=65)["msgpack"]
        self.assertEqual((self.found(result), result["changed"]["first"][0]["what"]), ({"changed": [10]}, "data"))

    def test_only_the_first_ten_are_shown_and_all_are_counted(self):
        self.append([("order", "o-%d" % i, "placed", "{}", None) for i in range(20, 45)])
        self.deliver()
        for position in range(12, 34):
            self.client.ask("XDEL", "s:order", "%d-0" % position)
        (result,) = self.verify(status=65).values()
        self.assertEqual(result["lost"]["count"], 22)
        self.assertEqual([sample["position"] for sample in result["lost"]["first"]], list(range(12, 22)))
        done = subprocess.run([MEOWMX, "verify", "-c", self.config], stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 65)
        self.assertIn("22 lost", done.stdout)
        self.assertIn("THE PROMISE DOES NOT HOLD", done.stdout)
        self.assertIn("    12 order o-21 version 0, s:order\n", done.stdout)

    def test_a_redis_that_is_down(self):
        port = free_port()
        self.routes = {"r": self.to_redis().replace(str(redis.port), str(port)), "f": self.to_file()}
        self.configure()
        results = self.verify(status=69)
        self.assertEqual(set(results), {"f"})
        self.assertIn("127.0.0.1:%d" % port, self.said)


class FileDamage(Case):
    def setUp(self):
        super().setUp()
        self.append()
        self.deliver(f=self.to_file())

    def edit(self, change):
        with open(self.file, "rb") as file:
            lines = file.read().splitlines(True)
        lines = change(lines) or lines
        with open(self.file, "wb") as file:
            file.write(b"".join(lines))

    def test_a_line_removed(self):
        self.edit(lambda lines: lines[:3] + lines[4:])
        self.check(65, lost=[4])

    def test_a_line_repeated(self):
        self.edit(lambda lines: lines[:4] + lines[3:])
        self.check(65, twice=[4])

    def test_a_run_repeated(self):
        self.edit(lambda lines: lines[:7] + lines[3:])
        self.check(65, twice=[4, 5, 6, 7])

    def test_lines_of_one_aggregate_swapped(self):
        self.edit(lambda lines: lines[:3] + [lines[4], lines[3]] + lines[5:])
        self.check(65, out_of_order=[4])

    def test_lines_of_two_aggregates_swapped(self):
        self.edit(lambda lines: lines[:5] + [lines[6], lines[5]] + lines[7:])
        self.check(65, late=[6])

    def test_the_first_lines_swapped_and_one_moved_to_the_end(self):
        self.edit(lambda lines: [lines[3], lines[0]] + lines[4:] + [lines[1], lines[2]])
        self.check(65, out_of_order=[1, 2, 3])

    def test_a_byte_changed(self):
        self.edit(lambda lines: [line.replace(b'"last": 1', b'"last": 2') for line in lines])
        self.assertEqual(self.check(65, changed=[10])["changed"]["first"][0]["what"], "data")

    def test_an_attribute_and_a_line_end_changed(self):
        self.edit(lambda lines: [lines[0].replace(b"placed", b"pla_ed"), lines[1][:-2] + b" }\n"] + lines[2:])
        result = self.check(65, changed=[1, 2])
        self.assertEqual([sample["what"] for sample in result["changed"]["first"]],
                         ["the attributes before data", "what follows data"])

    def test_a_torn_end(self):
        self.edit(lambda lines: lines[:9] + [lines[9][:-1]])
        self.check(65, lost=[10])
        self.edit(lambda lines: lines[:9] + [lines[8][:20]])
        self.check(65, lost=[10])

    def test_lines_that_are_none(self):
        self.edit(lambda lines: lines[:2] + [b"\0\0\0\n", b"hello\n", b"\n"] + lines[2:])
        self.assertEqual(self.check(65, foreign=[None] * 3)["foreign"]["first"][1]["where"], self.file + ":4")

    def test_a_rotated_head_has_expired(self):
        self.edit(lambda lines: lines[4:])
        self.check(0, expired=4)
        self.edit(lambda lines: lines[:1] + lines[2:])
        self.check(65, expired=4, lost=[6])

    def test_what_was_deleted_from_the_store_is_shown_and_breaks_nothing(self):
        self.psql("DELETE FROM es_events WHERE aggregate_id = 'o-2'")
        self.check(0, not_in_store=[3, 7, 9])

    def test_a_changed_store(self):
        self.psql("UPDATE es_events SET json_data = '{}' WHERE id = 1")
        self.check(65, changed=[1])

    def test_damage_at_random_is_counted_as_a_second_count_does(self):
        chance = random.Random(int(os.environ.get("SEED", 5)))
        self.append([("order", "o-%d" % chance.randrange(5), "placed", '{"i": %d}' % i, None) for i in range(40)])
        self.deliver()
        with open(self.file, "rb") as file:
            whole = file.read().splitlines(True)
        aggregate = [json.loads(line)["aggregate_id"] for line in whole]
        for turn in range(60):
            order = list(range(len(whole)))
            for _ in range(chance.randrange(12)):
                at, to, size = chance.randrange(len(order)), chance.randrange(len(order)), chance.randrange(1, 5)
                run = order[at:at + size]
                if chance.randrange(3):  # moved or removed, else repeated
                    del order[at:at + size]
                if chance.randrange(3):
                    order[to:to] = run
            self.edit(lambda _, order=order: [whole[index] for index in order] or [b"\n"])
            seen, faults, expired = [], {fault: 0 for fault in FAULTS}, 0
            for index in order:
                if index in seen:
                    faults["twice"] += 1
                elif any(other > index and aggregate[other] == aggregate[index] for other in seen):
                    faults["out_of_order"] += 1
                elif any(other > index for other in seen):
                    faults["late"] += 1
                seen.append(index)
            for index in set(range(len(whole))) - set(seen):
                if order and index > order[0]:
                    faults["lost"] += 1
                else:
                    expired += 1
            broken = any(faults.values())
            faults["foreign"] = 0 if order else 1
            (result,) = self.verify(status=65 if broken or not order else 0).values()
            self.assertEqual(({fault: result[fault]["count"] for fault in FAULTS}, result["expired"]),
                             (faults, expired), "turn %d: %s" % (turn, order))

    def test_no_file_and_standard_output(self):
        os.unlink(self.file)
        self.verify(status=66)
        self.routes = {"f": "{file: {path: '-'}}"}
        self.configure()
        self.verify(status=78)

    def test_usage(self):
        self.verify("nobody", status=78)
        self.assertIn('no route "nobody"', self.said)
        self.verify("--from", "x", status=64)

    def test_a_store_that_is_down(self):
        self.url = self.url.replace(":%d/" % postgres.port, ":%d/" % free_port())
        self.configure()
        self.verify(status=69)

    def test_a_terminal_sees_how_far_it_is_and_a_signal_ends_it(self):
        self.append([("order", "s-%d" % i, "placed", "{}", None) for i in range(3)])
        self.psql("INSERT INTO es_aggregates SELECT 'b' || i, 99, 'order' FROM generate_series(0, 3000) i; "
                  "INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data, aggregate_type)"
                  " SELECT pg_current_xact_id(), 'b' || (n / 100), n % 100, 'e', '{}', 'order'"
                  " FROM generate_series(0, 300000) n")
        self.deliver()
        ours, theirs = pty.openpty()
        process = subprocess.Popen([MEOWMX, "verify", "-c", self.config], stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        said = b""
        while b" left" not in said:
            said += os.read(ours, 1000)
        self.assertRegex(said, rb"[0-9]+ events, [0-9]+/s, [0-9]+ %, [0-9]+ m?s left")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=20), 130)
        os.close(ours)


@unittest.skipIf(NO_KAFKA, "no Kafka connector")
class KafkaDamage(Case):
    def setUp(self):
        super().setUp()
        self.append()
        self.deliver(k=self.to_kafka())
        dump = subprocess.run([os.path.join(TOOLS, "kafka_dump"), kafka.url, self.name + ".*"], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
        self.places = {int(row[3]): (row[0], int(row[1]), int(row[2]))
                       for row in (line.split("\t") for line in dump.splitlines())}
        self.assertEqual(set(self.places), set(range(1, 11)))

    def edit(self, *words):
        subprocess.run([os.path.join(TOOLS, "kafka_edit"), kafka.url, *map(str, words)], check=True)

    def again(self, position, to=None, value=None):
        topic, partition, offset = self.places[position]
        topic_to, partition_to = to or (topic, partition)
        self.edit("copy", topic, partition, offset, topic_to, partition_to, *([] if value is None else [value]))

    def test_repeats_are_allowed_and_shown(self):
        for position in (4, 5, 8):
            self.again(position)
        self.check(0, twice=[4, 5, 8])

    def test_a_repeat_with_other_bytes_is_not(self):
        self.again(5, value="{}")
        self.check(65, twice=[5], changed=[5])

    def test_records_of_others_in_the_topic(self):
        topic, partition, _ = self.places[1]
        self.edit("plain", topic, partition, "hello")
        self.check(0, foreign=[None])

    def test_a_record_in_another_topic_or_partition(self):
        topic, partition, _ = self.places[1]
        self.again(1, to=(topic, (partition + 1) % 3))
        self.again(2, to=(topic, 0))
        self.check(65, misplaced=[1, 2], twice=[1])

    def test_what_retention_took_has_expired(self):
        topic, partition, offset = self.places[8]
        below = [position for position, place in self.places.items() if place[:2] == (topic, partition) and position < 8]
        self.assertGreater(len(below), 1)
        self.edit("delete", topic, partition, offset)
        self.check(0, expired=len(below))

    def test_a_partition_that_retention_emptied(self):
        topic, partition, _ = self.places[1]
        there = [place[2] for place in self.places.values() if place[:2] == (topic, partition)]
        self.edit("delete", topic, partition, max(there) + 1)
        self.check(0, expired=len(there))

    def test_a_missing_record_and_one_that_comes_too_late(self):
        # Record by record into topics of another name, but for one: what a relay with a hole in it would leave.
        target = self.name + "x"
        self.routes = {"k": self.to_kafka().replace(self.name, target)}
        self.psql("UPDATE meowmx_checkpoints SET delivered = 0, position = 0, fingerprint = NULL")
        self.psql("CREATE TABLE kept AS SELECT * FROM es_events WHERE id = 5; DELETE FROM es_events WHERE id = 5")
        self.deliver()
        self.psql("INSERT INTO es_events SELECT * FROM kept")
        self.check(65, lost=[5])
        topic, partition, _ = self.places[5]
        self.again(5, to=(topic.replace(self.name, target), partition))
        self.check(65, out_of_order=[5])

    def test_exactly_once_allows_no_repeats(self):
        self.routes["k"] = self.to_kafka(settings="delivery: exactly-once, ")
        self.configure()
        self.again(4)
        self.check(65, twice=[4])

    def test_compaction_is_refused(self):
        self.edit("compact", self.name + "c.order")
        self.routes = {"k": "{categories: [order], " + self.to_kafka().replace(self.name, self.name + "c")[1:]}
        self.configure()
        self.verify(status=78)
        self.assertIn("compacted", self.said)

    def test_a_topic_that_does_not_exist(self):
        self.routes = {"k": self.to_kafka().replace(self.name, self.name + "none")}
        self.configure()
        result = self.check(65, lost=list(range(1, 11)))
        self.assertEqual(result["lost"]["first"][0]["where"], self.name + "none.order")

    def test_a_broker_that_is_down(self):
        self.routes = {"k": self.to_kafka().replace(kafka.url, "127.0.0.1:%d" % free_port())}
        self.configure()
        self.verify(status=69)
        self.assertIn("no broker answers", self.said)


def main():
    global postgres, redis, kafka
    arguments = [word for word in sys.argv[3:] if word != "--no-kafka"]
    postgres = Server("postgres")
    redis = Server("redis")
    redis.client = Redis(redis.port)
    kafka = None if NO_KAFKA else Server("kafka", "message.max.bytes=20000000")
    unittest.main(argv=[sys.argv[0], *arguments], verbosity=1)


main()
