# SPDX-License-Identifier: Apache-2.0
"""An ensemble of servers of different makes, each a command that takes the path of a zoo.cfg."""

import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import time

from server import Server
from tree import differences, tree

TICK_MS = 500
SETTINGS = {"tickTime": TICK_MS, "initLimit": 40, "syncLimit": 10, "snapCount": 5000}
PATIENCE = 90
# What each server makes for itself: 3.4 has no /zookeeper/config, and its times are local.
LOCAL = (b"/zookeeper", b"/zookeeper/config")


class Failed(Exception):
    """A promise was broken."""


def await_that(what, holds):
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise Failed(f"in vain: {what}")
        time.sleep(0.05)
    return found


def free_port(taken=set()):
    """A port below those that the system gives out: a dial to a server that is down must not take
    it."""
    while True:
        port = random.randrange(13000, 30000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in taken:
                taken.add(port)
                return port


class Member:
    """A server, its folder, and the process that runs there now, if one does."""

    def __init__(self, folder, number, observes):
        self.number, self.observes = number, observes
        self.folder = pathlib.Path(folder, str(number))
        self.port, self.quorum_port, self.election_port = (free_port() for _ in range(3))
        self.server, self.command = None, None
        os.makedirs(self.folder / "data")
        self.folder.joinpath("data/myid").write_text(f"{number}\n")

    def line(self, network, viewer):
        """How `viewer` reaches it: through the network, if there is one."""
        ports = self.quorum_port, self.election_port
        if network and viewer != self.number:
            ports = [network.listen(viewer, self.number, port) for port in ports]
        role = ":observer" if self.observes else ""
        return "127.0.0.1:{}:{}{}".format(*ports, role)

    def mode(self):
        """What it says it is, if it serves."""
        if self.server is None:
            return None
        if self.server.process.poll() is not None:
            raise Failed(f"server {self.number} has ended:\n{self.server.said()[-4000:]}")
        with contextlib.suppress(OSError):
            for line in self.server.ask("srvr").splitlines():
                if line.startswith("Mode: "):
                    return line[6:]
        return None

    def kill(self):
        self.server.kill()
        self.server = None

    def stop(self):
        """Asks it to end."""
        # The command may be a tool that runs the server under it; all of them may hear of it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.server.process.pid, signal.SIGTERM)
        with contextlib.suppress(Exception):
            self.server.process.wait(30)
        self.kill()

    def pause(self):
        pid = self.server.process.pid
        os.killpg(pid, signal.SIGSTOP)
        # Its threads stop one after the other.
        tasks = pathlib.Path(f"/proc/{pid}/task")
        states = lambda: {
            task.joinpath("stat").read_text().rsplit(") ")[1][0] for task in tasks.iterdir()
        }
        await_that(f"server {self.number} is paused", lambda: states() == {"T"})

    def resume(self):
        os.killpg(self.server.process.pid, signal.SIGCONT)

    def has_logged(self, words):
        logs = self.folder.glob("data/version-2/log.*")
        return any(words in log.read_bytes() for log in logs)

    def rot(self, chance):
        """Changes a bit in what was written of its last log, which it gives back."""
        log = max(
            self.folder.glob("data/version-2/log.*"), key=lambda path: int(path.name[4:], 16)
        )
        data = bytearray(log.read_bytes())
        data[chance.randrange(len(data.rstrip(b"\0")))] ^= 1 << chance.randrange(8)
        log.write_bytes(data)
        return log

    @contextlib.contextmanager
    def small_disk(self, room):
        """Its data is on a disk of its own meanwhile, with so many bytes of room. Only root may
        mount one."""
        data, elsewhere = self.folder / "data", self.folder / "elsewhere"
        data.rename(elsewhere)
        data.mkdir()
        # A tmpfs counts pages.
        used = sum(-(-path.stat().st_size // 4096) * 4096 for path in elsewhere.rglob("*"))
        size = f"size={used + room}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", data], check=True)
        try:
            shutil.copytree(elsewhere, data, dirs_exist_ok=True)
            yield data
            shutil.rmtree(elsewhere)
            shutil.copytree(data, elsewhere)
        finally:
            # Its server may still run, if something went wrong.
            subprocess.run(["umount", "--lazy", data], check=True)
            data.rmdir()
            elsewhere.rename(data)

    def wipe(self):
        """Its logs stay for the judge, elsewhere."""
        self.folder.joinpath("data/version-2").rename(self.folder / f"wiped-{len(self.wiped())}")

    def wiped(self):
        return sorted(self.folder.glob("wiped-*"))

    def logs(self):
        return [*self.wiped(), self.folder / "data/version-2"]


class Ensemble:
    """Servers 1, 2, 3, ...; `commands` are what they are first started with. With a network, all
    that they say to each other goes through it."""

    def __init__(self, folder, commands, observers=0, network=None):
        voters = len(commands) - observers
        self.network = network
        self.members = {
            number: Member(folder, number, observes=number > voters)
            for number in range(1, len(commands) + 1)
        }
        for member, command in zip(self.members.values(), commands):
            member.command = command
        self.lines = {
            viewer: {
                f"server.{number}": member.line(network, viewer)
                for number, member in self.members.items()
            }
            for viewer in self.members
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for member in self.members.values():
            if member.server:
                member.kill()
        if self.network:
            self.network.close()

    def __getitem__(self, number):
        return self.members[number]

    @property
    def running(self):
        return [number for number, member in self.members.items() if member.server]

    def host(self, number):
        return f"127.0.0.1:{self[number].port}"

    @property
    def hosts(self):
        return ",".join(map(self.host, self.members))

    def start(self, *numbers, among=None, **settings):
        """Starts servers that know of these others, or of all."""
        among = among or self.members
        for number in numbers:
            member = self[number]
            lines = self.lines[number]
            peer = {"peerType": "observer"} if member.observes else {}
            servers = {f"server.{other}": lines[f"server.{other}"] for other in among}
            member.server = Server(
                member.command,
                member.folder,
                port=member.port,
                **SETTINGS | peer | settings | servers,
            )

    def settled(self, *numbers):
        """Waits until these (or all that run) serve; gives back the number of the one that leads."""
        numbers = numbers or self.running

        def leader():
            modes = {number: self[number].mode() for number in numbers}
            leaders = [number for number, mode in modes.items() if mode == "leader"]
            return None not in modes.values() and len(leaders) == 1 and leaders[0]

        return await_that(f"servers {numbers} agree", leader)

    def compare(self, digests=True):
        """Every znode with its Stat and ACL is the same on all servers that run. Where servers were
        started again while clients wrote, Java counts digest mismatches also among its own."""
        numbers = self.running
        zxids = lambda: {last_zxid(self[number].server) for number in numbers}
        await_that(f"servers {numbers} are at one zxid", lambda: len(zxids()) == 1)
        trees = {number: tree(self[number].port) for number in numbers}
        for found in trees.values():
            for path in LOCAL:
                found.pop(path, None)
        first, *rest = numbers
        for other in rest:
            lines = list(differences(trees[first], trees[other]))
            if lines:
                shown = "\n".join(lines[:10])
                raise Failed(f"{len(lines)} znodes differ, {first} and {other}:\n{shown}")
        for number in numbers if digests else ():
            check_digests(self[number])
        return len(trees[first])


def last_zxid(server):
    with contextlib.suppress(OSError):
        for line in server.ask("srvr").splitlines():
            if line.startswith("Zxid: "):
                return line
    return None


def check_digests(member):
    """Java counts what did not come out as the leader said, since 3.6."""
    figures = dict(
        line.split("\t", 1) for line in member.server.ask("mntr").splitlines() if "\t" in line
    )
    counted = figures.get("zk_digest_mismatches_count")
    if counted is None and not re.search(r" 3\.[45]\.", member.command):
        raise Failed(f"server {member.number} does not count digest mismatches")
    if float(counted or 0) != 0:
        raise Failed(f"server {member.number} counts {counted} digest mismatches")
    if "digest mismatch" in member.server.said().lower():
        raise Failed(f"server {member.number} logs a digest mismatch")
