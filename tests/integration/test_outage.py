"""Servers that are down at the start, that go away in the middle, that never answer, and a pooler in between.

usage: test_outage.py start|middle|pooler|silent PROGRAM TOOLS [--seed N] [--no-kafka]

The relay waits, says so, goes on by itself, and afterwards every sink has what the store has, in order.
"""
import argparse
import random
import sys
import time
import urllib.error
import urllib.request

from world import Server, World, wait_until
from proxy import Proxy  # behind world, which says where it is


def expect(truth, what):
    if not truth:
        raise RuntimeError("expected: %s" % what)


def answer(world, path):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (world.port, path), timeout=5) as reply:
            return reply.status
    except urllib.error.HTTPError as failure:
        return failure.code
    except OSError:
        return 0


def servers(world):
    return [world.postgres, world.redis] + ([world.kafka] if world.kafka else [])


def lines_about(world, text):
    return sum(text in line for line in world.relay.log().splitlines())


# What docs/operations.md says that the relay's role needs.
RIGHTS = """CREATE ROLE relay LOGIN;
GRANT SELECT ON es_events, es_aggregates, meowmx_meta TO relay;
GRANT SELECT ON SEQUENCE es_events_id_seq TO relay;
GRANT SELECT, INSERT, UPDATE ON meowmx_checkpoints, meowmx_layouts TO relay;
GRANT SELECT, INSERT, UPDATE, DELETE ON meowmx_relays TO relay;
GRANT SELECT, INSERT ON meowmx_dead_letters TO relay;
GRANT USAGE, UPDATE ON SEQUENCE meowmx_doze TO relay"""


def down_at_start(world):
    world.sql(RIGHTS)
    world.configure(world.postgres.url.replace("postgres@", "relay@"))
    world.storm(2)
    world.calm()
    for server in servers(world):
        server.stop()
    world.relay.start()
    wait_until("an answer to /livez", lambda: answer(world, "/livez") == 200)
    expect(answer(world, "/readyz") == 503, "a relay that reaches nothing is not ready")
    time.sleep(5)
    said = len(world.relay.log().splitlines())
    expect(0 < said <= 30, "it says what it waits for and does not repeat itself: %d lines" % said)
    world.postgres.again()
    time.sleep(3)
    routes = world.relay.routes()
    expect(routes["cache"]["state"] == "RESTARTING", "a route whose sink is down recovers: %s" % routes["cache"])
    expect("reason" in routes["cache"], "the reason shows: %s" % routes["cache"])
    wait_until("the file, whose disk was never away", lambda: world.relay.routes()["audit"]["state"] == "RUNNING")
    for server in servers(world)[1:]:
        server.again()
    world.storm(2)
    world.calm()
    world.catch_up()
    expect(answer(world, "/readyz") == 200, "a relay that has caught up is ready")


def away_in_the_middle(world):
    world.storm(14, writers=4)
    world.relay.start()
    time.sleep(1.5)
    for server in servers(world):
        server.kill()
        time.sleep(1.5)
        expect(answer(world, "/livez") == 200, "the relay lives without %s" % server.kind)
        server.again()
        time.sleep(1.5)
    for server in servers(world):
        server.restart()
    world.calm()
    world.catch_up()


def through_a_pooler(world):
    pooler = Server("pgbouncer", "target=" + world.postgres.url, "pool_mode=transaction", "default_pool_size=10")
    world.configure(pooler.url)
    world.storm(6)
    world.relay.start()
    time.sleep(2)
    pooler.kill()
    time.sleep(1)
    pooler.again()
    world.calm()
    world.catch_up()
    expect(lines_about(world, "pooler") >= 1, "the relay says that a pooler is in between")
    # Nobody notifies it: a lone event must arrive by polling.
    time.sleep(5)
    world.meowmx("append", "order", "lone", "Happened", "{}")
    world.catch_up(seconds=5)
    expect("prepared statement" not in world.relay.log(), "no prepared statements through a pooler")


def silent(world):
    """What lies between has forgotten a connection, which stays open: no answer ever comes."""
    proxy = Proxy(world.tools, world.postgres.port)
    world.configure(world.postgres.url.replace(":%d/" % world.postgres.port, ":%d/" % proxy.port))
    world.relay.start()
    for mark in ("lease_renew", "checkpoint_save"):
        proxy.tell("arm", "swallow", mark)
        world.storm(2)
        world.calm()
        wait_until("a request whose answer is kept", lambda: proxy.tell("happened") == "yes")
        world.catch_up()
    expect(lines_about(world, "did not answer within 10 s") >= 1, "the relay says what it lacked")
    proxy.close()


PARTS = {"start": down_at_start, "middle": away_in_the_middle, "pooler": through_a_pooler, "silent": silent}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("program")
    parser.add_argument("tools")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--no-kafka", action="store_true")
    options = parser.parse_args()
    world = World(options.program, options.tools, options.seed, kafka=not options.no_kafka)
    try:
        PARTS[options.part](world)
    except RuntimeError:
        print(world.relay.log()[-6000:])
        raise
    world.relay.end()
    faults = world.compare()
    return 1 if faults else 0


sys.exit(main())
