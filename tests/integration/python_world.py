"""Stores that Python meowmx 0.4.1 and meowmx share, and processes of both that work on them."""
import concurrent.futures
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
import uuid

import meowmx as python_meowmx
import sqlalchemy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from python_meowmx import engine_url  # noqa: E402
from servers import scratch  # noqa: E402
from world import Relay, free_port  # noqa: E402

# Forked, so that a child has what this process knows; no connection is open in the parent while it forks.
processes = multiprocessing.get_context("fork")


def python_client(url, pooled=True):
    pool = {} if pooled else {"poolclass": sqlalchemy.pool.NullPool}
    return python_meowmx.Client(sqlalchemy.create_engine(engine_url(url), **pool))


class Store:
    """A database of its own, set up by both sides: first "python" or "meowmx", or None for no set-up. Python's comes
    again after ours, as its programs call it at every start."""
    count = 0

    def __init__(self, program, server, id_type, first):
        Store.count += 1
        self.program, self.id_type = program, id_type
        self.url = server.url.rsplit("/", 1)[0] + "/shared_%d" % Store.count
        psql(server.url, "CREATE DATABASE shared_%d" % Store.count)
        self.python = python_client(self.url, pooled=False)
        if first == "python":
            self.python.setup_tables(id_type)
        if first:
            self.good("setup", *(["--id-type", id_type] if first == "meowmx" else []))
            self.python.setup_tables(id_type)

    def new_id(self):
        """One that leaves blanks to pad where the type is CHAR."""
        return str(uuid.uuid4()) if self.id_type == "UUID" else "o-%s" % uuid.uuid4().hex[:12]

    def meowmx(self, *words, stdin=b""):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MEOWMX_", "PG"))}
        return subprocess.run([self.program, *words], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=dict(environment, MEOWMX_STORE_URL=self.url), cwd=scratch(), timeout=120)

    def good(self, *words, stdin=b""):
        done = self.meowmx(*words, stdin=stdin)
        if done.returncode != 0:
            raise RuntimeError("meowmx %s: %d: %s" % (" ".join(words), done.returncode, done.stderr.decode()))
        return done.stdout

    def load(self, *words):
        return [json.loads(line) for line in self.good("load", *words).splitlines()]

    def sql(self, text):
        return psql(self.url, text)

    def relay(self, route, settings=""):
        """A relay with one route to a file, not started, and the file's path. settings: of the route, in front."""
        name = self.url.rsplit("/", 1)[1]
        config, path = (os.path.join(scratch(), name + end) for end in (".yaml", ".jsonl"))
        port = free_port()
        with open(config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\nhttp: {listen: '127.0.0.1:%d'}\nroutes:\n  %s: {%sfile: {path: '%s'}}\n" % (
                self.url, port, route, settings, path))
        return Relay(self.program, config, port), path


def psql(url, text):
    done = subprocess.run(["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", url, "-c", text], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


class Worker:
    """A process that runs a subscription of Python's. What it handled is in the table `handled`, committed together
    with its checkpoint."""

    def __init__(self, store, name, types=None, batch=50):
        store.sql("CREATE TABLE IF NOT EXISTS handled (name text, id bigint, tx bigint, serial bigserial)")
        self.store, self.name, self.types, self.batch = store, name, types or python_meowmx.All(), batch
        self.stop_signal = processes.Event()
        self.process = processes.Process(target=self._run, daemon=True)
        self.process.start()

    def _run(self):
        def handler(session, event):
            session.execute(sqlalchemy.text("INSERT INTO handled (name, id, tx) VALUES (:name, :id, :tx)"),
                            {"name": self.name, "id": event.id, "tx": event.tx_id})
        python_client(self.store.url).sub(self.name, handler, self.types, batch_size=self.batch,
                                          stop_signal=self.stop_signal)

    def handled(self):
        """(transaction id, position) of each event in the order in which they were handled."""
        rows = self.store.sql("SELECT tx, id FROM handled WHERE name = '%s' ORDER BY serial" % self.name)
        return [tuple(map(int, row.split("|"))) for row in rows.splitlines()]

    def stop(self):
        """After the batch it is at. Fails if it had ended by itself."""
        self.stop_signal.set()
        self.process.join(60)
        if self.process.exitcode != 0:
            raise RuntimeError("Python's worker ended with %s" % self.process.exitcode)


class Written:
    """What a writer did: a tag of each event that was appended, and how often it met a conflict."""

    def __init__(self):
        self.tags, self.conflicts = [], 0


def write_in_python(url, ids, end, seed):
    client, chance, written = python_client(url), random.Random(seed), Written()
    while time.monotonic() < end:
        name = chance.choice(ids)
        last = client.load_events(name, limit=1, reverse=True).events
        time.sleep(chance.uniform(0, 0.02))  # it makes up its mind
        tag = "python %d %d" % (seed, len(written.tags))
        try:
            client.save_events("order", name, [python_meowmx.NewEvent("P", json.dumps(tag))],
                               version=last[0].version + 1 if last else 0)
            written.tags.append(tag)
        except python_meowmx.ExpectedVersionFailure:
            written.conflicts += 1
    return written


def write_in_meowmx(store, ids, end, seed):
    chance, written = random.Random(seed), Written()
    while time.monotonic() < end:
        name = chance.choice(ids)
        last = store.load("order", name, "--reverse", "--limit", "1")
        tag = "meowmx %d %d" % (seed, len(written.tags))
        done = store.meowmx("append", "order", name, "--expect", str(last[0]["version"]) if last else "new", "M",
                            json.dumps(tag))
        if done.returncode == 0:
            written.tags.append(tag)
        elif done.returncode == 75:
            written.conflicts += 1
        else:
            raise RuntimeError("append ended with %d: %s" % (done.returncode, done.stderr.decode()))
    return written


def write_from_both(store, ids, seconds, writers, seed):
    """Several processes of each side at once (of ours one for each command). What each did, Python's first."""
    end = time.monotonic() + seconds
    with concurrent.futures.ProcessPoolExecutor(writers, mp_context=processes) as theirs, \
            concurrent.futures.ThreadPoolExecutor(writers) as pool:
        python = [theirs.submit(write_in_python, store.url, ids, end, seed + i) for i in range(writers)]
        ours = [pool.submit(write_in_meowmx, store, ids, end, seed + writers + i) for i in range(writers)]
        return [one.result() for one in python], [one.result() for one in ours]
