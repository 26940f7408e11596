#!/usr/bin/env python3
"""The command line: status and subscription.

usage: test_cli_status.py MEOWMX [unittest arguments]
"""
import os
import pty
import subprocess
import time

from cli import Case, Database, begin, main, meowmx, psql


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
        self.leave_open(PGAPPNAME="slow writer")
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
            process = begin("subscription", "resume", "orders", stdin=other_end, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
            os.write(terminal, answer)
            _, err = process.communicate(timeout=20)
            os.close(terminal)
            os.close(other_end)
            self.assertEqual(process.returncode, 0)
            self.assertIn(b"[y/N]", err)
            self.assertEqual(self.row() == "1|f|t", moved)


if __name__ == "__main__":
    main()
