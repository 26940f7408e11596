"""What is tortured: real servers with a proxy before each, relays of one configuration, writers of every kind.

The servers stay for many rounds. A store with its topics, streams and files can be begun anew among them at any time:
`fresh`.
"""
import atexit
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import psycopg

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from clients import Redis, free_port, wait_until  # noqa: E402
from proxy import Proxy  # noqa: E402
from servers import ROOT, Server, scratch  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
LEASE_S, BACKOFF_S = 2, 1
WINDOW_BYTES = 1 << 20
TYPES = ["order", "payment", "注文", "basket"]  # what storm and python_writer.py write
ROUTES = ["topics", "once", "cache", "audit"]
FILES_ROOM = "1g"  # on their disk, which is more than the rounds on one store write
PREPARED_LEFT_S = 1  # after which the transaction manager rolls back what a writer left prepared

# A route's own memory beside its window (docs/operations.md), what librdkafka may hold for one that publishes to Kafka, and
# the program itself with its libraries.
EXECUTOR_BYTES, KAFKA_BYTES, PROGRAM_BYTES = 2 << 20, 6 << 20, 40 << 20


def mounted_disk(folder, size):
    """The folder, as a disk of its own (a tmpfs); None where nothing may be mounted."""
    os.makedirs(folder, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", folder], stderr=subprocess.DEVNULL,
                          check=False)
    if done.returncode != 0:
        return None
    atexit.register(unmount, folder)  # before the scratch folder goes
    return folder


def unmount(folder):
    if os.path.ismount(folder):
        subprocess.run(["umount", "--lazy", folder], check=False)


class Relay:
    """A process. What it said, over all its lives, is in its log."""

    def __init__(self, scene, number):
        self.scene, self.port = scene, free_port()
        self.path = os.path.join(scratch(), "relay-%d.log" % number)
        self.process, self.environment, self.frozen = None, {}, False
        self.peak_bytes = 0

    def start(self):
        if self.process and self.process.poll() is None:
            return  # two faults at once had ended it
        self.frozen = False
        environment = dict(os.environ, MEOWMX_HTTP_LISTEN="127.0.0.1:%d" % self.port, **self.environment)
        with open(self.path, "ab") as log:
            self.process = subprocess.Popen([self.scene.program, "relay", "-c", self.scene.config], stderr=log,
                                            env=environment)

    def look(self):
        """Notes the most memory that it ever had, and whether it ended by itself."""
        if self.process.poll() is not None:
            return "the relay ended by itself with %d" % self.process.returncode
        try:
            with open("/proc/%d/status" % self.process.pid, encoding="utf-8") as status:
                self.peak_bytes = max([self.peak_bytes] + [1024 * int(line.split()[1]) for line in status
                                                           if line.startswith("VmHWM")])
        except OSError:
            pass
        return None

    def resident_bytes(self):
        with open("/proc/%d/statm" % self.process.pid, encoding="utf-8") as pages:
            return int(pages.read().split()[1]) * resource.getpagesize()

    def open_files(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def send(self, number):
        self.look()
        self.process.send_signal(number)

    def kill(self):
        self.send(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """In its orderly way. Returns its exit status, None if it had to be killed after half a minute."""
        self.send(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def limit_files(self, size):
        """None of its files grows beyond; None: as far as it may."""
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def status(self):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/status" % self.port, timeout=5) as answer:
                return answer.read().decode()
        except OSError as failure:
            return str(failure)

    def states(self):
        """Of its routes' partitions; none while it does not answer."""
        try:
            return [route["state"] for route in json.loads(self.status())["routes"]]
        except ValueError:
            return []

    def log(self):
        with open(self.path, encoding="utf-8", errors="replace") as log:
            return log.read()


class Direct:
    """SQL to the store's server, past every proxy."""

    def __init__(self, scene, patience_s=60):
        self.scene, self.patience_s, self.session, self.url = scene, patience_s, None, None

    def ask(self, statement, *values):
        """Its rows. A server that is not there is waited for; then psycopg.OperationalError."""
        end = time.monotonic() + self.patience_s
        while True:
            old = self.session is not None  # the server may have been another's since
            try:
                return self._ask(statement, values)
            except psycopg.OperationalError:
                self.close()
                if not old and time.monotonic() >= end:
                    raise
                time.sleep(0.1)

    def _ask(self, statement, values):
        if self.url != self.scene.direct_url:
            self.close()
        if self.session is None:
            self.url = self.scene.direct_url
            self.session = psycopg.connect(self.url, autocommit=True, connect_timeout=5,
                                           options="-c statement_timeout=60s")
        cursor = self.session.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    def close(self):
        if self.session is not None:
            self.session.close()
        self.session = None


class Manager(threading.Thread):
    """What a transaction manager does: rolls back what was left prepared by a writer that has gone."""

    def __init__(self, scene):
        super().__init__(daemon=True)
        self.direct, self.over = Direct(scene, patience_s=0), threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.5):
            try:
                for (name,) in self.direct.ask("SELECT gid FROM pg_prepared_xacts WHERE database = current_database() "
                                               "AND prepared < clock_timestamp() - %s * interval '1 s'", PREPARED_LEFT_S):
                    self.direct.ask("ROLLBACK PREPARED '%s'" % name.replace("'", "''"))
            except psycopg.Error:
                self.direct.close()


class Scene:
    stores = 0  # of this process

    def __init__(self, program, tools, short, relays=2, files_on_disk=False):
        self.program, self.tools, self.short = program, tools, short
        self.noted = []  # what faults found wrong: (invariant, text)
        self.knobs = 0
        self.kills = 0  # of relays, with SIGKILL
        self.files_on_disk = files_on_disk  # the file sink's are on a disk of their own, in memory
        self.files_disk = None
        self.fallen = set()  # routes whose sink has lost what it had, or some of it
        self.proxies = {name: Proxy(tools) for name in ("store", "writers", "redis", "kafka")}
        self.postgres = Server("postgres", "max_connections=100", "checkpoint_timeout=30s")
        self.redis = self._redis_server()
        self.replica = self._redis_server()
        # Not in its configuration: once it has taken the primary's place, it is one after a restart, too.
        replica = Redis(self.replica.port)
        replica.ask("REPLICAOF", "127.0.0.1", str(self.redis.port))
        replica.close()
        self.disk = None if short else mounted_disk(os.path.join(scratch(), "disk"), "400m")
        # One that was killed may not come back before its controller has given the old one up.
        self.kafka = Server("kafka", "advertised.listeners=PLAINTEXT://127.0.0.1:%d" % self.proxies["kafka"].port,
                            "broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500",
                            *(["log.dirs=" + self.disk] if self.disk else []))
        self.name, self.writers, self.python = "postgres", [], None
        self.config = os.path.join(scratch(), "meowmx.yaml")
        self.direct, self.quick, self.manager = Direct(self), Direct(self, patience_s=0), None
        self.route_to_servers()
        self.relays = [Relay(self, number) for number in range(relays)]

    @staticmethod
    def _redis_server():
        return Server("redis", "appendonly=yes", "appendfsync=everysec", "repl-diskless-sync-delay=0",
                      "busy-reply-threshold=200")

    def route_to_servers(self):
        self.proxies["store"].tell("target", self.postgres.port)
        self.proxies["writers"].tell("target", self.postgres.port)
        self.proxies["redis"].tell("target", self.redis.port)
        self.proxies["kafka"].tell("target", self.kafka.port)

    # --- addresses

    def _store_url(self, port):
        return "postgresql://postgres@127.0.0.1:%d/%s" % (port, self.name)

    @property
    def direct_url(self):
        return self._store_url(self.postgres.port)

    @property
    def writers_url(self):
        return self._store_url(self.proxies["writers"].port)

    def file_path(self, partition):
        return os.path.join(self.folder, "events-%d.jsonl" % partition)

    def stream(self, partition, aggregate_type):
        return "%s:%d:%s" % (self.name, partition, aggregate_type)

    # --- a store of its own, with sinks of its own

    def fresh(self, chance):
        """A new store, its relays started. Those of the last one have been ended."""
        Scene.stores += 1
        self.name = "postgres"
        self.direct.close()
        self.quick.close()
        self.direct.ask("CREATE DATABASE torture_%d" % Scene.stores)
        self.name = "torture_%d" % Scene.stores
        self.folder = os.path.join(scratch(), self.name)
        os.mkdir(self.folder)
        self.files_disk = mounted_disk(self.folder, FILES_ROOM) if self.files_on_disk else None
        self.partitions = chance.randint(2, 3)
        subprocess.run([self.program, "setup", "--id-type", "TEXT", "--store", self.direct_url], check=True,
                       stderr=subprocess.DEVNULL)
        self.configure()
        self.manager = Manager(self)
        for relay in self.relays:
            relay.environment = {}
            relay.start()

    def configure(self):
        kafka = ("topics: {'注文': '%%s.%s.japan'}\n      partitions: 3\n      delivery: %%s\n"
                 "      client: {bootstrap.servers: '127.0.0.1:%d'}\n" % (self.name, self.proxies["kafka"].port))
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\n" % self._store_url(self.proxies["store"].port))
            out.write("relay: {backoff_max: %ds, lease: %ds}\nroutes:\n" % (BACKOFF_S, LEASE_S))
            for name in ROUTES:
                out.write("  %s:\n    partitions: %d\n    window: %d\n" % (name, self.partitions, WINDOW_BYTES))
                if name == "cache":
                    out.write("    redis: {url: 'redis://127.0.0.1:%d/0', stream: '%s:{partition}:{aggregate_type}'}\n" %
                              (self.proxies["redis"].port, self.name))
                elif name == "audit":
                    out.write("    file: {path: '%s/events-{partition}.jsonl'}\n" % self.folder)
                else:
                    delivery = "at-least-once" if name == "topics" else "exactly-once"
                    out.write("    kafka:\n      topic: '%s.%s.{aggregate_type}'\n      " % (name, self.name))
                    out.write(kafka % (name, delivery))

    def leave(self, last=False):
        """Ends the relays, and forgets the store; its servers' data stays, unless the server ends next."""
        for relay in self.relays:
            if relay.process and relay.process.poll() is None:
                relay.process.send_signal(signal.SIGCONT)
                relay.kill()
        if self.files_disk:
            unmount(self.files_disk)
            self.files_disk = None
        if self.manager:
            self.manager.over.set()
            self.manager.join()
            self.manager = None
            self.direct.close()
            self.quick.close()
            if not last:
                with psycopg.connect(self.postgres.url, autocommit=True) as session:
                    session.execute("DROP DATABASE %s WITH (FORCE)" % self.name)

    def close(self):
        for writer in self.writers:
            writer.kill()
            writer.wait()
        self.leave(last=True)
        self.direct.close()
        self.quick.close()
        for server in (self.postgres, self.redis, self.replica, self.kafka):
            server.close()
        for proxy in self.proxies.values():
            proxy.close()
        if self.disk:
            unmount(self.disk)

    # --- writers

    def write(self, seed, writers=4, pause_ms=20, rate=0):
        """Writers, until calm(). rate: of events a second, 0 for any."""
        commands = [[os.path.join(self.tools, "storm"), self.writers_url, str(writers), "-", str(seed), str(pause_ms),
                     str(rate)]]
        if self.python:
            commands.append([self.python, os.path.join(HERE, "python_writer.py"), self.writers_url, str(seed)])
        self.writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL) for command in commands]

    def calm(self):
        """Waits for the writers, and for what they left to be cleared away."""
        for writer in self.writers:
            writer.stdin.close()
        for writer in self.writers:
            if writer.wait(timeout=300) not in (0, 1):  # 1: it never got anything done
                raise RuntimeError("a writer ended with %d" % writer.returncode)
        self.writers = []
        wait_until("that nothing is left prepared", lambda: not self.direct.ask(
            "SELECT 1 FROM pg_prepared_xacts WHERE database = current_database()"), 120)

    def find_python(self):
        """Lets Python meowmx write, too, where it can be had."""
        done = subprocess.run([os.path.join(ROOT, "scripts", "python-meowmx")], stdout=subprocess.PIPE, text=True)
        found = re.search("^python=(.*)$", done.stdout, re.MULTILINE)
        self.python = found.group(1) if done.returncode == 0 and found else None

    # --- what faults need

    def set_topic(self, topic, *settings):
        """All its settings that are not the broker's own. One that does not exist is left alone."""
        subprocess.run([os.path.join(self.tools, "kafka_edit"), self.kafka.url, "settings", topic, *settings], check=False,
                       stderr=subprocess.DEVNULL)

    def fill_disk(self):
        """Kafka's. Returns what there is to remove."""
        path = os.path.join(self.disk, "filler")
        with open(path, "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1 << 20))
            except OSError:
                return path

    def fill_files_disk(self, room):
        """The file sink's grow by `room` more. Returns what it is that is full."""
        if not self.files_disk:
            for relay in self.relays:
                relay.limit_files(self.largest_file() + room)
            return "RLIMIT_FSIZE"
        wait_until("that the disk is so small", lambda: self._resize(self._used() + room), 20)  # they write meanwhile
        return "a small tmpfs"

    def empty_files_disk(self):
        if self.files_disk and not self._resize(FILES_ROOM):
            raise RuntimeError("%s could not be made larger" % self.files_disk)
        for relay in self.relays:
            if not self.files_disk:
                relay.limit_files(None)

    def _used(self):
        disk = os.statvfs(self.files_disk)
        return (disk.f_blocks - disk.f_bfree) * disk.f_frsize

    def _resize(self, size):
        return subprocess.run(["mount", "-o", "remount,size=%s" % size, self.files_disk], stderr=subprocess.DEVNULL,
                              check=False).returncode == 0

    @staticmethod
    def freeze_while(server, act):
        os.kill(server.pid, signal.SIGSTOP)
        try:
            act()
        finally:
            os.kill(server.pid, signal.SIGCONT)

    def largest_file(self):
        return max([os.path.getsize(self.file_path(partition)) for partition in range(self.partitions)
                    if os.path.exists(self.file_path(partition))], default=0)

    def hook_relays(self, library, off, **environment):
        """Starts them anew with a library before the C library, and a knob that it reads: the path of a file of their own,
        which says `off`."""
        self.knobs += 1
        knob = os.path.join(scratch(), "knob-%d" % self.knobs)
        with open(knob, "wb") as out:
            out.write(off)
        names = {name: value.format(knob=knob, program=self.program) for name, value in environment.items()}
        for relay in self.relays:
            relay.stop()
            relay.environment = dict(names, LD_PRELOAD=library)
            relay.start()
            relay.environment = {}  # of this life alone
        return knob

    # --- what it does

    @staticmethod
    def say(text):
        print("  " + text, flush=True)

    def note(self, invariant, text):
        self.noted.append((invariant, text))

    def store_id(self):
        return self.direct.ask("SELECT store_id::text FROM meowmx_meta")[0][0]

    def head(self):
        return self.direct.ask("SELECT coalesce(max(id), 0) FROM es_events")[0][0]

    def checkpoints(self, session=None):
        """(route, partition): position, state with a live lease, reason."""
        rows = (session or self.direct).ask("SELECT subscription, partition, position, state, reason, "
                               "coalesce(lease_until > clock_timestamp(), false) FROM meowmx_checkpoints")
        return {(route, partition): (position, state if led or state == "FAILED" else "UNASSIGNED", reason or "")
                for route, partition, position, state, reason, led in rows}

    def memory_bound(self):
        """Of one relay that owns everything."""
        kafka = 2 * self.partitions
        return PROGRAM_BYTES + len(ROUTES) * self.partitions * (WINDOW_BYTES + EXECUTOR_BYTES) + kafka * KAFKA_BYTES

    def meowmx(self, *words):
        return subprocess.run([self.program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=300, check=False)
