#!/usr/bin/env python3
"""Appending and reading events in Python with psycopg 3, after `meowmx setup`:

    append.py postgresql://localhost/shop
"""
import json
import sys
import uuid

import psycopg


def append(connection, order, expected, events, append_id=None):
    """The version of the last event. expected: a version, -1 for a new order, None for whatever is there."""
    row = connection.execute(
        "SELECT max(version) FROM meowmx_append('order', %s, %s, %s, %s)",
        (order, expected, json.dumps([{"type": type, "data": data} for type, data in events]), append_id)).fetchone()
    return row[0]


def pay(connection, order):
    """Loads, decides, appends; whoever is overtaken loads again. The append_id stays the same over all tries, so that
    it is paid once even if a try whose answer got lost was committed."""
    payment = uuid.uuid4()
    while True:
        try:
            with connection.transaction():  # statements about tables of your own go in here, and commit with the event
                loaded = connection.execute("SELECT version FROM meowmx_load('order', %s)", (order,)).fetchall()
                return append(connection, order, loaded[-1][0], [("OrderPaid", {"method": "card"})], payment), payment
        except psycopg.DatabaseError as error:
            if error.sqlstate != "MW001":
                raise


def main():
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        order = uuid.uuid4()
        print("appended version", append(connection, order, -1, [("OrderPlaced", {"customer": "Mimi", "total": 12.5})]))
        try:
            append(connection, order, -1, [("OrderPlaced", {})])
        except psycopg.DatabaseError as error:
            print("refused with", error.sqlstate, "-", error.diag.message_detail)
        version, payment = pay(connection, order)
        print("appended version", version)
        print("appended version", append(connection, order, 0, [("OrderPaid", {"method": "card"})], payment))  # again

        # As text: psycopg would turn json into Python's own values, and numbers like 1.00 or 1e400 into others.
        for version, type, data in connection.execute(
                "SELECT version, type, data::text FROM meowmx_load('order', %s)", (order,)):
            print(version, type, data)

        # Everything behind a position, in order, settled events alone; a reader keeps the last position it has seen.
        position, seen = 0, 0
        while rows := connection.execute("SELECT position, aggregate_id FROM meowmx_read(%s, 1000)", (position,)).fetchall():
            position = rows[-1][0]
            seen += sum(id == str(order) for _, id in rows)
        print("read", seen, "events")


main()
