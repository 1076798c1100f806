# SPDX-License-Identifier: Apache-2.0
"""Hands one data directory from server to server, with SIGKILL in between, and compares every znode.

    exchange.py [--without-snapshots] ZNODES SERVER SERVER [SERVER...]

A server is a command that takes the path of a zoo.cfg; the first one makes the data, each later one
must show the same tree, resume the sessions, and change a little for the next one to compare.
--without-snapshots removes the snapshots that the first one left, so that the logs tell it all.
"""

import contextlib
import logging
import os
import pathlib
import struct
import sys
import tempfile
import time

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.protocol.serialization import Create2
from kazoo.security import make_acl, make_digest_acl
from server import Server
from tree import differences, tree

OPEN = make_acl("world", "anyone", all=True)
ACLS = [[OPEN]] + [[OPEN, make_digest_acl(f"user{n}", "pw", read=True)] for n in range(49)]
SESSIONS = 4
DAY_MS = 86_400_000
# What a session can own without its closeSession exceeding the buffer of Java's default.
BUFFER = 1 << 20


class CreateContainer(Create2):
    type = 19
    FLAGS = 4


class CreateTTL(Create2):
    type = 21
    FLAGS = 5

    def serialize(self):
        return super().serialize() + struct.pack(">q", DAY_MS)


class Steps:
    """Says what is being done, and when it began."""

    def __init__(self):
        self.start = time.monotonic()

    def __call__(self, text):
        print(f"exchange: {time.monotonic() - self.start:4.0f} s  {text}", flush=True)


def connect(port, session=None):
    client = KazooClient(f"127.0.0.1:{port}", timeout=120, client_id=session)
    client.start(timeout=60)
    if session and client.client_id[0] != session[0]:
        raise SystemExit(f"FAILED: session {session[0]:#x} did not resume")
    return client


def refused(call):
    """Runs what must fail: its error transaction belongs into the log."""
    with contextlib.suppress(KazooException):
        call()
        raise SystemExit("FAILED: what had to be refused was done")


def batched(pending, call, limit=1000):
    pending.append(call)
    if len(pending) >= limit:
        [result.get(120) for result in pending]
        pending.clear()


def create_as(client, kind, path):
    result = client.handler.async_result()
    client._call(kind(path, b"kept", [OPEN], kind.FLAGS), result)
    result.get(60)


def populate(client, znodes):
    for name in ("é", "日本", "data", "live", "seq", "modes"):
        client.create(f"/{name}", b"")
    pending = []
    for n in range(znodes):
        path = f"/data/n{n:07}" if n % 5 else f"/é/ü{n:07}"
        value = None if n % 7 == 0 else b"x" * (n % 120)
        batched(pending, client.create_async(path, value, acl=ACLS[n % len(ACLS)]))
        if n % 3 == 0:
            batched(pending, client.set_async(path, None if n % 2 else b"again"))
    [result.get(120) for result in pending]
    for path, limits in (("/data", "count=100,bytes=-1"), ("/é", "count=-1,bytes=1000000")):
        client.create(f"/zookeeper/quota{path}/zookeeper_limits", limits.encode(), makepath=True)
        client.create(f"/zookeeper/quota{path}/zookeeper_stats", b"count=0,bytes=0")


def change(client, turn, extended):
    """Something of everything, other in each turn."""
    for n in range(20):
        client.create("/seq/s-", str(n).encode(), sequence=True)
        client.create(f"/data/turn{turn}-{n}", b"y" * n)
    for n in range(10):
        client.set(f"/data/turn{turn}-{n}", None)
        client.set_acls(f"/data/turn{turn}-{n}", ACLS[n])
        client.delete(f"/data/turn{turn}-{n + 10}")
    client.create(f"/日本/東京{turn}", "値".encode())
    done = client.transaction()
    done.create(f"/seq/done{turn}", b"once")
    done.set_data(f"/seq/done{turn}", b"twice")
    done.delete(f"/data/turn{turn}-9")
    if any(isinstance(result, Exception) for result in done.commit()):
        raise SystemExit("FAILED: a transaction that must succeed did not")
    failing = client.transaction()
    failing.create(f"/seq/t{turn}", b"")
    failing.check("/seq", 77)
    if not all(isinstance(result, Exception) for result in failing.commit()):
        raise SystemExit("FAILED: a transaction that must fail did not")
    refused(lambda: client.delete("/data"))
    refused(lambda: client.create("/data", b""))
    refused(lambda: client.set("/seq", b"", version=99))
    if extended:
        client.create(f"/seq/c{turn}", b"", include_data=True)
        create_as(client, CreateContainer, f"/modes/container{turn}")
        client.create(f"/modes/container{turn}/child", b"")
        create_as(client, CreateTTL, f"/modes/ttl{turn}")


def join(port, turn, n):
    """A session that stays, with ephemeral znodes of its own."""
    client = connect(port)
    for k in range(5):
        client.create(f"/live/t{turn}-s{n}-{k}", b"mine", ephemeral=True)
    return client


def leave(client, other):
    """A session closes, maybe one that another server opened: all that it owns goes with it."""
    owner = client.client_id[0]
    end(client)
    names = other.get_children("/live")
    owners = {stat.owner_session_id for stat in (other.exists(f"/live/{name}") for name in names)}
    if owner in owners:
        raise SystemExit("FAILED: a session was closed and its ephemerals are still there")


def crowd(port, client, count):
    """A session with so many ephemerals that its closeSession cannot name them in one buffer."""
    owner, name = connect(port), "e" * max(1, BUFFER * 5 // 4 // count)
    pending = []
    for start in range(0, count, 100):
        transaction = owner.transaction()
        for n in range(start, min(start + 100, count)):
            transaction.create(f"/live/{name}{n:06}", b"", ephemeral=True)
        batched(pending, transaction.commit_async(), 50)
    [result.get(120) for result in pending]
    there = client.exists("/live").numChildren
    end(owner)
    client.sync("/live")
    if there - client.exists("/live").numChildren != count:
        raise SystemExit(f"FAILED: not all of {count} ephemerals came and went")


def end(client):
    client.stop()
    client.close()


# What Java and Menagerie say of a tree that is not the recorded one, and of a whole snapshot that
# they cannot read; the logs may tell it all without it.
COMPLAINTS = (
    "digest mismatch",
    "digests are not matching",
    "that its digest was recorded",
    "problem reading snap file",
    "its checksum is wrong",
    "it ends too early",
)


def check_complaints(server, compared):
    figures = dict(line.split("\t", 1) for line in server.ask("mntr").splitlines() if "\t" in line)
    counted = figures.get("zk_digest_mismatches_count")
    if compared and counted is None:
        raise SystemExit(f"FAILED: {server.command} does not count digest mismatches")
    if float(counted or 0) != 0:
        raise SystemExit(f"FAILED: {server.command} counts {counted} digest mismatches")
    for words in COMPLAINTS:
        if words in server.said().lower():
            raise SystemExit(f"FAILED: {server.command} logs '{words}':\n{server.said()[-4000:]}")


def compare(before, server, ignored=()):
    now = tree(server.port)
    for path in ignored:
        before.pop(path, None), now.pop(path, None)
    lines = list(differences(before, now))
    if lines:
        raise SystemExit(
            f"FAILED: {len(lines)} znodes differ on {server.command}:\n"
            + "\n".join(lines[:20])
        )


class Exchange:
    """The folder on its way from server to server."""

    def __init__(self, folder, znodes, without_snapshots):
        self.folder, self.znodes = folder, znodes
        self.without_snapshots = without_snapshots
        self.sessions, self.before = [None] * SESSIONS, None
        self.step = Steps()
        os.mkdir(f"{folder}/data")

    def turn(self, turn, command):
        self.step(f"{command} starts")
        logs_only = self.without_snapshots and turn == 0
        snap_count = 10 * self.znodes if logs_only else max(self.znodes // 3, 100)
        server = Server(command, self.folder, snapCount=snap_count).await_service()
        clients = []
        try:
            self.serve(server, turn, clients)
        finally:
            server.kill()
            for client in clients:
                with contextlib.suppress(Exception):
                    end(client)
        if logs_only:
            for snapshot in pathlib.Path(self.folder, "data/version-2").glob("snapshot.*"):
                snapshot.unlink()

    def serve(self, server, turn, clients):
        extended = " 3.4" not in server.command
        if turn == 0:
            clients.append(connect(server.port))
            populate(clients[0], self.znodes)
            self.step(f"{self.znodes} znodes made")
            clients += [join(server.port, turn, n) for n in range(1, SESSIONS)]
        else:
            clients += [connect(server.port, session) for session in self.sessions]
            # A tree begins with /zookeeper/config since 3.5, and 3.4's logs do not say that theirs
            # did not.
            began = (b"/zookeeper", b"/zookeeper/config")
            compare(self.before, server, began if self.without_snapshots and turn == 1 else ())
            self.step(f"{len(self.before)} znodes are the same, {len(clients)} sessions resumed")
            leave(clients.pop(), clients[0])
            clients.append(join(server.port, turn, SESSIONS))
        change(clients[0], turn, extended)
        if turn < 2:
            crowd(server.port, clients[0], 2 * self.znodes)
            self.step(f"a session with {2 * self.znodes} ephemerals came and went")
        self.before = tree(server.port)
        check_complaints(server, compared=extended)
        self.sessions = [client.client_id for client in clients]


def main():
    # Connections are cut on purpose here.
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    arguments = sys.argv[1:]
    without_snapshots = arguments[0] == "--without-snapshots"
    znodes, *commands = arguments[without_snapshots:]
    with tempfile.TemporaryDirectory(prefix="menagerie-exchange-") as folder:
        exchange = Exchange(folder, int(znodes), without_snapshots)
        for turn, command in enumerate(commands):
            exchange.turn(turn, command)
        exchange.step(f"passed: {len(commands)} servers, {len(exchange.before)} znodes")


if __name__ == "__main__":
    main()
