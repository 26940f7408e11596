#!/usr/bin/env python3
"""The command line: append, of one aggregate, of lines, and of what load printed.

usage: test_cli_append.py MEOWMX [unittest arguments]
"""
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

from cli import MEOWMX, Case, Database, begin, line, main, meowmx, psql, scratch, whole


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
        process = begin("append", "-", "--batch", "5", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE)
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
        path = os.path.join(scratch(), "bulk.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            file.write(whole(6000))
        terminal, other_end = pty.openpty()
        with open(path, "rb") as file:
            process = begin("append", "-", "--batch", "20", stdin=file, stdout=subprocess.PIPE, stderr=other_end)
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
        process = begin("append", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
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


if __name__ == "__main__":
    main()
