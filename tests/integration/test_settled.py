"""The settled position among writers that break (transaction id, id).

usage: test_settled.py PROGRAM TOOLS [--seconds N] [--seed N]

Readers, two in the program and one in SQL, begin on a store that holds nothing, so the very first event counts. After
the storm each must have printed what the store holds: nothing missing, nothing twice, rising positions, versions in
order. Then: an open transaction that has drawn an id holds back what is above it and is named; one in another database,
and one that has not drawn, hold nothing. What a look proves begins with an id that was read as nextval writes it, and
not with what a SELECT of the sequence says (docs/how-it-works.md): so it queues with nextval behind an ALTER SEQUENCE.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from clients import wait_until  # noqa: E402
from servers import Server  # noqa: E402
from world import Psql, Tail  # noqa: E402


class Reader(Tail):
    """The same by meowmx_read, asked again and again."""

    def __init__(self, url):
        self.events, self.over = [], False
        self.session = Psql(url)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        after = 0
        while not self.over:
            rows = self.session.run("SELECT json_build_object('position', position, 'aggregate_type', aggregate_type, "
                                    "'aggregate_id', aggregate_id, 'version', version) FROM meowmx_read(%d, 200)" % after)
            self.events += [json.loads(row) for row in rows]
            after = self.events[-1]["position"] if self.events else 0

    def end(self):
        self.over = True
        self.thread.join()
        self.session.close()


def check(ok, what):
    print("%s %s" % ("ok" if ok else "FAILED", what))
    if not ok:
        sys.exit(1)


def compare(name, got, wanted):
    positions = [event["position"] for event in got]
    check(positions == sorted(set(positions)), "%s: %d positions rise, none twice" % (name, len(positions)))
    there = {event["position"] for event in wanted}
    check(there <= set(positions), "%s: %d of %d events are missing" % (name, len(there - set(positions)), len(there)))
    after = {}
    for event in got:
        key = (event["aggregate_type"], event["aggregate_id"])
        if event["version"] != after.get(key, 0):
            check(False, "%s: %s stands at %d and gets %d" % (name, key, after.get(key, 0), event["version"]))
        after[key] = event["version"] + 1
    check(True, "%s: %d aggregates in order" % (name, len(after)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("tools")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print("seed %d" % options.seed)
    postgres = Server("postgres")
    url = postgres.url

    def meowmx(*words):
        return subprocess.run([options.program, *words, "--store", url], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True).stdout

    meowmx("setup", "--id-type", "TEXT")
    everything, orders = Tail(options.program, url), Tail(options.program, url, "order")
    in_sql = Reader(url)
    subprocess.run([os.path.join(options.tools, "storm"), url, "16", str(options.seconds), str(options.seed), "4"],
                   check=True)
    meowmx("append", "order", "last", "e", "{}")
    stored = [json.loads(line) for line in meowmx("load").splitlines()]
    everything.wait(stored[-1]["position"])
    orders.wait(stored[-1]["position"])
    in_sql.wait(stored[-1]["position"])
    in_sql.end()
    compare("in SQL", in_sql.events, stored)
    compare("all", everything.events, stored)
    compare("order", orders.events, [event for event in stored if event["aggregate_type"] == "order"])

    holder, elsewhere = Psql(url), Psql(url.rsplit("/", 1)[0] + "/template1")
    elsewhere.run("BEGIN; CREATE TABLE held (a int)")
    holder.run("BEGIN; UPDATE es_aggregates SET version = version WHERE id = 'last'")
    meowmx("append", "order", "free", "e", "{}")
    everything.wait(stored[-1]["position"] + 1, seconds=5)
    check(True, "transactions that have drawn no id hold nothing back")
    holder.run("ROLLBACK; BEGIN; SET application_name = 'the slow one'; SELECT nextval('es_events_id_seq')")
    in_sql = Psql(url)
    in_sql.run("SET statement_timeout = '900ms'")
    check(in_sql.run("SELECT count(*) FROM meowmx_read(%d)" % (stored[-1]["position"] + 1)) == ["0\n"],
          "SQL does not wait for what has nothing to read behind it")
    meowmx("append", "order", "held", "e", "{}")
    before = len(everything.events)
    time.sleep(1.5)
    check(len(everything.events) == before, "an open transaction that has drawn an id holds back what is above it")
    check("the slow one" in meowmx("status"), "and status names it")
    sequence = Psql(url)
    altering = threading.Thread(target=sequence.run, args=("ALTER SEQUENCE es_events_id_seq CACHE 1",))
    altering.start()
    wait_until("a look that queues with nextval", lambda: in_sql.run(
        "SELECT 1 FROM pg_locks WHERE relation = 'es_events_id_seq'::regclass AND mode = 'RowExclusiveLock' AND NOT granted"))
    holder.run("COMMIT")
    altering.join()
    everything.wait(stored[-1]["position"] + 3, seconds=5)
    check(everything.events[-1]["aggregate_id"] == "held", "until it ends")
    for session in (holder, elsewhere, in_sql, sequence):
        session.close()
    everything.end()
    orders.end()
    check(everything.process.returncode == 0, "tail ends with 0")


main()
