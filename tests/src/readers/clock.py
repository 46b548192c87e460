import random
import time

from watchfire import Condition, Finding, Outcome, Severity, offer


@offer
class Clock(Condition):
    name = "clock"

    def evaluate(self, batch, state):
        began = time.time()
        time.sleep(60)
        print("printed")
        drawn = f"{random.random()} {random.randrange(1000)}".encode()
        before = state.get("drawn")
        state.set("drawn", drawn)
        repeats = "none before" if before is None else "the same" if before == drawn else "others"
        return Outcome([Finding(0, Severity.WARNING, random.random(), f"at {round(began * 1000)}, {repeats}")])
