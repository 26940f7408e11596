"""Python meowmx among the writers: python_writer.py URL SEED, run by an interpreter that can import it.

Until its standard input ends. It goes on when a connection breaks, and when another writer was first.
"""
import json
import os
import random
import sys
import threading
import time

import meowmx
import sqlalchemy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from python_meowmx import engine_url  # noqa: E402


def main():
    url, seed = sys.argv[1], int(sys.argv[2])
    engine = sqlalchemy.create_engine(engine_url(url), pool_pre_ping=True, connect_args={"connect_timeout": 3})
    client, chance, end = meowmx.Client(engine), random.Random(seed), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), end.set()), daemon=True).start()
    while not end.is_set():
        name = "basket-%d" % chance.randrange(10)
        try:
            last = client.load_events(name, limit=1, reverse=True).events
            client.save_events("basket", name, [meowmx.NewEvent("Filled", json.dumps({"with": chance.random()}))],
                               version=last[0].version + 1 if last else 0)
        except (meowmx.ExpectedVersionFailure, sqlalchemy.exc.SQLAlchemyError):
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 0.02))


main()
