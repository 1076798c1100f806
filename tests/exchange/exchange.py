# SPDX-License-Identifier: Apache-2.0
"""Hands one data directory from server to server, with SIGKILL in between, and compares every znode.

    exchange.py ZNODES SERVER SERVER [SERVER...]

A server is a command that takes the path of a zoo.cfg; the first one makes the data, each later one
must show the same tree, resume the session and add a little for the next to compare.
"""

import contextlib
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import tempfile
import time

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.security import make_acl, make_digest_acl

OPEN = make_acl("world", "anyone", all=True)
CONFIG = """tickTime=2000
dataDir={folder}/data
clientPort={port}
clientPortAddress=127.0.0.1
maxClientCnxns=0
snapCount={snap_count}
4lw.commands.whitelist=*
extendedTypesEnabled=true
admin.enableServer=false
maxSessionTimeout=120000
"""


class Server:
    """One server on the shared folder, killed without warning in the end."""

    def __init__(self, command, folder, znodes):
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = pathlib.Path(folder, "server.log")
        config = pathlib.Path(folder, "zoo.cfg")
        snap_count = max(znodes // 3, 100)
        config.write_text(CONFIG.format(folder=folder, port=self.port, snap_count=snap_count))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*shlex.split(command), config], stdout=log, stderr=log)
        self.await_service(command)

    def await_service(self, command):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                if "Mode:" in self.ask("srvr"):
                    return
            time.sleep(0.05)
        self.process.kill()
        raise SystemExit(f"FAILED: {command} does not serve:\n{self.log.read_text()[-4000:]}")

    def ask(self, word):
        with socket.create_connection(("127.0.0.1", self.port), 5) as link:
            link.sendall(word.encode())
            return b"".join(iter(lambda: link.recv(65536), b"")).decode()

    def kill(self):
        self.process.kill()
        self.process.wait()


def connect(port, session=None):
    client = KazooClient(f"127.0.0.1:{port}", timeout=60, client_id=session)
    client.start(timeout=30)
    return client


def attempt(call):
    """Runs what is meant to fail: its error transaction belongs into the log."""
    with contextlib.suppress(KazooException):
        call()


def populate(client, znodes):
    for name in ("é", "data", "live", "seq"):
        client.create(f"/{name}", b"")
    acls = [[OPEN]] + [[OPEN, make_digest_acl(f"user{n}", "pw", read=True)] for n in range(49)]
    pending = []
    for n in range(znodes):
        data = None if n % 7 == 0 else b"x" * (n % 120)
        path = f"/data/n{n:07}" if n % 5 else f"/é/ü{n:07}"
        pending.append(client.create_async(path, b"", acl=acls[n % 50]))
        if data is not None:
            pending.append(client.set_async(path, data))
        if len(pending) >= 1000:
            [result.get(60) for result in pending]
            pending.clear()
    [result.get(60) for result in pending]
    change(client, 0)
    client.create("/live/e", b"mine", ephemeral=True)


def change(client, turn):
    for n in range(20):
        client.create("/seq/s-", str(n).encode(), sequence=True)
    # 3.4 has no create2, containers or TTL, and refuses them.
    attempt(lambda: client.create(f"/seq/c{turn}", b"", include_data=True))
    attempt(lambda: client.delete(f"/seq/c{turn}"))
    failing = client.transaction()
    failing.create(f"/seq/t{turn}", b"")
    failing.check("/seq", 77)
    failing.commit()
    attempt(lambda: client.delete("/data"))
    attempt(lambda: client.create("/data", b""))
    other = KazooClient(f"127.0.0.1:{client.hosts[0][1]}", timeout=60)
    other.start(timeout=30)
    for n in range(200):
        other.create(f"/live/gone{n}", b"", ephemeral=True)
    other.stop()
    other.close()


def tree(client):
    """Every znode outside of /zookeeper: data, Stat, ACL."""
    found, level = {}, ["/"]
    while level:
        asked = [(path, client.get_async(path), client.get_acls_async(path)) for path in level]
        listed = [(path, client.get_children_async(path)) for path in level]
        for path, data, acls in asked:
            found[path] = (data.get(60), acls.get(60)[0])
        level = [
            path.rstrip("/") + "/" + name for path, names in listed for name in names.get(60)
        ]
        level = [path for path in level if not path.startswith("/zookeeper")]
    return found


def compare(before, after, who):
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            raise SystemExit(
                f"FAILED: {path} differs on {who}:\n  was {before.get(path)}\n  is  {after.get(path)}"
            )


def check_digests(server, who):
    figures = dict(line.split("\t", 1) for line in server.ask("mntr").splitlines() if "\t" in line)
    for name, value in figures.items():
        if "digest_mismatches" in name and float(value) != 0:
            raise SystemExit(f"FAILED: {who} counts digest mismatches: {name} {value}")
    if "digest mismatch" in server.log.read_text(errors="replace").lower():
        raise SystemExit(f"FAILED: {who} logs a digest mismatch, see {server.log}")


def main():
    znodes, commands = int(sys.argv[1]), sys.argv[2:]
    with tempfile.TemporaryDirectory(prefix="menagerie-exchange-") as folder:
        os.mkdir(f"{folder}/data")
        session = before = None
        for turn, command in enumerate(commands):
            server = Server(command, folder, znodes)
            try:
                client = connect(server.port, session)
                if turn == 0:
                    populate(client, znodes)
                else:
                    if client.client_id[0] != session[0]:
                        raise SystemExit(f"FAILED: the session did not resume on {command}")
                    compare(before, tree(client), command)
                    change(client, turn)
                check_digests(server, command)
                session, before = client.client_id, tree(client)
                print(f"exchange: {command}: {len(before)} znodes", flush=True)
            finally:
                server.kill()
            with contextlib.suppress(Exception):
                client.stop()


if __name__ == "__main__":
    try:
        main()
    except NoNodeError as error:
        raise SystemExit(f"FAILED: a znode is gone: {error}") from error
