"""The command line against a real PostgreSQL: what the test_cli_*.py share. Each has a server, each test a fresh database."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from servers import ROOT, Server, scratch  # noqa: E402, F401

MEOWMX = os.path.abspath(sys.argv[1])


def environment(**more):
    """Nothing of the caller's own store or configuration counts."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MEOWMX_", "PG"))}
    return dict(clean, **more)


class Database:
    """One fresh database a test."""
    server = None
    count = 0
    url = None

    @staticmethod
    def fresh():
        Database.count += 1
        name = "cli_%d" % Database.count
        psql(Database.server.url, 'CREATE DATABASE %s' % name)
        Database.url = Database.server.url.rsplit("/", 1)[0] + "/" + name

    @staticmethod
    def name():
        return Database.url.rsplit("/", 1)[1]


class Result:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.text = self.err.decode("utf-8")

    def lines(self):
        return [json.loads(line) for line in self.out.decode("utf-8").splitlines()]


def meowmx(*arguments, stdin=b"", store=True, folder=None, **variables):
    """A run from start to end; store=False: the store is not named."""
    if store is True:
        variables["MEOWMX_STORE_URL"] = Database.url
    if isinstance(stdin, str):
        stdin = stdin.encode("utf-8")
    return Result(subprocess.run([MEOWMX, *arguments], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=environment(**variables), cwd=folder or scratch(), timeout=60))


def begin(*arguments, url=None, **popen):
    """A run that the test ends, or waits for."""
    return subprocess.Popen([MEOWMX, *arguments], env=environment(MEOWMX_STORE_URL=url or Database.url), **popen)


def psql(url, sql):
    done = subprocess.run(["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", url, "-c", sql], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment(), text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


def line(**keys):
    return json.dumps(keys, ensure_ascii=False) + "\n"


def whole(count, **more):
    """Lines that name everything, their version too: ten events an aggregate."""
    return "".join(line(aggregate_type="order", aggregate_id="o-%d" % (i // 10), version=i % 10, type="T", data=i, **more)
                   for i in range(count))


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        Database.fresh()
        done = meowmx("setup", "--id-type", "TEXT")
        self.assertEqual(done.status, 0, done.text)

    def good(self, *arguments, **more):
        done = meowmx(*arguments, **more)
        self.assertEqual(done.status, 0, done.text)
        return done

    def refused(self, status, text, *arguments, **more):
        """One clear line on standard error, nothing on standard output."""
        done = meowmx(*arguments, **more)
        self.assertIn(text, done.text)
        self.assertEqual(done.status, status, done.text)
        self.assertEqual(done.out, b"")
        self.assertEqual(done.text.count("\n"), 1, done.text)
        return done

    def events(self):
        return int(psql(Database.url, "SELECT count(*) FROM es_events"))

    def leave_open(self, **variables):
        """A writer that draws an id and does not commit before the end of the test. It may not have drawn it yet."""
        writer = subprocess.Popen(["psql", "-X", "-q", Database.url], stdin=subprocess.PIPE, env=environment(**variables),
                                  text=True)
        self.addCleanup(writer.wait)
        self.addCleanup(writer.stdin.close)
        writer.stdin.write("BEGIN; SELECT nextval('es_events_id_seq') \\g /dev/null\n")
        writer.stdin.flush()


def main():
    with Server("postgres", "fsync=off", "max_connections=50") as Database.server:
        unittest.main(argv=[sys.argv[0]] + sys.argv[2:])
