#!/usr/bin/env python3
"""The command line: setup, which store a command means, aggregates and delete.

usage: test_cli_store.py MEOWMX [unittest arguments]
"""
import os
import tempfile

from cli import Case, Database, main, meowmx, psql, scratch


class Setup(Case):
    def test_setup_twice_changes_nothing(self):
        self.good("append", "order", "o-1", "Placed", "1")
        self.good("setup")
        self.assertEqual(self.events(), 1)

    def test_a_store_without_tables_says_setup(self):
        Database.fresh()
        self.refused(78, "meowmx setup", "load")
        self.refused(78, "meowmx setup", "append", "order", "o-1", "Placed", "1")
        self.refused(78, "meowmx setup", "tail")

    def test_an_id_type_that_is_none(self):
        Database.fresh()
        done = meowmx("setup", "--id-type", "TEXT); DROP TABLE x")
        self.assertNotEqual(done.status, 0)
        self.assertEqual(psql(Database.url, "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'es_%'"), "0")


class Stores(Case):
    def test_the_store_is_named_by_flag_environment_file_or_libpq(self):
        self.good("append", "order", "1", "A", "1")
        folder = os.path.join(scratch(), "named")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "m.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("store: {url: '%s'}\n" % Database.url)
        host, port = Database.url.split("@")[1].split("/")[0].split(":")
        wrong = "postgresql://nobody@127.0.0.1:1/x"
        for arguments, variables in (
            (("--store", Database.url), {"MEOWMX_STORE_URL": wrong}),
            ((), {"MEOWMX_STORE_URL": Database.url}),
            (("-c", path), {}),
            (("--config=" + path,), {}),
            ((), {"MEOWMX_CONFIG": path}),
            (("-c" + path, "--store", Database.url), {}),
            ((), {"PGHOST": host, "PGPORT": port, "PGUSER": "postgres", "PGDATABASE": Database.name()}),
        ):
            with self.subTest(arguments=arguments, variables=variables):
                self.assertEqual(len(self.good("load", *arguments, store=False, **variables).lines()), 1)
        os.rename(path, os.path.join(folder, "meowmx.yaml"))
        self.assertEqual(len(self.good("load", store=False, folder=folder).lines()), 1)

    def test_without_a_name_the_store_is_a_file_which_only_setup_creates(self):
        folder = tempfile.mkdtemp(dir=scratch())
        for command in (["load"], ["append", "a", "1", "A", "{}"], ["tail"], ["status"], ["subscription", "list"]):
            done = meowmx(*command, store=False, folder=folder)
            self.assertEqual(done.status, 66, done.text)
            self.assertIn("store: sqlite:meowmx.db\n", done.text)
            self.assertIn("there is no file meowmx.db", done.text)
            self.assertIn("meowmx setup", done.text)
            self.assertEqual(os.listdir(folder), [])
        self.assertEqual(self.good("setup", store=False, folder=folder).text, "store: sqlite:meowmx.db\n")
        self.good("append", "order", "1", "A", "{}", store=False, folder=folder)
        done = self.good("load", store=False, folder=folder)
        self.assertEqual(done.text, "store: sqlite:meowmx.db\n")
        self.assertEqual([event["type"] for event in done.lines()], ["A"])

    def test_a_store_that_cannot_be(self):
        self.refused(66, "there is no file a.db", "load", "--store", "sqlite:a.db")
        self.refused(78, "names no file", "load", "--store", "sqlite:")
        self.refused(78, "has no host", "load", "--store", "sqlite://host/a.db")
        self.refused(65, "cannot follow it", "tail", "--store", "sqlite::memory:")
        self.refused(78, "must begin with postgresql://", "load", "--store", "mysql://x")
        self.refused(69, "127.0.0.1", "load", "--store", "postgresql://postgres@127.0.0.1:1/x")
        self.refused(66, "none.yaml cannot be opened", "load", "-c", "none.yaml")

    def test_a_wrong_password_is_denied(self):
        psql(Database.server.url, "CREATE ROLE stranger_%d LOGIN" % Database.count)
        url = Database.url.replace("postgres@", "stranger_%d@" % Database.count)
        done = meowmx("load", "--store", url)
        self.assertEqual(done.status, 77, done.text)

    def test_a_server_that_only_reads_is_denied(self):
        url = Database.url + "?options=-c%20default_transaction_read_only%3Don"
        done = meowmx("append", "order", "1", "A", "1", "--store", url)
        self.assertEqual(done.status, 77, done.text)


class Aggregates(Case):
    def setUp(self):
        super().setUp()
        for name in ("b", "a", "c", "注文"):
            self.good("append", "order", name, "Placed", "1", "Paid", "2", "Shipped", "3")
        self.good("append", "invoice", "i", "Sent", "1")

    def listed(self, *arguments):
        return [(one["aggregate_type"], one["aggregate_id"], one["version"])
                for one in self.good("aggregates", *arguments).lines()]

    def test_they_are_listed_by_id(self):
        self.assertEqual(self.listed(), [("order", "a", 2), ("order", "b", 2), ("order", "c", 2), ("invoice", "i", 0),
                                         ("order", "注文", 2)])
        self.assertEqual(self.listed("invoice"), [("invoice", "i", 0)])
        self.assertEqual(self.listed("order", "--limit", "2"), [("order", "a", 2), ("order", "b", 2)])
        self.assertEqual(self.listed("nothing"), [])

    def test_more_than_a_page(self):
        psql(Database.url, "INSERT INTO es_aggregates SELECT 'x' || lpad(n::text, 5, '0'), -1, 'many' "
                           "FROM generate_series(1, 2500) n")
        self.assertEqual([one[1] for one in self.listed("many")], ["x%05d" % n for n in range(1, 2501)])

    def test_an_aggregate_is_deleted(self):
        done = self.good("delete", "order", "a", "--yes")
        self.assertEqual(done.lines(), [{"deleted": 3}])
        self.assertNotIn(("order", "a", 2), self.listed())
        self.assertEqual(self.good("load", "order", "a").lines(), [])
        self.good("append", "order", "a", "--expect", "new", "Placed", "4")

    def test_its_last_events_are_deleted_and_their_versions_used_again(self):
        self.assertEqual(self.good("delete", "order", "b", "--from", "1", "--yes").lines(), [{"deleted": 2}])
        done = self.good("append", "order", "b", "--expect", "0", "Cancelled", "4").lines()[0]
        self.assertEqual(done["version"], 1)
        self.assertEqual([line["data"] for line in self.good("load", "order", "b").lines()], [1, 4])

    def test_nothing_is_deleted_without_a_yes(self):
        done = meowmx("delete", "order", "a")
        self.assertEqual(done.status, 64)
        self.assertIn("give --yes", done.text)
        self.assertIn("nothing was done", self.good("delete", "order", "a", "--dry-run").text)
        self.assertIn("nothing to delete", self.good("delete", "order", "z", "--yes").text)
        self.assertIn("ends at version 2", self.good("delete", "order", "a", "--from", "3", "--yes").text)
        self.refused(65, "known as type order", "delete", "invoice", "a", "--yes")
        self.assertEqual(self.events(), 13)


if __name__ == "__main__":
    main()
