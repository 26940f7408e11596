"""The examples in examples/sql, each against a store of its own: what docs/sql.md shows does what it says.

usage: test_examples.py MEOWMX psql|python|go|java|node ...

Go, Java and Node fetch their driver from their registry (through the machine's own settings for it).
"""
import os
import shutil
import subprocess
import sys

from world import Server, scratch

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "sql")
MEOWMX = os.path.abspath(sys.argv[1])
JDBC = "org.postgresql:postgresql:42.7.13"

SAYS = """appended version 0
refused with MW001 - expected -1, found 0
appended version 1
appended version 1
0 OrderPlaced {"customer": "Mimi", "total": 12.50}
1 OrderPaid {"method": "card"}
read 2 events
"""


def run(folder, *words):
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, text=True, timeout=600)
    if done.returncode:
        sys.exit("%s: status %d\n%s" % (" ".join(words), done.returncode, done.stdout))
    return done.stdout


def psql(folder, url):
    return run(folder, "psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", "append.psql.sql", url)


def python(folder, url):
    return run(folder, sys.executable, "append.py", url)


def go(folder, url):
    return run(folder, "go", "run", "append.go", url)


def java(folder, url):
    run(folder, "mvn", "-q", "-B", "dependency:copy", "-Dartifact=" + JDBC, "-DoutputDirectory=" + folder)
    user, _, rest = url[len("postgresql://"):].partition("@")
    return run(folder, "java", "-cp", "postgresql-%s.jar" % JDBC.rpartition(":")[2], "Append.java",
               "jdbc:postgresql://%s?user=%s" % (rest, user))


def node(folder, url):
    run(folder, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
    return run(folder, "node", "append.mjs", url)


def same(text):
    """Blanks and trailing zeros are each language's own, and psql prints no detail."""
    return text.replace(" ", "").replace("12.50", "12.5").replace("-expected-1,found0", "")


def main():
    postgres = Server("postgres", "fsync=off")
    subprocess.run([MEOWMX, "setup", "--store", postgres.url], check=True, stderr=subprocess.DEVNULL)
    folder = os.path.join(scratch(), "sql")
    shutil.copytree(EXAMPLES, folder)
    for language in sys.argv[2:]:
        said = {"psql": psql, "python": python, "go": go, "java": java, "node": node}[language](folder, postgres.url)
        if same(said) != same(SAYS) or (language != "psql" and "expected -1, found 0" not in said):
            sys.exit("%s said:\n%s" % (language, said))
        print("ok", language)


main()
