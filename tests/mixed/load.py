# SPDX-License-Identifier: Apache-2.0
"""Clients that write all the time, through whatever becomes of the servers, and remember what was
acknowledged."""

import contextlib
import random
import socket
import threading
import time

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError, ConnectionLoss, NodeExistsError, NoNodeError, OperationTimeoutError)

from members import PATIENCE, Failed, await_that

TIMEOUT = 30
# Errors after which nobody knows whether it was done.
UNKNOWN = (ConnectionLoss, OperationTimeoutError)
# Where writers meet, and what they may be told there.
SHARED = "/load/shared"
ANSWERS = (BadVersionError, NodeExistsError, NoNodeError)


def connect(hosts, session=None, timeout=TIMEOUT):
    client = KazooClient(hosts, timeout=timeout, client_id=session)
    client.start(timeout=PATIENCE)
    if session and client.client_id[0] != session[0]:
        raise Failed(f"session {session[0]:#x} did not resume on {hosts}")
    return client


def disconnect(client):
    """Ends the session."""
    client.stop()
    client.close()


def cut(client):
    """Ends the client, and leaves its session as it is."""
    client._stopped.set()
    client._connection._socket.shutdown(socket.SHUT_RDWR)
    client._connection.stop(PATIENCE)
    client.handler.stop()
    client.close()


def surely(make, *what, **how):
    """Makes a znode, whatever becomes of the first tries."""
    while True:
        try:
            return make(*what, **how)
        except NodeExistsError:
            # Its own, of a try that was not answered.
            return
        except UNKNOWN:
            time.sleep(0.05)


class Watcher:
    """Knows by watches alone whether a znode is there."""

    def __init__(self, host, path):
        self.client, self.path, self.there = connect(host), path, None
        self.look()

    def look(self):
        self.there = self.client.exists(self.path, watch=self.on_event) is not None

    def on_event(self, _event):
        self.client.handler.spawn(self.look)

    def expect(self, there):
        state = "there" if there else "gone"
        await_that(f"a watch tells that {self.path} is {state}", lambda: self.there == there)


class Writer(threading.Thread):
    """Makes /load/NAME/0, 1, 2, ... in a session that it never loses, and meddles with what others
    do in between. Everything is recorded."""

    def __init__(self, hosts, name, recording):
        super().__init__(daemon=True)
        self.name, self.made, self.error, self.ended = name, 0, None, False
        self.chance = random.Random(name)
        self.client = recording.client(f"writer-{name}", hosts, TIMEOUT)
        self.client.start(timeout=PATIENCE)
        self.session = self.client.client_id[0]
        self.client.add_listener(self.on_state)
        for path in f"/load/{name}", SHARED:
            surely(self.client.ensure_path, path)
        surely(self.client.create, f"/load/{name}/alive", b"", ephemeral=True)
        self.start()

    def on_state(self, state):
        if state == KazooState.LOST and not self.ended:
            self.error = f"session {self.session:#x} of writer {self.name} is lost"

    def run(self):
        while not self.ended and not self.error:
            try:
                surely(self.client.create, f"/load/{self.name}/{self.made}", str(self.made).encode())
                self.made += 1
                self.meddle(f"{SHARED}/{self.chance.randrange(4)}")
            except UNKNOWN:
                # What it meddled with.
                time.sleep(0.05)
            except Exception as error:
                self.error = f"writer {self.name}, write {self.made}: {error!r}"

    def meddle(self, path):
        """Asks for something, seldom twice for the same."""
        client, chance = self.client, self.chance
        data, version = bytes(chance.randrange(20)), chance.choice((-1, -1, 0, 1))
        watch = chance.choice((None, lambda event: None))
        both = client.transaction()
        both.create(path, data)
        both.set_data(SHARED, data)
        wish = chance.choice((
            lambda: client.create(path, data, ephemeral=chance.random() < 0.5),
            lambda: client.set(path, data, version),
            lambda: client.delete(path, version),
            lambda: client.get(path, watch),
            lambda: client.exists(path, watch),
            lambda: client.get_children(SHARED, watch, include_data=chance.random() < 0.5),
            lambda: client.sync(SHARED),
            both.commit,
        ))
        try:
            wish()
        except ANSWERS:
            pass

    def check_alive(self):
        if self.error:
            raise Failed(self.error)

    def progress(self, count):
        """Waits until so many more writes were acknowledged."""
        goal, deadline = self.made + count, time.monotonic() + PATIENCE
        while self.made < goal:
            self.check_alive()
            if time.monotonic() > deadline:
                raise Failed(f"writer {self.name} does not get on: {self.made} of {goal}")
            time.sleep(0.02)

    def end(self):
        """Gives back how many writes were acknowledged; all of them must be there, once."""
        self.ended = True
        self.join(PATIENCE)
        self.check_alive()
        self.client.sync(f"/load/{self.name}")
        names = set(self.client.get_children(f"/load/{self.name}"))
        if "alive" not in names:
            raise Failed(f"the ephemeral znode of writer {self.name} is gone")
        if self.client.client_id[0] != self.session:
            raise Failed(f"writer {self.name} has another session")
        missing = [n for n in range(self.made) if str(n) not in names]
        if missing:
            raise Failed(f"writer {self.name}: {len(missing)} acknowledged writes lost: {missing[:9]}")
        disconnect(self.client)
        return self.made


def pass_away(hosts, recording, writer):
    """A session that is left alone, and how long its ephemeral znode is seen."""
    client = recording.client("passing", hosts, 3)
    client.start(timeout=PATIENCE)
    surely(client.create, "/load/passing", b"", ephemeral=True)
    cut(client)

    def gone():
        with contextlib.suppress(*UNKNOWN):
            return writer.client.exists("/load/passing") is None

    await_that("a session that is left alone expires", gone)
