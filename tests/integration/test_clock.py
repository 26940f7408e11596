"""The clock of a relay's machine jumps by an hour, forward and back, while events flow. The relay alone sees it (libfaketime
before the C library); the monotonic clock goes on, as it does on a real machine.

usage: test_clock.py MEOWMX [unittest arguments]
"""
import glob
import json
import os
import re
import signal
import subprocess
import sys
import time
import unittest
import urllib.request

from world import Redis, Server, free_port, scratch, wait_until

MEOWMX = os.path.abspath(sys.argv[1])
HOUR = 3600
postgres = redis = None


def library():
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        raise RuntimeError("libfaketime is not installed: scripts/install test")
    return found[0]


class Clock(unittest.TestCase):
    count = 0

    def setUp(self):
        Clock.count += 1
        self.folder = os.path.join(scratch(), "clock-%d" % Clock.count)
        os.mkdir(self.folder)
        self.clock = os.path.join(self.folder, "clock")
        self.file = os.path.join(self.folder, "events.jsonl")
        self.port = free_port()
        self.appended = 0
        self.process = None
        self.jump(0)

    def jump(self, seconds):
        """To so much ahead of the true time, at once."""
        with open(self.clock + ".new", "w", encoding="utf-8") as out:
            out.write("%+d" % seconds)
        os.replace(self.clock + ".new", self.clock)

    def meowmx(self, *words, **more):
        return subprocess.run([MEOWMX, *words, "--store", self.url], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, **more).stdout

    def append(self, count):
        self.meowmx("append", "-", input="".join(
            '{"aggregate_type":"order","aggregate_id":"%d","type":"e","data":1}\n' % (i % 5) for i in range(count)))
        self.appended += count

    def start(self, routes):
        self.config = os.path.join(self.folder, "meowmx.yaml")
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\nhttp: {listen: '127.0.0.1:%d'}\nrelay: {lease: 2s, backoff_max: 1s}\n"
                      "routes:\n%s" % (self.url, self.port, routes))
        self.process = self.launch(dict(
            os.environ, LD_PRELOAD=library(), FAKETIME_TIMESTAMP_FILE=self.clock, FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1", FAKETIME_DONT_RESET="1", NO_FAKE_STAT="1"))
        wait_until("the endpoint", self.routes, 20)

    def launch(self, environment):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            process = subprocess.Popen([MEOWMX, "relay", "-c", self.config], stderr=log, env=environment)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def get(self, path):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.port, path), timeout=5) as reply:
                return reply.read().decode()
        except OSError:
            return ""

    def routes(self):
        text = self.get("/status")
        return {route["name"]: route for route in json.loads(text)["routes"]} if text else {}

    def metric(self, name):
        """Its values by labels."""
        return {labels: float(value) for labels, value in
                re.findall(r"^%s(\{.*?\})? (\S+)$" % name, self.get("/metrics"), re.M)}

    def lines(self):
        if not os.path.exists(self.file):
            return []
        with open(self.file, encoding="utf-8") as lines:
            return [json.loads(line)["position"] for line in lines if line.endswith("\n")]

    def wait_for_lines(self):
        wait_until("%d lines" % self.appended, lambda: len(self.lines()) >= self.appended, 15)

    def assert_sane(self, seconds):
        for value in self.metric("meowmx_route_last_progress_timestamp_seconds").values():
            self.assertLess(abs(time.time() + seconds - value), HOUR / 2)  # it did see the jump
        for name in ("meowmx_route_lag_seconds", "meowmx_route_latency_seconds_sum", "meowmx_route_eta_seconds",
                     "meowmx_route_publish_duration_seconds_sum"):
            for labels, value in self.metric(name).items():
                self.assertGreaterEqual(value, 0, name + labels)
        lag = self.metric("meowmx_route_lag_seconds")
        self.assertTrue(lag and all(value < 2 * HOUR for value in lag.values()), lag)
        for route in self.routes().values():
            self.assertEqual(route["state"], "RUNNING", route)

    def epochs(self):
        return self.metric("meowmx_lease_epoch")

    def there_and_back(self, disturb):
        """Forward, back beyond the beginning, and to the true time: at each, events flow, and a failure is got over."""
        for seconds in (HOUR, -HOUR, 0):
            self.jump(seconds)
            self.append(20)
            self.wait_for_lines()
            disturb()
            self.append(20)
            self.wait_for_lines()
            wait_until("routes that run", lambda: all(
                route["state"] == "RUNNING" and route["caught_up"] for route in self.routes().values()), 15)
            self.assert_sane(seconds)

    def finish(self):
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(timeout=20), 0)
        self.assertEqual(self.lines(), sorted(set(self.lines())))
        self.assertEqual(len(self.lines()), self.appended)


class Jumps(Clock):
    def test_postgresql_its_leases_and_a_back_off(self):
        self.url = postgres.url
        self.meowmx("setup", "--id-type", "TEXT")
        self.start("  audit: {file: {path: '%s'}}\n  cache: {redis: {url: '%s', stream: events}}\n" %
                   (self.file, redis.url))
        self.append(20)
        self.wait_for_lines()
        before = self.epochs()
        self.assertEqual(len(before), 2)
        client = Redis(redis.port)
        self.there_and_back(lambda: client.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
        wait_until("all entries", lambda: int(client.ask("XLEN", "events")) >= self.appended, 15)
        self.assertEqual(self.epochs(), before)  # by the database's clock no lease has run out
        self.finish()
        positions = [int(entry[0].split("-")[0]) for entry in client.ask("XRANGE", "events", "-", "+")]
        self.assertEqual(positions, self.lines())

    def test_sqlite_whose_clock_is_the_machines(self):
        self.url = "sqlite:" + os.path.join(self.folder, "store.db")
        self.meowmx("setup")
        self.start("  audit: {file: {path: '%s'}}\n" % self.file)
        self.append(20)
        self.wait_for_lines()
        self.there_and_back(lambda: None)
        self.finish()

    def test_two_relays_on_sqlite_whose_clocks_disagree(self):
        self.url = "sqlite:" + os.path.join(self.folder, "store.db")
        self.meowmx("setup")
        self.start("  audit: {file: {path: '%s'}}\n" % self.file)
        self.append(20)
        self.wait_for_lines()
        other = self.launch(dict(os.environ, MEOWMX_HTTP_LISTEN="127.0.0.1:%d" % free_port()))
        for seconds in (HOUR, -HOUR, 0):
            self.jump(seconds)
            self.append(20)
            self.wait_for_lines()
        other.terminate()
        self.assertEqual(other.wait(timeout=20), 0)
        self.append(20)
        self.wait_for_lines()
        self.finish()


if __name__ == "__main__":
    postgres, redis = Server("postgres"), Server("redis")
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], warnings="ignore")
