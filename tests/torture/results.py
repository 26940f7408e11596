"""The results of all runs in one file, by commit; a row is a fault, or a pair, and counts what was found.

A row whose code changed since (src/, connectors/, schemas/) is stale.
"""
import json
import os
import subprocess

from servers import ROOT

PATH = os.path.join(ROOT, "tests", "torture", "results.json")
CODE = ["src", "connectors", "schemas"]


def git(*words):
    done = subprocess.run(["git", "-C", ROOT, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def commit_of_code():
    """The last commit that changed the code; with changes that are in none, "work tree"."""
    if git("diff", "--quiet", "HEAD", "--", *CODE) is None:
        return "work tree"
    return git("log", "-1", "--format=%h", "--", *CODE) or "unknown"


def is_stale(commit):
    return git("diff", "--quiet", commit, "HEAD", "--", *CODE) is None


class Results:
    def __init__(self, path=PATH):
        self.path, self.all = path, {}
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as kept:
                self.all = json.load(kept)

    def of(self, commit):
        return self.all.setdefault(commit, {"faults": {}, "runs": {}})

    def add(self, commit, seed, outcome):
        """One round. A seed is a run: its next round is kept, so that it can go on."""
        mine = self.of(commit)
        row = mine["faults"].setdefault(outcome.name, {"rounds": 0, "violations": {}, "asked": 0, "broker": 0, "events": 0,
                                                       "longest_s": 0.0, "sum_s": 0.0, "slow": 0})
        row["rounds"] += 1
        row["asked"] += outcome.asked
        row["broker"] += outcome.broker
        row["events"] += outcome.events
        row["slow"] += outcome.slow
        row["longest_s"] = round(max(row["longest_s"], outcome.again_s), 2)
        row["sum_s"] = round(row["sum_s"] + outcome.again_s, 2)
        for invariant, _ in outcome.violations:
            row["violations"][invariant] = row["violations"].get(invariant, 0) + 1
        run = mine["runs"].setdefault(str(seed), {"next": 0, "seconds": 0.0})
        run["next"] = max(run["next"], outcome.number + 1)
        run["seconds"] = round(run["seconds"] + outcome.seconds, 1)
        self._keep()

    def _keep(self):
        if not self.path:
            return
        with open(self.path + ".new", "w", encoding="utf-8") as out:
            json.dump(self.all, out, indent=1, sort_keys=True, ensure_ascii=False)
            out.write("\n")
        os.replace(self.path + ".new", self.path)
