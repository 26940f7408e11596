#!/usr/bin/env python3
"""docs/library.md is true: its C is one program, which compiles and prints what the page says.

usage: test_library.py BUILD_FOLDER
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from installed import Installed  # noqa: E402
from servers import ROOT, Server, scratch  # noqa: E402


def blocks(text, language):
    return re.findall(r"^```%s\n(.*?)^```$" % language, text, re.MULTILINE | re.DOTALL)


def main():
    with open(os.path.join(ROOT, "docs", "library.md"), encoding="utf-8") as page:
        text = page.read()
    source = os.path.join(scratch(), "account.c")
    with open(source, "w", encoding="utf-8") as out:
        out.write("\n".join(blocks(text, "c")))
    installed = Installed(sys.argv[1])
    program = installed.build(source)
    said, = blocks(text, "text")
    for url in (Server("postgres", "fsync=off").url, "sqlite:" + os.path.join(scratch(), "account.db")):
        done = subprocess.run([program, url], env=installed.environment, stdout=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 0 and done.stdout == said, "%s: status %d:\n%s" % (url, done.returncode, done.stdout)


main()
