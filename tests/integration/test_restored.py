"""PostgreSQL brought back from an older backup, under a route to each sink.

usage: test_restored.py MEOWMX TOOLS [--no-kafka] [unittest arguments]
"""
import os
import subprocess
import sys

from operated import Operated, main
from world import Server, scratch, wait_until

TOOLS = os.path.abspath(sys.argv[2])
NO_KAFKA = "--no-kafka" in sys.argv
kafka = None


class Restored(Operated):
    def setUp(self):
        super().setUp()
        self.routes = {"cache": self.to_redis(more="categories: [order], "),
                       "audit": self.to_file("categories: [order], "),
                       "quiet": self.to_redis("quiet", "categories: [payment], ")}
        if kafka:
            for name, delivery in (("topics", "at-least-once"), ("once", "exactly-once")):
                self.routes[name] = ("{categories: [order], kafka: {topic: %s, delivery: %s, "
                                     "client: {bootstrap.servers: '%s'}}}" % (name, delivery, kafka.url))

    def copy(self, there, back=False):
        """The server's data, there or back, while it is down."""
        self.postgres.stop()
        if back:
            subprocess.run(["rm", "-rf", self.postgres.folder], check=True)
        pair = (there, self.postgres.folder) if back else (self.postgres.folder, there)
        subprocess.run(["cp", "-a", *pair], check=True)
        self.postgres.again()

    def run_all(self):
        self.start(self.routes)
        for name in self.routes:
            self.wait_caught_up(name, 60)
        self.stop()

    def topic(self, name):
        """The positions that a read_committed consumer sees."""
        dump = subprocess.run([os.path.join(TOOLS, "kafka_dump"), kafka.url, name], check=True, stdout=subprocess.PIPE,
                              text=True)
        return [int(line.split("\t")[3]) for line in dump.stdout.splitlines()]

    def sinks(self):
        arrived = {"cache": self.entries(), "audit": self.lines()}
        if kafka:
            arrived["once"] = self.topic("once")
        return arrived

    def test_routes_whose_events_it_lost_stop_before_anything_is_added_and_others_go_on(self):
        backup = os.path.join(scratch(), "backup")
        self.append(5)
        self.append(3, "p", "payment")
        self.run_all()
        self.copy(backup)
        self.append(4)  # 9 to 12, which will be forgotten
        for _ in range(2):
            self.run_all()
        before = self.sinks()
        self.assertEqual(before["cache"][-1], "12-0")
        for count in (2, 6):  # other events at fewer positions than were lost, and at more
            self.copy(backup, back=True)
            self.append(count, "b")
            if count == 6:
                self.append(1, "p", "payment")
            self.start(self.routes)
            for name in before:
                wait_until(name, lambda: self.route(name).get("state") == "FAILED", 60)
                self.assertIn("the store is behind its sinks", self.route(name)["reason"])
            # Redis knows later epochs of its owner than the store.
            self.wait_caught_up("quiet", 30)
            self.assertEqual(self.entries("quiet")[-1], "15-0" if count == 6 else "8-0")
            if kafka:  # this one remembers nothing
                self.wait_caught_up("topics", 30)
                self.assertEqual(self.topic("topics")[-count:], list(range(9, 9 + count)))
            self.assertEqual(self.sinks(), before)
            for name in before:
                self.assertEqual(self.shown(name)["position"], 8)
            self.stop()


if __name__ == "__main__":
    kafka = None if NO_KAFKA else Server("kafka")
    main([sys.argv[1]] + [word for word in sys.argv[3:] if word != "--no-kafka"])
