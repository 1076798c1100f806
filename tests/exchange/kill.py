# SPDX-License-Identifier: Apache-2.0
"""Kills a server with SIGKILL under load, again and again: every acknowledged write must be there.

    kill.py ROUNDS SERVER

Each writer counts up in a znode of its own, pipelined; what it was answered is the least that the
restarted server may show, and what it asked for the most.
"""

import os
import random
import sys
import tempfile
import threading
import time

from exchange import Server
from kazoo.client import KazooClient

WRITERS = 4
OUTSTANDING = 64


class Writer(threading.Thread):
    """Sets /w/N to 1, 2, 3, ... until its connection breaks."""

    def __init__(self, port, number, start):
        super().__init__(daemon=True)
        self.client = KazooClient(f"127.0.0.1:{port}", timeout=30, connection_retry={"max_tries": 1})
        self.client.start(timeout=30)
        self.path, self.asked, self.acknowledged = f"/w/{number}", start, start
        self.stopped = False

    def run(self):
        waiting = []
        while not self.stopped:
            self.asked += 1
            waiting.append((self.asked, self.client.set_async(self.path, str(self.asked).encode())))
            while waiting and (len(waiting) > OUTSTANDING or waiting[0][1].ready()):
                value, result = waiting.pop(0)
                try:
                    result.get(10)
                except Exception:
                    return
                self.acknowledged = value


def main():
    rounds, command = int(sys.argv[1]), sys.argv[2]
    seed = random.randrange(1 << 32)
    print(f"kill: {rounds} rounds, delays from seed {seed}", flush=True)
    delays = random.Random(seed)
    values, writes = [0] * WRITERS, 0
    with tempfile.TemporaryDirectory(prefix="menagerie-kill-") as folder:
        os.mkdir(f"{folder}/data")
        for turn in range(rounds + 1):
            server = Server(command, folder, 3000)
            reader = KazooClient(f"127.0.0.1:{server.port}", timeout=30)
            reader.start(timeout=30)
            for number in range(WRITERS):
                if turn == 0:
                    reader.create(f"/w/{number}", b"0", makepath=True)
                    continue
                value = int(reader.get(f"/w/{number}")[0])
                low, high = values[number]
                if not low <= value <= high:
                    server.kill()
                    raise SystemExit(
                        f"FAILED: round {turn}: /w/{number} is {value}; "
                        f"{low} was acknowledged, {high} asked for"
                    )
                values[number] = value
            if turn < rounds:
                writers = [Writer(server.port, n, values[n]) for n in range(WRITERS)]
                for writer in writers:
                    writer.start()
                time.sleep(delays.uniform(0.05, 0.6))
            server.kill()
            if turn < rounds:
                for writer in writers:
                    writer.stopped = True
                    writer.join(30)
                    writer.client.stop()
                writes += sum(w.acknowledged - v for w, v in zip(writers, values))
                values = [(writer.acknowledged, writer.asked) for writer in writers]
            reader.stop()
    print(f"kill: {rounds} rounds passed, {writes} acknowledged writes, none lost")


main()
