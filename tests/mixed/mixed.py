# SPDX-License-Identifier: Apache-2.0
"""Ensembles of Java ZooKeeper and Menagerie: who leads, who joins how, who is killed, and a running
ensemble moved over and back.

    mixed.py OURS JAVA [PART...]

OURS and JAVA are commands that take the path of a zoo.cfg. The parts, all by default: leads joins
syncs observers sessions kills moves reconfigures. Two more take long or need root: storm fills. JUDGE
is the command that judges what clients saw in kills, moves, storm and fills.
"""

import collections
import contextlib
import logging
import os
import pathlib
import random
import sys
import tempfile
import time

from exchange import change, populate
from history import Recording
from load import Watcher, Writer, connect, cut, disconnect, pass_away
from members import PATIENCE, Ensemble, Failed, await_that
from network import Network

# By what one side tells in which way a learner was brought up to date.
WAYS = {
    "DIFF": ("Sending DIFF", "Getting a diff from the leader"),
    "TRUNC": ("Sending TRUNC", "Truncating log to get in sync", "what follows was never committed"),
    "SNAP": ("Sending SNAP", "Sending snapshot last zxid", "Getting a snapshot from leader"),
}
PARTS = ("leads", "joins", "syncs", "observers", "sessions", "kills", "moves", "reconfigures")
# Faults in each ensemble of the storm.
STORM = 50
# How a server ends that has no more room, and what it says.
DISK_WRITE, FULL = 10, ("No space left on device", "Nothing acknowledged is lost", "Make room")
# The zeroes ahead of a log's end, in KiB, take little of a small disk.
LITTLE = {"preAllocSize": 64}
# What servers log of being asked who they are.
ASKED = ("Processing srvr", "Processing mntr")


class Mixed:
    def __init__(self, ours, java):
        self.ours, self.java = ours, java
        # What 3.4 does not know is refused while one of its servers takes part.
        self.extended = " 3.4" not in java
        self.began = time.monotonic()

    def step(self, text):
        print(f"mixed: {time.monotonic() - self.began:4.0f} s  {text}", flush=True)

    def name(self, command):
        return "Java" if command == self.java else "Menagerie"

    @contextlib.contextmanager
    def ensemble(self, *commands, observers=0, network=None):
        with tempfile.TemporaryDirectory(prefix="menagerie-mixed-") as folder:
            with Ensemble(folder, commands, observers, network) as ensemble:
                try:
                    yield ensemble
                except BaseException:
                    tell_logs(ensemble)
                    raise

    def pairs(self):
        """Each make as the leader, with followers of the other one and of its own."""
        return [(self.java, self.ours), (self.ours, self.java)]

    @contextlib.contextmanager
    def load(self, ensemble, count):
        """Clients that write; in the end all that they were told is judged, and told of."""
        with tempfile.TemporaryDirectory(prefix="menagerie-history-") as folder:
            recording = Recording(pathlib.Path(folder, "history"))
            writers = [Writer(ensemble.hosts, str(n), recording) for n in range(count)]
            yield writers, recording
            recording.calm()
            pass_away(ensemble.hosts, recording, writers[0])
            writes = sum(writer.end() for writer in writers)
            znodes = ensemble.compare(digests=False)
            logs = [path for member in ensemble.members.values() for path in member.logs()]
            judged = recording.judge(logs)
            self.step(
                f"{writes} acknowledged writes are there, {count} sessions lived, {znodes} znodes "
                f"are the same on all; judged: {judged}"
            )

    def led_by(self, ensemble, number, **settings):
        """Starts the ensemble so that server `number`, its highest voter, leads."""
        voters = [n for n, member in ensemble.members.items() if not member.observes]
        first = [n for n in voters if n != number][: len(voters) // 2]
        ensemble.start(number, *first, **settings)
        leader = ensemble.settled(number, *first)
        if leader != number:
            raise Failed(f"server {leader} leads, and not {number}")
        rest = [n for n in ensemble.members if n not in (number, *first)]
        ensemble.start(*rest, **settings)
        ensemble.settled()

    # The parts.

    def leads(self):
        for leader, other in self.pairs():
            for third in (leader, other):
                with self.ensemble(other, third, leader) as ensemble:
                    self.led_by(ensemble, 3)
                    self.change_all(ensemble)
                    count = ensemble.compare()
                    self.step(
                        f"{self.name(leader)} leads {self.name(other)} and {self.name(third)}: "
                        f"{count} znodes by way of each are the same on all"
                    )

    def change_all(self, ensemble):
        """Something of everything, by way of each server."""
        for number in ensemble.running:
            client = connect(ensemble.host(number))
            if number == ensemble.running[0]:
                populate(client, 300)
            client.sync("/")
            change(client, number, self.extended)
            disconnect(client)

    def joins(self):
        for leader, joiner in self.pairs():
            # 3.4 sends nothing from its log on disk, and may not know all that stands in ours.
            far = "DIFF" if self.extended else "SNAP"
            for way, come in (("DIFF", by_diff), (far, by_long_diff), ("SNAP", by_snap)):
                with self.ensemble(joiner, leader, leader) as ensemble:
                    self.led_by(ensemble, 3)
                    self.join(ensemble, 1, way, come)
            with self.ensemble(leader, leader, joiner) as ensemble:
                self.led_by(ensemble, 3)
                self.join(ensemble, 3, "TRUNC", by_trunc)

    def join(self, ensemble, joiner, way, come):
        write(ensemble, joiner, 20)
        ensemble.compare()
        come(ensemble, joiner)
        leader = ensemble.settled()
        if not came_by(ensemble, joiner, leader, way):
            raise Failed(f"server {joiner} did not join server {leader} by {way}")
        write(ensemble, joiner, 20)
        names = [self.name(ensemble[number].command) for number in (joiner, leader)]
        count = ensemble.compare()
        told = f"{way} ({come.__name__})"
        self.step(f"{names[0]} joins {names[1]} by {told}: {count} znodes are the same on all")

    def syncs(self):
        """Java's followers wait for answers to writes and syncs in the order in which they sent
        them up, whoever asked; one out of turn, and no client of theirs is answered any more."""
        for leader, other in self.pairs():
            with self.ensemble(other, leader, leader) as ensemble:
                self.led_by(ensemble, 3)
                clients = [connect(ensemble.host(1)) for _ in range(6)]
                clients[0].create("/mine", b"")
                asked = [
                    ask
                    for n in range(100)
                    for client in clients
                    for ask in (client.sync_async("/mine"), client.set_async("/mine", str(n).encode()))
                ]
                for ask in asked:
                    ask.get(timeout=PATIENCE)
                for client in clients:
                    disconnect(client)
                ensemble.compare()
                self.step(
                    f"{self.name(leader)} leads: {len(asked)} writes and syncs of {len(clients)} "
                    f"clients at {self.name(other)} were answered"
                )

    def sessions(self):
        """Sessions that move between makes, end, and expire; watches on every server."""
        for leader, other in self.pairs():
            with self.ensemble(other, leader, leader, other, observers=1) as ensemble:
                self.led_by(ensemble, 3)
                numbers = ensemble.running
                watchers = [Watcher(ensemble.host(number), "/mine") for number in numbers]
                self.move_session(ensemble, watchers)
                for number in numbers:
                    client = connect(ensemble.host(number), timeout=2)
                    client.create("/mine", b"", ephemeral=True)
                    expect(watchers, there=True)
                    cut(client)
                    expect(watchers, there=False)
                for watcher in watchers:
                    disconnect(watcher.client)
                ensemble.compare()
                self.step(
                    f"{self.name(leader)} leads: a session moved between all servers, and one on "
                    f"each expired; watches on each told of all"
                )

    def move_session(self, ensemble, watchers):
        numbers, session = ensemble.running, None
        for number in (*numbers, *reversed(numbers)):
            client = connect(ensemble.host(number), session)
            if session is None:
                client.create("/mine", b"", ephemeral=True)
                expect(watchers, there=True)
            client.set("/mine", str(number).encode())
            if client.exists("/mine").owner_session_id != client.client_id[0]:
                raise Failed("a session that moved does not own what it made")
            session = client.client_id
            cut(client)
        disconnect(connect(ensemble.host(numbers[0]), session))
        expect(watchers, there=False)

    def kills(self):
        for commands in ((self.ours, self.java, self.ours), (self.java, self.ours, self.java)):
            with self.ensemble(*commands) as ensemble:
                self.led_by(ensemble, 3)
                with self.load(ensemble, 3) as (writers, recording):
                    for number in (3, 2, 1):
                        recording.fault("killed")
                        ensemble[number].kill()
                        leader = ensemble.settled()
                        progress(writers)
                        ensemble.start(number)
                        ensemble.settled()
                        progress(writers)
                        self.step(
                            f"server {number}, {self.name(ensemble[number].command)}, was killed "
                            f"while {len(writers)} clients wrote; then server {leader} led"
                        )

    def observers(self):
        for leader, other in self.pairs():
            with self.ensemble(other, other, leader, other, leader, observers=2) as ensemble:
                self.led_by(ensemble, 3)
                self.change_all(ensemble)
                modes = [ensemble[number].mode() for number in (4, 5)]
                if modes != ["observer", "observer"]:
                    raise Failed(f"observers say that they are {modes}")
                ensemble[4].kill()
                write(ensemble, 5, 20)
                ensemble.start(4)
                ensemble.settled()
                count = ensemble.compare()
                self.step(
                    f"{self.name(leader)} leads an observer of each kind: {count} znodes by way "
                    f"of each are the same on all"
                )

    def reconfigures(self):
        """Two become three, and then the leader leaves: one of the other make is to lead."""
        if not self.extended:
            return self.step("3.4 has no reconfig")
        settings = {"reconfigEnabled": "true", "skipACL": "yes", "standaloneEnabled": "false"}
        for leader, other in self.pairs():
            with self.ensemble(other, leader, other) as ensemble:
                ensemble.start(1, 2, among=(1, 2), **settings)
                if ensemble.settled() != 2:
                    raise Failed("server 2 does not lead")
                ensemble.start(3, **settings)
                ensemble.settled()
                # Whoever is on a server that is to lead loses its link; the leader answers first.
                client = connect(ensemble.host(2))
                line = ensemble.lines[3]["server.3"]
                joining = f"server.3={line};{ensemble.host(3)}"
                client.reconfig(joining=joining, leaving=None, new_members=None)
                self.members(ensemble, {1, 2, 3})
                write(ensemble, 1, 20)
                client.reconfig(joining=None, leaving="2", new_members=None)
                heir = await_that("another leads", lambda: {ensemble.settled()} - {2}).pop()
                shown = self.members(ensemble, {1, 3})
                disconnect(client)
                for number in ensemble.members:
                    write(ensemble, number, 20)
                ensemble.compare()
                self.step(
                    f"{self.name(leader)} leads, takes server 3 in and leaves to {heir}: all show "
                    f"version {shown}"
                )

    def members(self, ensemble, numbers):
        """Waits until all show these members, in one version; gives it back."""

        def shown(number):
            client = connect(ensemble.host(number))
            text = client.get("/zookeeper/config")[0].decode()
            disconnect(client)
            lines = text.splitlines()
            named = {int(line[7:].split("=")[0]) for line in lines if line.startswith("server.")}
            return named == numbers and lines[-1].removeprefix("version=")

        def agreed():
            found = {shown(number) for number in ensemble.members}
            return len(found) == 1 and found.pop()

        return await_that(f"all show {numbers}", agreed)

    def storm(self):
        """Fault upon fault while clients write; not among the parts by default."""
        seed = random.randrange(1 << 32)
        self.step(f"faults from seed {seed}")
        chance = random.Random(seed)
        for commands, network in (
            ([self.ours] * 3, Network()),
            ([self.ours] * 5, Network()),
            # Java dials whatever address a server names as its own, and reads on behind rot.
            ([self.ours, self.java, self.ours], None),
        ):
            with self.ensemble(*commands, network=network) as ensemble:
                self.led_by(ensemble, len(commands))
                faults = collections.Counter()
                with self.load(ensemble, 4) as (writers, recording):
                    for _ in range(STORM):
                        fault = chance.choice(FAULTS + (MORE_FAULTS if network else ()))
                        recording.fault(fault.__name__)
                        fault(ensemble, chance)
                        faults[fault.__name__] += 1
                        ensemble.settled()
                        progress(writers)
                    makes = [self.name(command) for command in commands]
                    told = ", ".join(f"{fault} {n} times" for fault, n in sorted(faults.items()))
                    self.step(f"{', '.join(makes)}: {told}")

    def fills(self):
        """The disk of the leader, and then that of a follower, has no more room; only for root."""
        with self.ensemble(*[self.ours] * 3) as ensemble, contextlib.ExitStack() as disk:
            data = disk.enter_context(ensemble[3].small_disk(room=1 << 20))
            self.led_by(ensemble, 3, **LITTLE)
            with self.load(ensemble, 3) as (writers, recording):
                progress(writers)
                recording.fault("filled")
                fill(ensemble, 3, data)
                disk.close()
                ensemble.start(3)
                leader = ensemble.settled()
                progress(writers)
                self.step(f"the disk of the leader was full, and it stopped; then server {leader} led")
                recording.fault("filled")
                filled_up(ensemble, 3)
                ensemble.settled()
                progress(writers)
                self.step("the disk of a follower was full, and it stopped")

    def moves(self):
        """A running ensemble, moved over and back one server at a time on the same folders."""
        with self.ensemble(self.java, self.java, self.java) as ensemble:
            self.led_by(ensemble, 3)
            with self.load(ensemble, 4) as (writers, recording):
                progress(writers)
                for command in (self.ours, self.java):
                    for number in (1, 2, 3):
                        recording.fault("stopped")
                        ensemble[number].stop()
                        ensemble.settled()
                        progress(writers)
                        ensemble[number].command = command
                        ensemble.start(number)
                        leader = ensemble.settled()
                        progress(writers)
                        makes = [self.name(member.command) for member in ensemble.members.values()]
                        self.step(f"{', '.join(makes)}: server {leader} leads, all clients write")
                self.step("moved over and back")


def killed(ensemble, chance):
    number = one_of(ensemble, chance)
    ensemble[number].kill()
    time.sleep(chance.uniform(0, 2))
    ensemble.start(number)


def all_killed(ensemble, _chance):
    numbers = ensemble.running
    for number in numbers:
        ensemble[number].kill()
    ensemble.start(*numbers)


def stopped(ensemble, chance):
    number = one_of(ensemble, chance)
    ensemble[number].stop()
    ensemble.start(number)


def paused(ensemble, chance):
    number = one_of(ensemble, chance)
    ensemble[number].pause()
    time.sleep(chance.uniform(0, 8))
    ensemble[number].resume()


def wiped(ensemble, chance):
    number = one_of(ensemble, chance)
    ensemble[number].kill()
    # Once the other two serve, what it acknowledged is on both of them.
    ensemble.settled()
    ensemble[number].wipe()
    ensemble.start(number)


def rotten(ensemble, chance):
    """A bit of a log is another one. The server that finds it stops, and names the file."""
    number = one_of(ensemble, chance)
    ensemble[number].kill()
    ensemble.settled()
    log = ensemble[number].rot(chance)
    ensemble.start(number)
    process = ensemble[number].server.process
    await_that("it serves or ends", lambda: process.poll() is not None or ensemble[number].mode())
    if process.poll() is not None:
        if log.name not in ensemble[number].server.said():
            raise Failed(f"server {number} ended without naming {log}")
        ensemble[number].wipe()
        ensemble.start(number)


def filled(ensemble, chance):
    filled_up(ensemble, one_of(ensemble, chance))


def filled_up(ensemble, number):
    """A server goes on with little room on its disk, and then with none."""
    ensemble[number].kill()
    ensemble.settled()
    with ensemble[number].small_disk(room=1 << 20) as data:
        ensemble.start(number, **LITTLE)
        ensemble.settled()
        fill(ensemble, number, data)
    ensemble.start(number)


def fill(ensemble, number, data):
    """A disk has no more room. Its server stops, and says so, as often as it is started; the others
    go on."""
    member = ensemble[number]
    with data.joinpath("ballast").open("wb", buffering=0) as ballast:
        with contextlib.suppress(OSError):
            while ballast.write(bytes(4096)):
                pass
    for again in (True, False):
        process = member.server.process
        await_that("it stops", lambda: process.poll() is not None)
        last = member.server.said().splitlines()[-1]
        if process.returncode != DISK_WRITE or not all(words in last for words in FULL):
            raise Failed(f"server {number} on a full disk ended with {process.returncode}: {last}")
        member.kill()
        ensemble.settled()
        if again:
            ensemble.start(number, **LITTLE)
    data.joinpath("ballast").unlink()


def cut_off(ensemble, chance):
    """One server from all others, both ways."""
    ways = ways_of(ensemble, one_of(ensemble, chance))
    sever(ensemble, chance, ways + [way[::-1] for way in ways])


def cut_one_way(ensemble, chance):
    """Nobody hears one server, or it hears nobody."""
    ways = ways_of(ensemble, one_of(ensemble, chance))
    sever(ensemble, chance, ways if chance.random() < 0.5 else [way[::-1] for way in ways])


def cut_between(ensemble, chance):
    """Two servers, who both hear the others."""
    one, other = chance.sample(ensemble.running, 2)
    sever(ensemble, chance, [(one, other), (other, one)])


def slowed(ensemble, chance):
    """What one server says takes long."""
    ensemble.network.slow(ways_of(ensemble, one_of(ensemble, chance)), chance.uniform(0, 0.5))
    time.sleep(chance.uniform(0, 8))
    ensemble.network.heal(reset=False)


# Whether disks can be mounted.
ROOT = os.geteuid() == 0
FAULTS = (killed, killed, all_killed, stopped, paused, paused, wiped)
# Only where all are ours.
MORE_FAULTS = (rotten, rotten, cut_off, cut_off, cut_one_way, cut_one_way, cut_between, slowed, slowed)
MORE_FAULTS += (filled, filled) if ROOT else ()


def ways_of(ensemble, number):
    return [(number, other) for other in ensemble.members if other != number]


def sever(ensemble, chance, ways):
    ensemble.network.cut(ways)
    time.sleep(chance.uniform(0, 12))
    ensemble.network.heal(reset=chance.random() < 0.5)


def one_of(ensemble, chance):
    """The leader, every other time."""
    leader = ensemble.settled()
    return leader if chance.random() < 0.5 else chance.choice(ensemble.running)


def expect(watchers, there):
    for watcher in watchers:
        watcher.expect(there)


def progress(writers):
    for writer in writers:
        writer.progress(10)


def write(ensemble, number, count):
    """Something of everything that 3.4 knows, by way of one server."""
    client = connect(ensemble.host(number))
    folder = f"/by-{number}"
    client.ensure_path(folder)
    made = [client.create(f"{folder}/n", b"x" * n, sequence=True) for n in range(count)]
    for path in made[::3]:
        client.set(path, b"again")
    for path in made[1::3]:
        client.delete(path)
    done = client.transaction()
    done.set_data(made[0], b"both")
    done.create(f"{folder}/t", b"", sequence=True)
    if any(isinstance(result, Exception) for result in done.commit()):
        raise Failed("a transaction that must succeed did not")
    failing = client.transaction()
    failing.delete(made[0])
    failing.check(folder, 1_000)
    if not all(isinstance(result, Exception) for result in failing.commit()):
        raise Failed("a transaction that must fail did not")
    client.create(f"{folder}/alive", b"", ephemeral=True)
    disconnect(client)


def by_diff(ensemble, joiner):
    ensemble[joiner].kill()
    ensemble.settled()
    write(ensemble, ensemble.running[0], 100)
    ensemble.start(joiner)


def by_long_diff(ensemble, joiner):
    """It lacks more than the 500 transactions that a leader keeps in memory."""
    ensemble[joiner].kill()
    ensemble.settled()
    write(ensemble, ensemble.running[0], 800)
    ensemble.start(joiner)


def by_snap(ensemble, joiner):
    ensemble[joiner].kill()
    ensemble[joiner].wipe()
    ensemble.settled()
    write(ensemble, ensemble.running[0], 100)
    ensemble.start(joiner)


def by_trunc(ensemble, joiner):
    """The joiner leads and logs what nobody else hears of; then all die, and the others lead."""
    others = [number for number in ensemble.members if number != joiner]
    client = connect(ensemble.host(joiner))
    for number in others:
        ensemble[number].pause()
    client.create_async("/never-acknowledged", b"")
    await_that("the leader logs it", lambda: ensemble[joiner].has_logged(b"/never-acknowledged"))
    for number in ensemble.members:
        ensemble[number].kill()
    client.stop()
    ensemble.start(*others)
    ensemble.settled(*others)
    ensemble.start(joiner)


def came_by(ensemble, joiner, leader, way):
    said = ensemble[joiner].server.said() + ensemble[leader].server.said()
    return any(words in said for words in WAYS[way])


def tell_logs(ensemble):
    """The end of what each server said, without the questions of this test."""
    for number, member in ensemble.members.items():
        if member.server:
            lines = member.server.said().splitlines()
            lines = [line for line in lines if not any(words in line for words in ASKED)]
            print(f"--- server {number}, {member.command}", *lines[-60:], sep="\n")


def main():
    # Connections are cut on purpose here.
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    ours, java, *parts = sys.argv[1:]
    mixed = Mixed(ours, java)
    for part in parts or PARTS:
        getattr(mixed, part)()
    mixed.step(f"passed with {java}")


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        raise SystemExit(f"FAILED: {failed}")
