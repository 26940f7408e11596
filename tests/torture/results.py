"""The results of all runs in one file, by the code that ran; a row is a fault, or a pair, and counts what was found.

The code is src/, connectors/ and schemas/; a row of another code than that of now is stale.
"""
import datetime
import fcntl
import hashlib
import json
import os
import shutil
import subprocess

from servers import ROOT

PATH = os.path.join(ROOT, "tests", "torture", "results.json")
CODE = ["src", "connectors", "schemas"]


def git(*words):
    """What git answers; None if it fails, or is not there."""
    if not shutil.which("git"):
        return None
    done = subprocess.run(["git", "-C", ROOT, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def code_now():
    """What names the code, whatever its commit is called: a digest of the trees at HEAD, with a star where the work tree
    has changes beside them."""
    trees = [git("rev-parse", "HEAD:" + folder) for folder in CODE]
    if None in trees:
        return "unknown"
    changed = git("diff", "--quiet", "HEAD", "--", *CODE) is None
    return hashlib.sha256(" ".join(trees).encode()).hexdigest()[:12] + ("*" if changed else "")


class Results:
    def __init__(self, path=PATH):
        self.path, self.all = path, {}
        self.read()

    def read(self):
        if self.path and os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as kept:
                self.all = json.load(kept)

    def of(self, code):
        return self.all.setdefault(code, {"commit": git("log", "-1", "--format=%h") or "", "faults": {}, "runs": {},
                                          "date": str(datetime.date.today())})

    def rounds(self, code, name):
        return self.of(code)["faults"].get(name, {"rounds": 0})["rounds"]

    def add(self, code, seed, outcome):
        """One round. Several runs may do so at once."""
        if not self.path:
            self._count(code, seed, outcome)
            return
        folder = os.open(os.path.dirname(self.path), os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            self.read()
            self._count(code, seed, outcome)
            self._keep()
        finally:
            os.close(folder)

    def _count(self, code, seed, outcome):
        """A seed is a run: its next round is kept, so that it can go on."""
        mine = self.of(code)
        row = mine["faults"].setdefault(outcome.name, {"rounds": 0, "violations": {}, "asked": 0, "broker": 0, "events": 0,
                                                       "longest_s": 0.0, "sum_s": 0.0, "slow": 0, "kills": 0})
        row["rounds"] += 1
        row["asked"] += outcome.asked
        row["broker"] += outcome.broker
        row["events"] += outcome.events
        row["slow"] += outcome.slow
        row["kills"] = row.get("kills", 0) + outcome.kills
        row["longest_s"] = round(max(row["longest_s"], outcome.again_s), 2)
        row["sum_s"] = round(row["sum_s"] + outcome.again_s, 2)
        for invariant, _ in outcome.violations:
            row["violations"][invariant] = row["violations"].get(invariant, 0) + 1
        run = mine["runs"].setdefault(str(seed), {"next": 0, "seconds": 0.0})
        run["next"] = max(run["next"], outcome.number + 1)
        run["seconds"] = round(run["seconds"] + outcome.seconds, 1)

    def _keep(self):
        with open(self.path + ".new", "w", encoding="utf-8") as out:
            json.dump(self.all, out, indent=1, sort_keys=True, ensure_ascii=False)
            out.write("\n")
        os.replace(self.path + ".new", self.path)
