# SPDX-License-Identifier: Apache-2.0
"""One server process on a folder that outlives it, whatever the server is."""

import contextlib
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import time

CONFIG = """tickTime=2000
dataDir={folder}/data
clientPort={port}
clientPortAddress=127.0.0.1
maxClientCnxns=0
4lw.commands.whitelist=*
extendedTypesEnabled=true
admin.enableServer=false
maxSessionTimeout=120000
"""


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A command that takes the path of a zoo.cfg; started here, and ended without warning."""

    def __init__(self, command, folder, port=None, **settings):
        self.port = port or free_port()
        self.command = command
        self.log = pathlib.Path(folder, "server.log")
        self.log_starts = self.log.stat().st_size if self.log.exists() else 0
        config = pathlib.Path(folder, "zoo.cfg")
        lines = "".join(f"{key}={value}\n" for key, value in settings.items())
        config.write_text(CONFIG.format(folder=folder, port=self.port) + lines)
        with self.log.open("ab") as log:
            # A session of its own: a command may be a tool that runs the server under it.
            self.process = subprocess.Popen(
                [*shlex.split(command), config], stdout=log, stderr=log, start_new_session=True
            )

    def said(self):
        """What this process has logged."""
        return self.log.read_bytes()[self.log_starts :].decode(errors="replace")

    def await_service(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                if "Mode:" in self.ask("srvr"):
                    return self
            time.sleep(0.05)
        self.kill()
        raise SystemExit(f"FAILED: {self.command} does not serve:\n{self.said()[-4000:]}")

    def ask(self, word):
        with socket.create_connection(("127.0.0.1", self.port), 10) as link:
            link.sendall(word.encode())
            return b"".join(iter(lambda: link.recv(65536), b"")).decode()

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
