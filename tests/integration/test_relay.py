"""The relay as a process: signals, the endpoint, stopped routes and their way out, start: now.

usage: test_relay.py MEOWMX [unittest arguments]
"""
import json
import os
import resource
import signal
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

from world import Redis, Server, free_port, scratch, wait_until

MEOWMX = os.path.abspath(sys.argv[1])
postgres = redis = None


class Case(unittest.TestCase):
    count = 0

    def setUp(self):
        Case.count += 1
        name = "relay%d" % Case.count
        self.psql("CREATE DATABASE " + name, "postgres")
        self.url = postgres.url.rsplit("/", 1)[0] + "/" + name
        self.meowmx("setup", "--id-type", "TEXT")
        self.file = os.path.join(scratch(), name + ".jsonl")
        self.log = os.path.join(scratch(), name + ".log")
        self.config = os.path.join(scratch(), name + ".yaml")
        self.port = free_port()
        self.client = Redis(redis.port)
        self.client.ask("FLUSHALL")
        self.process = None
        self.addCleanup(self.end)

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def psql(self, sql, database=None):
        url = self.url if database is None else postgres.url.rsplit("/", 1)[0] + "/" + database
        return subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", url, "-c", sql], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()

    def meowmx(self, *words, **more):
        return subprocess.run([MEOWMX, *words, "--store", self.url], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, **more).stdout

    def append(self, count, size=10):
        lines = "".join('{"aggregate_type":"order","aggregate_id":"%d","type":"e","data":{"x":"%s"}}\n' %
                        (i % 7, "x" * size) for i in range(count))
        self.meowmx("append", "-", input=lines.encode())

    def start(self, routes, relay="backoff_max: 1s"):
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\nhttp: {listen: '127.0.0.1:%d'}\nrelay: {%s}\nroutes:\n" %
                      (self.url, self.port, relay))
            for name, text in routes.items():
                out.write("  %s: %s\n" % (name, text))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([MEOWMX, "relay", "-c", self.config], stderr=log)

    def to_file(self, more=""):
        return "{%sfile: {path: '%s'}}" % (more, self.file)

    def to_redis(self):
        return "{redis: {url: '%s', stream: events}}" % redis.url

    def get(self, path, accept=None):
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path),
                                         headers={"Accept": accept} if accept else {})
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as failure:
            return failure.code, failure.read().decode()
        except OSError:
            return 0, ""

    def route(self, name):
        status, text = self.get("/status")
        return {route["name"]: route for route in json.loads(text)["routes"]}.get(name, {}) if status == 200 else {}

    def lines(self):
        if not os.path.exists(self.file):
            return []
        with open(self.file, encoding="utf-8") as lines:
            return [json.loads(line)["position"] for line in lines.read().splitlines()]

    def said(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read()

    def signal(self, number, seconds=20):
        self.process.send_signal(number)
        return self.process.wait(timeout=seconds)

    def row(self, name, column):
        return self.psql("SELECT %s FROM meowmx_checkpoints WHERE subscription = '%s'" % (column, name))


class Limits(Case):
    def test_a_file_at_its_limit_holds_its_route_alone(self):
        self.start({"audit": self.to_file(), "cache": self.to_redis()})
        self.append(100)
        wait_until("the first lines", lambda: len(self.lines()) == 100)
        old = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (os.path.getsize(self.file) + 100, old[1]))
        self.append(100)
        wait_until("the other route", lambda: self.client.ask("XLEN", "events") == "200")
        wait_until("a route that waits", lambda: self.route("audit").get("state") == "RESTARTING")
        self.assertIn(self.file, self.route("audit")["reason"])
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, old)
        wait_until("the rest", lambda: len(self.lines()) == 200)
        self.assertEqual(self.lines(), sorted(set(self.lines())))
        self.assertEqual(self.signal(signal.SIGTERM), 0)


class Signals(Case):
    def test_a_graceful_stop_writes_the_checkpoint_of_what_was_delivered(self):
        self.append(20000)
        self.start({"audit": self.to_file()})
        wait_until("some lines", lambda: os.path.exists(self.file) and os.path.getsize(self.file) > 100000)
        self.assertEqual(self.signal(signal.SIGTERM), 0)
        first = self.lines()
        self.assertEqual(int(self.row("audit", "delivered")), first[-1])
        self.assertEqual(self.row("audit", "state"), "UNASSIGNED")
        self.start({"audit": self.to_file()})
        wait_until("all lines", lambda: len(self.lines()) >= 20000)
        self.assertEqual(self.signal(signal.SIGINT), 0)
        self.assertEqual(self.lines(), sorted(set(self.lines())))
        self.assertEqual(len(self.lines()), 20000)

    def test_a_sink_that_does_not_answer_holds_a_stop_for_its_limit_only(self):
        self.start({"cache": self.to_redis()}, "shutdown_timeout: 1s")
        wait_until("a running route", lambda: self.route("cache").get("state") == "RUNNING")
        self.client.ask("CLIENT", "PAUSE", "8000", "ALL")
        self.append(10)
        wait_until("events in flight", lambda: self.route("cache").get("inflight_events", 0) > 0)
        began = time.monotonic()
        self.assertEqual(self.signal(signal.SIGTERM), 0)
        self.assertLess(time.monotonic() - began, 6)
        self.assertIn("is over", self.said())

    def test_a_second_signal_and_quit_stop_now(self):
        for first, second, status in ((signal.SIGTERM, signal.SIGTERM, 143), (signal.SIGINT, signal.SIGINT, 130),
                                      (None, signal.SIGQUIT, 131)):
            self.client = Redis(redis.port)
            self.start({"cache": self.to_redis()})
            wait_until("a running route", lambda: self.route("cache").get("state") == "RUNNING")
            self.client.ask("CLIENT", "PAUSE", "1500", "ALL")
            self.append(10)
            wait_until("events in flight", lambda: self.route("cache").get("inflight_events", 0) > 0)
            if first:
                self.process.send_signal(first)
                time.sleep(0.2)
            self.assertEqual(self.signal(second, 2), status)
            time.sleep(1.5)

    def test_hup_opens_files_anew(self):
        self.start({"audit": self.to_file()})
        self.append(3)
        wait_until("three lines", lambda: len(self.lines()) == 3)
        os.rename(self.file, self.file + ".1")
        self.process.send_signal(signal.SIGHUP)
        wait_until("a new file", lambda: os.path.exists(self.file))
        self.append(2)
        wait_until("two lines more", lambda: len(self.lines()) == 2)
        self.assertEqual(self.signal(signal.SIGTERM), 0)

    def test_usr1_pauses_all_routes_and_usr2_lets_them_go_on(self):
        self.start({"audit": self.to_file(), "cache": self.to_redis()})
        self.append(3)
        both = lambda **wanted: all(self.route(name).get(key) == value for name in ("audit", "cache")
                                    for key, value in wanted.items())
        wait_until("both deliver", lambda: both(delivered=3, state="RUNNING"))
        self.process.send_signal(signal.SIGUSR1)
        wait_until("both rest", lambda: both(state="PAUSED"))
        self.assertIn("SIGUSR2", self.route("audit")["reason"])
        self.append(2)
        time.sleep(1.5)  # they look once a second
        self.assertTrue(both(delivered=3, state="PAUSED"))
        self.assertEqual(len(self.lines()), 3)
        self.process.send_signal(signal.SIGUSR2)
        wait_until("both go on", lambda: both(delivered=5, state="RUNNING"))
        self.process.send_signal(signal.SIGUSR1)
        wait_until("both rest again", lambda: both(state="PAUSED"))
        self.assertEqual(self.signal(signal.SIGTERM), 0)


class Endpoint(Case):
    def test_what_it_answers(self):
        self.append(5)
        self.start({"audit": self.to_file(), "cache": self.to_redis()})
        wait_until("both caught up", lambda: self.route("audit").get("caught_up") and self.route("cache").get("caught_up"))
        self.assertEqual(self.get("/livez"), (200, "ok\n"))
        self.assertEqual(self.get("/readyz")[0], 200)
        self.assertIn("[+] route cache: RUNNING", self.get("/readyz?verbose")[1])
        self.assertEqual(self.get("/healthz")[0], 200)
        self.assertIn("version", json.loads(self.get("/version")[1]))
        self.assertEqual(self.get("/nothing")[0], 404)
        text = self.get("/metrics")[1]
        self.assertIn('meowmx_route_events_total{route="cache"} 5\n', text)
        self.assertIn('meowmx_route_lag_events{route="audit"} 0\n', text)
        self.assertIn('meowmx_route_state{route="audit",state="RUNNING"} 1\n', text)
        self.assertIn("meowmx_store_head_position 5\n", text)
        self.assertTrue(self.get("/metrics", "application/openmetrics-text; version=1.0.0")[1].endswith("# EOF\n"))
        request = urllib.request.Request("http://127.0.0.1:%d/livez" % self.port, method="POST", data=b"x")
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=5)

    def test_lag_grows_while_the_sink_is_away(self):
        self.append(5)
        self.start({"cache": "{redis: {url: 'redis://127.0.0.1:%d/0', stream: events}}" % free_port()})
        wait_until("a route that waits", lambda: self.route("cache").get("state") == "RESTARTING")
        wait_until("its lag", lambda: self.route("cache").get("lag_events") == 5, 10)
        self.append(5)
        wait_until("more lag", lambda: self.route("cache").get("lag_events") == 10, 10)
        status, text = self.get("/readyz")
        self.assertEqual(status, 503)
        self.assertIn("[-] route cache: RESTARTING: ", text)
        self.assertIn('meowmx_route_eta_seconds{route="cache"} +Inf\n', self.get("/metrics")[1])
        self.assertLess(self.said().count("route waits"), 3)
        self.assertEqual(self.signal(signal.SIGTERM), 0)


class Stops(Case):
    def test_a_stopped_route_leaves_the_others_alone_and_resumes(self):
        self.client.ask("SET", "events", "of another type")
        self.append(5)
        self.start({"audit": self.to_file(), "cache": self.to_redis()})
        wait_until("a stopped route", lambda: self.route("cache").get("state") == "FAILED")
        wait_until("the other one", lambda: len(self.lines()) == 5)
        self.assertIn("meowmx subscription resume cache", self.route("cache")["reason"])
        self.assertEqual(self.get("/readyz")[0], 503)
        self.assertNotIn("all routes have stopped", self.said())
        wait_until("it in the store", lambda: self.row("cache", "state") == "FAILED")
        self.client.ask("DEL", "events")
        self.meowmx("subscription", "resume", "cache", "--yes")
        wait_until("the route again", lambda: self.route("cache").get("caught_up"), 10)
        self.assertEqual(len(self.client.ask("XRANGE", "events", "-", "+")), 5)
        self.assertEqual(self.row("cache", "state"), "RUNNING")
        wait_until("the decision to be over", lambda: self.row("cache", "resume_from_store") == "f", 5)

    def test_all_routes_stopped_is_said_and_the_relay_stays(self):
        self.client.ask("SET", "events", "of another type")
        self.append(1)
        self.start({"cache": self.to_redis()})
        wait_until("that it says so", lambda: "all routes have stopped" in self.said())
        self.assertEqual(self.get("/livez")[0], 200)
        self.assertEqual(self.signal(signal.SIGTERM), 0)
        self.assertEqual(self.row("cache", "state"), "FAILED")

    def test_an_event_too_large_is_skipped_by_command(self):
        limit = self.client.ask("CONFIG", "GET", "proto-max-bulk-len")[1]
        self.client.ask("CONFIG", "SET", "proto-max-bulk-len", str(1 << 20))
        self.addCleanup(self.client.ask, "CONFIG", "SET", "proto-max-bulk-len", limit)
        self.append(3)
        self.append(1, 2 << 20)
        self.append(3)
        self.start({"cache": self.to_redis()})
        wait_until("a stopped route", lambda: self.route("cache").get("state") == "FAILED")
        self.assertEqual(self.route("cache")["error_position"], 4)
        self.assertIn("subscription skip cache 4", self.route("cache")["reason"])
        self.assertEqual(len(self.client.ask("XRANGE", "events", "-", "+")), 3)
        wait_until("it in the store", lambda: self.row("cache", "error_position") == "4")
        self.meowmx("subscription", "skip", "cache", "4", "--yes")
        wait_until("the rest", lambda: self.route("cache").get("caught_up"), 10)
        entries = [entry[0] for entry in self.client.ask("XRANGE", "events", "-", "+")]
        self.assertEqual(entries, ["%d-0" % position for position in (1, 2, 3, 5, 6, 7)])

    def test_a_sink_that_forgot_stops_its_route(self):
        self.append(5)
        self.start({"cache": self.to_redis()})
        wait_until("five entries", lambda: self.row("cache", "delivered") == "5")
        self.assertEqual(self.signal(signal.SIGTERM), 0)
        self.client.ask("FLUSHALL")
        self.append(2)
        self.start({"cache": self.to_redis()})
        wait_until("a stopped route", lambda: self.route("cache").get("state") == "FAILED")
        self.assertIn("forgotten", self.route("cache")["reason"])
        wait_until("it in the store", lambda: self.row("cache", "state") == "FAILED")
        self.meowmx("subscription", "resume", "cache", "--yes")
        wait_until("what came since", lambda: self.route("cache").get("caught_up"), 10)
        self.assertEqual([entry[0] for entry in self.client.ask("XRANGE", "events", "-", "+")], ["6-0", "7-0"])


class Start(Case):
    def test_now_skips_what_was_there_for_good(self):
        self.append(5)
        routes = {"audit": self.to_file("start: now, "),
                  "cache": "{start: now, redis: {url: '%s', stream: events}}" % redis.url}
        self.start(routes)
        wait_until("both to stand there", lambda: self.row("audit", "position") == self.row("cache", "position") == "5")
        self.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                  "AND pid <> pg_backend_pid()")
        time.sleep(1)
        self.assertEqual(self.signal(signal.SIGTERM), 0)
        self.start(routes)
        self.append(2)
        wait_until("what came since", lambda: len(self.lines()) == 2 and self.row("cache", "delivered") == "7")
        self.assertEqual(self.lines(), [6, 7])
        self.assertEqual([entry[0] for entry in self.client.ask("XRANGE", "events", "-", "+")], ["6-0", "7-0"])

    def test_what_cannot_be(self):
        self.start({})
        self.assertEqual(self.process.wait(timeout=20), 78)
        self.start({"audit": self.to_file()})
        wait_until("the first relay", lambda: self.route("audit").get("state") == "RUNNING")
        first = self.process
        self.start({"audit": self.to_file()})
        self.assertEqual(self.process.wait(timeout=20), 69)
        self.assertIn("cannot listen", self.said())
        self.process = first


if __name__ == "__main__":
    postgres, redis = Server("postgres"), Server("redis")
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], warnings="ignore")
