"""The roles of deploy/roles.sql: each logs in, does its work through the program and in SQL, and can do nothing beyond.

usage: test_roles.py MEOWMX
"""
import json
import os
import signal
import subprocess
import sys
import unittest

from world import Server, free_port, scratch, wait_until

MEOWMX = os.path.abspath(sys.argv[1])
ROLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "roles.sql")
DENIED = 77
postgres = None


def url(user, database="shop"):
    return "postgresql://%s@127.0.0.1:%d/%s" % (user, postgres.port, database)


def psql(sql, user="owner", database="shop"):
    """What it printed; raises what PostgreSQL said."""
    done = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", url(user, database), "-c", sql],
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


def grant(*settings):
    subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", *settings, "-f", ROLES, url("owner")], check=True)


def setUpModule():
    global postgres
    postgres = Server("postgres", "fsync=off")
    psql("CREATE ROLE owner LOGIN CREATEROLE", "postgres", "postgres")
    psql("CREATE DATABASE shop OWNER owner", "postgres", "postgres")
    subprocess.run([MEOWMX, "setup", "--store", url("owner")], check=True, stderr=subprocess.DEVNULL)
    grant()
    grant()  # twice in a row changes nothing
    for role in ("writer", "relay", "operator"):
        psql("CREATE ROLE a_%s LOGIN IN ROLE meowmx_%s" % (role, role), "postgres")
    psql("SELECT * FROM meowmx_append('order', '%s', -1, '[{\"type\": \"placed\", \"data\": 1}]')" % ID)


ID = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
APPEND = "SELECT version FROM meowmx_append('order', '%s', %s, '[{\"type\": \"paid\", \"data\": {}}]')"


class Case(unittest.TestCase):
    user = None

    def meowmx(self, *words, status=0, **more):
        done = subprocess.run([MEOWMX, *words, "--store", url(self.user)], capture_output=True, text=True, **more)
        self.assertEqual(done.returncode, status, "%s: %s" % (words, done.stderr))
        return done.stdout

    def denied(self, *statements):
        for sql in statements:
            with self.assertRaisesRegex(RuntimeError, "42501", msg=sql):
                psql(sql, self.user)

    def reads(self):
        """What all three may."""
        self.assertIn('"placed"', self.meowmx("load", "order", ID))
        self.assertIn('"placed"', self.meowmx("load", "order"))
        self.assertIn('"placed"', self.meowmx("load"))
        self.assertEqual(psql("SELECT type FROM meowmx_load('order', '%s', 0, 0)" % ID, self.user), "placed")
        self.assertEqual(psql("SELECT type FROM meowmx_read(0, 1)", self.user), "placed")
        # With a transaction in the way, below what a relay has proven.
        held = subprocess.Popen(["psql", "-XAtq", url("owner")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        held.stdin.write("BEGIN; SELECT nextval('es_events_id_seq');\n")
        held.stdin.flush()
        gap = int(held.stdout.readline())
        psql(APPEND % (ID, "NULL"))
        read = "SELECT count(*) FROM meowmx_read(%d)" % (gap - 1)
        self.assertEqual(psql(read, self.user), "0")
        psql("INSERT INTO meowmx_checkpoints (subscription, delivered) VALUES ('%s', %d)" % (self.user, gap + 1))
        self.assertEqual(psql(read, self.user), "1")
        held.communicate()

    def may_not(self):
        """What none of them may."""
        self.denied("UPDATE es_events SET json_data = '{}'", "TRUNCATE es_events", "DELETE FROM meowmx_meta",
                    "UPDATE es_aggregates SET aggregate_type = 'bill'", "UPDATE meowmx_meta SET schema_version = 1",
                    "SELECT setval('es_events_id_seq', 1)", "CREATE TABLE public.mine (n int)",
                    "INSERT INTO es_event_subscriptions VALUES ('x', '0', 0)")
        with self.assertRaisesRegex(RuntimeError, "must be owner"):
            psql("DROP FUNCTION meowmx_append", self.user)
        self.meowmx("setup", status=DENIED)


class Writer(Case):
    user = "a_writer"

    def test_works(self):
        self.reads()
        self.meowmx("append", "order", OTHER, "placed", "{}", "--expect", "new")
        self.assertEqual(psql(APPEND % (OTHER, 0), self.user), "1")
        self.assertEqual(psql(APPEND % (OTHER, "NULL"), self.user), "2")
        lines = '{"aggregate_type":"order","aggregate_id":"%s","type":"e","data":1}\n' % ID
        self.meowmx("append", "-", input=lines)
        with self.assertRaisesRegex(RuntimeError, "MW001"):
            psql(APPEND % (OTHER, 0), self.user)
        with self.assertRaisesRegex(RuntimeError, "MW002"):
            psql(APPEND.replace("order", "bill") % (OTHER, 0), self.user)
        psql("INSERT INTO es_aggregate_snapshot VALUES ('%s', 0, '{}', 1); DELETE FROM es_aggregate_snapshot" % ID, self.user)

    def test_can_do_nothing_beyond(self):
        self.may_not()
        self.denied("DELETE FROM es_events", "DELETE FROM es_aggregates", "SELECT * FROM meowmx_checkpoints",
                    "INSERT INTO meowmx_checkpoints (subscription) VALUES ('x')", "SELECT setval('meowmx_doze', 1)",
                    "SELECT * FROM es_event_subscriptions")
        self.meowmx("subscription", "list", status=DENIED)


class Relay(Case):
    user = "a_relay"

    def test_works(self):
        self.reads()
        file, config = os.path.join(scratch(), "relay.jsonl"), os.path.join(scratch(), "relay.yaml")
        with open(config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\nhttp: {listen: '127.0.0.1:%d'}\nroutes: {audit: {file: {path: '%s'}}}\n" %
                      (url(self.user), free_port(), file))
        with open(os.path.join(scratch(), "relay.log"), "wb") as log:
            process = subprocess.Popen([MEOWMX, "relay", "-c", config], stderr=log)
        self.addCleanup(process.kill)
        wait_until("an event", lambda: os.path.exists(file) and os.path.getsize(file) > 0)
        wait_until("it dozes", lambda: int(psql("SELECT last_value FROM meowmx_doze")) > 1)
        psql(APPEND % (ID, "NULL"))
        head = int(psql("SELECT max(id) FROM es_events"))
        wait_until("the last event", lambda: json.loads(open(file, encoding="utf-8").readlines()[-1])["position"] >= head)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=20), 0)
        self.assertGreaterEqual(int(psql("SELECT delivered FROM meowmx_checkpoints WHERE subscription = 'audit'")), head)

    def test_can_do_nothing_beyond(self):
        self.may_not()
        self.denied("DELETE FROM es_events", "DELETE FROM es_aggregates", "INSERT INTO es_aggregates VALUES ('%s')" % OTHER,
                    "SELECT nextval('es_events_id_seq')", APPEND % (ID, "NULL"), "SELECT * FROM es_aggregate_snapshot",
                    "DELETE FROM meowmx_checkpoints")
        self.meowmx("append", "order", ID, "placed", "{}", status=DENIED)


class Operator(Case):
    user = "a_operator"

    def test_works(self):
        self.reads()
        psql("INSERT INTO meowmx_checkpoints (subscription, state, reason, error_class, error_position, stop_kept) VALUES "
             "('stopped', 'FAILED', 'too large', 'invalid', 1, true), ('again', 'FAILED', 'why', 'config', NULL, true)")
        self.assertIn("stopped", self.meowmx("subscription", "list"))
        self.assertIn("stopped", self.meowmx("subscription", "show", "stopped"))
        self.meowmx("subscription", "skip", "stopped", "1", "--yes")
        self.meowmx("subscription", "resume", "again", "--yes")
        psql("INSERT INTO meowmx_dead_letters VALUES ('stopped', 0, 1, 'order', '%s', 0, 'placed', 'why', 'invalid', now())" % ID)
        self.meowmx("dead", "retry", "stopped", "--yes")
        self.meowmx("dead", "discard", "stopped", "--yes")
        psql("INSERT INTO es_event_subscriptions VALUES ('pythons', '0', 0)")
        self.meowmx("subscription", "adopt", "pythons", "--yes")
        self.assertIn('"head"', self.meowmx("status", "--json"))
        tail = subprocess.Popen([MEOWMX, "tail", "--from", "start", "--store", url(self.user)], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(tail.kill)
        self.assertIn('"placed"', tail.stdout.readline())
        tail.terminate()
        self.assertEqual(tail.wait(timeout=20), 0)
        tail.stdout.close()

    def test_deletes(self):
        gone = "00000000-0000-4000-8000-000000000009"
        psql(APPEND % (gone, -1))
        psql(APPEND % (gone, 0))
        psql("BEGIN; SELECT 1 FROM es_aggregates WHERE id = '{0}' FOR UPDATE; DELETE FROM es_events WHERE aggregate_id = '{0}'; "
             "UPDATE es_aggregates SET version = -1 WHERE id = '{0}'; DELETE FROM es_aggregate_snapshot WHERE aggregate_id = "
             "'{0}'; DELETE FROM es_aggregates WHERE id = '{0}'; COMMIT".format(gone), self.user)

    def test_can_do_nothing_beyond(self):
        self.may_not()
        self.denied("INSERT INTO es_aggregates VALUES ('%s')" % OTHER,
                    APPEND % (ID, "NULL"), "INSERT INTO es_aggregate_snapshot VALUES ('%s')" % ID)
        self.meowmx("append", "order", ID, "placed", "{}", status=DENIED)


class Names(unittest.TestCase):
    def test_roles_are_called_as_asked(self):
        psql("CREATE ROLE \"The App\" LOGIN", "postgres")
        grant("-v", "writer=The App", "-v", "relay=other_relay", "-v", "operator=other_operator", "-v", "schema=public")
        self.assertEqual(psql(APPEND % ("00000000-0000-4000-8000-000000000007", -1), "The%20App"), "0")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
