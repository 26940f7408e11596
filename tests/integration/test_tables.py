"""The program on the tables of postgresql-event-sourcing, whose names stand in the configuration that set-up reads.

usage: test_tables.py MEOWMX
"""
import json
import os
import re
import signal
import subprocess
import sys

from world import Server, scratch, wait_until

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
MEOWMX = os.path.abspath(sys.argv[1])
ID = "00000000-0000-4000-8000-000000000001"


def expect(condition, what):
    print("%s %s" % ("ok" if condition else "FAILED", what))
    if not condition:
        sys.exit(1)


def singular_tables():
    """Its migrations, out of the test in C."""
    with open(os.path.join(ROOT, "tests", "integration", "test_tables.c"), encoding="utf-8") as source:
        text = re.search(r"singular_tables\[\] =(.*?);\n", source.read(), re.S)[1]
    return "".join(re.findall(r'"(.*?)"\n', text + "\n"))


def lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def main():
    postgres = Server("postgres", "fsync=off")
    config, file = os.path.join(scratch(), "meowmx.yaml"), os.path.join(scratch(), "events.jsonl")
    with open(config, "w", encoding="utf-8") as out:
        out.write("store:\n  url: '%s'\n  tables: {events: es_event, aggregates: es_aggregate, subscriptions: "
                  "es_event_subscription}\nroutes: {audit: {file: {path: '%s'}}}\nhttp: {listen: ''}\n" %
                  (postgres.url.replace("postgres@", "owner@"), file))

    def psql(sql, *words):
        return subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *words, postgres.url, "-c", sql], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()

    def meowmx(*words, **more):
        return subprocess.run([MEOWMX, *words, "-c", config], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, **more).stdout

    psql("CREATE ROLE owner LOGIN SUPERUSER")
    tables = singular_tables()
    expect("CHANNEL_EVENT_NOTIFY_TRG" in tables, "the tables are those of the test in C")
    psql("SET ROLE owner; " + tables)
    insert = ("INSERT INTO ES_EVENT (TRANSACTION_ID, AGGREGATE_ID, VERSION, EVENT_TYPE, JSON_DATA) VALUES "
              "(pg_current_xact_id(), '%s', %%d, 'ORDER_PLACED', '{}')" % ID)
    psql("INSERT INTO ES_AGGREGATE VALUES ('%s', 0, 'order'); UPDATE ES_AGGREGATE SET VERSION = 1; " % ID + insert % 1)
    psql("INSERT INTO ES_EVENT_SUBSCRIPTION VALUES ('integration', '0', 0)")
    meowmx("setup")
    subprocess.run(["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-f", os.path.join(ROOT, "deploy", "roles.sql"),
                    postgres.url.replace("postgres@", "owner@")], check=True)
    psql("CREATE ROLE app LOGIN IN ROLE meowmx_writer; CREATE ROLE relay LOGIN IN ROLE meowmx_relay; "
         "CREATE ROLE op LOGIN IN ROLE meowmx_operator")

    # Whoever comes later needs to know no names: they are in the store.
    with open(config, "r+", encoding="utf-8") as change:
        text = re.sub(r"  tables: .*\n", "", change.read()).replace("owner@", "relay@")
        change.seek(0)
        change.truncate()
        change.write(text)
    tail = subprocess.Popen([MEOWMX, "tail", "--from", "start", "-c", config], stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.DEVNULL)
    relay = subprocess.Popen([MEOWMX, "relay", "-c", config], stderr=subprocess.DEVNULL)
    try:
        expect(json.loads(tail.stdout.readline())["type"] == "ORDER_PLACED", "tail begins with the event that was there")
        app = postgres.url.replace("postgres@", "app@")
        meowmx("append", "order", ID, "paid", '{"by": "meowmx"}', "--expect", "1", "--store", app)
        meowmx("append", "-", "--store", app,
               input='{"aggregate_type":"order","aggregate_id":"%s","type":"sent","data":1,"expect":2}\n' % ID)
        psql("SELECT * FROM meowmx_append('order', '%s', 3, '[{\"type\": \"in SQL\", \"data\": {}}]')" % ID)
        psql("UPDATE ES_AGGREGATE SET VERSION = 5 WHERE ID = '%s' AND VERSION = 4; " % ID + insert % 5)
        wanted = [(1, "ORDER_PLACED"), (2, "paid"), (3, "sent"), (4, "in SQL"), (5, "ORDER_PLACED")]
        wait_until("all events in the file", lambda: len(lines(file)) >= len(wanted))
        expect([(event["version"], event["type"]) for event in lines(file)] == wanted, "the relay delivers all in order")
        tailed = [json.loads(tail.stdout.readline()) for _ in wanted[1:]]
        expect([(event["version"], event["type"]) for event in tailed] == wanted[1:], "and tail shows them")
        expect(all(event["aggregate_type"] == "order" for event in lines(file) + tailed), "with the aggregate's type")
    finally:
        relay.send_signal(signal.SIGTERM)
        tail.terminate()
    expect(relay.wait(timeout=20) == 0 and tail.wait(timeout=20) == 0, "both end well")
    op = ("--store", postgres.url.replace("postgres@", "op@"))
    expect("audit" in meowmx("subscription", "list", *op), "the relay's checkpoint is there")
    meowmx("subscription", "adopt", "integration", "--yes", *op)
    expect("integration" in meowmx("subscription", "list", *op), "one of its own subscriptions is adopted")
    expect("head 5," in meowmx("status", *op), "status knows the head")
    expect(psql("SELECT to_regclass('es_events')") == "", "no other tables were made")


main()
