# SPDX-License-Identifier: Apache-2.0
"""What the comparisons share: servers in folders of their own, the load generator, medians, and the
place in the document where the figures go."""

import json
import os
import pathlib
import random
import socket
import statistics
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/menagerie"
DOCUMENT = ROOT / "docs/PERFORMANCE.md"
JAVA_VERSION = "3.9.5"
JAVA = [ROOT / ".ci/java-zookeeper", JAVA_VERSION, "{config}"]
MENAGERIE = [PROGRAM, "serve", "{config}"]
PATIENCE = 60  # seconds for anything to begin
TRIES = 3  # Java takes no more connections when one comes before it has its database.
NEVER = 2**31 - 1  # a snapCount that no run reaches


class Server:
    """A server in a folder of its own, on a free port of the loopback."""

    def __init__(self, name, home, command, more=""):
        self.name, self.home, self.command, self.more = name, home, command, more
        self.port = free_port()
        self.process = None
        home.mkdir(parents=True, exist_ok=True)

    def start(self, snap_count=100_000):
        """Starts it, and gives back the seconds until it answered a first read."""
        for _ in range(TRIES):
            began = time.monotonic()
            self.launch(snap_count)
            if self.serves():
                return time.monotonic() - began
            self.stop()
        sys.exit(f"{self.name} does not serve; see {self.home}/log")

    def launch(self, snap_count=100_000):
        config = self.home / "zoo.cfg"
        config.write_text(
            f"tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={self.home}/data\n"
            f"clientPort={self.port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n"
            f"snapCount={snap_count}\n4lw.commands.whitelist=*\n{self.more}"
        )
        words = [str(word).format(port=self.port, config=config, home=self.home)
                 for word in self.command]
        with open(self.home / "log", "a") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.home)

    def serves(self, patience=PATIENCE):
        """Waits for it to answer a read."""
        began = time.monotonic()
        while self.process.poll() is None and time.monotonic() - began < patience:
            try:
                read_root(self.port)
                return True
            except OSError:
                time.sleep(0.005)
        return False

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process = None

    def memory(self, line):
        """`VmRSS` or `VmHWM` of its process, in MiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(line + ":")[1].split()[0]) / 1024

    def snapshots(self):
        return {path.name for path in self.home.glob("data/version-2/snapshot.*")}


def load(servers, *arguments):
    """Runs the generator against servers; no reply may be an error."""
    words = [PROGRAM, "load", "--server", ",".join(f"127.0.0.1:{each.port}" for each in servers),
             "--pid", ",".join(str(each.process.pid) for each in servers), "--json", *arguments]
    run = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, text=True)
    if run.returncode != 0:
        sys.exit(f"the load on {servers[0].name} failed: {words}")
    if not run.stdout:
        return None
    result = json.loads(run.stdout)
    if result["errors"]:
        sys.exit(f"{servers[0].name} answered with errors: {result}")
    return result


def free_port(taken=set()):
    """A port below those that the system gives out: a dial to a server that is down must not take
    it."""
    while True:
        port = random.randrange(13000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in taken:
            taken.add(port)
            return port


class Link:
    """A connection with a session of its own, for one request after the other."""

    def __init__(self, port, patience=PATIENCE):
        self.xid = 0
        self.stream = socket.create_connection(("127.0.0.1", port), patience)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(struct.pack(">iqiqi16s?", 0, 0, 30_000, 0, 16, bytes(16), False))
        self.receive()

    def ask(self, op, body):
        """The error of the reply."""
        self.xid += 1
        self.send(struct.pack(">ii", self.xid, op) + body)
        return struct.unpack(">i", self.receive()[12:16])[0]

    def send(self, packet):
        self.stream.sendall(struct.pack(">i", len(packet)) + packet)

    def receive(self):
        return self.exactly(struct.unpack(">i", self.exactly(4))[0])

    def exactly(self, count):
        received = b""
        while len(received) < count:
            more = self.stream.recv(count - len(received))
            if not more:
                raise ConnectionError("it hung up")
            received += more
        return received


def read_root(port):
    """Opens a session and reads the root; an OSError says that nobody serves yet."""
    link = Link(port)
    with link.stream:
        if link.ask(4, struct.pack(">i1s?", 1, b"/", False)) != 0:
            sys.exit("a server does not let its root be read")


def note(figures, key, result):
    figures.setdefault(key, []).append(result)


def say(text):
    print(text, flush=True)


class Medians:
    def __init__(self, figures):
        self.figures = figures

    def __call__(self, cell, who, what):
        return statistics.median(result[what] for result in self.figures[cell, who])


def verdict(met):
    return "met" if met else "**short**"


def machine():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")),
                 "a processor")
    return f"{os.cpu_count()} cores ({model}, Linux {os.uname().release.split('-')[0]})"


def build():
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    subprocess.run([ROOT / ".ci/java-zookeeper", JAVA_VERSION, "--classpath"], check=True,
                   stdout=subprocess.DEVNULL)


def write_document(name, text):
    """Puts it between the two markers of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = DOCUMENT.read_text().split(begin)
    _, after = rest.split(end)
    DOCUMENT.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
