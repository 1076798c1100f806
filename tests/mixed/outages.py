# SPDX-License-Identifier: Apache-2.0
"""How long a client gets no write acknowledged when a fault strikes three servers of ours.

    outages.py SERVER CLIENT TIMES OUT

SERVER takes the path of a zoo.cfg; CLIENT is the example `steady`. Each fault strikes TIMES times.
OUT gets a line for each: the fault, the outage in milliseconds, and the load average of the machine.

An outage is the longest time between two acknowledgements that follow one another, from the last
before the fault to WATCHED seconds after it. The simulator measures the same in its worlds
(`sim/src/world/outage.rs`): what is changed here has to be changed there.
"""

import os
import random
import subprocess
import sys
import tempfile
import threading
import time

from members import Ensemble, Failed, await_that
from network import Network

SETTINGS = {"tickTime": 500, "initLimit": 10, "syncLimit": 4, "snapCount": 100_000}
TIMEOUT_MS = 4000
WATCHED = 8
# A fault comes once writes have flowed for a while, at no chosen moment of any timer.
FLOWED = 1, 2.5


class Steady(threading.Thread):
    """The client, and when each of its writes was acknowledged, in seconds of wall time."""

    def __init__(self, command, hosts):
        super().__init__(daemon=True)
        words = [command, hosts, str(TIMEOUT_MS)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.times = []
        self.start()

    def run(self):
        for line in self.process.stdout:
            self.times.append(int(line) / 1e6)

    def end(self):
        self.process.kill()
        self.process.wait()

    def flows(self):
        return self.times and time.time() - self.times[-1] < 0.5

    def outage(self, struck, until):
        """The longest time without, between two acknowledgements around or after a moment."""
        times = [at for at in list(self.times) if at <= until]
        first = max((n for n, at in enumerate(times) if at <= struck), default=0)
        times = times[first:]
        if not times or until - times[-1] > 1:
            raise Failed("nothing is acknowledged at the end")
        return max(later - at for at, later in zip(times, times[1:]))


def leader_killed(ensemble, leader):
    ensemble[leader].kill()
    return lambda: ensemble.start(leader, **SETTINGS)


def leader_paused(ensemble, leader):
    ensemble[leader].pause()
    return ensemble[leader].resume


def leader_cut_off(ensemble, leader):
    ways = [(leader, other) for other in ensemble.members if other != leader]
    ensemble.network.cut(ways + [way[::-1] for way in ways])
    return lambda: ensemble.network.heal(reset=False)


def leader_not_heard(ensemble, leader):
    ensemble.network.cut([(leader, other) for other in ensemble.members if other != leader])
    return lambda: ensemble.network.heal(reset=False)


def all_killed(ensemble, _leader):
    numbers = ensemble.running
    for number in numbers:
        ensemble[number].kill()
    ensemble.start(*numbers, **SETTINGS)
    return lambda: None


def measure(ensemble, client, fault):
    leader = ensemble.settled()
    await_that("the client writes", client.flows)
    time.sleep(random.uniform(*FLOWED))
    struck = time.time()
    heal = fault(ensemble, leader)
    time.sleep(max(0, struck + WATCHED - time.time()))
    outage = client.outage(struck, struck + WATCHED)
    heal()
    ensemble.settled()
    return outage


def main():
    server, command, times, out = sys.argv[1:]
    plain, cuts = (leader_killed, leader_paused, all_killed), (leader_cut_off, leader_not_heard)
    with open(out, "w") as lines:
        print("# fault, outage in milliseconds, load average", file=lines)
        for faults, network in ((plain, None), (cuts, Network())):
            with tempfile.TemporaryDirectory(prefix="menagerie-outages-") as folder:
                with Ensemble(folder, [server] * 3, network=network) as ensemble:
                    ensemble.start(*ensemble.members, **SETTINGS)
                    client = Steady(command, ensemble.hosts)
                    try:
                        for fault in faults * int(times):
                            took = measure(ensemble, client, fault)
                            load = os.getloadavg()[0]
                            line = f"{fault.__name__}\t{took * 1000:.0f}\t{load:.2f}"
                            print(line, file=lines, flush=True)
                            print(f"outages: {line}", flush=True)
                    finally:
                        client.end()


if __name__ == "__main__":
    main()
