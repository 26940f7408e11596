"""The relay into a Redis that Sentinel fails over to a replica that lacks the tail: the route goes back and says so.

usage: test_failover.py MEOWMX [unittest arguments]
"""
import os
import signal
import subprocess
import sys
import unittest

from world import Redis, Server, free_port, scratch, wait_until

MEOWMX = os.path.abspath(sys.argv[1])
MASTER = "mymaster"


class Failover(unittest.TestCase):
    def setUp(self):
        self.master = Server("redis", "repl-diskless-sync-delay=0")
        self.replica = Server("redis", "repl-diskless-sync-delay=0", "replicaof=127.0.0.1 %d" % self.master.port)
        self.sentinel = Server("sentinel", "sentinel=monitor %s 127.0.0.1 %d 1" % (MASTER, self.master.port),
                               "sentinel=down-after-milliseconds %s 2500" % MASTER,
                               "sentinel=failover-timeout %s 2000" % MASTER)
        self.store = "sqlite:" + os.path.join(scratch(), "failover.db")
        self.log = os.path.join(scratch(), "failover.log")
        self.meowmx("setup", "--id-type", "TEXT")
        self.relay = None
        self.addCleanup(self.end)

    def end(self):
        if self.relay:
            self.relay.kill()
            self.relay.wait()
        for server in (self.sentinel, self.replica, self.master):
            server.close()

    def meowmx(self, *words, **more):
        subprocess.run([MEOWMX, *words, "--store", self.store], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, **more)

    def append(self, count):
        line = '{"aggregate_type":"order","aggregate_id":"%d","type":"e","data":{}}\n'
        self.meowmx("append", "-", input="".join(line % (i % 7) for i in range(count)).encode())

    def start(self):
        config = os.path.join(scratch(), "failover.yaml")
        with open(config, "w", encoding="utf-8") as out:
            out.write("store: {url: '%s'}\nhttp: {listen: '127.0.0.1:%d'}\nrelay: {backoff_max: 500ms}\nroutes:\n  cache:\n    redis:\n"
                      "      url: redis+sentinel://127.0.0.1:%d/%s/0\n      stream: events\n" %
                      (self.store, free_port(), self.sentinel.port, MASTER))
        with open(self.log, "ab") as log:
            self.relay = subprocess.Popen([MEOWMX, "relay", "-c", config], stderr=log)

    def said(self, text):
        with open(self.log, encoding="utf-8") as log:
            return text in log.read()

    def follows(self):
        """What Sentinel wants to see of a replica before it promotes it."""
        replicas = Redis(self.sentinel.port).ask("SENTINEL", "REPLICAS", MASTER)
        fields = dict(zip(replicas[0][::2], replicas[0][1::2])) if len(replicas) == 1 else {}
        return fields.get("flags") == "slave" and fields.get("master-link-status") == "ok"

    def test_what_the_new_master_lacks_is_published_again(self):
        first, second = Redis(self.master.port), Redis(self.replica.port)
        self.append(100)
        self.start()
        wait_until("a replica with all of it", lambda: second.ask("XLEN", "events") == "100", 30)
        wait_until("Sentinel to know it", self.follows, 30)
        os.kill(self.replica.pid, signal.SIGSTOP)
        first.ask("CLIENT", "KILL", "TYPE", "replica")
        self.append(50)
        wait_until("the tail", lambda: first.ask("XLEN", "events") == "150", 30)
        self.master.kill()
        os.kill(self.replica.pid, signal.SIGCONT)
        wait_until("the rest in the new master", lambda: Redis(self.replica.port).ask("XLEN", "events") == "150", 60)
        self.append(10)
        wait_until("new ones", lambda: Redis(self.replica.port).ask("XLEN", "events") == "160", 30)
        entries = [entry[0] for entry in Redis(self.replica.port).ask("XRANGE", "events", "-", "+")]
        self.assertEqual(entries, ["%d-0" % position for position in range(1, 161)])
        self.assertTrue(self.said("the sink remembers less than the store: rewinding to what it remembers"))
        self.assertIsNone(self.relay.poll())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], warnings="ignore")
