"""The README's first ten minutes are true: its shell blocks run, in order, and the sinks get what it says.

usage: test_readme.py PROGRAM TOOLS [--no-kafka]

Addresses are replaced by those of private servers, everything else is taken as it stands. Every link of the
documentation to another file must lead somewhere.
"""
import glob
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from servers import ROOT, Server, scratch  # noqa: E402


def blocks(text):
    """(language, content) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def without_route(text, route):
    return re.sub(r"^  %s:.*?(?=^  \w|\Z)" % route, "", text, flags=re.MULTILINE | re.DOTALL)


def dead_links():
    found = []
    for path in glob.glob(os.path.join(ROOT, "*.md")) + glob.glob(os.path.join(ROOT, "docs", "*.md")):
        with open(path, encoding="utf-8") as lines:
            for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", lines.read()):
                if "://" not in target and not os.path.exists(os.path.join(os.path.dirname(path), target)):
                    found.append("%s links to %s, which is not there" % (os.path.relpath(path, ROOT), target))
    return found


def run_blocks(text, program, addresses, kafka):
    for placeholder, address in addresses.items():
        assert placeholder in text, "the README does not name %s" % placeholder
        text = text.replace(placeholder, address)
    shell = []
    for language, content in blocks(text):
        if language == "yaml":
            with open(os.path.join(scratch(), "meowmx.yaml"), "w", encoding="utf-8") as out:
                out.write(content if kafka else without_route(content, "orders"))
        elif language == "sh":
            shell.append(content)
    assert len(shell) >= 4, "the README has fewer shell blocks than it must"
    shell = [block + "sleep 4\n" if "relay &" in block else block for block in shell]
    script = "set -euo pipefail\ntrap 'kill %%; wait %%' EXIT\n" + "".join(shell) + "sleep 2\n"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "MEOWMX_"))}
    environment["PATH"] = os.path.dirname(program) + ":" + environment["PATH"]
    environment["MEOWMX_HTTP_LISTEN"] = "127.0.0.1:0"
    done = subprocess.run(["bash", "-x", "-c", script], cwd=scratch(), env=environment, timeout=120,
                          stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    assert done.returncode == 0, "a block failed with status %d" % done.returncode
    return done.stdout


def main():
    program, tools = os.path.abspath(sys.argv[1]), sys.argv[2]
    kafka = Server("kafka") if "--no-kafka" not in sys.argv else None
    postgres, redis = Server("postgres"), Server("redis")
    addresses = {"postgresql://localhost/shop": postgres.url, "redis://localhost:6379/0": redis.url}
    if kafka:
        addresses["localhost:9092"] = kafka.url
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as lines:
        said = run_blocks(lines.read(), program, addresses, kafka)
    wanted = ["OrderPlaced", "OrderPaid", "OrderShipped", "OrderReturned"]
    assert '"type":"OrderShipped"' in said, "load prints the order's events"
    assert "RUNNING" in said, "status shows running routes"
    with open(os.path.join(scratch(), "events.jsonl"), encoding="utf-8") as lines:
        assert [json.loads(line)["type"] for line in lines] == wanted, "the file has the order's events"
    entries = subprocess.run(["redis-cli", "-u", redis.url, "xrange", "shop:order", "-", "+"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    assert re.findall(r"^type\n(\w+)$", entries, re.MULTILINE) == wanted, "Redis has the order's events"
    if kafka:
        dump = subprocess.run([os.path.join(tools, "kafka_dump"), kafka.url, "shop.order"], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
        assert [line.split("\t")[7] for line in dump.splitlines()] == wanted, "Kafka has the order's events"
    faults = dead_links()
    print("\n".join(faults))
    return 1 if faults else 0


sys.exit(main())
