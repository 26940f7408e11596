"""A relay whose connections to the store break while transactions are committed to Kafka has as many threads and descriptors
afterwards as before: no producer stays behind in a commit that nobody serves any more.

usage: test_left_behind.py PROGRAM TOOLS
"""
import os
import sys
import time

from world import World, wait_until

BREAKS = 5


def held(world):
    return [len(os.listdir("/proc/%d/%s" % (world.relay.process.pid, what))) for what in ("task", "fd")]


def main():
    world = World(sys.argv[1], sys.argv[2], 1)
    world.relay.start()
    world.storm(BREAKS + 4, writers=3)
    wait_until("routes that run", lambda: [route["state"] for route in world.relay.routes().values()] == ["RUNNING"] * 4)
    wait_until("events", lambda: all(route["events"] > 50 for route in world.relay.routes().values()))
    before = held(world)
    for _ in range(BREAKS):
        world.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                  "WHERE application_name LIKE 'meowmx%' AND pid <> pg_backend_pid()")
        time.sleep(1)
    world.calm()
    world.catch_up()
    wait_until("%s threads and descriptors, not %s" % (before, held(world)), lambda: all(
        now <= most + 2 for now, most in zip(held(world), before)), 40)
    world.relay.end()
    return 1 if world.compare() else 0


sys.exit(main())
