# SPDX-License-Identifier: Apache-2.0
"""Records what clients send and get while faults strike, and has it judged by the oracles of the
simulator. docs/SIMULATOR.md has the format."""

import contextlib
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import time

from kazoo.client import KazooClient
from kazoo.protocol.connection import ConnectionHandler

from members import SETTINGS, Failed

JUDGE = shlex.split(os.environ.get("JUDGE", "target/release/menagerie-sim judge"))


class Recording:
    """A history that is being written."""

    def __init__(self, path):
        self.path, self.links, self.lock = path, 0, threading.Lock()
        self.out = open(path, "w")
        head = "menagerie-history 1", f"tick-ms {SETTINGS['tickTime']}", f"max-packet {0xfffff}"
        print(*head, sep="\n", file=self.out)

    def line(self, *words):
        with self.lock:
            print(time.monotonic_ns() // 1000, *words, file=self.out)

    def client(self, name, hosts, timeout):
        """A client, not started yet, of which everything is recorded."""
        client = KazooClient(hosts, timeout=timeout)
        client._connection.__class__ = Numbered
        dial = client.handler.create_connection
        client.handler.create_connection = lambda *where, **how: self.link(dial(*where, **how), name)
        return client

    def link(self, dialled, name):
        with self.lock:
            self.links += 1
            number = self.links
        self.line("up", number, name, dialled.getsockname()[0])
        return Link(self, number, dialled)

    def fault(self, what):
        self.line("fault", what)

    def calm(self):
        """From now on nothing goes wrong: no session may expire too soon."""
        self.line("calm", time.monotonic_ns() // 1000)

    def judge(self, folders):
        """Gives back what was judged, in a sentence. The order of all transactions is in the
        servers' logs, in these folders."""
        with self.lock:
            self.out.close()
        judged = self.run(self.path, folders)
        if judged.returncode != 0:
            keep = pathlib.Path(tempfile.mkdtemp(prefix="menagerie-broken-"))
            kept = [shutil.copytree(path, keep / str(n)) for n, path in enumerate(folders)]
            words = shlex.join(self.words(shutil.copy(self.path, keep), kept))
            raise Failed(f"{words}\n{judged.stdout}{judged.stderr}")
        rows = [line.split(None, 2) for line in judged.stdout.splitlines() if "  " in line]
        return ", ".join(f"{name} {count}" for name, count, _ in rows)

    def words(self, path, folders):
        words = [*JUDGE, str(path)]
        for folder in folders:
            words += ["--log", str(folder)]
        return words

    def run(self, path, folders):
        return subprocess.run(self.words(path, folders), capture_output=True, text=True)


class Numbered(ConnectionHandler):
    """Numbers the requests of a client from one link to the next: which one became a transaction is
    told by its session and number."""

    count = 0

    @property
    def _xid(self):
        return self.count

    @_xid.setter
    def _xid(self, xid):
        self.count = xid or self.count


class Link(socket.socket):
    """A socket that records. Bytes are written down before they go and after they came, so that
    whatever stands after a reply was really asked after it."""

    def __init__(self, recording, number, dialled):
        timeout = dialled.gettimeout()
        super().__init__(fileno=dialled.detach())
        self.settimeout(timeout)
        self.recording, self.number, self.ahead = recording, number, 0

    def send(self, data, *flags):
        data = bytes(data)
        new = data[self.ahead :]
        if new:
            self.recording.line("sent", self.number, new.hex())
        self.ahead = len(data)
        sent = super().send(data, *flags)
        self.ahead -= sent
        return sent

    def recv(self, *how):
        data = super().recv(*how)
        if data:
            self.recording.line("got", self.number, data.hex())
        return data

    def close(self):
        if self.fileno() >= 0:
            # The recording may be over.
            with contextlib.suppress(ValueError):
                self.recording.line("down", self.number)
        super().close()
