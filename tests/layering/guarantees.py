#!/usr/bin/env python3
"""Every promise of docs/guarantees.md names tests, and each of them is there.

usage: guarantees.py SOURCE_ROOT
"""
import os
import re
import sys


def known(root):
    """The names that a test goes by: functions, and files without their ending."""
    names = set()
    for folder, _, files in os.walk(os.path.join(root, "tests")):
        for file in files:
            if file.endswith((".c", ".py")):
                names.add(file.rsplit(".", 1)[0])
                with open(os.path.join(folder, file), encoding="utf-8") as text:
                    names.update(re.findall(r"^(?:static )?void (\w+)\(void \*\*state\)|^ *def (test_\w+)", text.read(), re.M))
    return {name for found in names for name in (found if isinstance(found, tuple) else (found,)) if name}


def main():
    root = sys.argv[1]
    names, problems, promises = known(root), [], 0
    with open(os.path.join(root, "docs", "guarantees.md"), encoding="utf-8") as page:
        for number, line in enumerate(page, 1):
            cells = [cell.strip() for cell in line.split(" | ")]
            if not line.startswith("| ") or len(cells) != 3 or cells[0] == "| promise":
                continue
            promises += 1
            named = re.findall(r"`(\w+)`", cells[2])
            if not named:
                problems.append("line %d: a promise without a test" % number)
            problems += ["line %d: there is no test %s" % (number, name) for name in named if name not in names]
    if promises < 20:
        problems.append("only %d promises were found" % promises)
    for problem in problems:
        print("docs/guarantees.md: " + problem, file=sys.stderr)
    return 1 if problems else 0


sys.exit(main())
