"""An operator's hand on subscriptions: pause, resume, rewind, skip and delete, on both kinds of store, with real sinks.

usage: test_operator.py MEOWMX [unittest arguments]
"""
import json
import os
import sys

from operated import Operated, main
from world import wait_until

ALL = ("pause", "audit"), ("resume", "audit"), ("rewind", "audit", "start"), ("skip", "audit", "1"), ("delete", "audit")


class OnPostgres(Operated):
    def test_what_moves_asks_first(self):
        self.append(3)
        self.start({"audit": self.to_file()})
        self.wait_caught_up("audit")
        before = self.shown("audit")
        for words in ALL:
            self.refused(64, "nobody can be asked here", "subscription", *words)
            done = self.run_meowmx("subscription", *words, "--dry-run")
            self.assertEqual(done.returncode, 0)
            self.assertIn("audit is RUNNING at position 3", done.stderr)
            self.assertIn("dry run: nothing was done", done.stderr)
            self.refused(66, 'there is no subscription "other"', "subscription", words[0], "other", *words[2:], "--yes")
        after = self.shown("audit")
        for key in ("state", "position", "generation", "paused"):
            self.assertEqual(after[key], before[key])

    def test_a_running_route_that_is_paused_rests_until_it_is_resumed(self):
        self.append(3)
        self.start({"audit": self.to_file(), "cache": self.to_redis()})
        self.wait_caught_up("audit")
        self.good("subscription", "pause", "audit", "--yes")
        wait_until("its rest", lambda: self.route("audit")["state"] == "PAUSED", 3)
        self.assertIn("subscription resume audit", self.route("audit")["reason"])
        self.assertNotIn("error_class", self.route("audit"))
        self.assertEqual(self.shown("audit")["state"], "PAUSED")
        self.append(2)
        self.wait_caught_up("cache")
        self.assertEqual(self.lines(), [(0, 1), (0, 2), (0, 3)])
        self.assertIn("ok", self.get("/readyz"))
        self.stop()
        self.assertEqual(self.shown("audit")["state"], "PAUSED")
        self.start({"audit": self.to_file()})
        wait_until("its rest over a restart", lambda: self.route("audit").get("state") == "PAUSED")
        self.good("subscription", "resume", "audit", "--yes")
        self.wait_caught_up("audit")
        self.assertEqual(self.lines(), [(0, position) for position in range(1, 6)])
        self.assertFalse(self.shown("audit")["paused"])
        self.refused(65, "neither pauses nor has stopped", "subscription", "resume", "audit", "--yes")

    def test_a_pause_in_a_backlog_loses_and_repeats_nothing(self):
        self.append(20000)
        self.start({"audit": self.to_file(), "cache": self.to_redis()})
        wait_until("some lines", lambda: os.path.exists(self.file) and os.path.getsize(self.file) > 10000)
        for _ in range(2):
            for name in ("audit", "cache"):
                self.good("subscription", "pause", name, "--yes")
            for name in ("audit", "cache"):
                wait_until("its rest", lambda: self.route(name)["state"] == "PAUSED", 10)
            self.append(5000)
            for name in ("audit", "cache"):
                self.good("subscription", "resume", name, "--yes")
        for name in ("audit", "cache"):
            self.wait_caught_up(name, 60)
        self.assertEqual(self.lines(), [(0, position) for position in range(1, 30001)])
        self.assertEqual(self.entries(), ["%d-0" % position for position in range(1, 30001)])

    def test_a_pause_ends_and_a_stop_behind_it_stays(self):
        self.client.ask("SET", "events", "of another type")
        self.append(1)
        self.start({"cache": self.to_redis()})
        wait_until("its stop", lambda: self.route("cache").get("state") == "FAILED")
        wait_until("it in the store", lambda: self.shown("cache")["state"] == "FAILED")
        self.good("subscription", "pause", "cache", "--yes")
        self.stop()
        self.start({"cache": self.to_redis()})
        wait_until("its rest", lambda: self.route("cache").get("state") == "PAUSED")
        shown = self.shown("cache")
        self.assertEqual((shown["state"], shown["paused"]), ("FAILED", True))
        self.assertIn("WRONGTYPE", shown["reason"])
        self.good("subscription", "resume", "cache", "--yes")
        wait_until("its stop", lambda: self.route("cache").get("state") == "FAILED")
        self.client.ask("DEL", "events")
        self.good("subscription", "resume", "cache", "--yes")
        self.wait_caught_up("cache")
        self.assertEqual(self.entries(), ["1-0"])

    def test_a_rewind_publishes_again_in_a_new_generation(self):
        self.append(5)
        self.start({"audit": self.to_file(), "cache": self.to_redis("events{generation}")})
        for name in ("audit", "cache"):
            self.wait_caught_up(name)
        self.refused(65, "beyond the end", "subscription", "rewind", "audit", "6", "--yes")
        self.refused(64, 'not "end"', "subscription", "rewind", "audit", "end", "--yes")
        self.good("subscription", "rewind", "audit", "3", "--yes")
        self.good("subscription", "rewind", "cache", "start", "--yes")
        wait_until("its lines", lambda: self.lines() == [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 4), (1, 5)], 10)
        wait_until("its entries", lambda: self.entries("events1") == ["%d-0" % n for n in range(1, 6)], 10)
        self.assertEqual(self.entries("events0"), ["%d-0" % n for n in range(1, 6)])
        self.append(1)
        for name in ("audit", "cache"):
            self.wait_caught_up(name)
            self.assertEqual(self.shown(name)["generation"], 1)
        self.assertEqual(self.lines()[-1], (1, 6))
        self.stop()
        self.good("subscription", "rewind", "audit", "start", "--yes")  # with no relay alive
        self.start({"audit": self.to_file()})
        wait_until("all lines once more", lambda: self.lines()[-6:] == [(2, n) for n in range(1, 7)], 10)

    def test_a_rewind_never_goes_forward(self):
        self.append(2)
        self.start({"audit": self.to_file()})
        self.wait_caught_up("audit")
        self.good("subscription", "pause", "audit", "--yes")
        wait_until("its rest", lambda: self.route("audit")["state"] == "PAUSED")
        self.append(3)
        self.refused(65, "would pass by events", "subscription", "rewind", "audit", "4", "--yes")
        self.good("subscription", "rewind", "audit", "1", "--yes")
        self.good("subscription", "resume", "audit", "--yes")
        wait_until("what was not there and what was", lambda: self.lines() == [(0, 1), (0, 2), (1, 2), (1, 3), (1, 4),
                                                                             (1, 5)])

    def test_a_stream_that_did_not_start_anew_is_said(self):
        self.append(3)
        self.start({"cache": self.to_redis()})
        self.wait_caught_up("cache")
        self.good("subscription", "rewind", "cache", "1", "--yes")
        wait_until("its stop", lambda: self.route("cache").get("state") == "FAILED", 10)
        self.assertIn("went back", self.route("cache")["reason"])
        self.assertEqual(self.entries(), ["1-0", "2-0", "3-0"])
        self.client.ask("DEL", "events")
        wait_until("it in the store", lambda: self.shown("cache")["state"] == "FAILED")
        self.good("subscription", "resume", "cache", "--yes")
        self.wait_caught_up("cache")
        self.assertEqual(self.entries(), ["2-0", "3-0"])

    def parts(self, key):
        """Of each partition of cache."""
        shown = self.run_meowmx("subscription", "list", "--json").stdout.splitlines()
        return [part[key] for part in map(json.loads, shown) if part["subscription"] == "cache"]

    def test_each_partition_is_named(self):
        self.append(9, "a")
        self.append(9, "b")
        self.start({"cache": self.to_redis(more="partitions: 2, ", stream="s{partition}")})
        wait_until("both partitions", lambda: self.parts("position") == [18, 18])
        self.refused(65, "(it is partition 0 RUNNING, partition 1 RUNNING)", "subscription", "resume", "cache", "--yes")
        self.client.ask("DEL", "s1")
        self.client.ask("SET", "s1", "of another type")
        self.append(9, "a")
        self.append(9, "b")
        wait_until("the stop of one", lambda: self.parts("state") == ["RUNNING", "FAILED"], 30)
        said = self.run_meowmx("subscription", "resume", "cache", "--dry-run").stderr
        self.assertRegex(said, "Let partition 1 go on behind event [0-9]+, as the store says\\?")
        self.assertNotIn("et partition 0 go on", said)
        self.good("subscription", "pause", "cache", "--yes")
        said = self.run_meowmx("subscription", "resume", "cache", "--dry-run").stderr
        self.assertIn("End the pause of partition 0, end the pause of partition 1?", said)
        self.assertIn("Forget it, and that it stands at position",
                      self.run_meowmx("subscription", "delete", "cache", "--dry-run").stderr)

    def test_delete_forgets_what_nobody_works_on(self):
        self.append(3)
        self.start({"audit": self.to_file()})
        self.wait_caught_up("audit")
        self.stop()
        self.good("subscription", "delete", "audit", "--yes")
        self.assertEqual(self.good("subscription", "list", "--json"), [])
        self.refused(66, "no subscription", "subscription", "delete", "audit", "--yes")

    def test_delete_waits_for_whoever_has_the_lease(self):
        self.lease = "2s"
        self.append(3)
        self.start({"audit": self.to_file(), "cache": self.to_redis(more="partitions: 2, ", stream="s{partition}")})
        self.wait_caught_up("audit")
        wait_until("both partitions", lambda: self.parts("position") == [3, 3])
        for name in ("audit", "cache"):
            self.refused(69, name + " is run by ", "subscription", "delete", name, "--yes")
            self.assertEqual(self.shown(name)["state"], "RUNNING")
        self.end()  # killed: the lease of a dead one runs out, whatever the row says of it
        for name in ("audit", "cache"):
            wait_until("its end", lambda: self.run_meowmx("subscription", "delete", name, "--yes").returncode == 0, 10)
        self.assertEqual(self.good("subscription", "list", "--json"), [])

    def test_a_route_that_was_deleted_begins_above_the_epochs_that_its_sink_knows(self):
        self.append(3)
        for _ in range(2):
            self.start({"cache": self.to_redis()})
            self.wait_caught_up("cache")
            self.stop()
        (key,) = self.client.ask("KEYS", "meowmx:*:cache:0:0:epoch")
        known = int(self.client.ask("GET", key).split(".")[0])
        self.good("subscription", "delete", "cache", "--yes")
        self.append(2)
        self.start({"cache": self.to_redis()})
        self.wait_caught_up("cache")
        self.assertGreater(self.shown("cache")["epoch"], known)
        self.assertEqual(self.entries(), ["%d-0" % position for position in range(1, 6)])


class OnSqlite(OnPostgres):
    sqlite = True


if __name__ == "__main__":
    main(sys.argv[1:])
