"""kill -9 of the relay in a loop while writers append, then each sink is compared with the store.

usage: test_kill.py PROGRAM KAFKA_DUMP|- [--rounds N] [--seed N]

Nothing may be missing; per aggregate the first sight of each version comes in order; Redis and the file have no entry
twice. KAFKA_DUMP "-": without the Kafka route.
"""
import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from servers import Server, scratch  # noqa: E402

TYPES = ["order", "payment", "注文"]
WRITERS = 4


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Redis:
    """As much of the protocol as reading needs."""

    def __init__(self, port):
        self.file = socket.create_connection(("127.0.0.1", port)).makefile("rwb")

    def ask(self, *words):
        self.file.write(b"*%d\r\n" % len(words))
        for word in words:
            word = word.encode()
            self.file.write(b"$%d\r\n%s\r\n" % (len(word), word))
        self.file.flush()
        return self.read()

    def read(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        return rest.decode()


def write(url, seed, stop):
    """Transactions of several events, some slow, some rolled back, some with an id drawn early, through psql."""
    chance = random.Random(seed)
    psql = subprocess.Popen(["psql", "-qX", "-v", "ON_ERROR_STOP=1", url], stdin=subprocess.PIPE,
                            stdout=subprocess.DEVNULL, text=True)
    versions = {}
    while not stop.is_set():
        lines = ["BEGIN;"]
        if chance.random() < 0.2:
            lines.append("SELECT nextval('es_events_id_seq');")
        before = dict(versions)
        for _ in range(chance.randint(1, 4)):
            kind = chance.choice(TYPES)
            aggregate = "%s-%d-%d" % (kind, seed, chance.randint(0, 5))
            versions[aggregate] = versions.get(aggregate, -1) + 1
            lines.append(
                "INSERT INTO es_aggregates AS a VALUES ('%s', 0, '%s') ON CONFLICT (id) DO UPDATE SET version = "
                "a.version + 1;" % (aggregate, kind))
            lines.append(
                "INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data) VALUES "
                "(pg_current_xact_id(), '%s', %d, 'e', '{\"n\": %d}');" % (aggregate, versions[aggregate],
                                                                           versions[aggregate]))
        if chance.random() < 0.1:
            lines.append("SELECT pg_sleep(%.3f);" % (chance.random() * 0.1))
        if chance.random() < 0.15:
            lines.append("ROLLBACK;")
            versions = before
        else:
            lines.append("COMMIT;")
        psql.stdin.write("\n".join(lines) + "\n")
        psql.stdin.flush()
        time.sleep(chance.random() * 0.01)
    psql.stdin.close()
    if psql.wait() != 0:
        raise RuntimeError("a writer failed")


class Relay:
    def __init__(self, program, config, port):
        self.command, self.port = [program, "relay", "-c", config], port
        self.log = open(os.path.join(scratch(), "relay.log"), "ab")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=self.log)

    def end(self, number):
        if self.process.poll() is not None:
            raise RuntimeError("the relay ended by itself with %d" % self.process.returncode)
        self.process.send_signal(number)
        status = self.process.wait(timeout=30)
        if number == signal.SIGTERM and status != 0:
            raise RuntimeError("a graceful stop ended with %d" % status)

    def status(self):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/status" % self.port, timeout=5) as answer:
                return json.load(answer)["routes"]
        except OSError:
            return []


def catch_up(relay, head, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        routes = relay.status()
        if routes and all(route["state"] == "RUNNING" and route["position"] >= head for route in routes):
            return
        time.sleep(0.1)
    raise RuntimeError("not caught up with %d: %s" % (head, relay.status()))


def compare(name, store, entries, once):
    """entries: (position, aggregate, version) in the sink's order, per stream or partition or file."""
    faults = []
    seen, after = set(), {}
    for position, aggregate, version in entries:
        if position in seen:
            if once:
                faults.append("%s: position %d twice" % (name, position))
            continue
        seen.add(position)
        if version != after.get(aggregate, 0):
            faults.append("%s: %s: version %d where %d must be" % (name, aggregate, version, after.get(aggregate, 0)))
        after[aggregate] = version + 1
    faults += ["%s: position %d is missing" % (name, position) for position in sorted(set(store) - seen)]
    faults += ["%s: position %d is not in the store" % (name, position) for position in sorted(seen - set(store))]
    print("%s: %d entries of %d events, %d repeated, %d faults" % (name, len(entries), len(store),
                                                                  len(entries) - len(seen), len(faults)))
    return faults


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("kafka_dump")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print("seed %d" % options.seed)
    chance = random.Random(options.seed)
    postgres, redis = Server("postgres"), Server("redis")
    kafka = Server("kafka") if options.kafka_dump != "-" else None
    port, path = free_port(), os.path.join(scratch(), "events.jsonl")
    config = os.path.join(scratch(), "meowmx.yaml")
    with open(config, "w", encoding="utf-8") as out:
        out.write("store: {url: '%s'}\nhttp: {listen: '127.0.0.1:%d'}\nroutes:\n" % (postgres.url, port))
        out.write("  cache: {redis: {url: '%s', stream: 'events:{aggregate_type}'}}\n" % redis.url)
        out.write("  audit: {file: {path: '%s'}}\n" % path)
        if kafka:
            out.write("  topics:\n    kafka:\n      topic: 'shop.{aggregate_type}'\n      topics: {'注文': 'shop.japan'}\n"
                      "      partitions: 3\n      client: {bootstrap.servers: '%s'}\n" % kafka.url)
    subprocess.run([options.program, "setup", "--store", postgres.url, "--id-type", "TEXT"], check=True)
    stop, failures = threading.Event(), []

    def writer(number):
        try:
            write(postgres.url, options.seed % 100000 * 10 + number, stop)
        except Exception as failure:  # told by the main thread
            failures.append(failure)

    writers = [threading.Thread(target=writer, args=(number,)) for number in range(WRITERS)]
    for thread in writers:
        thread.start()
    relay = Relay(options.program, config, port)
    for turn in range(options.rounds):
        relay.start()
        time.sleep(0.15 + chance.random() * 1.2)
        relay.end(signal.SIGTERM if turn % 6 == 5 else signal.SIGKILL)
    stop.set()
    for thread in writers:
        thread.join()
    if failures:
        raise failures[0]
    loaded = subprocess.run([options.program, "load", "--store", postgres.url], check=True, stdout=subprocess.PIPE)
    store = [json.loads(line)["position"] for line in loaded.stdout.splitlines()]
    relay.start()
    catch_up(relay, max(store))
    relay.end(signal.SIGTERM)

    client, entries = Redis(redis.port), []
    for kind in TYPES:
        for identity, fields in client.ask("XRANGE", "events:" + kind, "-", "+"):
            fields = dict(zip(fields[::2], fields[1::2]))
            entries.append((int(identity.split("-")[0]), fields["aggregate_id"], int(fields["version"])))
    faults = compare("redis", store, entries, True)
    with open(path, encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    faults += compare("file", store, [(e["position"], e["aggregate_id"], e["version"]) for e in events], True)
    if kafka:
        dump = subprocess.run([options.kafka_dump, kafka.url, "shop.order", "shop.payment", "shop.japan"], check=True,
                              stdout=subprocess.PIPE, text=True)
        rows = [line.split("\t") for line in dump.stdout.splitlines()]
        rows.sort(key=lambda row: (row[0], int(row[1]), int(row[2])))
        faults += compare("kafka", store, [(int(row[3]), row[5], int(row[4])) for row in rows], False)
    for fault in faults[:20]:
        print(fault)
    print("%d rounds, %d events, %d faults" % (options.rounds, len(store), len(faults)))
    if faults:
        with open(os.path.join(scratch(), "relay.log"), encoding="utf-8") as log:
            print("".join(log.readlines()[-40:]))
    return 1 if faults else 0


sys.exit(main())
