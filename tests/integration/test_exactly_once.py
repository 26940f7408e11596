"""A route to Kafka becomes exactly-once, its checkpoint topic knows less than the store, and routes are rewound.

usage: test_exactly_once.py PROGRAM TOOLS

The first two stop the route alone, with the reason and the way out, and nothing is published meanwhile. A rewind publishes
again what comes behind a position, in a generation that consumers see, whatever the topics have.
"""
import json
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

    def positions(self, topics):
        """By generation, the positions that a consumer sees, sorted."""
        found = {}
        for row in self.world.kafka_rows(topics):
            found.setdefault(row[9], []).append(int(row[3]))
        return {generation: sorted(positions) for generation, positions in found.items()}

    def expect_positions(self, topics, expected):
        found = self.positions(topics)
        if found != expected:
            raise RuntimeError("%s has %s, not %s" % (topics, *[{generation: (len(positions), positions[:1], positions[-1:])
                                                                 for generation, positions in by.items()}
                                                                for by in (found, expected)]))

    def expect_rewound(self, delivery):
        """The route `topics`, while it runs, to the middle; and with no relay alive to the start."""
        self.start(delivery)
        self.world.catch_up()
        before = self.positions("shop.*")
        store = sorted(event["position"] for event in self.world.events())
        behind = [position for position in store if position > store[len(store) // 2]]
        generation = max(int(known) for known in ["0", *before] if known != "-") + 1
        self.world.meowmx("subscription", "rewind", "topics", str(store[len(store) // 2]), "--yes")
        self.wait_for_generation(generation)
        before[str(generation)] = behind
        self.world.relay.end()
        self.world.meowmx("subscription", "rewind", "topics", "start", "--yes")
        self.start(delivery)
        self.wait_for_generation(generation + 1)
        self.append()
        self.world.catch_up()
        before[str(generation + 1)] = sorted(event["position"] for event in self.world.events())
        self.expect_positions("shop.*", before)
        self.world.relay.end()

    def wait_for_generation(self, generation):
        head = max(event["position"] for event in self.world.events())

        def there():
            shown = json.loads(self.world.meowmx("subscription", "show", "topics", "--json"))
            return shown["generation"] == generation and shown["position"] >= head
        wait_until("everything in generation %d" % generation, there)

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

        self.expect_rewound("exactly-once")
        self.expect_rewound("at-least-once")
        return 1 if faults else 0


sys.exit(ExactlyOnce(sys.argv[1], sys.argv[2]).run())
