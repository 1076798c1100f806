# SPDX-License-Identifier: Apache-2.0
"""Runs kazoo's own tests against one server that we launch, instead of kazoo's Java ensemble; with
KAZOO_ENSEMBLE=1, against the three that kazoo's harness launches, our program in Java's place.

A pytest plugin (`-p managed_server`). SERVER_COMMAND is the program and its arguments, to which
the path of a generated zoo.cfg is appended: `menagerie serve` or `.ci/java-zookeeper 3.9.5`.

`deselected.txt` says which tests are left out and why. `expected.txt` says which tests pass on Java
ZooKeeper 3.9.5: the run fails unless each of them passes here. KAZOO_RECORD=1 rewrites that list.
An ensemble has the same two lists with `-ensemble` in their names.
"""

import atexit
import os
import pathlib
import random
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import pytest

HERE = pathlib.Path(__file__).parent
# The digest of super:test, the identity kazoo's tests authenticate as.
SUPER_DIGEST = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="
START_SECONDS = 60
STOP_SECONDS = 30

# What kazoo's own runs set: else its look at the server's version is skipped.
os.environ.update(CI="true", ZOOKEEPER_VERSION="3.9.5")
ENSEMBLE = os.environ.get("KAZOO_ENSEMBLE") == "1"


def free_port():
    """A port below the ephemeral range: a client that dials a stopped server cannot meet itself."""
    while True:
        port = random.randrange(12000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Server:
    """One server process with its data directory; the operations kazoo's harness expects."""

    def __init__(self, command):
        self.command = shlex.split(command)
        self.client_port = free_port()
        self.working_path = None
        self.process = None

    @property
    def address(self):
        return "127.0.0.1:%d" % self.client_port

    secure_address = address

    @property
    def running(self):
        return self.process is not None

    def run(self):
        if self.running:
            return
        if self.working_path is None:
            self.working_path = pathlib.Path(tempfile.mkdtemp(prefix="kazoo-server-"))
            (self.working_path / "zoo.cfg").write_text(self._config())
        with open(self.working_path / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [*self.command, str(self.working_path / "zoo.cfg")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._await_start()

    def _config(self):
        (self.working_path / "data").mkdir()
        return "\n".join(
            [
                "tickTime=2000",
                "dataDir=%s" % (self.working_path / "data"),
                "clientPort=%d" % self.client_port,
                "clientPortAddress=127.0.0.1",
                "maxClientCnxns=0",
                "admin.enableServer=false",
                "4lw.commands.whitelist=*",
                "reconfigEnabled=true",
                "DigestAuthenticationProvider.superDigest=%s" % SUPER_DIGEST,
                "",
            ]
        )

    def _await_start(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                status, self.process = self.process.returncode, None
                said = "".join(self.get_logs())
                raise RuntimeError("the server ended with status %s:\n%s" % (status, said))
            if self._is_up():
                return
            time.sleep(0.05)
        raise RuntimeError("the server did not answer within %d s" % START_SECONDS)

    def _is_up(self):
        try:
            address = ("127.0.0.1", self.client_port)
            with socket.create_connection(address, timeout=5) as probe:
                probe.sendall(b"srvr")
                return probe.recv(17) == b"Zookeeper version"
        except OSError:
            return False

    def stop(self):
        if not self.running:
            return
        process, self.process = self.process, None
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError("the server ignored SIGTERM for %d s" % STOP_SECONDS) from None

    def destroy(self):
        self.stop()
        if self.working_path is not None:
            shutil.rmtree(self.working_path, ignore_errors=True)
            self.working_path = None

    def reset(self):
        self.destroy()

    def get_logs(self, num_lines=100):
        if self.working_path is None:
            return []
        log = self.working_path / "server.log"
        return log.read_text(errors="replace").splitlines(keepends=True)[-num_lines:]


class Cluster:
    """What kazoo's harness asks of a cluster, over our one server."""

    def __init__(self, command):
        self._servers = [Server(command)]

    def __getitem__(self, index):
        return self._servers[index]

    def __iter__(self):
        return iter(self._servers)

    def start(self):
        for server in self:
            server.run()

    def terminate(self):
        for server in self:
            server.destroy()

    def reset(self):
        for server in self:
            server.reset()

    def get_logs(self):
        return [line for server in self for line in server.get_logs()]


def short_id(nodeid):
    """`test_lock.py::TestLock::test_x`, wherever kazoo is installed."""
    return nodeid.rsplit("/", 1)[-1]


def list_of(kind):
    return HERE / ("%s-ensemble.txt" % kind if ENSEMBLE else "%s.txt" % kind)


def entries(kind):
    """The lines of a list: (test or class, what is said about it)."""
    path = list_of(kind)
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [line.split(None, 1) for line in lines if line.strip() and not line.startswith("#")]
    return {row[0]: row[1] if len(row) > 1 else "" for row in rows}


class Verdict:
    """Collects each test's outcome and compares them with what passes on Java."""

    def __init__(self):
        self.outcome = {}

    def pytest_runtest_logreport(self, report):
        test = short_id(report.nodeid)
        if report.failed:
            self.outcome[test] = "failed"
        elif report.skipped:
            self.outcome.setdefault(test, "skipped")
        elif report.when == "call":
            self.outcome.setdefault(test, "passed")

    def _missing(self):
        return sorted(t for t in entries("expected") if self.outcome.get(t) != "passed")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        passed = sorted(t for t, outcome in self.outcome.items() if outcome == "passed")
        if os.environ.get("KAZOO_RECORD"):
            head = "# kazoo's tests that pass on Java ZooKeeper 3.9.5. Written by KAZOO_RECORD=1.\n"
            list_of("expected").write_text(head + "".join(t + "\n" for t in passed))
        elif os.environ.get("KAZOO_SELECTED") is None and self._missing():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        counts = {}
        for outcome in self.outcome.values():
            counts[outcome] = counts.get(outcome, 0) + 1
        terminalreporter.write_line("kazoo: %s" % (counts or "no test ran"))
        if os.environ.get("KAZOO_SELECTED") is None:
            for test in self._missing():
                seen = self.outcome.get(test, "not run")
                terminalreporter.write_line("passes on Java, %s here: %s" % (seen, test))


def take_java_s_place():
    """What kazoo's harness runs as `java` is ours; each worker has ports of its own."""
    os.environ.update(
        PATH="%s:%s" % (HERE / "bin", os.environ["PATH"]),
        ZOOKEEPER_CLASSPATH="none",
        # Servers of the harness take ten ports each, from here on.
        ZOOKEEPER_PORT_OFFSET=str(random.randrange(120, 300) * 100),
    )


def pytest_configure(config):
    command = os.environ.get("SERVER_COMMAND")
    if not command:
        raise pytest.UsageError("SERVER_COMMAND is not set")
    if ENSEMBLE:
        take_java_s_place()
    else:
        from kazoo.testing import harness

        cluster = Cluster(command)
        atexit.register(cluster.terminate)
        harness.get_global_cluster = lambda: cluster
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Verdict(), "kazoo-verdict")


def pytest_collection_modifyitems(config, items):
    reasons = entries("deselected")
    used, kept, dropped = set(), [], []
    for item in items:
        test = short_id(item.nodeid)
        match = [e for e in reasons if (test + "::").startswith(e + "::")]
        used.update(match)
        (dropped if match else kept).append(item)
    config.hook.pytest_deselected(items=dropped)
    items[:] = kept
    stale = sorted(set(reasons) - used)
    if stale and os.environ.get("KAZOO_SELECTED") is None:
        raise pytest.UsageError("deselected.txt names unknown tests: %s" % ", ".join(stale))
