"""A store of either kind with a relay that a test operates on."""
import json
import os
import signal
import subprocess
import sys
import unittest
import urllib.request

from world import Redis, Server, free_port, scratch, wait_until


class Operated(unittest.TestCase):
    """meowmx, postgres and redis are set by main(); sqlite: of which kind the store is."""
    meowmx = postgres = redis = None
    sqlite = False
    lease = "10s"
    count = 0

    def setUp(self):
        Operated.count += 1
        name = "operated%d" % Operated.count
        if self.sqlite:
            self.url = "sqlite:" + os.path.join(scratch(), name + ".db")
        else:
            subprocess.run(["psql", "-Xq", self.postgres.url, "-c", "CREATE DATABASE " + name], check=True)
            self.url = self.postgres.url.rsplit("/", 1)[0] + "/" + name
        self.good("setup", "--id-type", "TEXT")
        self.file = os.path.join(scratch(), name + ".jsonl")
        self.log = os.path.join(scratch(), name + ".log")
        self.config = os.path.join(scratch(), name + ".yaml")
        self.port = free_port()
        self.client = Redis(self.redis.port)
        self.client.ask("FLUSHALL")
        self.process = None
        self.addCleanup(self.end)

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def run_meowmx(self, *words, stdin=""):
        return subprocess.run([self.meowmx, *words, "--store", self.url], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)

    def good(self, *words, stdin=""):
        """What it printed, line by line as JSON."""
        done = self.run_meowmx(*words, stdin=stdin)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def refused(self, status, text, *words):
        done = self.run_meowmx(*words)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(text, done.stderr)

    def append(self, count, aggregate="a", kind="order", size=1):
        lines = "".join('{"aggregate_type":"%s","aggregate_id":"%s","type":"e","data":{"x":"%s"}}\n' %
                        (kind, aggregate, "x" * size) for _ in range(count))
        self.good("append", "-", stdin=lines)

    def configure(self, routes):
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\nhttp: {listen: '127.0.0.1:%d'}\nrelay: {backoff_max: 1s, lease: %s}\nroutes:\n" %
                      (self.url, self.port, self.lease))
            for name, text in routes.items():
                out.write("  %s: %s\n" % (name, text))

    def start(self, routes):
        self.configure(routes)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.meowmx, "relay", "-c", self.config], stderr=log)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(timeout=20), 0)

    def to_file(self, more=""):
        return "{%sfile: {path: '%s'}}" % (more, self.file)

    def to_redis(self, stream="events", more=""):
        return "{%sredis: {url: '%s', stream: '%s'}}" % (more, self.redis.url, stream)

    def get(self, path):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.port, path), timeout=5) as reply:
                return reply.read().decode()
        except OSError:
            return ""

    def route(self, name):
        text = self.get("/status")
        return {route["name"]: route for route in json.loads(text)["routes"]}.get(name, {}) if text else {}

    def lines(self):
        """(generation, position) of each line of the file."""
        if not os.path.exists(self.file):
            return []
        with open(self.file, encoding="utf-8") as lines:
            events = [json.loads(line) for line in lines.read().splitlines()]
        return [(event.get("generation", 0), event["position"]) for event in events]

    def entries(self, stream="events"):
        return [entry[0] for entry in self.client.ask("XRANGE", stream, "-", "+")]

    def shown(self, name):
        return self.good("subscription", "show", name, "--json")[0]

    def wait_caught_up(self, name, seconds=20):
        head = self.good("status", "--json")[0]["store"]["head"]
        wait_until("%s at %d" % (name, head), lambda: self.route(name).get("state") == "RUNNING" and
                   self.route(name)["caught_up"] and self.shown(name)["position"] >= head, seconds)


def main(words):
    """Runs the tests of the main program. words: the command line behind the program's name, MEOWMX first."""
    Operated.meowmx = os.path.abspath(words[0])
    Operated.postgres = Server("postgres")
    Operated.redis = Server("redis")
    unittest.main(argv=[sys.argv[0], *words[1:]], warnings="ignore")
