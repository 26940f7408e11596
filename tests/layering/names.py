#!/usr/bin/env python3
"""Compares the names that outsiders depend on, as the program exposes them, with docs/names.txt.

    names.py SOURCE_ROOT NAMES_PROGRAM [MEOWMX]

Metrics, paths, states and classes come from the code itself, commands from the program's help; headers and fields of the
connectors are read out of their sources, for those that are there, as are the functions in SQL.
"""
import json
import os
import re
import subprocess
import sys


def run(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def commands(program, words=()):
    text = run(program, "help", *words)
    listed = re.search(r"^commands:\n((?:  .*\n)+)", text, re.M)
    for name in re.findall(r"^  (\S+)  ", listed[1], re.M) if listed else []:
        family = re.search(r"^commands:", run(program, "help", *words, name), re.M) if not words else None
        if family:
            yield from commands(program, (*words, name))
        else:
            yield " ".join(("command", *words, name))


def source(root, *path):
    with open(os.path.join(root, *path), encoding="utf-8") as file:
        return file.read()


def functions(sql):
    """The functions that others call, with the names of what they take and return, and the SQLSTATEs."""
    for name in ("meowmx_append", "meowmx_load", "meowmx_read"):
        found = re.search(r"FUNCTION %s\((.*?)\)\s+RETURNS TABLE \((.*?)\)" % name, sql, re.S)
        takes, returns = ([item.split()[0].strip('"') for item in text.split(",")] for text in found.groups())
        yield "sql-function %s(%s) %s" % (name, ", ".join(takes), ", ".join(returns))
    for code in sorted(set(re.findall(r"ERRCODE = '(MW\w+)'", sql))):
        yield f"sqlstate {code}"


def exposed(root, names, program):
    yield from run(names).splitlines()
    if program:
        yield from commands(program)
    for name in re.findall(r'MEOW_BYTES\("([a-z-]+)"\)', source(root, "connectors", "kafka", "kafka_message.c")):
        yield f"kafka-header {name}"
    flight = source(root, "connectors", "redis", "redis_flight.c")
    position = flight[flight.index('"HSET"'):]
    position = position[:position.index("\n}\n")]
    for name in re.findall(r'(?:wire_put_text\(wire|put_field\(redis), "([a-z_]+)"', position):
        yield f"redis-position-field {name}"
    before = flight[:flight.index('"HSET"')]
    before = before[before.index("static void put_field("):]
    for name in re.findall(r'(?:wire_put_text\(wire|put_field\(redis), "([a-z_]+)"', before):
        yield f"redis-field {name}"
    yield from functions(source(root, "schemas", "postgres", "009_append.sql") +
                         source(root, "schemas", "postgres", "010_read.sql"))
    for name in json.loads(source(root, "schemas", "event.schema.json"))["properties"]:
        yield f"line-field {name}"


def main():
    root, names, program = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None
    listed = {line.strip() for line in source(root, "docs", "names.txt").splitlines()
              if line.strip() and not line.startswith("#")}
    if not program:
        listed = {line for line in listed if not line.startswith("command ")}
    found = set(exposed(root, names, program))
    for name in sorted(found - listed):
        print(f"exposed, and not in docs/names.txt: {name}", file=sys.stderr)
    for name in sorted(listed - found):
        print(f"in docs/names.txt, and not exposed: {name}", file=sys.stderr)
    return 0 if found == listed else 1


if __name__ == "__main__":
    sys.exit(main())
