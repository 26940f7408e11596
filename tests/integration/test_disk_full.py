"""A disk that is full: under the file sink, under a SQLite store, and under a store that a relay reads. Nothing is half-written,
what went wrong is said, and everything goes on by itself once there is room.

usage: test_disk_full.py MEOWMX [--no-mount] [unittest arguments]

The disk is a small tmpfs in a mount namespace of this process's own; where that is not allowed, files have a largest size
(RLIMIT_FSIZE) instead, which is as full as a disk for whoever writes. The first line of the result says which.
"""
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import unittest
import urllib.request

from world import free_port, scratch, wait_until

MEOWMX = os.path.abspath(sys.argv[1])
INSIDE = "MEOWMX_TEST_SMALL_DISK"
SMALL = 1 << 20
ROOM = 64 << 20
LINE = '{"aggregate_type":"order","aggregate_id":"%d","type":"e","data":"%s"}\n'


def unshare():
    """The command that gives a process mounts of its own, or None where that is not allowed."""
    command = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
    probe = command + ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"]
    allowed = subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    return command if allowed else None


class SmallDisk:
    """A tmpfs, in a namespace of this process's own."""

    def __init__(self, name):
        self.folder = os.path.join(scratch(), name)
        os.mkdir(self.folder)
        self.mount("size=%d" % SMALL)

    def mount(self, options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], check=True)

    def start(self, command, **more):
        return subprocess.Popen(command, **more)

    def make_room(self, processes):
        del processes
        self.mount("remount,size=%d" % ROOM)

    def close(self):
        subprocess.run(["umount", "--lazy", self.folder], check=True)


class SmallFiles:
    """The same for whoever cannot mount."""

    def __init__(self, name):
        self.folder = os.path.join(scratch(), name)
        self.limit = SMALL
        os.mkdir(self.folder)

    def start(self, command, **more):
        limit = self.limit
        return subprocess.Popen(command, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)), **more)

    def make_room(self, processes):
        self.limit = ROOM
        for process in processes:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))

    def close(self):
        pass


class Full(unittest.TestCase):
    count = 0

    def setUp(self):
        Full.count += 1
        self.disk = (SmallDisk if INSIDE in os.environ else SmallFiles)("disk-%d" % Full.count)
        self.addCleanup(self.disk.close)
        self.roomy = os.path.join(scratch(), "roomy-%d" % Full.count)
        os.mkdir(self.roomy)
        self.port = free_port()

    def meowmx(self, *words, limited=False, stdin=""):
        start = self.disk.start if limited else subprocess.Popen
        process = start([MEOWMX, *words, "--store", self.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True)
        out, err = process.communicate(stdin)
        return process.returncode, out, err

    def append(self, count, size=400, **more):
        return self.meowmx("append", "-", stdin="".join(LINE % (i % 5, "x" * size) for i in range(count)), **more)

    def append_until_full(self, lines):
        """What is refused says so. Of a file that may not grow SQLite cannot tell whether its commit will come back."""
        status, count = 0, 0
        while status == 0 and count < 20000:
            status, _, err = self.append(lines, limited=True)
            count += lines
        self.assertRegex(err, "the disk is full: nothing was written|disk I/O error")
        self.assertEqual(status, 69 if "may be committed or not" in err else 74, err)

    def relay(self, file):
        config = os.path.join(self.roomy, "meowmx.yaml")
        with open(config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\nhttp: {listen: '127.0.0.1:%d'}\nrelay: {backoff_max: 500ms}\n"
                      "routes: {audit: {file: {path: '%s'}}}\n" % (self.url, self.port, file))
        with open(os.path.join(self.roomy, "log"), "ab") as log:
            process = self.disk.start([MEOWMX, "relay", "-c", config], stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def route(self):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/status" % self.port, timeout=5) as reply:
                return json.load(reply)["routes"][0]
        except OSError:
            return {}

    def said(self):
        with open(os.path.join(self.roomy, "log"), encoding="utf-8") as log:
            return log.read()

    def positions(self, file):
        """Of the whole lines."""
        with open(file, encoding="utf-8") as lines:
            return [json.loads(line)["position"] for line in lines if line.endswith("\n")]

    def finish(self, process, file, count):
        wait_until("%d lines" % count, lambda: len(self.positions(file)) >= count, 20)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=20), 0, self.said())
        self.assertEqual(self.positions(file), list(range(1, count + 1)))

    def test_the_file_sink_stops_at_a_whole_line_and_goes_on(self):
        self.url = "sqlite:" + os.path.join(self.roomy, "store.db")
        self.assertEqual(self.meowmx("setup")[0], 0)
        self.assertEqual(self.append(5000)[0], 0)
        file = os.path.join(self.disk.folder, "events.jsonl")
        process = self.relay(file)
        wait_until("a full disk", lambda: re.search("disk is full|largest size", self.route().get("reason", "")), 20)
        delivered = self.route()["delivered"]
        self.assertLess(delivered, 5000)
        self.assertGreaterEqual(len(self.positions(file)), delivered)
        self.assertEqual(self.positions(file), list(range(1, len(self.positions(file)) + 1)))
        self.disk.make_room([process])
        self.finish(process, file, 5000)

    def test_an_append_to_sqlite_is_whole_or_nothing(self):
        path = os.path.join(self.disk.folder, "store.db")
        self.url = "sqlite:" + path
        self.assertEqual(self.meowmx("setup")[0], 0)
        self.append_until_full(50)
        appended = len(self.meowmx("load")[1].splitlines())
        self.assertEqual(appended % 50, 0)
        self.disk.make_room([])
        self.assertEqual(self.append(50, limited=True)[0], 0)
        events = [json.loads(line) for line in self.meowmx("load")[1].splitlines()]
        self.assertEqual(len(events), appended + 50)
        for aggregate in "01234":
            versions = [event["version"] for event in events if event["aggregate_id"] == aggregate]
            self.assertEqual(versions, list(range(len(versions))))
        with sqlite3.connect(path) as check:
            self.assertEqual(check.execute("PRAGMA integrity_check").fetchone(), ("ok",))

    def test_a_relay_whose_store_cannot_keep_its_checkpoint_goes_on_once_there_is_room(self):
        self.url = "sqlite:" + os.path.join(self.disk.folder, "store.db")
        self.assertEqual(self.meowmx("setup")[0], 0)
        self.assertEqual(self.append(100)[0], 0)
        file = os.path.join(self.roomy, "events.jsonl")
        process = self.relay(file)
        wait_until("the first lines", lambda: os.path.exists(file) and len(self.positions(file)) == 100, 20)
        self.append_until_full(20)
        self.disk.make_room([process])
        appended = len(self.meowmx("load")[1].splitlines())
        status, _, err = self.append(20, limited=True)
        self.assertEqual(status, 0, err)
        self.finish(process, file, appended + 20)


if __name__ == "__main__":
    limited = "--no-mount" in sys.argv
    arguments = [word for word in sys.argv[2:] if word != "--no-mount"]
    command = None if limited or INSIDE in os.environ else unshare()
    if command:
        os.execvpe(command[0], command + [sys.executable] + sys.argv, dict(os.environ, **{INSIDE: "1"}))
    print("full is: %s" % ("a small tmpfs" if INSIDE in os.environ else "RLIMIT_FSIZE"))
    unittest.main(argv=[sys.argv[0]] + arguments, warnings="ignore")
