# SPDX-License-Identifier: Apache-2.0
"""Kills a server with SIGKILL under load, again and again: every acknowledged write must be there.

    kill.py ROUNDS SERVER

Each writer has a session, with an ephemeral znode, that lives as long as the test. It creates
sequential znodes that hold 1, 2, 3, ... and counts in a znode of its own, many at a time. After
each restart what was answered must be there, once; what was asked may be, once; and nothing else.
"""

import logging
import os
import random
import sys
import tempfile
import threading
import time

from kazoo.client import KazooClient
from server import Server

WRITERS = 4
OUTSTANDING = 64


def connect(port, session=None):
    client = KazooClient(
        f"127.0.0.1:{port}", timeout=60, client_id=session, connection_retry={"max_tries": 1}
    )
    client.start(timeout=60)
    if session and client.client_id != session:
        raise SystemExit(f"FAILED: session {session[0]:#x} did not resume")
    return client


class Writer(threading.Thread):
    """Writes below /made/TURN and to /count/N until its connection breaks."""

    def __init__(self, port, number, turn, session, padding):
        super().__init__(daemon=True)
        self.client = connect(port, session)
        self.number, self.made = number, f"/made/{turn}/{number}-"
        self.padding = b" " * padding
        self.asked, self.acknowledged, self.stopped = 0, 0, False

    def run(self):
        waiting = []
        try:
            while not self.stopped:
                self.asked += 1
                value = str(self.asked).encode()
                created = self.client.create_async(self.made, value, sequence=True)
                counted = self.client.set_async(f"/count/{self.number}", value + self.padding)
                waiting.append((self.asked, created, counted))
                while waiting and (len(waiting) > OUTSTANDING or waiting[0][2].ready()):
                    value, created, counted = waiting.pop(0)
                    created.get(10), counted.get(10)
                    self.acknowledged = value
        except Exception:
            # The server is gone; what was answered is counted.
            return

    def end(self):
        self.stopped = True
        self.join(30)
        self.client.stop()


def check(client, turn, writer, session):
    """What a writer did in a round, after the restart that ended it."""
    number, low, high = writer.number, writer.acknowledged, writer.asked
    found = f"round {turn}, writer {number}, {low} acknowledged, {high} asked for:"
    names = sorted(
        (name for name in client.get_children(f"/made/{turn}") if name.startswith(f"{number}-")),
        key=lambda name: name[-10:],
    )
    pending = [client.get_async(f"/made/{turn}/{name}") for name in names]
    values = [int(result.get(60)[0]) for result in pending]
    if values != list(range(1, len(values) + 1)) or not low <= len(values) <= high:
        raise SystemExit(f"FAILED: {found} {len(values)} are there, ending in {values[-5:]}")
    count = int(client.get(f"/count/{number}")[0])
    if not low <= count <= len(values):
        raise SystemExit(f"FAILED: {found} it counted to {count} and made {len(values)}")
    stat = client.exists(f"/live/{number}")
    if stat is None or stat.owner_session_id != session[0]:
        raise SystemExit(f"FAILED: {found} its ephemeral znode is gone")


def start_writers(server, turn, sessions, padding=0):
    """New sessions where there are none yet; each has an ephemeral znode from then on."""
    writers = [Writer(server.port, n, turn, sessions[n], padding) for n in range(WRITERS)]
    writers[0].client.ensure_path(f"/made/{turn}")
    for writer, session in zip(writers, sessions):
        count = f"/count/{writer.number}"
        writer.client.ensure_path(count)
        writer.client.set(count, b"0")
        if session is None:
            live = f"/live/{writer.number}"
            writer.client.create(live, b"", ephemeral=True, makepath=True)
    for writer in writers:
        writer.start()
    return writers


def play(command, folder, rounds, delays):
    """The rounds; gives back how many writes were acknowledged."""
    writers, sessions, writes = [], [None] * WRITERS, 0
    for turn in range(rounds + 1):
        server = Server(command, folder, snapCount=3000).await_service()
        try:
            reader = connect(server.port)
            for writer, session in zip(writers, sessions):
                check(reader, turn - 1, writer, session)
            if turn == rounds:
                break
            writers = start_writers(server, turn, sessions)
            sessions = [writer.client.client_id for writer in writers]
            time.sleep(delays.uniform(0.05, 0.6))
        finally:
            server.kill()
        for writer in writers:
            writer.end()
            writes += 2 * writer.acknowledged
        reader.stop()
        if turn % 10 == 9:
            print(f"kill: {turn + 1} rounds, {writes} acknowledged writes", flush=True)
    return writes


def main():
    # Connections are cut on purpose here.
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    rounds, command = int(sys.argv[1]), sys.argv[2]
    seed = random.randrange(1 << 32)
    print(f"kill: {rounds} rounds, delays from seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="menagerie-kill-") as folder:
        os.mkdir(f"{folder}/data")
        writes = play(command, folder, rounds, random.Random(seed))
    print(f"kill: {rounds} rounds passed, {writes} acknowledged writes, none lost, none twice")


if __name__ == "__main__":
    main()
