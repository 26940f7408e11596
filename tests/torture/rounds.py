"""A round: writers write, a fault happens at a moment and ends, everything runs again by itself, and is checked."""
import itertools
import os
import random
import shutil
import threading
import time

import psycopg

from check import Checker, Unreadable
from clients import wait_until
from faults import FAULTS
from scene import BACKOFF_S, ROUTES, Scene

AGAIN_S = BACKOFF_S + 5  # in which every route must run again, judged in long runs
PATIENCE_S = 120         # after which a route that does not is taken for stuck
STORE_ROUNDS = 12        # rounds on one store: checks grow with what it holds
SERVER_STORES = 25       # stores on one set of servers
PAIRS = 0.2              # how many rounds have two faults
BEHIND = "the store is behind its sinks"
BEYOND = "has entries up to"
LOST_END = "lost the end of one"  # a lone broker's doing, which the Kafka connector names


class Outcome:
    def __init__(self, number, name):
        self.number, self.name = number, name
        self.violations, self.asked, self.broker, self.events, self.slow = [], 0, 0, 0, 0
        self.again_s, self.seconds, self.kills = 0.0, 0.0, 0
        self.spoiled = False  # the store is of no use for another round

    def wrong(self, invariant, text):
        self.violations.append((invariant, text))
        self.spoiled = True


def may_pair(one, other):
    return one is not other and not one.forgets and not other.forgets and not (
        (one.alone or other.alone) and one.on == other.on)


def some_pairs(count, chance):
    """That many pairs of faults, which the chance decides."""
    pairs = [(one.name, other.name) for one, other in itertools.combinations(FAULTS.values(), 2) if may_pair(one, other)]
    return chance.sample(pairs, count)


class LostEnd(Exception):
    """The lone broker has lost the end of a transaction."""


class Given(Exception):
    """A route has stopped, and says why; what a person does about it ends what can be compared."""


class Torture:
    def __init__(self, program, tools, seed, short, keep=None, judge_time=False, files_on_disk=True):
        self.program, self.tools, self.seed, self.short = program, tools, seed, short
        self.keep, self.judge_time, self.files_on_disk = keep, judge_time, files_on_disk
        self.scene = self.checker = None
        self.rounds_left = self.stores_left = 0

    # --- what a round works on

    def prepare(self, chance):
        if self.rounds_left and self.checker:
            self.rounds_left -= 1
            return
        self.drop_store()
        if not self.stores_left:
            self.close()
            self.scene = Scene(self.program, self.tools, self.short, files_on_disk=self.files_on_disk)
            self.scene.find_python()
            for each in FAULTS.values():
                if not (self.short and each.long) and each.needs and each.needs(self.scene):
                    print("left out: %s: %s" % (each.name, each.needs(self.scene)), flush=True)
            self.stores_left = SERVER_STORES
        self.stores_left -= 1
        self.rounds_left = STORE_ROUNDS - 1
        self.scene.fresh(chance)
        self.checker = Checker(self.scene)
        self.scene.write(0)  # topics are created at the first event of a type, one after the other
        time.sleep(0.5)
        self.scene.calm()
        head = self.scene.head()
        wait_until("that every route runs for the first time", lambda: self._all_run(self.scene.checkpoints(), head, {}), 120)

    def drop_store(self):
        if self.scene and self.checker:
            self.scene.leave()
        self.checker = None

    def close(self):
        if self.scene:
            self.scene.close()
        self.scene = self.checker = None
        self.stores_left = self.rounds_left = 0

    def _pick(self, number, chance):
        """Each fault once in a while, in an order that the seed shuffles; in long runs now and then another one with
        it."""
        deck = self.available()
        random.Random("%d deck %d" % (self.seed, number // len(deck))).shuffle(deck)
        first = deck[number % len(deck)]
        if self.short or first.forgets or chance.random() >= PAIRS:
            return [first.name]
        return [first.name, chance.choice([each for each in self.available() if may_pair(first, each)]).name]

    def available(self):
        return [each for each in FAULTS.values() if not (self.short and each.long) and
                not (each.needs and (self.scene is None or each.needs(self.scene)))]

    # --- a round

    def round(self, number, names):
        chance = random.Random("%d/%d" % (self.seed, number))
        began = time.monotonic()
        self.prepare(chance)
        names = names or self._pick(number, chance)
        outcome = Outcome(number, " + ".join(names))
        print("round %d: %s (seed %d)" % (number, outcome.name, self.seed), flush=True)
        try:
            self._torture([FAULTS[name] for name in names], chance, outcome)
        except Given as why:
            outcome.asked, outcome.spoiled = outcome.asked + 1, True
            self.scene.say(str(why))
        except LostEnd as why:
            outcome.broker, outcome.spoiled = 1, True
            self.scene.say("the lone broker lost the end of a transaction: %s" % why)
        except Unreadable as why:
            if any(FAULTS[name].on == "Kafka" for name in names):  # no client can mend that: docs/connectors.md
                outcome.broker, outcome.spoiled = 1, True
                self.scene.say("the lone broker does not show what is in a topic: %s" % why)
            else:
                outcome.wrong("running", str(why))
        outcome.seconds = time.monotonic() - began
        self._conclude(outcome)
        return outcome

    def _conclude(self, outcome):
        self.scene.say("%.1f s, %d events, running again after %.1f s%s" % (
            outcome.seconds, outcome.events, outcome.again_s, ", %d decisions" % outcome.asked if outcome.asked else ""))
        for violation in outcome.violations[:20]:
            print("  VIOLATION: %s: %s" % violation)
        if outcome.violations or outcome.slow:
            self._keep_logs(outcome)
        if outcome.spoiled:
            self.drop_store()
            for writer in self.scene.writers:
                writer.kill()
                writer.wait()
            self.scene.writers = []
        if outcome.violations:
            self.close()  # whatever they were in

    def _keep_logs(self, outcome):
        for relay in self.scene.relays:
            print("  --- %s\n%s" % (os.path.basename(relay.path), relay.log()[-3000:]))
        if self.keep:
            folder = os.path.join(self.keep, "seed%d-round%d" % (self.seed, outcome.number))
            os.makedirs(folder, exist_ok=True)
            for server in (self.scene.postgres, self.scene.redis, self.scene.kafka):
                shutil.copy(os.path.join(server.folder, "log"), os.path.join(folder, server.kind + ".log"))
            for relay in self.scene.relays:
                shutil.copy(relay.path, folder)
            with open(os.path.join(folder, "violations"), "w", encoding="utf-8") as out:
                out.write("".join("%s: %s\n" % violation for violation in outcome.violations))
            print("  kept in %s" % folder)

    def _torture(self, faults, chance, outcome):
        scene, before = self.scene, self.scene.head()
        scene.noted, scene.fallen, scene.kills = [], set(), 0
        scene.write(chance.randrange(1 << 30))
        self.play(faults, chance)
        outcome.kills = scene.kills
        if any(each.forgets for each in faults):
            self._end_forgetful(outcome)
            return
        over, before_end = time.monotonic(), scene.checkpoints()
        self.wait_for_all(faults, outcome, scene.head(), before_end)
        outcome.again_s = time.monotonic() - over
        if self.judge_time and outcome.again_s > AGAIN_S:
            outcome.slow = 1
        scene.calm()
        if not outcome.violations:
            self.wait_for_all(faults, outcome, scene.head())
            self._wait_for_each_relay(outcome)
        self._forget_the_fallen()
        if not outcome.violations:
            outcome.violations += self.checker.at_the_end()
            self.verify(before, outcome)
        outcome.violations += scene.noted
        outcome.events = scene.head() - before
        self._look_at_relays(outcome)
        outcome.spoiled = outcome.spoiled or bool(outcome.violations)

    def _end_forgetful(self, outcome):
        """The store lacks what its sinks have. Where a sink remembers, the route must stop before it publishes a position a
        second time. What the sinks have and the store lost, a person must find out: here the store is given up."""
        over, outcome.spoiled = time.monotonic(), True
        self.scene.calm()
        outcome.violations += self.scene.noted
        while not outcome.violations:
            _, ahead, more = self.checker.after_the_store_forgot()
            rows, head = self.scene.checkpoints(), self.scene.head()
            if self._all_settled(rows, ahead, more, head, outcome):
                break
            if time.monotonic() > over + PATIENCE_S:
                self._stuck(rows, outcome, head)
                for key in sorted(more):
                    print("  the store has not: %s: %s" % (key, self.checker.forgotten[key][:10]))
            time.sleep(0.2)
        outcome.again_s = time.monotonic() - over
        outcome.violations += self.checker.after_the_store_forgot()[0]
        self._look_at_relays(outcome)

    def _all_settled(self, rows, ahead, more, head, outcome):
        """Whoever is ahead of the store has stopped, whoever has nothing more than it runs; Kafka at least once remembers
        nothing, and may do either."""
        settled = True
        for key in self._wanted():
            position, state, reason = rows.get(key, (0, "", ""))
            if state == "FAILED" and BEHIND in reason:
                outcome.asked += settled and key in more
                settled = settled and (key in more or key[0] == "topics")
            else:
                settled = settled and key not in ahead and state == "RUNNING" and position >= head
        if not settled:
            outcome.asked = 0
        return settled

    def play(self, faults, chance, looks=None):
        """Lets every fault happen, each from a moment on, and end; meanwhile it looks whether any checkpoint is ahead."""
        failures, threads, after = [], [], chance.uniform(0.2, 1)
        looks = chance.random() < 0.5 if looks is None else looks
        looks = looks and not any(each.forgets for each in faults)
        for each in faults:
            steps = each.begin(self.scene, random.Random(chance.random()))
            threads.append(threading.Thread(target=self._let_happen, args=(each, steps, after, failures)))
            after += chance.uniform(0, 1)
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.4)
                if looks:
                    self._look_in_the_middle(faults)
        if failures and len(faults) == 1:
            raise failures[0]

    def _let_happen(self, each, steps, after, failures):
        try:
            time.sleep(after)
            for seconds in steps:
                time.sleep(seconds)
        except (psycopg.Error, OSError, RuntimeError) as failure:
            failures.append(failure)
            self.scene.say("%s: what another fault left did not allow it: %s" % (each.name, str(failure).strip()))

    def _look_in_the_middle(self, faults):
        """As far as the servers can be asked just now."""
        routes = ["audit"] if any(each.on == "Redis" for each in faults) else ["audit", "cache"]
        self._forget_the_fallen()
        try:
            self.scene.noted += self.checker.in_the_middle(routes)
        except (psycopg.Error, Unreadable):
            pass

    def _forget_the_fallen(self):
        for route in self.scene.fallen:
            self.checker.begin_anew(route)
        self.scene.fallen = set()

    # --- every route runs again

    def wait_for_all(self, faults, outcome, head, since=None):
        """Until every partition of every route runs and has reached `head`, or, with since, has moved beyond where it was then.
        Decides what a person must decide."""
        scene, end, decided, late = self.scene, time.monotonic() + PATIENCE_S, {}, time.monotonic() + AGAIN_S
        while True:
            rows = scene.checkpoints()
            self._decide(rows, faults, outcome, decided)
            if outcome.violations or self._all_run(rows, head, since or {}):
                return
            if time.monotonic() > late:
                late = end
                scene.say("head %d, late are: %s" % (head, ", ".join(
                    "%s %d at %s" % (*key, rows.get(key)) for key in self._left(rows, head, since or {}))))
            if time.monotonic() > end:
                self._stuck(rows, outcome, head)
                return
            time.sleep(0.05)

    def _all_run(self, rows, head, since):
        return not self._left(rows, head, since)

    def _left(self, rows, head, since):
        return [key for key in self._wanted() if key not in rows or rows[key][1] != "RUNNING" or
                rows[key][0] < min(head, since[key][0] + 1 if key in since else head)]

    def _wait_for_each_relay(self, outcome):
        """One whose routes do not come back would hide behind another that has taken them over."""
        end = time.monotonic() + PATIENCE_S
        while any(state == "RESTARTING" for relay in self.scene.relays for state in relay.states()):
            if time.monotonic() > end:
                outcome.wrong("running", "a relay's routes do not come back")
                for relay in self.scene.relays:
                    print(relay.status())
                return
            time.sleep(0.1)

    def _wanted(self):
        return [(route, partition) for route in ROUTES for partition in range(self.scene.partitions)]

    def _stuck(self, rows, outcome, head):
        reasons = " ".join(reason for _, _, reason in rows.values())
        if LOST_END in reasons:
            raise LostEnd(reasons)
        outcome.wrong("running", "after %d s, head %d: %s" % (PATIENCE_S, head, sorted(rows.items())))
        for relay in self.scene.relays:
            print(relay.status())

    def _decide(self, rows, faults, outcome, decided):
        """What the documentation tells a person to do whose route has stopped."""
        for (route, _), (_, state, reason) in rows.items():
            if state != "FAILED" or time.monotonic() < decided.get(route, 0):
                continue
            # The position key was deleted while the store was down, whose checkpoint is behind what the stream has.
            if route == "cache" and outcome.asked and BEYOND in reason and any(each.name == "redis-key" for each in faults):
                raise Given(reason)
            if not any(each.asks.get(route, "\0") in reason for each in faults):
                outcome.wrong("running", "%s has stopped: %s" % (route, reason))
                return
            self.scene.say("%s asks: %s" % (route, reason))
            outcome.asked += 1
            done = self.scene.meowmx("subscription", "resume", route, "--yes", "--store", self.scene.direct_url)
            if done.returncode != 0:
                outcome.wrong("running", "resume %s: %s" % (route, done.stderr))
            decided[route] = time.monotonic() + 5

    # --- the rest of what is checked

    def verify(self, before, outcome):
        done = self.scene.meowmx("verify", "-c", self.scene.config, "--from", str(before + 1))
        if done.returncode != 0:
            outcome.wrong("verify", "%d: %s%s" % (done.returncode, done.stdout[-3000:], done.stderr[-1000:]))

    def _look_at_relays(self, outcome):
        bound = self.scene.memory_bound()
        for relay in self.scene.relays:
            ended = relay.look()
            if ended:
                outcome.wrong("running", ended)
            if relay.peak_bytes > bound:
                outcome.wrong("memory", "%d bytes, the bound is %d" % (relay.peak_bytes, bound))
