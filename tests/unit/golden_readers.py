#!/usr/bin/env python3
"""Reads the golden files back with other people's decoders: python3-msgpack and python3-jsonschema.

usage: golden_readers.py SCHEMAS_DIR
"""
import json
import os
import pathlib
import re
import sys
from decimal import Decimal

try:
    import jsonschema
    import msgpack
except ImportError as missing:
    # The decoders come with Debian's own Python, which need not be the first one in PATH.
    if os.path.exists("/usr/bin/python3") and os.environ.get("GOLDEN_READERS_AGAIN") is None:
        os.environ["GOLDEN_READERS_AGAIN"] = "1"
        os.execv("/usr/bin/python3", ["/usr/bin/python3"] + sys.argv)
    print("skipped: %s (apt-get install python3-msgpack python3-jsonschema)" % missing)
    sys.exit(77)

schemas = pathlib.Path(sys.argv[1])
schema = json.loads((schemas / "event.schema.json").read_text(encoding="utf-8"))


def validator():
    if hasattr(jsonschema, "Draft202012Validator"):
        return jsonschema.Draft202012Validator
    return jsonschema.Draft7Validator


def parse_number(text):
    """The rule of docs/formats.md, written a second time in other words."""
    if re.fullmatch(r"-?[0-9]+", text) and text != "-0" and -2**63 <= int(text) < 2**64:
        return int(text)
    number = float(text)
    if number in (float("inf"), float("-inf")) or Decimal(repr(number)) != Decimal(text):
        return text
    return number


def load(text):
    return json.loads(text, parse_int=parse_number, parse_float=parse_number)


def same(a, b):
    """Equal, of the same types all the way down (1 is not 1.0, and -0.0 not 0.0)."""
    return repr(a) == repr(b)


failed = 0


def check(what, good):
    global failed
    if not good:
        failed += 1
    print("%s: %s" % ("ok" if good else "FAILED", what))


validator().check_schema(schema)
for name in ("order", "odd", "bare"):
    line = (schemas / "golden" / (name + ".json")).read_bytes()
    data = (schemas / "golden" / (name + ".data.json")).read_bytes()
    packed = (schemas / "golden" / (name + ".msgpack")).read_bytes()
    envelope = json.loads(line)
    errors = [error.message for error in validator()(schema).iter_errors(envelope)]
    check("%s.json follows the schema %s" % (name, errors), not errors)
    check("%s.json is one line" % name, b"\n" not in line and b"\r" not in line)
    check("%s.json has the data byte for byte" % name, data.replace(b"\r", b" ").replace(b"\n", b" ") in line)
    check("%s.msgpack is the same object" % name, same(msgpack.unpackb(packed, raw=False), load(line)))

for name, change in (
    ("an unknown key", {"extra": 1}),
    ("a position of 0", {"position": 0}),
    ("an id that is a number", {"aggregate_id": 12}),
    ("a time without microseconds", {"time": "2026-11-23T08:09:10Z"}),
):
    broken = dict(json.loads((schemas / "golden" / "order.json").read_bytes()), **change)
    check("the schema refuses %s" % name, not validator()(schema).is_valid(broken))

sys.exit(1 if failed else 0)
