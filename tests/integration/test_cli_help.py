#!/usr/bin/env python3
"""The command line: help, version and the manuals that are made of them.

usage: test_cli_help.py MEOWMX [unittest arguments]
"""
import os
import re
import sys
import unittest

from cli import ROOT, meowmx


class Help(unittest.TestCase):
    def help(self, *arguments):
        done = meowmx(*arguments, store=False)
        self.assertEqual((done.status, done.text), (0, ""))
        return done.out.decode("utf-8")

    def test_help_in_every_way(self):
        self.assertEqual(self.help("help"), self.help("--help"))
        self.assertEqual(self.help("help", "append"), self.help("append", "--help"))
        self.assertEqual(self.help("help", "config", "show"), self.help("config", "show", "-h"))
        self.assertEqual(self.help("help", "config"), self.help("config", "--help"))
        done = meowmx(store=False)
        self.assertEqual((done.status, done.out), (64, b""))
        self.assertEqual(done.text, self.help("help"))
        self.assertEqual(meowmx("help", "nothing", store=False).status, 64)
        self.assertEqual(meowmx("config", store=False).status, 64)

    def test_the_version(self):
        self.assertRegex(self.help("version"), r"^meowmx \d+\.\d+\.\d+\n$")
        self.assertEqual(self.help("version"), self.help("--version"))

    def test_the_man_page_says_what_the_help_says(self):
        man = re.sub(r"\s+", " ", self.help("help", "--man").replace("\\-", "-").replace("\\&", "").replace(".PP\n", ""))
        program = self.help("help")
        names = re.findall(r"^  ([a-z]+) ", program.split("commands:")[1].split("options")[0], re.M)
        self.assertIn("append", names)
        for name in names:
            helps = [self.help("help", name)]
            if "COMMAND" in helps[0].split("\n")[0]:
                helps = [self.help("help", name, child) for child in re.findall(r"^  ([a-z]+) ", helps[0], re.M)]
            for text in helps:
                usage, rest = text.split("\n\n", 1)
                for one in usage.replace("usage: ", "").splitlines():
                    self.assertIn(one.strip(), man)
                for paragraph in rest.split("\noptions:")[0].split("\n\n"):
                    self.assertIn(re.sub(r"\s+", " ", paragraph).strip(), man)
                for option in re.findall(r"^  (?:-., )?(--[a-z-]+)", rest, re.M):
                    if option != "--help":
                        self.assertIn(option, man)

    def test_the_page_about_settings_is_the_programs(self):
        with open(os.path.join(ROOT, "docs", "configuration.md"), encoding="utf-8") as file:
            page = file.read()
        manual = self.help("help", "--settings")
        sections = [re.split(r"(?m)^## ", text) for text in (page, manual)]
        for ours, theirs in zip(*sections):
            if "left out of this build" not in theirs:
                self.assertEqual(ours, theirs, "run: meowmx help --settings > docs/configuration.md")
        self.assertEqual(len(sections[0]), len(sections[1]))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:])  # no server
