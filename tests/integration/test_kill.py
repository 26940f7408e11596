"""kill -9 of the relay in a loop while writers append, then each sink is compared with the store.

usage: test_kill.py PROGRAM TOOLS [--rounds N] [--seed N] [--no-kafka]

Two comparisons, one of them `meowmx verify`, must agree. Nothing may be missing; per aggregate the first sight of each
version comes in order; Redis, the file and the topics of the route that delivers exactly once have no entry twice. Every
sixth end is a graceful stop, which must succeed. TOOLS is the folder of storm and kafka_dump.
"""
import argparse
import random
import signal
import sys
import time

from world import World, verified, wait_until


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("tools")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--no-kafka", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chance = random.Random(options.seed)
    world = World(options.program, options.tools, options.seed, kafka=not options.no_kafka)
    world.storm(options.rounds * 0.9)
    for turn in range(options.rounds):
        world.relay.start()
        time.sleep(0.15 + chance.random() * 1.2)
        orderly = turn % 6 == 5
        if orderly:
            wait_until("it takes signals", world.relay.routes)
        world.relay.end(signal.SIGTERM if orderly else signal.SIGKILL)
    world.calm()
    world.relay.start()
    world.catch_up()
    world.relay.end()
    faults = world.compare() + (not verified(world))
    print("%d rounds, %d faults" % (options.rounds, faults))
    return 1 if faults else 0


sys.exit(main())
