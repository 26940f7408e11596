"""Python meowmx 0.4.1 for tests and the bench, over scripts/python-meowmx."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def enter():
    """Goes on only in an interpreter that can import meowmx 0.4.1: any other runs this very program anew by that one.

    Returns the folder of its source distribution. To be called before anything was started.
    """
    done = subprocess.run([os.path.join(ROOT, "scripts", "python-meowmx")], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit("Python meowmx cannot be had")
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    if sys.prefix != os.path.dirname(os.path.dirname(found["python"])):
        os.execv(found["python"], [found["python"], *sys.argv])
    return found["source"]


def engine_url(url):
    """SQLAlchemy's name of a PostgreSQL URL, with the driver that meowmx wants."""
    return "postgresql+psycopg" + url[url.index(":"):]
