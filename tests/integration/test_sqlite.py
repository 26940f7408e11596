"""Every command of the program with a SQLite file, and a relay that follows one: without any server.

usage: test_sqlite.py MEOWMX [unittest arguments]
"""
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

from world import free_port, scratch, wait_until

MEOWMX = os.path.abspath(sys.argv[1])


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=scratch())
        self.path = os.path.join(self.folder, "shop.db")
        self.url = "sqlite:" + self.path
        self.file = os.path.join(self.folder, "events.jsonl")
        self.config = os.path.join(self.folder, "routes.yaml")
        self.log = os.path.join(self.folder, "relay.log")
        self.process = None
        self.addCleanup(self.end)
        self.good("setup")

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def run_program(self, *words, stdin=b""):
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("MEOWMX_", "PG"))}
        return subprocess.run([MEOWMX, *words, "--store", self.url], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=clean, cwd=self.folder, timeout=60)

    def good(self, *words, stdin=b""):
        done = self.run_program(*words, stdin=stdin)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return [json.loads(line) for line in done.stdout.decode().splitlines() if line.startswith("{")]

    def refused(self, status, text, *words):
        done = self.run_program(*words)
        self.assertEqual(done.returncode, status, done.stderr.decode())
        self.assertIn(text, done.stderr.decode())
        self.assertEqual(done.stderr.decode().count("\n"), 1, done.stderr.decode())

    def append(self, count, aggregate="o"):
        self.good("append", "order", aggregate, "-", stdin=b'{"type":"e","data":{"some": 1.0}}\n' * count)

    def start(self):
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\nhttp: {listen: ''}\nroutes: {audit: {file: {path: '%s'}}}\n" %
                      (self.url, self.file))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([MEOWMX, "relay", "-c", self.config], stderr=log)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(timeout=20)

    def positions(self):
        if not os.path.exists(self.file):
            return []
        with open(self.file, encoding="utf-8") as lines:
            return [json.loads(line)["position"] for line in lines if line.endswith("\n")]

    def wait_for(self, count):
        wait_until("%d lines" % count, lambda: len(self.positions()) >= count, 30)
        self.assertEqual(self.positions(), list(range(1, count + 1)))

    def subscription(self):
        return self.good("subscription", "show", "audit", "--json")[0]

    def wait_for_state(self, state):
        wait_until(state, lambda: self.subscription().get("state") == state, 30)

    def keep_copy(self):
        """As an operator does: with what the log holds."""
        copy = self.path + ".copy"
        with sqlite3.connect(self.path) as database, sqlite3.connect(copy) as target:
            database.backup(target)
        database.close()
        target.close()
        return copy

    def bring_back(self, copy):
        for log in ("-wal", "-shm"):
            if os.path.exists(self.path + log):
                os.unlink(self.path + log)
        os.replace(copy, self.path)


class Commands(Case):
    def test_append_load_and_conflicts(self):
        done = self.good("append", "order", "o", "--expect", "new", "A", '{"a": 1.0, "a": 2}', "B", "1e400")
        self.assertEqual(done[0]["version"], 1)
        self.refused(75, "found version 1", "append", "order", "o", "--expect", "0", "C", "{}")
        self.refused(65, "is known as type order", "append", "payment", "o", "C", "{}")
        out = self.run_program("load", "order", "o").stdout.decode()
        self.assertIn('"data":{"a": 1.0, "a": 2}}', out)
        self.assertIn('"data":1e400}', out)
        self.assertEqual([e["version"] for e in self.good("load", "order", "--reverse")], [1, 0])
        self.assertEqual(self.good("load", "order", "nobody"), [])

    def test_bulk_load_of_a_dump(self):
        for aggregate in ("a", "b", "c"):
            self.append(10, aggregate)
        dump = self.run_program("load").stdout
        self.url = "sqlite:" + os.path.join(self.folder, "second.db")
        self.good("setup")
        self.assertEqual(self.good("append", "-", stdin=dump)[0]["appended"], 30)
        self.assertEqual(self.good("append", "-", stdin=dump)[0]["skipped"], 30)
        self.assertEqual(self.run_program("load").stdout, dump)

    def test_status_says_what_it_is(self):
        self.append(3)
        text = self.run_program("status").stdout.decode()
        self.assertRegex(text, r"^store [0-9a-f-]{36}, SQLite 3\.\d+\.\d+\nhead 3, settled up to 3\n")
        store = self.good("status", "--json")[0]["store"]
        self.assertEqual((store["kind"], store["head"], store["settled"]), ("SQLite", 3, 3))
        self.assertEqual(self.good("subscription", "list", "--json"), [])

    def test_tail_shows_events_as_they_come(self):
        self.append(2)
        tail = subprocess.Popen([MEOWMX, "tail", "order", "--from", "start", "--store", self.url],
                                stdout=subprocess.PIPE)
        self.assertEqual([json.loads(tail.stdout.readline())["version"] for _ in range(2)], [0, 1])
        time.sleep(0.6)  # by now it dozes, which nothing outside of it shows
        self.good("append", "payment", "p", "e", "{}")
        self.append(1)
        self.assertEqual(json.loads(tail.stdout.readline())["version"], 2)
        tail.send_signal(signal.SIGINT)
        self.assertEqual(tail.wait(timeout=10), 0)
        tail.stdout.close()

    def test_aggregates_are_listed_and_deleted(self):
        self.append(3, "a")
        self.append(2, "b")
        self.assertEqual([(a["aggregate_id"], a["version"]) for a in self.good("aggregates", "order")],
                         [("a", 2), ("b", 1)])
        self.good("delete", "order", "a", "--from", "1", "--yes")
        self.good("delete", "order", "b", "--yes")
        self.assertEqual([(e["aggregate_id"], e["position"]) for e in self.good("load")], [("a", 1)])
        self.append(1, "b")
        self.assertEqual(self.good("load")[-1]["position"], 6)
        self.refused(65, "that could be adopted", "subscription", "adopt", "python", "--yes")

    def test_several_programs_append_at_once(self):
        programs = [subprocess.Popen([MEOWMX, "append", "-", "--batch", "5", "--store", self.url],
                                     stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) for _ in range(4)]
        for program in programs:
            program.stdin.write(b'{"aggregate_type":"order","aggregate_id":"o","type":"e","data":{}}\n' * 200)
            program.stdin.close()
        self.assertEqual([program.wait(timeout=60) for program in programs], [0] * 4)
        self.assertEqual([e["version"] for e in self.good("load", "order", "o")], list(range(800)))

    def test_files_that_cannot_be_used(self):
        good = self.url
        self.url = "sqlite:none.db"
        self.refused(66, "there is no file none.db: `meowmx setup --store sqlite:none.db` creates it", "load")
        self.url = "sqlite:" + self.config
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("no database\n" * 100)
        self.refused(78, "is no SQLite database", "load")
        self.refused(78, "is no SQLite database", "setup")
        self.url = good
        self.refused(65, "SQLite keeps ids as TEXT", "setup", "--id-type", "UUID")
        with sqlite3.connect(self.path) as database:
            database.execute("UPDATE meowmx_meta SET schema_version = 7")
        database.close()
        self.refused(78, "newer meowmx (schema 7", "load")


class Relays(Case):
    def test_events_go_to_a_file_and_each_once(self):
        self.append(500)
        self.start()
        self.wait_for(500)
        self.append(20)
        self.wait_for(520)
        self.stop()
        self.assertEqual(self.process.returncode, 0)
        shown = self.subscription()
        self.assertEqual((shown["position"], shown["delivered"], shown["lag_events"]), (520, 520, 0))
        self.append(5)
        self.assertEqual(self.subscription()["lag_events"], 5)
        self.start()
        self.wait_for(525)

    def test_a_killed_relay_goes_on(self):
        self.start()
        sent = 0
        for _ in range(4):
            self.append(300)
            sent += 300
            wait_until("some lines", lambda: len(self.positions()) > sent - 300, 30)
            self.stop(signal.SIGKILL)
            self.start()
        self.wait_for(sent)

    def test_writers_that_are_killed_leave_the_relay_whole(self):
        self.start()
        for _ in range(5):
            writer = subprocess.Popen([MEOWMX, "append", "-", "--batch", "3", "--store", self.url],
                                      stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            writer.stdin.write(b'{"aggregate_type":"order","aggregate_id":"o","type":"e","data":{}}\n' * 600)
            writer.stdin.flush()
            time.sleep(0.05)
            writer.kill()
            writer.wait()
            try:
                writer.stdin.close()
            except BrokenPipeError:
                pass
        self.append(1)
        self.wait_for(self.good("status", "--json")[0]["store"]["head"])

    def test_a_store_brought_back_from_a_copy_is_behind_its_sinks(self):
        self.append(10)
        self.start()
        self.wait_for(10)
        self.stop()
        copy = self.keep_copy()
        self.append(10)
        self.start()
        self.wait_for(20)
        self.stop()
        self.bring_back(copy)
        self.start()
        self.wait_for_state("FAILED")
        shown = self.subscription()
        self.assertIn("behind its sinks", shown["reason"])
        self.good("subscription", "resume", "audit", "--yes")
        self.append(1, "after")
        wait_until("RUNNING", lambda: self.subscription()["state"] == "RUNNING", 30)

    def test_a_file_replaced_under_a_running_relay_is_noticed(self):
        self.append(10)
        self.start()
        self.wait_for(10)
        copy = self.keep_copy()
        self.append(3)
        self.wait_for(13)
        self.bring_back(copy)
        self.append(5, "other")  # other events at positions that were published
        self.wait_for_state("FAILED")
        self.assertIn("behind its sinks", self.subscription()["reason"])
        self.assertEqual(len(self.positions()), 13)

    def test_without_a_file_the_relay_does_not_start(self):
        self.url = "sqlite:" + self.path + ".none"
        self.start()
        self.assertEqual(self.process.wait(timeout=20), 66)
        with open(self.log, encoding="utf-8") as log:
            self.assertIn("there is no file", log.read())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=2)
