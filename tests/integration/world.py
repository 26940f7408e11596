"""A store under a storm of writers, a relay with a route to each sink, readers, and the comparison of what arrived."""
import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from clients import Redis, free_port, wait_until  # noqa: E402
from servers import Server, scratch  # noqa: E402

TYPES = ["order", "payment", "注文"]  # those that tests/tools/storm.c writes


class Relay:
    def __init__(self, program, config, port):
        self.command, self.port = [program, "relay", "-c", config], port
        self.path = os.path.join(scratch(), "relay.log")
        self.process = None

    def start(self):
        with open(self.path, "ab") as log:
            self.process = subprocess.Popen(self.command, stderr=log)

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is not None:
            raise RuntimeError("the relay ended by itself with %d" % self.process.returncode)
        self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        if number == signal.SIGTERM and status != 0:
            raise RuntimeError("a graceful stop ended with %d" % status)

    def routes(self):
        """What /status says, by route; empty while it does not answer."""
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/status" % self.port, timeout=5) as answer:
                return {route["name"]: route for route in json.load(answer)["routes"]}
        except OSError:
            return {}

    def log(self):
        with open(self.path, encoding="utf-8") as log:
            return log.read()


class Tail:
    """A `meowmx tail` and what it has printed so far."""

    def __init__(self, program, url, *words):
        self.events = []
        self.process = subprocess.Popen([program, "tail", *words, "--from", "start", "--store", url],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def wait(self, position, seconds=60):
        end = time.monotonic() + seconds
        while not self.events or self.events[-1]["position"] < position:
            if time.monotonic() > end:
                raise RuntimeError("tail stands at %s, not %d" % (self.events[-1:], position))
            time.sleep(0.01)

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.thread.join()
        self.process.stdout.close()


class Psql:
    """A session that stays open between statements."""

    def __init__(self, url):
        self.process = subprocess.Popen(["psql", "-qXAt", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, statement):
        """The lines of its result."""
        self.process.stdin.write(statement + ";\n\\echo done\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line == "done\n":
                break
            lines.append(line)
        return lines

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)


class World:
    """Servers, a store that is set up, and a configuration with the routes topics, once, cache and audit.

    kafka=False leaves Kafka out: topics (at least once) and once (exactly once). store_url: how the relay reaches the store, if not directly.
    """

    def __init__(self, program, tools, seed, kafka=True, settings=()):
        self.program, self.tools, self.seed = program, tools, seed
        self.postgres = Server("postgres", *settings)
        self.redis = Server("redis", "appendonly=yes", "appendfsync=always")
        self.kafka = Server("kafka") if kafka else None
        self.path = os.path.join(scratch(), "events.jsonl")
        self.config = os.path.join(scratch(), "meowmx.yaml")
        self.port = free_port()
        self.meowmx("setup", "--id-type", "TEXT")
        self.configure(self.postgres.url)
        self.relay = Relay(program, self.config, self.port)
        self.writers = None
        print("seed %d" % seed)

    def meowmx(self, *words):
        done = subprocess.run([self.program, *words, "--store", self.postgres.url], check=True, stdout=subprocess.PIPE,
                              text=True)
        return done.stdout

    def sql(self, text):
        subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", self.postgres.url, "-c", text], check=True)

    def configure(self, store_url, topics="at-least-once"):
        """topics: how the route of that name delivers."""
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\nhttp: {listen: '127.0.0.1:%d'}\n" % (store_url, self.port))
            out.write("relay: {backoff_max: 2s}\nroutes:\n")
            out.write("  cache: {redis: {url: '%s', stream: 'events:{aggregate_type}'}}\n" % self.redis.url)
            out.write("  audit: {file: {path: '%s'}}\n" % self.path)
            if self.kafka:
                for name, prefix, delivery in (("topics", "shop", topics), ("once", "once", "exactly-once")):
                    out.write("  %s:\n    kafka:\n      topic: '%s.{aggregate_type}'\n"
                              "      topics: {'注文': '%s.japan'}\n      partitions: 3\n      delivery: %s\n"
                              "      client: {bootstrap.servers: '%s'}\n" % (name, prefix, prefix, delivery,
                                                                             self.kafka.url))

    def storm(self, seconds, writers=6, pause_ms=5):
        """Writers, beside the test; calm() waits for them."""
        self.writers = subprocess.Popen(
            [os.path.join(self.tools, "storm"), self.postgres.url, str(writers), str(seconds), str(self.seed),
             str(pause_ms)], stdout=subprocess.PIPE, text=True)
        atexit.register(self.writers.kill)  # however the test ends

    def calm(self):
        said, _ = self.writers.communicate(timeout=600)
        if self.writers.returncode != 0:
            raise RuntimeError("the storm failed")
        print("storm: %s" % said.strip())

    def events(self):
        return [json.loads(line) for line in self.meowmx("load").splitlines()]

    def catch_up(self, seconds=120):
        head = max(event["position"] for event in self.events())

        def caught_up():
            routes = self.relay.routes()
            return routes and all(route["state"] == "RUNNING" and route["position"] >= head
                                  for route in routes.values())
        try:
            wait_until("every route at %d" % head, caught_up, seconds)
        except RuntimeError:
            print(json.dumps(self.relay.routes(), indent=1))
            print(self.relay.log()[-4000:])
            raise

    # --- what arrived: (position, aggregate, version, data) in each sink's order

    def redis_entries(self):
        client, entries = Redis(self.redis.port), []
        for kind in TYPES:
            for identity, fields in client.ask("XRANGE", "events:" + kind, "-", "+"):
                fields = dict(zip(fields[::2], fields[1::2]))
                if fields["aggregate_type"] != kind:
                    raise RuntimeError("entry %s is in the wrong stream" % identity)
                entries.append((int(identity.split("-")[0]), fields["aggregate_id"], int(fields["version"]),
                                json.loads(fields["data"])))
        return entries

    def file_entries(self):
        with open(self.path, encoding="utf-8") as lines:
            events = [json.loads(line) for line in lines]
        return [(event["position"], event["aggregate_id"], event["version"], event["data"]) for event in events]

    def kafka_rows(self, topics):
        """What a read_committed consumer sees, as kafka_dump prints it."""
        dump = subprocess.run([os.path.join(self.tools, "kafka_dump"), self.kafka.url, topics], check=True,
                              stdout=subprocess.PIPE, text=True)
        return [line.split("\t") for line in dump.stdout.splitlines()]

    def kafka_entries(self, topics):
        return [(int(row[3]), row[5], int(row[6]), json.loads(row[8])) for row in self.kafka_rows(topics)]

    def compare(self):
        """Prints what is wrong with the sinks, and returns how much."""
        store = {event["position"]: (event["aggregate_id"], event["version"], event["data"])
                 for event in self.events()}
        faults = check_store(store)
        faults += compare("redis", store, self.redis_entries(), once=True)
        faults += compare("file", store, self.file_entries(), once=True)
        if self.kafka:
            faults += compare("kafka", store, self.kafka_entries("shop.*"), once=False)
            faults += compare("kafka, exactly once", store, self.kafka_entries("once.*"), once=True)
        for fault in faults[:20]:
            print(fault)
        if faults:
            print(self.relay.log()[-6000:])
        return len(faults)


def verified(world):
    """What `meowmx verify` says of every route, and whether it holds."""
    done = subprocess.run([world.program, "verify", "-c", world.config, "--store", world.postgres.url],
                          stdout=subprocess.PIPE, text=True)
    print(done.stdout.strip())
    return done.returncode == 0


def check_store(store):
    """Positions and versions of an aggregate rise together, or the comparison below would prove nothing."""
    faults, after = [], {}
    if len(store) < 100:
        faults.append("store: %d events are too few for a test" % len(store))
    for position in sorted(store):
        aggregate, version, _ = store[position]
        if version != after.get(aggregate, 0):
            faults.append("store: %s: version %d where %d must be" % (aggregate, version, after.get(aggregate, 0)))
        after[aggregate] = version + 1
    return faults


def compare(name, store, entries, once):
    """Nothing missing, nothing strange, each aggregate in order at its first sight, and with once nothing twice."""
    faults, seen, after = [], set(), {}
    for position, aggregate, version, data in entries:
        if position in seen:
            if once:
                faults.append("%s: position %d twice" % (name, position))
            continue
        seen.add(position)
        if store.get(position) != (aggregate, version, data):
            faults.append("%s: position %d is %s %d %s and in the store %s" % (name, position, aggregate, version, data,
                                                                              store.get(position)))
        if version != after.get(aggregate, 0):
            faults.append("%s: %s: version %d where %d must be" % (name, aggregate, version, after.get(aggregate, 0)))
        after[aggregate] = version + 1
    faults += ["%s: position %d is missing" % (name, position) for position in sorted(set(store) - seen)]
    print("%s: %d entries of %d events, %d repeated, %d faults" % (name, len(entries), len(store),
                                                                  len(entries) - len(seen), len(faults)))
    return faults
