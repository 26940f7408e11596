"""Every thread of a relay at once: routes with several partitions to files and Redis, two relays that share them, writers,
readers of the endpoint, signals and broken connections. Built with the thread sanitizer (scripts/test) this finds races;
in any build each event must be in each sink once.

usage: test_race.py MEOWMX [unittest arguments]
"""
import json
import os
import signal
import subprocess
import sys
import threading
import unittest
import urllib.request

from world import Redis, Server, free_port, scratch, wait_until

MEOWMX = os.path.abspath(sys.argv[1])
SUPPRESSIONS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tsan.supp")
ENVIRONMENT = dict(os.environ, TSAN_OPTIONS="suppressions=%s exitcode=66 second_deadlock_stack=1" % SUPPRESSIONS)
EVENTS = 2000  # of each writer
WRITERS = 3
PARTITIONS = 3
postgres = redis = None


class Relay:
    def __init__(self, name, store):
        self.port = free_port()
        self.log = os.path.join(scratch(), name + ".log")
        config = os.path.join(scratch(), name + ".yaml")
        with open(config, "w", encoding="utf-8") as out:
            out.write("""
store: {url: '%s'}
http: {listen: '127.0.0.1:%d'}
relay: {lease: 2s, backoff_initial: 10ms, backoff_max: 200ms}
routes:
  files: {partitions: %d, batch_rows: 50, file: {path: '%s/events-{partition}.jsonl'}}
  streams: {partitions: %d, batch_rows: 50, redis: {url: '%s', stream: 'events-{partition}'}}
  plain: {redis: {url: '%s', stream: 'plain:{aggregate_type}'}}
""" % (store, self.port, PARTITIONS, scratch(), PARTITIONS, redis.url, redis.url))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([MEOWMX, "relay", "-c", config], stderr=log, env=ENVIRONMENT)

    def get(self, path):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.port, path), timeout=5) as reply:
                return reply.read().decode()
        except OSError:
            return ""

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()


class Race(unittest.TestCase):
    def setUp(self):
        self.url = postgres.url
        self.relays = []
        self.over = threading.Event()
        self.addCleanup(self.end)

    def end(self):
        self.over.set()
        for relay in self.relays:
            if relay.process.poll() is None:
                relay.process.kill()
                relay.process.wait()

    def meowmx(self, *words, **more):
        done = subprocess.run([MEOWMX, *words, "--store", self.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=ENVIRONMENT, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def start(self, name):
        self.relays.append(Relay(name, self.url))
        return self.relays[-1]

    def in_background(self, work):
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self.addCleanup(lambda: (self.over.set(), thread.join()))

    def look(self):
        while not self.over.wait(0.02):
            for relay in self.relays:
                for path in ("/metrics", "/status", "/readyz?verbose"):
                    relay.get(path)

    def write(self, writer):
        lines = "".join('{"aggregate_type":"%s","aggregate_id":"%d-%d","type":"e","data":%d}\n' %
                        ("ab"[i % 2], writer, i % 20, i) for i in range(EVENTS))
        self.meowmx("append", "-", input=lines.encode())

    def break_connections(self):
        Redis(redis.port).ask("CLIENT", "KILL", "TYPE", "normal")
        subprocess.run(["psql", "-Xq", self.url, "-c", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE pid <> pg_backend_pid() AND application_name LIKE 'meowmx%'"], check=True,
                       stdout=subprocess.DEVNULL)

    def in_files(self):
        found = []
        for partition in range(PARTITIONS):
            path = os.path.join(scratch(), "events-%d.jsonl" % partition)
            if os.path.exists(path):
                with open(path, encoding="utf-8") as lines:
                    found.append([json.loads(line)["position"] for line in lines if line.endswith("\n")])
        return found

    def in_streams(self, *names):
        client = Redis(redis.port)
        return [[int(entry[0].split("-")[0]) for entry in client.ask("XRANGE", name, "-", "+")] for name in names]

    def sinks(self):
        streams = ["events-%d" % partition for partition in range(PARTITIONS)]
        return self.in_files(), self.in_streams(*streams), self.in_streams("plain:a", "plain:b")

    def all_there(self):
        return all(sum(map(len, sink)) >= WRITERS * EVENTS for sink in self.sinks())

    def test_many_threads_at_once(self):
        self.meowmx("setup", "--id-type", "TEXT")
        first = self.start("first")
        self.in_background(self.look)
        for writer in range(WRITERS):
            self.in_background(lambda writer=writer: self.write(writer))
        wait_until("some events", lambda: any(map(len, self.in_files())), 30)
        second = self.start("second")
        wait_until("the second relay's partitions", lambda: '"epoch"' in second.get("/status"), 30)
        first.process.send_signal(signal.SIGHUP)
        self.break_connections()
        self.meowmx("subscription", "pause", "plain", "--yes")
        wait_until("a pause", lambda: any("PAUSED" in relay.get("/status") for relay in self.relays), 30)
        self.meowmx("subscription", "resume", "plain", "--yes")
        self.assertEqual(second.stop(), 0, second.said())
        wait_until("all events", self.all_there, 60)
        self.over.set()
        self.assertEqual(first.stop(), 0, first.said())
        for sink in self.sinks():
            for sequence in sink:
                self.assertEqual(sequence, sorted(set(sequence)))
            self.assertEqual(sum(map(len, sink)), WRITERS * EVENTS)
        for relay in self.relays:
            self.assertNotIn("Sanitizer", relay.said())


if __name__ == "__main__":
    postgres, redis = Server("postgres"), Server("redis")
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], warnings="ignore")
