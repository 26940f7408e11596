"""Rounds that several runs note at once are all there."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "support")]
from results import Results  # noqa: E402

RUNS, ROUNDS = 4, 50
NOTE = """
import sys
sys.path[:0] = sys.argv[1:3]
from results import Results
from rounds import Outcome
kept = Results(sys.argv[3])
for number in range(int(sys.argv[4])):
    kept.add("code", int(sys.argv[5]), Outcome(number, "wire-cut"))
"""


class SeveralRuns(unittest.TestCase):
    def test_lose_no_round(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "results.json")
            runs = [subprocess.Popen([sys.executable, "-c", NOTE, HERE, os.path.join(HERE, "..", "support"), path,
                                      str(ROUNDS), str(seed)]) for seed in range(RUNS)]
            self.assertEqual([run.wait() for run in runs], [0] * RUNS)
            self.assertEqual(Results(path).rounds("code", "wire-cut"), RUNS * ROUNDS)
            with open(path, encoding="utf-8") as kept:
                self.assertEqual(sorted(json.load(kept)["code"]["runs"]), [str(seed) for seed in range(RUNS)])


unittest.main()
