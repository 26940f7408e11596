#!/usr/bin/env python3
"""The command line against a real PostgreSQL: every command, exit statuses, bad input, and what a dump brings back.

usage: test_cli.py MEOWMX [unittest arguments]
"""
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import servers

MEOWMX = os.path.abspath(sys.argv[1])
ROOT = servers.ROOT
server = None


def environment(**more):
    """Nothing of the caller's own store or configuration counts."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MEOWMX_", "PG"))}
    return dict(clean, **more)


class Result:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        self.text = self.err.decode("utf-8")

    def lines(self):
        return [json.loads(line) for line in self.out.decode("utf-8").splitlines()]


def meowmx(*arguments, stdin=b"", store=True, folder=None, **variables):
    if store is True:
        variables["MEOWMX_STORE_URL"] = Database.url
    if isinstance(stdin, str):
        stdin = stdin.encode("utf-8")
    return Result(subprocess.run([MEOWMX, *arguments], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=environment(**variables), cwd=folder or servers.scratch(), timeout=60))


class Database:
    """One fresh database a test."""
    count = 0
    url = None

    @staticmethod
    def fresh():
        Database.count += 1
        name = "cli_%d" % Database.count
        psql(server.url, 'CREATE DATABASE %s' % name)
        Database.url = server.url.rsplit("/", 1)[0] + "/" + name


def psql(url, sql):
    done = subprocess.run(["psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", url, "-c", sql], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment(), text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return done.stdout.strip()


def lines_of(path):
    if not os.path.exists(path):
        return 0
    with open(path, "rb") as file:
        return file.read().count(b"\n")


def line(**keys):
    return json.dumps(keys, ensure_ascii=False) + "\n"


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


class Setup(Case):
    def test_setup_twice_changes_nothing(self):
        self.good("append", "order", "o-1", "Placed", "1")
        self.good("setup")
        self.assertEqual(self.events(), 1)

    def test_a_store_without_tables_says_setup(self):
        Database.fresh()
        self.refused(78, "meowmx setup", "load")
        self.refused(78, "meowmx setup", "append", "order", "o-1", "Placed", "1")
        self.refused(78, "meowmx setup", "tail")

    def test_an_id_type_that_is_none(self):
        Database.fresh()
        done = meowmx("setup", "--id-type", "TEXT); DROP TABLE x")
        self.assertNotEqual(done.status, 0)
        self.assertEqual(psql(Database.url, "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'es_%'"), "0")


class Append(Case):
    def test_events_get_consecutive_versions(self):
        done = self.good("append", "注文", "o 1", "支払い", '{"a": 1.0}', "B", '"x"')
        self.assertEqual(done.lines(), [{"aggregate_type": "注文", "aggregate_id": "o 1", "version": 1, "position": 2}])
        done = self.good("append", "注文", "o 1", "--expect", "1", "C", "[]")
        self.assertEqual(done.lines()[0]["version"], 2)
        self.assertEqual([event["type"] for event in self.good("load", "注文", "o 1").lines()], ["支払い", "B", "C"])

    def test_another_version_is_a_conflict(self):
        self.good("append", "order", "o-1", "--expect", "new", "A", "1")
        self.refused(75, "expected no event yet, found version 0", "append", "order", "o-1", "--expect", "new", "A", "1")
        self.refused(75, "expected version 7, found version 0", "append", "order", "o-1", "--expect=7", "A", "1")
        self.refused(75, "expected version 0", "append", "order", "o-9", "--expect", "0", "A", "1")
        self.good("append", "order", "o-1", "--expect", "any", "A", "1")
        self.assertEqual(self.events(), 2)

    def test_another_type_is_refused(self):
        self.good("append", "order", "o-1", "A", "1")
        self.refused(65, "known as type order", "append", "invoice", "o-1", "A", "1")

    def test_what_is_not_json_has_its_column(self):
        self.refused(65, "the JSON of B, column 6: not JSON", "append", "order", "o-1", "A", "1", "B", '{"a":}')
        self.refused(65, "the JSON of A, column 1: not JSON", "append", "order", "o-1", "A", "")
        self.assertEqual(self.events(), 0)

    def test_an_id_that_does_not_fit(self):
        Database.fresh()
        self.good("setup")  # UUID
        done = self.refused(65, "not-a-uuid", "append", "order", "not-a-uuid", "A", "1")
        self.assertIn("uuid", done.text)
        self.good("append", "order", "7f0c5b1e-0f5a-4c83-9d0a-6f0f5b1e7f0c", "A", "1")

    def test_wrong_use(self):
        for arguments, text in (
            (("append",), "arguments are missing"),
            (("append", "order"), "arguments are missing"),
            (("append", "order", "o-1"), "arguments are missing"),
            (("append", "order", "o-1", "A"), 'the event type "A" has no JSON behind it'),
            (("append", "order", "o-1", "A", "1", "B"), 'the event type "B" has no JSON behind it'),
            (("append", "order", "o-1", "--expect", "old", "A", "1"), "--expect must be a version"),
            (("append", "order", "o-1", "--expect", "-2", "A", "1"), "--expect must be a version"),
            (("append", "order", "o-1", "--expect"), "--expect needs a value"),
            (("append", "order", "o-1", "--exepct", "1", "A", "1"), "did you mean --expect?"),
            (("append", "order", "o-1", "--batch", "1", "A", "1"), "--batch belongs to"),
            (("append", "-", "--batch", "0"), "--batch must be a whole number from 1 on"),
            (("append", "-", "--expect", "new"), "--expect belongs to one aggregate"),
            (("apend", "-"), 'there is no command "apend"; did you mean "append"?'),
            (("load", "a", "b", "c"), '"c" is one argument too many'),
            (("load", "--limit", "0"), "--limit must be a whole number from 1 on"),
            (("load", "--limit", "1", "--limit", "2"), "--limit is given twice"),
            (("load", "--reverse=yes"), "--reverse takes no value"),
            (("tail", "--from", "then"), "--from must be a position, start or now"),
            (("subscription", "lst"), 'there is no command "lst"; did you mean "list"?'),
            (("--store", "x", "load"), "the command comes first"),
            (("subscription", "skip", "a", "b"), "POSITION must be that of the event"),
        ):
            with self.subTest(arguments):
                self.refused(64, text, *arguments)
        self.assertEqual(self.events(), 0)

    def test_a_word_may_begin_with_a_dash_behind_two(self):
        self.good("append", "--expect", "new", "--", "-order", "-1", "A", "-5")
        self.assertEqual(self.good("load", "--", "-order", "-1").lines()[0]["data"], -5)


class AppendLines(Case):
    def test_lines_are_one_transaction(self):
        text = line(type="A", data={"x": 1}) + "\r\n" + line(type="B", data=None, metadata={"m": 1}, time="2020-01-01T01:00:00+01:00")
        done = self.good("append", "order", "o-1", "--expect", "new", "-", stdin=text.rstrip("\n"))
        self.assertEqual(done.lines()[0]["version"], 1)
        events = self.good("load", "order", "o-1").lines()
        self.assertEqual(events[1]["metadata"], {"m": 1})
        self.assertEqual(events[1]["time"], "2020-01-01T00:00:00.000000Z")
        self.assertIsNone(events[1]["data"])
        self.assertNotIn("metadata", events[0])

    def test_a_bad_line_appends_nothing(self):
        good = line(type="A", data=1)
        for bad, text in (
            ('{"type":"A","data":01}', "line 2, column 21: not JSON"),
            ('{"type":"A"}', 'line 2: "data" is missing'),
            ('{"data":1}', 'line 2: "type" is missing'),
            ('{"type":"A","data":1,"tpye":1}', 'line 2, column 27: unknown key "tpye"'),
            ('{"type":"A","data":1,"time":"soon"}', 'line 2: "time" must be as in'),
            ('{"type":"A","data":1,"aggregate_id":"o-2"}', "given on the command line here"),
            ('{"type":"A","data":1,"expect":1}', "given on the command line here"),
        ):
            with self.subTest(bad):
                self.refused(65, text, "append", "order", "o-1", "-", stdin=good + bad + "\n" + good)
        self.refused(65, "line 1, column 22: a raw NUL byte", "append", "order", "o-1", "-", stdin=b'{"type":"A","data":"a\0"}')
        self.refused(65, "line 1, column 21: byte 0xFF is not UTF-8", "append", "order", "o-1", "-",
                     stdin=b'{"type":"A","data":"\xff"}')
        self.assertEqual(self.events(), 0)

    def test_no_lines_are_no_events(self):
        done = self.good("append", "order", "o-1", "-", stdin="\n \n")
        self.assertIn("no events came in", done.text)
        self.assertEqual(self.events(), 0)


ODD = ['1.0', '12345678901234567890', '1e400', '{"a":1,"a":2}', '{"b":1,"a":[]}', '"\\u0000\\ud800"', '-0', 'null', '"注文\\n"',
       '{"a" :  [ 1 ,2]}', '"' + "x" * 3000000 + '"']


def whole(count, **more):
    return "".join(line(aggregate_type="order", aggregate_id="o-%d" % (i // 10), version=i % 10, type="T", data=i, **more)
                   for i in range(count))


class Bulk(Case):
    def test_a_dump_brings_back_the_same_store(self):
        for i, odd in enumerate(ODD):
            self.good("append", "odd", "o-%d" % (i % 3), "-", stdin='{"type":"T","data":%s,"metadata":%s}' % (odd, odd))
        dump = self.good("load").out
        for odd in ODD:
            self.assertIn(('"data":%s,"metadata":%s}' % (odd, odd)).encode("utf-8"), dump)
        Database.fresh()
        self.good("setup", "--id-type", "TEXT")
        done = self.good("append", "-", "--batch", "4", stdin=dump)
        self.assertEqual(done.lines(), [{"lines": len(ODD), "appended": len(ODD), "skipped": 0}])
        again = self.good("load").out
        strip = re.compile(rb'^\{"position":\d+,', re.M)
        self.assertEqual(strip.sub(b"{", again), strip.sub(b"{", dump))
        done = self.good("append", "-", stdin=dump)
        self.assertEqual(done.lines(), [{"lines": len(ODD), "appended": 0, "skipped": len(ODD)}])
        self.assertEqual(self.events(), len(ODD))

    def test_raw_line_breaks_become_blanks_in_a_line(self):
        psql(Database.url, "INSERT INTO es_aggregates(id, version, aggregate_type) VALUES ('o-1', 0, 'order')")
        psql(Database.url, "INSERT INTO es_events(transaction_id, aggregate_id, version, event_type, json_data, aggregate_type) "
                           "VALUES (pg_current_xact_id(), 'o-1', 0, 'T', E'{\\n  \"a\": 1\\r\\n}', 'order')")
        self.assertIn(b'"data":{   "a": 1  }', self.good("load").out)

    def test_what_stops_it_names_the_last_line_and_the_same_input_goes_on(self):
        text = whole(2500)
        broken = text.splitlines(keepends=True)
        broken[2200] = '{"oops\n'
        done = meowmx("append", "-", stdin="".join(broken))
        self.assertEqual(done.status, 65)
        self.assertIn("line 2201, column 7: not JSON", done.text)
        self.assertIn("committed up to line 2000; start again with the same input to go on", done.text)
        self.assertEqual(self.events(), 2000)
        done = self.good("append", "-", stdin=text)
        self.assertEqual(done.lines(), [{"lines": 2500, "appended": 500, "skipped": 2000}])
        self.assertEqual(self.events(), 2500)

    def test_lines_without_a_version_say_where_to_go_on(self):
        plain = line(aggregate_type="order", aggregate_id="o-1", type="T", data=1)
        done = meowmx("append", "-", "--batch", "3", stdin=plain * 7 + "x\n")
        self.assertEqual(done.status, 65)
        self.assertIn("committed up to line 6; go on with line 7", done.text)
        self.assertEqual(self.events(), 6)
        done = meowmx("append", "-", stdin="x\n")
        self.assertIn("nothing was committed", done.text)

    def test_expectations_of_lines(self):
        event = dict(aggregate_type="order", aggregate_id="o-1", type="T", data=1)
        text = line(expect="new", **event) + line(expect=0, **event) + line(expect="any", **event)
        self.good("append", "-", stdin=text)
        done = meowmx("append", "-", stdin=line(expect=9, **event))
        self.assertEqual(done.status, 75, done.text)
        self.assertIn("line 1: ", done.text)
        done = meowmx("append", "-", stdin=line(expect="new", **event))
        self.assertEqual(done.status, 75, done.text)
        self.assertEqual(self.events(), 3)

    def test_another_event_at_a_version_is_a_conflict(self):
        self.good("append", "-", stdin=whole(10))
        other = line(aggregate_type="order", aggregate_id="o-0", version=3, type="T", data="other")
        done = meowmx("append", "-", stdin=other)
        self.assertEqual(done.status, 75, done.text)
        self.assertIn("line 1: ", done.text)
        gap = line(aggregate_type="order", aggregate_id="o-0", version=12, type="T", data=1)
        self.assertEqual(meowmx("append", "-", stdin=gap).status, 75)
        self.assertEqual(self.events(), 10)

    def test_a_bad_line_in_a_transaction_keeps_the_earlier_ones(self):
        text = whole(20)
        wrong = line(aggregate_type="invoice", aggregate_id="o-0", type="T", data=1)
        done = meowmx("append", "-", "--batch", "10", stdin=text + wrong)
        self.assertEqual(done.status, 65, done.text)
        self.assertIn("line 21: ", done.text)
        self.assertEqual(self.events(), 20)

    def test_keys_that_a_whole_line_needs(self):
        for missing in ("aggregate_type", "aggregate_id", "type", "data"):
            keys = dict(aggregate_type="order", aggregate_id="o-1", type="T", data=1)
            del keys[missing]
            done = meowmx("append", "-", stdin=line(**keys))
            self.assertEqual(done.status, 65)
            self.assertIn('line 1: "%s" is missing' % missing, done.text)

    def test_a_signal_stops_it_between_transactions(self):
        process = subprocess.Popen([MEOWMX, "append", "-", "--batch", "5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment(MEOWMX_STORE_URL=Database.url))
        process.stdin.write(whole(12).encode("utf-8"))
        process.stdin.flush()
        limit = time.monotonic() + 20
        while self.events() < 10 and time.monotonic() < limit:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130, err)
        self.assertIn(b"committed up to line 10", err)
        self.assertEqual(out, b"")
        self.assertEqual(self.events(), 10)

    def test_progress_is_shown_on_a_terminal_alone(self):
        path = os.path.join(servers.scratch(), "bulk.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            file.write(whole(6000))
        terminal, other_end = pty.openpty()
        with open(path, "rb") as file:
            process = subprocess.Popen([MEOWMX, "append", "-", "--batch", "20"], stdin=file, stdout=subprocess.PIPE,
                                       stderr=other_end, env=environment(MEOWMX_STORE_URL=Database.url))
        os.close(other_end)
        shown = b""
        while process.poll() is None or select.select([terminal], [], [], 0)[0]:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    shown += os.read(terminal, 4096)
                except OSError:
                    break
        os.close(terminal)
        self.assertEqual(process.wait(), 0)
        process.stdout.close()
        if shown:  # a fast machine may be done before the first quarter of a second
            self.assertRegex(shown.decode("utf-8"), r"\d+ lines, \d+/s, \d+ %, \d+ (ms|s) left")
        self.assertEqual(self.good("append", "-", stdin=whole(3000)).text, "")

    def test_memory_is_bounded(self):
        with open(MEOWMX, "rb") as program:
            if b"__asan_init" in program.read():
                self.skipTest("the address sanitizer keeps freed memory")
        process = subprocess.Popen([MEOWMX, "append", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   env=environment(MEOWMX_STORE_URL=Database.url))
        data = "x" * 1000000
        for i in range(150):
            process.stdin.write(line(aggregate_type="big", aggregate_id="b", version=i, type="T", data=data).encode())
        process.stdin.close()
        out = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(json.loads(out)["appended"], 150)
        self.assertLess(usage.ru_maxrss, 120 * 1024)  # KB: several copies of 16 MB, not 150 MB


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
        process = subprocess.Popen([MEOWMX, "load"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=environment(MEOWMX_STORE_URL=Database.url))
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()
        self.assertEqual(process.wait(20), 74)


class Tail(Case):
    def start(self, *arguments, url=None):
        # Without buffers of our own, so that select sees every line that was not read yet.
        process = subprocess.Popen([MEOWMX, "tail", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                                   env=environment(MEOWMX_STORE_URL=url or Database.url))
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
        writer = subprocess.Popen(["psql", "-X", "-q", Database.url], stdin=subprocess.PIPE, env=environment(), text=True)
        self.addCleanup(writer.wait)
        self.addCleanup(writer.stdin.close)
        writer.stdin.write("BEGIN; SELECT nextval('es_events_id_seq') \\g /dev/null\n")
        writer.stdin.flush()
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
        psql(server.url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'" %
             Database.url.rsplit("/", 1)[1])
        self.assertIn(b"trying again", process.stderr.readline())
        self.good("append", "order", "1", "B", "2")
        self.assertEqual(self.next(process)["data"], 2)
        self.assertIn(b"connected again", process.stderr.readline())

    def test_behind_a_pooler_it_says_so_and_polls(self):
        with servers.Server("pgbouncer", "target=" + Database.url, "pool_mode=transaction") as pooler:
            self.good("append", "order", "1", "A", "1")
            process = self.start("--from", "start", url=pooler.url.rsplit("/", 1)[0] + "/" + Database.url.rsplit("/", 1)[1])
            self.assertEqual(self.next(process)["data"], 1)
            self.assertIn(b"a pooler stands in between", process.stderr.readline())
            self.good("append", "order", "1", "B", "2")
            self.assertEqual(self.next(process)["data"], 2)
            self.end(process)


class Stores(Case):
    def test_the_store_is_named_by_flag_environment_file_or_libpq(self):
        self.good("append", "order", "1", "A", "1")
        folder = os.path.join(servers.scratch(), "named")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "m.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("store: {url: '%s'}\n" % Database.url)
        host, port = Database.url.split("@")[1].split("/")[0].split(":")
        wrong = "postgresql://nobody@127.0.0.1:1/x"
        for arguments, variables in (
            (("--store", Database.url), {"MEOWMX_STORE_URL": wrong}),
            ((), {"MEOWMX_STORE_URL": Database.url}),
            (("-c", path), {}),
            (("--config=" + path,), {}),
            ((), {"MEOWMX_CONFIG": path}),
            (("-c" + path, "--store", Database.url), {}),
            ((), {"PGHOST": host, "PGPORT": port, "PGUSER": "postgres", "PGDATABASE": Database.url.rsplit("/", 1)[1]}),
        ):
            with self.subTest(arguments=arguments, variables=variables):
                self.assertEqual(len(self.good("load", *arguments, store=False, **variables).lines()), 1)
        os.rename(path, os.path.join(folder, "meowmx.yaml"))
        self.assertEqual(len(self.good("load", store=False, folder=folder).lines()), 1)

    def test_without_a_name_the_store_is_a_file_which_only_setup_creates(self):
        folder = tempfile.mkdtemp(dir=servers.scratch())
        for command in (["load"], ["append", "a", "1", "A", "{}"], ["tail"], ["status"], ["subscription", "list"]):
            done = meowmx(*command, store=False, folder=folder)
            self.assertEqual(done.status, 66, done.text)
            self.assertIn("store: sqlite:meowmx.db\n", done.text)
            self.assertIn("there is no file meowmx.db", done.text)
            self.assertIn("meowmx setup", done.text)
            self.assertEqual(os.listdir(folder), [])
        self.assertEqual(self.good("setup", store=False, folder=folder).text, "store: sqlite:meowmx.db\n")
        self.good("append", "order", "1", "A", "{}", store=False, folder=folder)
        done = self.good("load", store=False, folder=folder)
        self.assertEqual(done.text, "store: sqlite:meowmx.db\n")
        self.assertEqual([event["type"] for event in done.lines()], ["A"])

    def test_a_store_that_cannot_be(self):
        self.refused(66, "there is no file a.db", "load", "--store", "sqlite:a.db")
        self.refused(78, "names no file", "load", "--store", "sqlite:")
        self.refused(78, "has no host", "load", "--store", "sqlite://host/a.db")
        self.refused(65, "cannot follow it", "tail", "--store", "sqlite::memory:")
        self.refused(78, "must begin with postgresql://", "load", "--store", "mysql://x")
        self.refused(69, "127.0.0.1", "load", "--store", "postgresql://postgres@127.0.0.1:1/x")
        self.refused(66, "none.yaml cannot be opened", "load", "-c", "none.yaml")

    def test_a_wrong_password_is_denied(self):
        psql(server.url, "CREATE ROLE stranger_%d LOGIN" % Database.count)
        url = Database.url.replace("postgres@", "stranger_%d@" % Database.count)
        done = meowmx("load", "--store", url)
        self.assertEqual(done.status, 77, done.text)

    def test_a_server_that_only_reads_is_denied(self):
        url = Database.url + "?options=-c%20default_transaction_read_only%3Don"
        done = meowmx("append", "order", "1", "A", "1", "--store", url)
        self.assertEqual(done.status, 77, done.text)


class Status(Case):
    def test_the_store_and_its_subscriptions(self):
        self.good("append", "order", "1", "A", "1", "B", "2")
        done = self.good("status", "--json").lines()[0]
        self.assertEqual((done["store"]["head"], done["store"]["settled"], done["subscriptions"]), (2, 2, []))
        self.assertRegex(done["store"]["store_id"], r"^[0-9a-f-]{36}$")
        text = self.good("status").out.decode()
        self.assertIn("head 2, settled up to 2", text)
        self.assertIn("no subscriptions yet", text)

    def test_who_holds_the_settled_position_back(self):
        writer = subprocess.Popen(["psql", "-X", "-q", Database.url], stdin=subprocess.PIPE,
                                  env=environment(PGAPPNAME="slow writer"), text=True)
        self.addCleanup(writer.wait)
        self.addCleanup(writer.stdin.close)
        writer.stdin.write("BEGIN; SELECT nextval('es_events_id_seq') \\g /dev/null\n")
        writer.stdin.flush()
        for _ in range(200):
            holders = self.good("status", "--json").lines()[0]["store"]["holders"]
            if holders:
                break
            time.sleep(0.05)
        self.assertEqual(holders[0]["name"], "slow writer")
        self.assertGreater(holders[0]["pid"], 0)
        self.assertIn("(slow writer)", self.good("status").out.decode())


class Subscriptions(Case):
    def setUp(self):
        super().setUp()
        self.good("append", "order", "1", "A", "1", "B", "2", "C", "3")
        psql(Database.url, "INSERT INTO meowmx_checkpoints (subscription, layout, partition, delivered, position, state, reason, "
                           "error_class, error_position, stop_kept) VALUES ('orders', 0, 0, 1, 1, 'FAILED', 'too large', "
                           "'invalid', 2, true)")

    def test_list_and_show(self):
        for arguments in (("list",), ("show", "orders")):
            text = self.good("subscription", *arguments).out.decode()
            self.assertRegex(text, r"orders +FAILED +1 +1 +2 ")
            self.assertIn("    too large\n", text)
            item = self.good("subscription", *arguments, "--json").lines()[0]
            self.assertEqual((item["subscription"], item["state"], item["position"], item["lag_events"], item["reason"],
                              item["error_class"], item["error_position"]),
                             ("orders", "FAILED", 1, 2, "too large", "invalid", 2))
        self.assertEqual(self.good("status", "--json").lines()[0]["subscriptions"][0]["subscription"], "orders")
        self.refused(66, 'there is no subscription "order"', "subscription", "show", "order")

    def row(self):
        return psql(Database.url, "SELECT position, stop_kept, resume_from_store FROM meowmx_checkpoints")

    def test_nothing_moves_without_a_yes(self):
        before = self.row()
        for command in (("resume", "orders"), ("skip", "orders", "2")):
            done = meowmx("subscription", *command)
            self.assertEqual(done.status, 64)
            self.assertIn("give --yes", done.text)
            self.assertIn("too large", done.text)
            done = self.good("subscription", *command, "--dry-run")
            self.assertIn("nothing was done", done.text)
        self.assertEqual(self.row(), before)

    def test_resume(self):
        self.good("subscription", "resume", "orders", "--yes")
        self.assertEqual(self.row(), "1|f|t")
        self.refused(66, 'there is no subscription "x"', "subscription", "resume", "x", "--yes")

    def test_skip_steps_over_the_event_it_stopped_at_alone(self):
        before = self.row()
        done = meowmx("subscription", "skip", "orders", "3", "--yes")
        self.assertEqual(done.status, 65, done.text)
        self.assertEqual(self.row(), before)
        self.good("subscription", "skip", "orders", "2", "--yes")
        self.assertEqual(self.row().split("|")[0], "2")

    def test_a_person_is_asked(self):
        for answer, moved in ((b"n\n", False), (b"y\n", True)):
            terminal, other_end = pty.openpty()
            process = subprocess.Popen([MEOWMX, "subscription", "resume", "orders"], stdin=other_end, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, env=environment(MEOWMX_STORE_URL=Database.url))
            os.write(terminal, answer)
            _, err = process.communicate(timeout=20)
            os.close(terminal)
            os.close(other_end)
            self.assertEqual(process.returncode, 0)
            self.assertIn(b"[y/N]", err)
            self.assertEqual(self.row() == "1|f|t", moved)


class Aggregates(Case):
    def setUp(self):
        super().setUp()
        for name in ("b", "a", "c", "注文"):
            self.good("append", "order", name, "Placed", "1", "Paid", "2", "Shipped", "3")
        self.good("append", "invoice", "i", "Sent", "1")

    def listed(self, *arguments):
        return [(one["aggregate_type"], one["aggregate_id"], one["version"])
                for one in self.good("aggregates", *arguments).lines()]

    def test_they_are_listed_by_id(self):
        self.assertEqual(self.listed(), [("order", "a", 2), ("order", "b", 2), ("order", "c", 2), ("invoice", "i", 0),
                                         ("order", "注文", 2)])
        self.assertEqual(self.listed("invoice"), [("invoice", "i", 0)])
        self.assertEqual(self.listed("order", "--limit", "2"), [("order", "a", 2), ("order", "b", 2)])
        self.assertEqual(self.listed("nothing"), [])

    def test_more_than_a_page(self):
        psql(Database.url, "INSERT INTO es_aggregates SELECT 'x' || lpad(n::text, 5, '0'), -1, 'many' "
                           "FROM generate_series(1, 2500) n")
        self.assertEqual([one[1] for one in self.listed("many")], ["x%05d" % n for n in range(1, 2501)])

    def test_an_aggregate_is_deleted(self):
        done = self.good("delete", "order", "a", "--yes")
        self.assertEqual(done.lines(), [{"deleted": 3}])
        self.assertNotIn(("order", "a", 2), self.listed())
        self.assertEqual(self.good("load", "order", "a").lines(), [])
        self.good("append", "order", "a", "--expect", "new", "Placed", "4")

    def test_its_last_events_are_deleted_and_their_versions_used_again(self):
        self.assertEqual(self.good("delete", "order", "b", "--from", "1", "--yes").lines(), [{"deleted": 2}])
        done = self.good("append", "order", "b", "--expect", "0", "Cancelled", "4").lines()[0]
        self.assertEqual(done["version"], 1)
        self.assertEqual([line["data"] for line in self.good("load", "order", "b").lines()], [1, 4])

    def test_nothing_is_deleted_without_a_yes(self):
        done = meowmx("delete", "order", "a")
        self.assertEqual(done.status, 64)
        self.assertIn("give --yes", done.text)
        self.assertIn("nothing was done", self.good("delete", "order", "a", "--dry-run").text)
        self.assertIn("nothing to delete", self.good("delete", "order", "z", "--yes").text)
        self.assertIn("ends at version 2", self.good("delete", "order", "a", "--from", "3", "--yes").text)
        self.refused(65, "known as type order", "delete", "invoice", "a", "--yes")
        self.assertEqual(self.events(), 13)


class Configuration(Case):
    def write(self, text):
        path = os.path.join(servers.scratch(), "config.yaml")
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
        target = os.path.join(servers.scratch(), "published-%d.jsonl" % Database.count)
        path = self.write("http: {listen: '127.0.0.1:0'}\nroutes: {a: {file: {path: '%s'}}}\n" % target)
        process = subprocess.Popen([MEOWMX, "relay", "-c", path, "--log-format", "json"], stderr=subprocess.PIPE,
                                   env=environment(MEOWMX_STORE_URL=Database.url))
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


class Help(unittest.TestCase):
    def help(self, *arguments):
        done = meowmx(*arguments, store=False)
        self.assertEqual((done.status, done.text), (0, ""))
        return done.out.decode("utf-8")

    def test_help_in_every_way(self):
        self.assertEqual(self.help("help"), self.help("--help"))
        self.assertEqual(self.help("help", "append"), self.help("append", "--help"))
        self.assertEqual(self.help("help", "config", "show"), self.help("config", "show", "-h"))
        self.assertEqual(self.help("help", "config"), self.help("config", "--help"))
        done = meowmx(store=False)
        self.assertEqual((done.status, done.out), (64, b""))
        self.assertEqual(done.text, self.help("help"))
        self.assertEqual(meowmx("help", "nothing", store=False).status, 64)
        self.assertEqual(meowmx("config", store=False).status, 64)

    def test_the_version(self):
        self.assertRegex(self.help("version"), r"^meowmx \d+\.\d+\.\d+\n$")
        self.assertEqual(self.help("version"), self.help("--version"))

    def test_the_man_page_says_what_the_help_says(self):
        man = re.sub(r"\s+", " ", self.help("help", "--man").replace("\\-", "-").replace("\\&", "").replace(".PP\n", ""))
        program = self.help("help")
        names = re.findall(r"^  ([a-z]+) ", program.split("commands:")[1].split("options")[0], re.M)
        self.assertIn("append", names)
        for name in names:
            helps = [self.help("help", name)]
            if "COMMAND" in helps[0].split("\n")[0]:
                helps = [self.help("help", name, child) for child in re.findall(r"^  ([a-z]+) ", helps[0], re.M)]
            for text in helps:
                usage, rest = text.split("\n\n", 1)
                for one in usage.replace("usage: ", "").splitlines():
                    self.assertIn(one.strip(), man)
                for paragraph in rest.split("\noptions:")[0].split("\n\n"):
                    self.assertIn(re.sub(r"\s+", " ", paragraph).strip(), man)
                for option in re.findall(r"^  (?:-., )?(--[a-z-]+)", rest, re.M):
                    if option != "--help":
                        self.assertIn(option, man)

    def test_the_page_about_settings_is_the_programs(self):
        with open(os.path.join(ROOT, "docs", "configuration.md"), encoding="utf-8") as file:
            page = file.read()
        manual = self.help("help", "--settings")
        sections = [re.split(r"(?m)^## ", text) for text in (page, manual)]
        for ours, theirs in zip(*sections):
            if "left out of this build" not in theirs:
                self.assertEqual(ours, theirs, "run: meowmx help --settings > docs/configuration.md")
        self.assertEqual(len(sections[0]), len(sections[1]))


if __name__ == "__main__":
    with servers.Server("postgres", "fsync=off", "max_connections=50") as server:
        unittest.main(argv=[sys.argv[0]] + sys.argv[2:])
