"""The second checker: written apart from `meowmx verify` and from the delivery. It reads the store in plain SQL and each
sink with a reader of its own, and knows nothing of what the relay says of itself but its checkpoints.

It reads on where it left off, for a round is checked when everything of it has settled. What it finds is said as
(invariant, text).
"""
import collections
import json
import os
import subprocess

from clients import Redis
from scene import TYPES

INVARIANTS = ["lost", "rolled back", "order", "twice", "checkpoint", "memory", "running", "verify"]
ONCE = {"cache", "audit", "once"}  # where nothing may be there twice

Entry = collections.namedtuple("Entry", "position aggregate version data place")


class Unreadable(RuntimeError):
    """A sink that cannot be read to its end."""


def partition_of(aggregate, partitions):
    """FNV-1a and a finalizer, as docs/how-it-works.md has it."""
    mask, value = (1 << 64) - 1, 0xcbf29ce484222325
    for byte in aggregate.encode():
        value = (value ^ byte) * 0x100000001b3 & mask
    for factor in (0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53):
        value = (value ^ value >> 33) * factor & mask
    return (value ^ value >> 33) % partitions


class Reader:
    """Of one sink. What it has read is kept until somebody takes it: reading may end in the middle."""
    parsed = False  # whether data is part of a JSON text

    def __init__(self, scene):
        self.scene, self.found = scene, []

    def take(self):
        found, self.found = self.found, []
        return found


class Streams(Reader):
    """The entries of the Redis streams."""

    def __init__(self, scene):
        super().__init__(scene)
        self.last = {}

    def read(self):
        try:
            client = Redis(self.scene.redis.port, timeout=60)
            try:
                for partition in range(self.scene.partitions):
                    for kind in TYPES:
                        self._stream(client, self.scene.stream(partition, kind), partition)
            finally:
                client.close()
        except (OSError, RuntimeError) as failure:
            raise Unreadable("redis: %s" % failure) from failure

    def _stream(self, client, stream, partition):
        for identity, fields in client.ask("XRANGE", stream, "(" + self.last[stream] if stream in self.last else "-", "+"):
            fields = dict(zip(fields[::2], fields[1::2]))
            self.found.append(Entry(int(identity.split("-")[0]), fields["aggregate_id"], int(fields["version"]),
                                    fields["data"], partition))
            self.last[stream] = identity


class Files(Reader):
    """The lines of the files."""
    parsed = True

    def __init__(self, scene):
        super().__init__(scene)
        self.offsets = collections.Counter()

    def read(self):
        for partition in range(self.scene.partitions):
            path = self.scene.file_path(partition)
            if not os.path.exists(path):
                continue
            with open(path, "rb") as lines:
                lines.seek(self.offsets[partition])
                for line in lines:
                    if not line.endswith(b"\n"):
                        break  # torn, or being written
                    self.offsets[partition] += len(line)
                    event = json.loads(line, parse_float=str)
                    self.found.append(Entry(event["position"], event["aggregate_id"], event["version"], event["data"],
                                            partition))


class Topics(Reader):
    """The records of a route's topics that a read_committed consumer gets."""

    def __init__(self, scene, route):
        super().__init__(scene)
        self.pattern, self.next = "%s.%s.*" % (route, scene.name), {}

    def read(self):
        dump = subprocess.run([os.path.join(self.scene.tools, "kafka_dump"), self.scene.kafka.url, self.pattern],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if dump.returncode != 0:
            raise Unreadable(dump.stderr.strip())
        for line in dump.stdout.split("\n")[:-1]:
            topic, partition, offset, position, _, key, version, _, data, _ = line.split("\t")
            if int(offset) < self.next.get((topic, partition), 0):
                continue
            self.next[topic, partition] = int(offset) + 1
            self.found.append(Entry(int(position), key, int(version), data, (topic, partition)))


class Sink:
    """What a route's sink has shown so far."""

    def __init__(self, route, reader):
        self.route, self.reader = route, reader
        self.seen, self.next_version, self.places = set(), {}, {}

    def judge(self, store, faults):
        """Of what was read anew: order, repeats, what the store does not have."""
        for entry in self.reader.take():
            if self.places.setdefault(entry.aggregate, entry.place) != entry.place:
                faults.append(("order", "%s: %s is in %s and in %s" % (self.route, entry.aggregate, entry.place,
                                                                        self.places[entry.aggregate])))
            if entry.position in self.seen:
                if self.route in ONCE:
                    faults.append(("twice", "%s: position %d" % (self.route, entry.position)))
                continue
            self._first_sight(entry, store, faults)

    def _first_sight(self, entry, store, faults):
        self.seen.add(entry.position)
        known = store.get(entry.position, (None, None, "null"))
        data = json.loads(known[2], parse_float=str) if self.reader.parsed else known[2]
        if known[:2] + (data,) != (entry.aggregate, entry.version, entry.data):
            faults.append(("rolled back", "%s: position %d is %s version %d %s, in the store %s" % (
                self.route, entry.position, entry.aggregate, entry.version, entry.data, known)))
        expected = self.next_version.get(entry.aggregate, 0)
        if entry.version != expected:
            faults.append(("order", "%s: %s version %d where %d must be" % (self.route, entry.aggregate, entry.version,
                                                                            expected)))
        self.next_version[entry.aggregate] = max(entry.version + 1, expected)


class Checker:
    """Of one store and its sinks."""

    def __init__(self, scene):
        self.scene, self.store, self.last = scene, {}, 0
        self.forgiven = {}  # route: positions that were lost by a decision
        self.sinks = {}
        for route in ("topics", "once", "cache", "audit"):
            self.begin_anew(route)

    def begin_anew(self, route):
        """Its sink has lost what it had, or some of it: read it from its beginning."""
        reader = {"cache": Streams, "audit": Files}.get(route)
        self.sinks[route] = Sink(route, reader(self.scene) if reader else Topics(self.scene, route))

    def _read_store(self, session):
        for position, *event in session.ask(
                "SELECT id, aggregate_id, version, json_data::text FROM es_events WHERE id > %s ORDER BY id", self.last):
            self.store[position] = tuple(event)

    def _missing(self, route, up_to):
        """Events at or below the checkpoint of their partition that the sink does not have."""
        seen, forgiven = self.sinks[route].seen, self.forgiven.get(route, ())
        return [position for position, event in self.store.items() if position not in seen and position not in forgiven and
                position <= up_to[partition_of(event[0], self.scene.partitions)]]

    def _read_sinks(self, routes, session):
        """First the sinks, then the store: so what they have is committed in what it shows."""
        for route in routes:
            self.sinks[route].reader.read()
        self._read_store(session)
        faults = []
        for route in routes:
            self.sinks[route].judge(self.store, faults)
        return faults

    def in_the_middle(self, routes):
        """While writers and faults are at work: no checkpoint stands above what its sink has."""
        up_to = {key: row[0] for key, row in self.scene.checkpoints(self.scene.quick).items()}
        faults = self._read_sinks(routes, self.scene.quick)
        for route in routes:
            marks = [up_to.get((route, partition), 0) for partition in range(self.scene.partitions)]
            faults += [("checkpoint", "%s: the checkpoint is beyond %d, which the sink does not have" % (route, position))
                       for position in self._missing(route, marks)]
        return faults

    def at_the_end(self):
        """Everybody has come to rest, and every checkpoint is at the store's head."""
        faults = self._read_sinks(list(self.sinks), self.scene.direct)
        self.last = max(self.store, default=0)
        for route in self.sinks:
            faults += [("lost", "%s: position %d" % (route, position))
                       for position in self._missing(route, [self.last] * self.scene.partitions)]
        return faults

    def after_the_store_forgot(self):
        """The store is older than its sinks: it was restored, or lost its tail. What they have of it that it does not is no
        fault, but no position may come a second time in a partition, and nothing that it has may be missing where a route goes on.

        Returns the faults, the (route, partition) that must have stopped, as the last that they hold is beyond the store or
        another event there, and those that hold anything that the store has not. (An event that is missing below the store's
        last may have been deleted; its position will not be drawn again: who stands there may go on.)"""
        faults, ahead, self.store, self.forgotten = [], set(), {}, {}
        self.last = 0
        self._read_store(self.scene.direct)
        head = max(self.store)
        for route in sorted(ONCE):
            self.begin_anew(route)
            sink, seen, last = self.sinks[route], set(), {}
            sink.reader.read()
            for entry in sink.reader.take():
                partition = partition_of(entry.aggregate, self.scene.partitions)
                if (partition, entry.position) in seen:
                    faults.append(("twice", "%s: position %d of partition %d, which the store forgot" % (
                        route, entry.position, partition)))
                seen.add((partition, entry.position))
                sink.seen.add(entry.position)
                if entry.position >= last.get(partition, (0,))[0]:
                    last[partition] = entry.position, entry.aggregate, entry.version
                if self.store.get(entry.position, ())[:2] != (entry.aggregate, entry.version):
                    self.forgotten.setdefault((route, partition), []).append(
                        (entry.position, entry.aggregate, entry.version))
            ahead |= {(route, partition) for partition, (position, *event) in last.items()
                      if position > head or tuple(event) != tuple(self.store.get(position, (event,))[:2])}
            marks = [-1 if (route, partition) in self.forgotten else head for partition in range(self.scene.partitions)]
            faults += [("lost", "%s: position %d" % (route, position)) for position in self._missing(route, marks)]
        return faults, ahead, set(self.forgotten)
