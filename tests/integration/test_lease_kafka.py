"""Several relays share the partitions of a route that delivers to Kafka exactly once: what test_lease.py says of Redis
holds for a read_committed consumer, too.

usage: test_lease_kafka.py MEOWMX TOOLS [unittest arguments]

TOOLS is the folder of kafka_dump.
"""
import os
import subprocess
import sys
import unittest

import test_lease
from world import Server

TOOLS = sys.argv[2]
kafka = None


class ExactlyOnce(test_lease.Sharing):
    def to_redis(self, partitions):  # under the name that the cases know
        return {"cache": "{partitions: %d, kafka: {topic: '%s.{aggregate_type}', partitions: 3, delivery: exactly-once, "
                          "client: {bootstrap.servers: '%s'}}}" % (partitions, self.name, kafka.url)}

    def arrived(self, partitions):
        dump = subprocess.run([os.path.join(TOOLS, "kafka_dump"), kafka.url, self.name + ".*"], check=True,
                              stdout=subprocess.PIPE, text=True)
        rows = [line.split("\t") for line in dump.stdout.splitlines()]
        return [(int(row[3]), row[5], int(row[6]), int(row[1])) for row in rows]


if __name__ == "__main__":
    test_lease.postgres, test_lease.redis, kafka = Server("postgres"), Server("redis"), Server("kafka")
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:], warnings="ignore")
