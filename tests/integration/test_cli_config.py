#!/usr/bin/env python3
"""The command line: config, and the relay's start and end.

usage: test_cli_config.py MEOWMX [unittest arguments]
"""
import json
import os
import re
import subprocess
import time

from cli import Case, Database, begin, main, meowmx, scratch


def lines_of(path):
    if not os.path.exists(path):
        return 0
    with open(path, "rb") as file:
        return file.read().count(b"\n")


class Configuration(Case):
    def write(self, text):
        path = os.path.join(scratch(), "config.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_routes_that_would_share_a_sink_or_cannot_be_split(self):
        redis = "redis: {url: 'redis://h:1/0', stream: '%s'}"
        cases = [("a: {%s}\n  b: {%s}" % (redis % "x{aggregate_type}", redis % "x{aggregate_type}"),
                  "publishes to redis h:1/0 x{aggregate_type}, as the route a"),
                 ("a: {file: {path: /tmp/x}}\n  b: {file: {path: /tmp/x}}", "as the route a"),
                 ("a: {partitions: 2, %s}" % redis % "x", "stream: each partition needs streams of its own: put {partition}"),
                 ("a: {partitions: 2, file: {path: /tmp/x}}", "path: each partition needs a file of its own: put {partition}")]
        for routes, text in cases:
            path = self.write("store: {url: 'sqlite:x.db'}\nroutes:\n  %s\n" % routes)
            done = meowmx("config", "check", "-c", path, store=False)
            self.assertEqual((done.status, done.text.count("\n")), (78, 1), done.text)
            self.assertIn(text, done.text)

    def test_check_names_every_error(self):
        path = self.write("stor: {}\nroutes:\n  a:\n    file: {path: x, formt: y}\n    window: 1\n")
        done = meowmx("config", "check", "-c", path, store=False)
        self.assertEqual(done.status, 78)
        self.assertEqual(done.text, '%s:1:1: unknown setting stor; did you mean "store"?\n'
                                    '%s:5:13: routes.a.window: "1" is out of range: 64KB to 1GB\n'
                                    '%s:4:21: unknown setting routes.a.file.formt\n' % (path, path, path))

    def test_check_names_every_error_that_a_connector_finds(self):
        path = self.write("routes:\n  a:\n    redis:\n      url: http://x\n      stream: 's {nope}'\n      streams: {order: ''}\n"
                          "  b:\n    redis:\n      url: redis://x\n      stream: s\n      tls_ca: x\n      sentinel_user: me\n")
        done = meowmx("config", "check", "-c", path, store=False)
        self.assertEqual(done.status, 78)
        self.assertEqual([re.sub(r": .*", "", line[len(path) + 1:]) for line in done.text.splitlines()],
                         ["4:12", "5:15", "6:16", "11:15", "12:22"])

    def test_check_is_quiet_about_what_is_good(self):
        path = self.write("routes:\n  注文:\n    file: {path: x.jsonl}\n")
        done = self.good("config", "check", "-c", path, store=False)
        self.assertEqual(done.text, path + ": good, 1 route\n")
        self.assertEqual(done.out, b"")

    def test_show_has_no_secrets(self):
        path = self.write("store: {url: 'postgresql://me:geheim@h/db'}\nroutes: {a: {file: {path: x}}}\n")
        text = self.good("config", "show", "-c", path, "--origin", store=False).out.decode()
        self.assertIn("url: postgresql://me:***@h/db  # %s:1:14\n" % path, text)
        self.assertNotIn("geheim", text)
        text = self.good("config", "show", "-c", path).out.decode()
        self.assertNotIn("geheim", text)
        self.assertIn("url: " + Database.url, text)  # the environment counts more

    def test_the_relay_refuses_what_the_check_refuses(self):
        path = self.write("routes: {a: {fil: {path: x}}}\n")
        done = meowmx("relay", "-c", path)
        self.assertEqual(done.status, 78)
        self.assertIn('did you mean "file"?', done.text)
        done = meowmx("relay", "-c", self.write("routes: {a: {file: {path: x}}}\n"), "--log-level", "loud")
        self.assertEqual(done.status, 78)
        self.assertIn("--log-level: log.level", done.text)
        self.refused(66, "no configuration", "relay", store=False)
        done = meowmx("relay", "-c", self.write("routes: {a: {file: {path: x}}}\n"), store=False)
        self.assertEqual(done.status, 66, done.text)
        self.assertIn("there is no file meowmx.db", done.text)

    def test_the_relay_publishes_to_a_file_and_stops(self):
        self.good("append", "order", "1", "A", '{"a": 1.0}', "B", "2")
        target = os.path.join(scratch(), "published-%d.jsonl" % Database.count)
        path = self.write("http: {listen: '127.0.0.1:0'}\nroutes: {a: {file: {path: '%s'}}}\n" % target)
        process = begin("relay", "-c", path, "--log-format", "json", stderr=subprocess.PIPE)
        limit = time.monotonic() + 20
        while time.monotonic() < limit and lines_of(target) < 2:
            time.sleep(0.05)
        process.terminate()
        _, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 0, err)
        with open(target, "rb") as file:
            self.assertEqual(file.read(), self.good("load").out)
        for entry in err.decode("utf-8").splitlines():
            self.assertIn("msg", json.loads(entry))
        item = self.good("subscription", "show", "a", "--json").lines()[0]
        self.assertEqual((item["delivered"], item["lag_events"]), (2, 0))


if __name__ == "__main__":
    main()
