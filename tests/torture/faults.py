"""The faults, as a table: what each is called, whom it hits, and what it does.

A fault is a generator. What stands before its `yield` begins it; it yields for how many seconds it lasts; what stands
behind ends it. Everything it chooses comes from the chance that it is given, so that a seed says it all.
"""
import os
import shutil
import signal
import struct
import threading
import time

import psycopg

from clients import Redis, wait_until
from scene import LEASE_S
from servers import Server

FAULTS = {}  # by name, in the order of this file


class Fault:
    """over: how it is over. asks: {route: words of the reason}, the routes that may stop for a person's decision, who then
    resumes them. forgets: the store lacks what its sinks have: routes with a memory must stop, and the store is given up.
    alone: never with another fault at the same server. long: not in the short form. needs(scene): why it cannot be had
    here, None if it can."""

    def __init__(self, name, on, over, begin, asks=None, forgets=False, long=False, alone=False, needs=None):
        self.name, self.on, self.over, self.begin, self.long = name, on, over, begin, long
        self.asks, self.forgets, self.needs, self.alone = asks or {}, forgets, needs, alone or forgets
        self.what = " ".join(begin.__doc__.split())


def fault(name, on, over, **more):
    def note(begin):
        FAULTS[name] = Fault(name, on, over, begin, **more)
        return begin
    return note


def turn(knob, value):
    """In place, because it may be mapped."""
    with open(knob, "r+b", buffering=0) as file:
        file.write(value)
        file.truncate()


def sql(scene, statement, *values):
    with psycopg.connect(scene.direct_url, autocommit=True, connect_timeout=5) as session:
        session.execute(statement, values or None)


def redis(scene, *words, server=None):
    """A command to Redis, past the proxy."""
    client = Redis((server or scene.redis).port, timeout=20)
    try:
        return client.ask(*words)
    finally:
        client.close()


def mend_redis(scene, *words):
    """The same, for what ends a fault: whatever another fault does to Redis just now is waited for."""
    end = time.monotonic() + 60
    while True:
        try:
            return redis(scene, *words)
        except (OSError, RuntimeError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


# --- the relay


@fault("relay-kill", "relay", "started again")
def relay_kill(scene, chance):
    """kill -9 of one relay, or of both, up to ten times in a row"""
    for _ in range(chance.randint(3, 10)):
        victims = scene.relays if chance.random() < 0.4 else [chance.choice(scene.relays)]
        for relay in victims:
            relay.kill()
            scene.kills += 1
        yield chance.choice([0, chance.uniform(0, 1.5)])
        for relay in victims:
            relay.start()
        yield chance.uniform(0.1, 1.2)


@fault("relay-freeze", "relay", "SIGCONT, behind its lease")
def relay_freeze(scene, chance):
    """SIGSTOP of one relay, until another has taken its partitions, then SIGCONT"""
    relay = chance.choice(scene.relays)
    relay.send(signal.SIGSTOP)
    relay.frozen = True
    yield chance.uniform(LEASE_S + 0.5, LEASE_S + 3)
    relay.send(signal.SIGCONT)


@fault("relay-term", "relay", "started again")
def relay_term(scene, chance):
    """SIGTERM in mid-batch, of one relay or of both"""
    victims = scene.relays if chance.random() < 0.4 else [chance.choice(scene.relays)]
    for relay in victims:
        relay.send(signal.SIGTERM)
    yield chance.uniform(0, 0.5)
    for relay in victims:
        status = relay.stop()
        # 143: the second signal, or a sink that was away for as long as a stop waits, cut it short.
        if status not in (0, 128 + signal.SIGTERM) and not relay.frozen:
            scene.note("running", "SIGTERM ended the relay with %s" % status)
        relay.start()


# --- PostgreSQL


@fault("postgres-kill", "PostgreSQL", "started again")
def postgres_kill(scene, chance):
    """kill -9 of every process of the server"""
    server = scene.postgres
    server.kill()
    yield chance.uniform(0, 2)
    server.again()


@fault("postgres-immediate", "PostgreSQL", "started again")
def postgres_immediate(scene, chance):
    """immediate stop: SIGQUIT"""
    server = scene.postgres
    os.kill(server.pid, signal.SIGQUIT)
    server.set_down()
    yield chance.uniform(0, 2)
    server.again()


@fault("postgres-terminate", "PostgreSQL", "at once")
def postgres_terminate(scene, chance):
    """connections terminated by pg_terminate_backend, all or some, several times"""
    for _ in range(chance.randint(1, 4)):
        share = chance.choice([1, 1, 0.3])
        sql(scene, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                         "AND pid <> pg_backend_pid() AND random() < %s", share)
        yield chance.uniform(0, 0.4)


def fill_up(scene, held):
    try:
        while True:
            held.append(psycopg.connect(scene.direct_url, connect_timeout=5))
    except psycopg.OperationalError:
        pass


@fault("postgres-full", "PostgreSQL", "connections are free again")
def postgres_full(scene, chance):
    """all connections used up, the relay's own among them"""
    held = [psycopg.connect(scene.direct_url, autocommit=True, connect_timeout=5)]
    try:
        for _ in range(2):
            held[0].execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                            "AND NOT pid = ANY (%s)", ([session.info.backend_pid for session in held],))
            fill_up(scene, held)
        yield chance.uniform(0.5, 4)
    finally:
        for session in held:
            session.close()


@fault("postgres-maintenance", "PostgreSQL", "they have ended")
def postgres_maintenance(scene, chance):
    """VACUUM, REINDEX and index builds, concurrent and not, under load"""
    work = ["VACUUM (FREEZE, ANALYZE) es_events", "REINDEX TABLE CONCURRENTLY es_events",
            "CREATE INDEX CONCURRENTLY torture ON es_events (event_type); DROP INDEX torture",
            "CREATE INDEX torture ON es_events (event_type, version); DROP INDEX torture", "VACUUM FULL es_aggregates",
            "REINDEX TABLE es_aggregates", "CLUSTER es_events USING es_events_pkey", "CHECKPOINT"]
    chosen = chance.sample(work, 3)

    def maintain():
        try:
            with psycopg.connect(scene.direct_url, autocommit=True) as session:
                for statements in chosen:
                    for statement in statements.split("; "):
                        session.execute(statement)
        except psycopg.Error as failure:
            scene.say("maintenance: %s" % failure)

    thread = threading.Thread(target=maintain)
    thread.start()
    yield chance.uniform(0.5, 2)
    thread.join()


@fault("postgres-restore", "PostgreSQL", "the older copy runs in its place", forgets=True)
def postgres_restore(scene, chance):
    """restored to an earlier backup, while the relays run, or while they are down"""
    copy = Server("postgres", "copy_of=" + scene.postgres.url)
    copy.kill()
    yield chance.uniform(0.3, 1.5)
    down = chance.random() < 0.5
    for relay in scene.relays:
        if down:
            relay.kill()
    scene.postgres.kill()
    os.remove(os.path.join(copy.folder, "data", "standby.signal"))
    shutil.rmtree(os.path.join(scene.postgres.folder, "data"))
    os.rename(os.path.join(copy.folder, "data"), os.path.join(scene.postgres.folder, "data"))
    copy.close()
    yield chance.uniform(0, 1)
    scene.postgres.again()
    for relay in scene.relays:
        relay.start()


def promote(scene, standby):
    """The standby is the primary from now on, and all find it where the old one was."""
    with psycopg.connect(standby.url, autocommit=True) as session:
        session.execute("SELECT pg_promote(true, 60)")
    scene.postgres.close()
    scene.postgres = standby
    scene.route_to_servers()


@fault("postgres-promote", "PostgreSQL", "the standby takes its place", alone=True)
def postgres_promote(scene, chance):
    """a standby with the whole tail is promoted"""
    standby = Server("postgres", "copy_of=" + scene.postgres.url)
    yield chance.uniform(0.2, 1)
    scene.postgres.stop()  # which waits until the standby has all of it
    yield chance.uniform(0, 1)
    promote(scene, standby)


@fault("postgres-promote-older", "PostgreSQL", "the standby takes its place", forgets=True)
def postgres_promote_older(scene, chance):
    """a standby without the tail is promoted"""
    standby = Server("postgres", "copy_of=" + scene.postgres.url)
    yield chance.uniform(0.2, 0.6)
    with psycopg.connect(standby.url, autocommit=True) as session:
        session.execute("ALTER SYSTEM SET primary_conninfo = ''")
        session.execute("SELECT pg_reload_conf()")
    yield chance.uniform(0.3, 1.5)
    scene.postgres.kill()
    yield chance.uniform(0, 1)
    promote(scene, standby)


# --- Kafka


@fault("kafka-kill", "Kafka", "started again")
def kafka_kill(scene, chance):
    """kill -9 of the broker"""
    scene.kafka.kill()
    yield chance.uniform(0, 2)
    scene.kafka.again()


@fault("kafka-away", "Kafka", "it answers again")
def kafka_away(scene, chance):
    """unavailable, for up to a minute (in the short form some seconds): frozen, or refusing connections"""
    seconds = chance.uniform(3, 5) if scene.short else chance.choice([5, 15, 60])
    if chance.random() < 0.5:
        os.kill(scene.kafka.pid, signal.SIGSTOP)
        yield seconds
        os.kill(scene.kafka.pid, signal.SIGCONT)
    else:
        scene.proxies["kafka"].tell("refuse", "on")
        scene.proxies["kafka"].tell("cut")
        yield seconds
        scene.proxies["kafka"].tell("refuse", "off")


def data_topics(scene):
    return ["%s.%s.%s" % (route, scene.name, kind) for route in ("topics", "once") for kind in ("order", "payment", "japan")]


@fault("kafka-settings", "Kafka", "they are as before", asks={"once": "cleanup.policy"})
def kafka_settings(scene, chance):
    """topics' settings changed under the relay: compression, segments, timestamps, copies that nobody has, and a checkpoint
    topic that is not only compacted any more"""
    changes = [["compression.type=gzip"], ["segment.bytes=1048576"], ["message.timestamp.type=LogAppendTime"],
               ["min.insync.replicas=2"], ["flush.messages=1"]]
    topics = chance.sample(data_topics(scene), 3)
    own = "meowmx.checkpoint.%s.once" % scene.store_id()[:8]
    for topic in topics:
        scene.set_topic(topic, *chance.choice(changes))
    spoiled = chance.random() < 0.4
    if spoiled:
        scene.set_topic(own, "cleanup.policy=compact,delete")
        scene.relays[0].kill()
        scene.relays[0].start()
    yield chance.uniform(1, 3)
    for topic in topics:
        scene.set_topic(topic)
    if spoiled:
        scene.set_topic(own, "cleanup.policy=compact", "segment.bytes=16777216")


REFUSED = {"topics": "correct the sink", "once": "correct the sink"}


@fault("kafka-refuse", "Kafka", "the topic takes them again", asks=REFUSED)
def kafka_refuse(scene, chance):
    """messages refused as too large, by some topics"""
    topics = chance.sample(data_topics(scene), chance.randint(1, 3))
    for topic in topics:
        scene.set_topic(topic, "max.message.bytes=100")
    yield chance.uniform(0.5, 2)
    for topic in topics:
        scene.set_topic(topic)


@fault("kafka-disk", "Kafka", "there is room again, and it was started again", long=True,
       needs=lambda scene: None if scene.disk else "nothing can be mounted here")
def kafka_disk(scene, chance):
    """disk full (a tmpfs): the broker ends"""
    filler = scene.fill_disk()
    yield chance.uniform(2, 6)
    os.remove(filler)
    scene.kafka.kill()
    scene.kafka.again()


# --- Redis


@fault("redis-kill", "Redis", "started again")
def redis_kill(scene, chance):
    """kill -9 with its last writes: appendonly, everysec"""
    server = scene.redis
    server.kill()
    yield chance.uniform(0, 2)
    server.again()


FORGOTTEN = {"cache": "has forgotten its position"}


@fault("redis-key", "Redis", "at once", asks=FORGOTTEN)
def redis_key(scene, chance):
    """the key with the position of a partition, or that of its owner's epoch, deleted"""
    key = "meowmx:%s:cache:0:%d" % (scene.store_id()[:8], chance.randrange(scene.partitions))
    redis(scene, "DEL", key + chance.choice(["", ":epoch"]))
    yield 0.5


@fault("redis-memory", "Redis", "maxmemory is off again")
def redis_memory(scene, chance):
    """out of memory: maxmemory far below what it uses, nothing evicted"""
    redis(scene, "CONFIG", "SET", "maxmemory", "1mb")
    yield chance.uniform(0.5, 3)
    mend_redis(scene, "CONFIG", "SET", "maxmemory", "0")


@fault("redis-older", "Redis", "started again with an older file")
def redis_older(scene, chance):
    """kill -9 without its last writes: its files are those of a moment before"""
    server = scene.redis
    data, copy = os.path.join(server.folder, "data"), os.path.join(server.folder, "copy")
    scene.freeze_while(server, lambda: shutil.copytree(data, copy))
    yield chance.uniform(0.3, 1.5)
    server.kill()
    shutil.rmtree(data)
    os.rename(copy, data)
    yield chance.uniform(0, 1)
    server.again()
    scene.fallen.add("cache")


@fault("redis-failover", "Redis", "the replica takes its place", asks=FORGOTTEN)
def redis_failover(scene, chance):
    """failover to a replica that lacks the tail"""
    old, new = scene.redis, scene.replica
    wait_until("a replica that follows", lambda: "master_link_status:up" in redis(scene, "INFO", "replication", server=new))
    os.kill(new.pid, signal.SIGSTOP)
    redis(scene, "CLIENT", "KILL", "TYPE", "replica", server=old)
    yield chance.uniform(0.3, 1.5)
    old.kill()
    os.kill(new.pid, signal.SIGCONT)
    yield chance.uniform(0, 0.5)
    redis(scene, "REPLICAOF", "NO", "ONE", server=new)
    scene.redis, scene.replica = new, old
    scene.route_to_servers()
    scene.fallen.add("cache")
    old.again()
    redis(scene, "REPLICAOF", "127.0.0.1", str(new.port), server=old)


@fault("redis-readonly", "Redis", "it writes again")
def redis_readonly(scene, chance):
    """READONLY, because it became a replica, or NOREPLICAS"""
    if chance.random() < 0.6:
        redis(scene, "REPLICAOF", "127.0.0.1", "1")
        yield chance.uniform(0.5, 3)
        mend_redis(scene, "REPLICAOF", "NO", "ONE")
    else:
        redis(scene, "CONFIG", "SET", "min-replicas-to-write", "9")
        yield chance.uniform(0.5, 3)
        mend_redis(scene, "CONFIG", "SET", "min-replicas-to-write", "0")


@fault("redis-busy", "Redis", "the script was killed")
def redis_busy(scene, chance):
    """a script that blocks it, and makes it answer BUSY"""
    def spin():
        try:
            redis(scene, "EVAL", "while true do end", "0")
        except (OSError, RuntimeError):
            pass  # the script is killed, or Redis is
    thread = threading.Thread(target=spin)
    thread.start()
    yield chance.uniform(0.5, 4)
    try:
        redis(scene, "SCRIPT", "KILL")
    except (OSError, RuntimeError):
        pass  # another fault has ended it with Redis
    thread.join()


# --- the relay's machine


NO_MEMORY = 69                     # at its start
HIREDIS_GAVE_UP = -signal.SIGABRT  # hiredis 0.14 ends the process when it gets none, which counts as a kill


@fault("relay-memory", "relay", "memory is there again")
def relay_memory(scene, chance):
    """each n-th allocation of its own code or hiredis' fails, for a while"""
    off = struct.pack("=q", 0)
    knob = scene.hook_relays(os.path.join(scene.tools, "libstarve.so"), off, STARVE_KNOB="{knob}",
                             STARVE_OF="{program}:/libhiredis")
    turn(knob, struct.pack("=q", chance.choice([20, 100, 500, 3000])))
    end = time.monotonic() + chance.uniform(0.5, 3)
    while time.monotonic() < end:
        yield 0.1
        for relay in scene.relays:  # as its service manager does
            if relay.process.poll() is not None:
                scene.say("the relay ended with %d for want of memory" % relay.process.returncode)
                if relay.process.returncode not in (NO_MEMORY, HIREDIS_GAVE_UP):
                    scene.note("running", "without memory the relay ended with %d" % relay.process.returncode)
                relay.start()
    turn(knob, off)
    for relay in scene.relays:
        relay.start()


@fault("relay-disk", "relay", "there is room again")
def relay_disk(scene, chance):
    """disk full under the files of a route (a small tmpfs, else RLIMIT_FSIZE)"""
    scene.say("full is: " + scene.fill_files_disk(chance.randint(0, 20000)))
    yield chance.uniform(0.5, 3)
    scene.empty_files_disk()


def with_clock(scene, hours):
    """Relays whose clock a knob turns, for as long as they live."""
    return scene.hook_relays(os.path.join(scene.tools, "libclock.so"), seconds(hours), CLOCK_KNOB="{knob}")


def seconds(hours):
    return struct.pack("=q", 3600 * hours)


@fault("relay-clock", "relay", "at once, or when it is right again")
def relay_clock(scene, chance):
    """its clock jumps by an hour, ahead, back, or both"""
    hours = chance.choice([[0, 1], [1, 0], [0, 1, 0], [0, -1], [1, 0, 1]])
    knob = with_clock(scene, hours[0])
    for each in hours[1:]:
        yield chance.uniform(0, 2)
        turn(knob, seconds(each))
    yield chance.uniform(0, 1)


# --- every connection


def through_proxy(name, over, **more):
    """Notes one fault that hits the connections of one server, the chance says which."""
    def note(act):
        def begin(scene, chance):
            where = chance.choice(list(scene.proxies))
            scene.say("%s: to %s" % (name, where))
            proxy = scene.proxies[where]
            yield from act(proxy, chance, where)
            if name in ("wire-swallow", "wire-late") and proxy.tell("happened") == "no":
                scene.say("%s: no such request came" % name)
                proxy.tell("arm", "off")
            if where == "writers":
                proxy.tell("cut")  # a writer has no time-out of its own
        begin.__doc__ = act.__doc__
        fault(name, "every connection", over, **more)(begin)
        return act
    return note


@through_proxy("wire-cut", "at once")
def wire_cut(proxy, chance, _):
    """cut, several times"""
    for _turn in range(chance.randint(1, 4)):
        proxy.tell("cut")
        yield chance.uniform(0, 0.3)


@through_proxy("wire-stall", "bytes flow again")
def wire_stall(proxy, chance, _):
    """stalled, in both directions or in one; nothing is lost"""
    proxy.tell("stall", chance.choice(["both", "requests", "replies"]))
    yield chance.uniform(0.5, 5)
    proxy.tell("stall", "off")


@through_proxy("wire-delay", "as fast as before")
def wire_delay(proxy, chance, _):
    """each piece 20 to 300 ms late"""
    proxy.tell("delay", chance.randint(20, 300))
    yield chance.uniform(1, 3)
    proxy.tell("delay", 0)


@through_proxy("wire-half", "at once")
def wire_half(proxy, chance, _):
    """closed in one direction only"""
    proxy.tell("half", chance.choice(["requests", "replies"]))
    yield chance.uniform(0, 1)


@through_proxy("wire-drip", "as fast as before")
def wire_drip(proxy, chance, _):
    """one byte at a time"""
    proxy.tell("drip", "on")
    yield chance.uniform(1, 3)
    proxy.tell("drip", "off")


# What a request that is worth losing looks like: the relay's statements have names.
MARKS = {"store": ["checkpoint_save", "lease_renew", "lease_acquire", "read_tail", "holders", ""],
         "writers": ["COMMIT", "INSERT", "PREPARE", ""], "redis": ["EXEC", "MULTI", ""],
         "kafka": ["api=0", "api=26", "api=24", "api=22", ""]}  # Produce, EndTxn, AddPartitionsToTxn, InitProducerId


@through_proxy("wire-swallow", "at once")
def wire_swallow(proxy, chance, where):
    """a request is delivered, its reply swallowed: the connection closed then, or left open"""
    for _turn in range(chance.randint(1, 3)):
        proxy.tell("arm", chance.choice(["after", "swallow"]), chance.choice(MARKS[where]))
        yield chance.uniform(0.5, 1.5)


@through_proxy("wire-late", "it was delivered")
def wire_late(proxy, chance, where):
    """a request is delivered up to 3 s after its sender lost the connection"""
    late_ms = chance.randint(100, 3000)
    proxy.tell("arm", "late=%d" % late_ms, chance.choice(MARKS[where]))
    yield late_ms / 1000 + 0.5
