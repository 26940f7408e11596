#!/usr/bin/env python3
"""What Python meowmx 0.4.1 does with the same work, for scripts/bench to set beside ours.

usage: python_meowmx.py URL [--seconds N] [--only append|load|subscription ...]

URL names an empty database: it gets Python's own tables and nothing of ours, aggregate ids are texts. Prints one JSON
object; rates are events a second:

append_1, append_16      one event an append, by 1 and 16 processes, each on an aggregate of its own
load                     an aggregate of 10,000 events in one call, the median of several
load_iterated            the same by iter_events, in its chunks of 128
subscription             a backlog of 200,000 with an empty handler, in batches of 10, which is its default
subscription_2000        the same in batches of 2,000: about the best it can
subscription_mb          the peak memory of that process

Each batch of a subscription reads the whole backlog that is left, so it is measured at its beginning, for 20 seconds at
most, and the rates are those of the whole backlog: reading takes half as long on average, handling as long as measured.
"""
import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import python_meowmx as interpreter  # noqa: E402

interpreter.enter()

import meowmx  # noqa: E402
import sqlalchemy  # noqa: E402

DATA = '{"amount": 12.50, "currency": "EUR", "note": "as stored"}'  # as tests/bench/append.c
LOADED, BACKLOG = 10000, 200000
SUBSCRIPTION_SECONDS = 20

processes = multiprocessing.get_context("fork")


def client(url):
    return meowmx.Client(sqlalchemy.create_engine(interpreter.engine_url(url)))


def sql(url, text):
    subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", url, "-c", text], check=True, stdout=subprocess.DEVNULL)


def fill(url, prefix, count, each):
    """count events, `each` to an aggregate, in one transaction."""
    sql(url, "INSERT INTO es_aggregates SELECT '%s-' || i, %d, '%s' FROM generate_series(0, %d) i;"
             "INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data) "
             "SELECT pg_current_xact_id(), '%s-' || n / %d, n %% %d, 'added', '%s' FROM generate_series(0, %d) n" % (
                 prefix, each - 1, prefix, count // each - 1, prefix, each, each, DATA, count - 1))
    sql(url, "VACUUM ANALYZE es_events")


def run(work, *arguments):
    """Runs it in a process of its own; what it returns."""
    ours, theirs = processes.Pipe()
    process = processes.Process(target=lambda: theirs.send(work(*arguments)))
    process.start()
    theirs.close()
    result = ours.recv()  # EOFError if it failed
    process.join()
    return result


# --- append

def append_one_by_one(url, number, seconds, begin, result):
    store, name, count = client(url), "append-%d-%d" % (os.getpid(), number), 0
    event = meowmx.NewEvent("added", DATA)
    begin.wait()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        store.save_events("bench", name, [event], version=count)
        count += 1
    result.put(count)


def append_rate(url, writers, seconds):
    begin, result = processes.Barrier(writers), processes.Queue()
    workers = [processes.Process(target=append_one_by_one, args=(url, i, seconds, begin, result), daemon=True)
               for i in range(writers)]
    for worker in workers:
        worker.start()
    count = sum(result.get(timeout=seconds + 60) for _ in workers)
    for worker in workers:
        worker.join()
    return count / seconds


# --- load

def load_seconds(url, seconds):
    store, one_call, iterated = client(url), [], []
    end = time.monotonic() + seconds
    while not one_call or time.monotonic() < end:
        for times, load in ((one_call, lambda: store.load_events("load-0", limit=LOADED).events),
                            (iterated, lambda: list(store.iter_events("load-0")))):
            began = time.monotonic()
            if len(load()) != LOADED:
                raise RuntimeError("events are missing")
            times.append(time.monotonic() - began)
    return statistics.median(one_call), statistics.median(iterated)


# --- subscription

def subscription(url, batch):
    """(rate over the whole backlog, peak memory in MB)."""
    store, handled, reading, began = client(url), 0, 0, time.monotonic()
    while handled < BACKLOG and time.monotonic() < began + SUBSCRIPTION_SECONDS:
        asked, first = time.monotonic(), []
        handled += store._handle_subscription_events("bench-%d" % batch, meowmx.All(), batch,
                                                     lambda session, event: first or first.append(time.monotonic()))
        reading += first[0] - asked
    spent, share = time.monotonic() - began, handled / BACKLOG
    # What there is to read falls evenly to nothing: over the whole half of what it was at the beginning, so far
    # 1 - share / 2 of it.
    whole = (spent - reading + reading / 2 / (1 - share / 2)) / share
    return BACKLOG / whole, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", action="append", choices=["append", "load", "subscription"])
    options = parser.parse_args()
    parts, url, found = options.only or ["append", "load", "subscription"], options.url, {}
    run(lambda: client(url).setup_tables("TEXT"))
    if "subscription" in parts:  # first: what else there is would be in its backlog
        fill(url, "backlog", BACKLOG, 100)
        found["subscription"], _ = run(subscription, url, 10)
        found["subscription_2000"], found["subscription_mb"] = run(subscription, url, 2000)
    if "append" in parts:
        for writers in (1, 16):
            found["append_%d" % writers] = append_rate(url, writers, options.seconds)
    if "load" in parts:
        fill(url, "load", LOADED, LOADED)
        one_call, iterated = run(load_seconds, url, options.seconds)
        found.update(load=LOADED / one_call, load_iterated=LOADED / iterated)
    print(json.dumps({name: round(value, 1) for name, value in found.items()}))


main()
