#!/usr/bin/env python3
"""The examples in C, as a reader would use them: built against an installed copy with pkg-config, and run.

usage: test_examples_c.py BUILD_FOLDER PROGRAM
"""
import json
import os
import re
import signal
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from installed import Installed  # noqa: E402
from servers import ROOT, Server, scratch  # noqa: E402
from world import wait_until  # noqa: E402

EXAMPLES = os.path.join(ROOT, "examples")


class Examples:
    def __init__(self, installed, url, program):
        self.installed, self.url, self.program = installed, url, program
        self.built = {}
        for name in sorted(os.listdir(EXAMPLES)):
            if name.endswith(".c"):
                with open(os.path.join(EXAMPLES, name), encoding="utf-8") as source:
                    # The command that the example itself names.
                    packages = re.search(r"//   cc %s -o \w+ \$\(pkg-config --cflags --libs ([\w ]+)\)" % name,
                                         source.read())[1].split()
                self.built[name[:-2]] = installed.build(os.path.join(EXAMPLES, name), packages)

    def run(self, name, *arguments, status=0):
        """Its output; with a status other than 0 what it says about that."""
        done = subprocess.run([self.built[name], self.url, *map(str, arguments)], env=self.installed.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == status, "%s %s: status %d: %s" % (name, arguments, done.returncode, done.stderr)
        return done.stderr if status else done.stdout

    def sql(self, text):
        return subprocess.run(["psql", "-XAtq", "-d", self.url, "-c", text], check=True, stdout=subprocess.PIPE,
                              text=True).stdout.strip()


def ride(examples):
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    examples.run("ride", "place", first, "mimi", 1250)
    assert "ACCEPTED" not in examples.run("ride", "show", first)
    examples.run("ride", "accept", first, "tom")
    assert examples.run("ride", "accept", first, "kit", status=1) == "order in status ACCEPTED: accept is not possible\n"
    examples.run("ride", "complete", first)
    assert examples.run("ride", "cancel", first, status=1) == "order in status COMPLETED: cancel is not possible\n"
    assert examples.run("ride", "show", first) == "%s version 2: COMPLETED, rider mimi, driver tom, 1250 cents\n" % first
    assert examples.run("ride", "show", first, 0) == "%s version 0: PLACED, rider mimi, driver -, 1250 cents\n" % first
    assert "has no version 3" in examples.run("ride", "show", first, 3, status=1)
    assert examples.sql("SELECT string_agg(version::text, ' ') FROM es_aggregate_snapshot") == "1"
    examples.run("ride", "project")
    examples.run("ride", "place", second, "lily", 700)
    examples.run("ride", "cancel", second)
    examples.run("ride", "project")
    assert examples.sql("SELECT status, rider FROM rides ORDER BY rider") == "cancelled|lily\ncompleted|mimi"
    return first, second


def integration_events(examples, first, second):
    path = os.path.join(scratch(), "rides.jsonl")
    environment = dict(os.environ, RIDE_STORE=examples.url, RIDE_EVENTS=path, MEOWMX_HTTP_LISTEN="127.0.0.1:0")
    relay = subprocess.Popen([examples.program, "relay", "-c", os.path.join(EXAMPLES, "ride.yaml")], env=environment)

    def published():
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines.read().splitlines()]
    try:
        wait_until("the relay to publish", lambda: len(published()) >= 5, 30)
    finally:
        relay.terminate()
        status = relay.wait(30)
    assert status == 0
    assert [(event["aggregate_id"], event["type"]) for event in published()] == [
        (first, "ORDER_PLACED"), (first, "ORDER_ACCEPTED"), (first, "ORDER_COMPLETED"),
        (second, "ORDER_PLACED"), (second, "ORDER_CANCELLED")]


def outbox(examples):
    good, bad = str(uuid.uuid4()), str(uuid.uuid4())
    examples.run("outbox", good, 1999)
    examples.run("outbox", bad, 5, "fail", status=1)
    assert "duplicate key" in examples.run("outbox", good, 2000, status=1)
    assert examples.sql("SELECT id, cents FROM invoices") == "%s|1999" % good
    assert examples.sql("SELECT aggregate_id, json_data FROM es_events WHERE event_type = 'InvoiceWritten'") == \
        '%s|{"cents": 1999}' % good


def save_and_read(examples):
    cat = str(uuid.uuid4())
    examples.run("save_event", "cat", cat, "Born", '{"name": "Mimi"}', "new")
    assert examples.run("save_event", "cat", cat, "Fed", "{}", 0).startswith("version 1 at position ")
    assert "found version 1" in examples.run("save_event", "cat", cat, "Fed", "{}", 0, status=75)
    assert "json" in examples.run("save_event", "cat", cat, "Fed", "{no json", "any", status=1).lower()
    said = examples.run("read_events", "-t", "cat", "-i", cat)
    assert re.sub(r"^\d+ : ", "", said, flags=re.M) == 'cat / %s [0] Born : {"name": "Mimi"}\ncat / %s [1] Fed : {}\n' % (
        cat, cat)
    assert examples.run("read_events", "-t", "cat", "-r", "-l", 1) == said.splitlines(True)[1]
    assert examples.run("read_events", "-t", "cat", "-i", cat, "-f", 1) == said.splitlines(True)[1]
    assert examples.run("read_events").endswith(said)


def writer_and_worker(examples):
    assert examples.run("aggregate_writer", "box", "Opened", 5, 25, 60).startswith("saved 60 events, ")
    assert examples.sql("SELECT count(*), max(e.version) <= 4 FROM es_events e JOIN es_aggregates a "
                        "ON a.id = e.aggregate_id WHERE a.aggregate_type = 'box'") == "60|t"
    workers = [subprocess.Popen([examples.built["worker"], examples.url, "boxes", "box"], stdout=subprocess.PIPE,
                                env=examples.installed.environment, text=True) for _ in range(2)]
    lines = []
    try:
        wait_until("the workers to catch up", lambda: examples.sql(
            "SELECT coalesce(max(position), 0) >= (SELECT max(id) FROM es_events) FROM meowmx_checkpoints "
            "WHERE subscription = 'boxes'") == "t", 30)
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGINT)
            lines += worker.communicate(timeout=30)[0].splitlines()
    assert [worker.returncode for worker in workers] == [0, 0]
    positions = [int(re.search(r"position (\d+)", line)[1]) for line in lines]
    assert len(positions) == 60 and len(set(positions)) == 60, "each event once"


def main():
    build, program = sys.argv[1], os.path.abspath(sys.argv[2])
    os.environ.update({name: "" for name in os.environ if name.startswith("MEOWMX_")})
    postgres = Server("postgres", "fsync=off")
    subprocess.run([program, "setup", "--store", postgres.url], check=True)
    examples = Examples(Installed(build), postgres.url, program)
    assert set(examples.built) == {"ride", "outbox", "save_event", "read_events", "aggregate_writer", "worker"}
    integration_events(examples, *ride(examples))
    outbox(examples)
    save_and_read(examples)
    writer_and_worker(examples)

    examples.url = "sqlite:" + os.path.join(scratch(), "store.db")
    subprocess.run([program, "setup", "--store", examples.url], check=True)
    save_and_read(examples)
    assert examples.run("aggregate_writer", "box", "Opened", 5, 25, 60).startswith("saved 60 events, ")


main()
