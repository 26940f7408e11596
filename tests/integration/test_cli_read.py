#!/usr/bin/env python3
"""The command line: load and tail.

usage: test_cli_read.py MEOWMX [unittest arguments]
"""
import json
import select
import signal
import subprocess
import time

from cli import MEOWMX, Case, Database, Server, begin, environment, main, psql, whole


class Load(Case):
    def setUp(self):
        super().setUp()
        for i in range(6):
            self.good("append", "order" if i % 2 == 0 else "invoice", "%d" % (i % 2), "T", "%d" % i)

    def data(self, *arguments):
        return [event["data"] for event in self.good("load", *arguments).lines()]

    def test_all_a_category_and_an_aggregate(self):
        self.assertEqual(self.data(), [0, 1, 2, 3, 4, 5])
        self.assertEqual(self.data("order"), [0, 2, 4])
        self.assertEqual(self.data("invoice", "1"), [1, 3, 5])
        self.assertEqual(self.data("nothing"), [])
        self.assertEqual(self.data("order", "9"), [])

    def test_ranges_and_limits(self):
        self.assertEqual(self.data("--from", "2", "--to", "4"), [1, 2, 3])
        self.assertEqual(self.data("--reverse", "--limit", "2"), [5, 4])
        self.assertEqual(self.data("order", "0", "--from", "1"), [2, 4])
        self.assertEqual(self.data("order", "0", "--to", "1", "--reverse"), [2, 0])
        self.assertEqual(self.data("order", "--limit", "1"), [0])

    def test_a_line_is_the_envelope(self):
        event = self.good("load", "--limit", "1").lines()[0]
        self.assertEqual(list(event), ["position", "aggregate_type", "aggregate_id", "version", "type", "time", "data"])

    def test_only_some_event_types(self):
        self.good("append", "order", "0", "Paid", "6", "支払い", "7", "Shipped", "8")
        self.assertEqual(self.data("--event-type", "Paid,支払い"), [6, 7])
        self.assertEqual(self.data("order", "0", "--event-type", "Shipped"), [8])
        self.assertEqual(self.data("order", "--reverse", "--event-type", "T,Paid", "--limit", "2"), [6, 4])
        self.assertEqual(self.data("order", "--event-type", "None"), [])

    def test_output_that_cannot_be_written(self):
        store = {"MEOWMX_STORE_URL": Database.url}
        with open("/dev/full", "wb") as full:
            done = subprocess.run([MEOWMX, "load"], stdout=full, stderr=subprocess.PIPE, env=environment(**store))
        self.assertEqual(done.returncode, 74)
        self.assertIn(b"No space left on device", done.stderr)
        done = subprocess.run("exec %s load >&-" % MEOWMX, shell=True, stderr=subprocess.PIPE, env=environment(**store))
        self.assertEqual(done.returncode, 74)
        self.assertIn(b"standard output cannot be written", done.stderr)

    def test_a_reader_that_has_enough_is_no_news(self):
        self.good("append", "-", stdin=whole(5000))
        process = begin("load", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()
        self.assertEqual(process.wait(20), 74)


class Tail(Case):
    def start(self, *arguments, url=None):
        # Without buffers of our own, so that select sees every line that was not read yet.
        process = begin("tail", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, url=url)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()

    def next(self, process, seconds=10):
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        self.assertTrue(ready, "nothing came")
        text = process.stdout.readline()
        self.assertTrue(text, "it ended")
        return json.loads(text)

    def append_until_seen(self, process):
        """Nobody can see when a tail from now has begun: appends until the first one shows."""
        for i in range(100):
            self.good("append", "start", "s", "Begin", "%d" % i)
            if select.select([process.stdout], [], [], 0.1)[0]:
                break

    def test_from_the_start_and_then_what_comes(self):
        self.good("append", "order", "1", "A", "1", "B", "2")
        process = self.start("--from", "start")
        self.assertEqual([self.next(process)["data"], self.next(process)["data"]], [1, 2])
        self.good("append", "order", "1", "C", "3")
        self.assertEqual(self.next(process)["data"], 3)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 0)
        self.assertEqual(process.stderr.read(), b"")

    def test_from_now_shows_only_what_comes(self):
        self.good("append", "order", "1", "Old", "1")
        process = self.start()
        self.append_until_seen(process)
        self.assertEqual(self.next(process)["type"], "Begin")
        process.terminate()
        self.assertEqual(process.wait(10), 0)

    def test_from_a_position_and_some_categories(self):
        self.good("append", "order", "1", "A", "1", "B", "2")
        self.good("append", "invoice", "2", "C", "3")
        self.good("append", "refund", "3", "D", "4")
        process = self.start("order", "refund", "--from", "2")
        self.assertEqual([self.next(process)["data"], self.next(process)["data"]], [2, 4])

    def test_it_ends_when_its_reader_does(self):
        self.good("append", "order", "1", "A", "1")
        process = self.start("--from", "start")
        self.next(process)
        process.stdout.close()
        self.assertEqual(process.wait(10), 0)

    def test_from_now_with_a_writer_that_stays_open(self):
        self.leave_open()
        for _ in range(200):
            if psql(Database.url, "SELECT count(*) FROM pg_locks WHERE relation = 'es_events_id_seq'::regclass "
                                  "AND pid <> pg_backend_pid()") != "0":
                break
            time.sleep(0.05)
        process = self.start()
        ready, _, _ = select.select([process.stderr], [], [], 10)
        self.assertTrue(ready)
        self.assertIn(b"is still open", process.stderr.readline())

    def test_it_goes_on_when_the_server_is_back(self):
        self.good("append", "order", "1", "A", "1")
        process = self.start("--from", "start")
        self.assertEqual(self.next(process)["data"], 1)
        psql(Database.server.url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'" %
             Database.name())
        self.assertIn(b"trying again", process.stderr.readline())
        self.good("append", "order", "1", "B", "2")
        self.assertEqual(self.next(process)["data"], 2)
        self.assertIn(b"connected again", process.stderr.readline())

    def test_behind_a_pooler_it_says_so_and_polls(self):
        with Server("pgbouncer", "target=" + Database.url, "pool_mode=transaction") as pooler:
            self.good("append", "order", "1", "A", "1")
            process = self.start("--from", "start", url=pooler.url.rsplit("/", 1)[0] + "/" + Database.name())
            self.assertEqual(self.next(process)["data"], 1)
            self.assertIn(b"a pooler stands in between", process.stderr.readline())
            self.good("append", "order", "1", "B", "2")
            self.assertEqual(self.next(process)["data"], 2)
            self.end(process)


if __name__ == "__main__":
    main()
