"""A route to Kafka becomes exactly-once, and its checkpoint topic knows less than the store.

usage: test_exactly_once.py PROGRAM TOOLS

Both stop the route alone, with the reason and the way out, and nothing is published meanwhile.
"""
import sys

from world import World, wait_until


class ExactlyOnce:
    def __init__(self, program, tools):
        self.world = World(program, tools, 7)

    def route(self):
        return self.world.relay.routes().get("topics", {})

    def append(self):
        self.world.storm(1.5)
        self.world.calm()

    def start(self, topics):
        self.world.configure(self.world.postgres.url, topics)
        self.world.relay.start()

    def expect_stop(self, *words):
        """Stopped, for that reason; its neighbours run. Then the operator lets it go on."""
        wait_until("a stopped route", lambda: self.route().get("state") == "FAILED")
        reason = self.route()["reason"]
        for word in (*words, "subscription resume topics"):
            if word not in reason:
                raise RuntimeError('"%s" is not in: %s' % (word, reason))
        wait_until("its neighbour", lambda: self.world.relay.routes()["once"]["state"] == "RUNNING")
        published = len(self.world.kafka_entries("shop.*"))
        self.append()
        if len(self.world.kafka_entries("shop.*")) != published:
            raise RuntimeError("a stopped route has published")
        self.world.meowmx("subscription", "resume", "topics", "--yes")
        self.world.catch_up()
        self.world.relay.end()

    def run(self):
        self.append()
        self.start("at-least-once")
        self.world.catch_up()
        self.world.relay.end()

        self.start("exactly-once")
        self.expect_stop("forgotten its position", "at-least-once before")
        self.append()
        self.start("exactly-once")
        self.world.catch_up()
        self.world.relay.end()
        faults = self.world.compare()

        # The topic came back from an older copy: as seen from it, the store has a later position.
        self.append()
        head = max(event["position"] for event in self.world.events())
        self.world.sql("UPDATE meowmx_checkpoints SET delivered = %d, position = %d WHERE subscription = 'topics'" %
                       (head, head))
        self.start("exactly-once")
        self.expect_stop("remembers less than the store", "although %d was delivered" % head)
        return 1 if faults else 0


sys.exit(ExactlyOnce(sys.argv[1], sys.argv[2]).run())
