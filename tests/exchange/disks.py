# SPDX-License-Identifier: Apache-2.0
"""Fills real disks under load, and has their syncs fail: nothing acknowledged may be lost.

    disks.py SERVER

Needs the right to mount: small file systems in memory, and one on a loop device whose image cannot
grow with it, as a thin volume that runs out: there writes succeed and the sync fails.
"""

import contextlib
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

from kill import WRITERS, check, connect, start_writers
from server import Server

EXIT_DISK_WRITE = 10
PADDING = 2000


def sh(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"FAILED: {' '.join(command)}: {done.stderr}(root is needed here)")


@contextlib.contextmanager
def mounted(point, *arguments):
    os.makedirs(point, exist_ok=True)
    sh("mount", *arguments, point)
    try:
        yield
    finally:
        sh("umount", point)


def memory(size):
    return ("-t", "tmpfs", "-o", f"size={size}", "tmpfs")


def fill(command, folder, *said):
    """Writes until the server halts; gives back the writers and their sessions."""
    server = Server(command, folder).await_service()
    try:
        writers = start_writers(server, 0, [None] * WRITERS, PADDING)
        sessions = [writer.client.client_id for writer in writers]
        code = server.process.wait(120)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"FAILED: the disk did not fill up:\n{server.said()[-4000:]}") from None
    finally:
        server.kill()
    for writer in writers:
        writer.end()
    last = server.said().splitlines()[-1]
    if code != EXIT_DISK_WRITE or not all(words in last for words in said):
        raise SystemExit(f"FAILED: exit code {code}, not {EXIT_DISK_WRITE} with {said}: {last}")
    print(f"disks: it halted, and said: {last}", flush=True)
    return writers, sessions


def check_after_repair(command, folder, filled):
    server = Server(command, folder).await_service()
    try:
        for writer, session in zip(*filled):
            check(connect(server.port, session), 0, writer, session)
    finally:
        server.kill()
    writes = sum(2 * writer.acknowledged for writer in filled[0])
    if writes == 0:
        raise SystemExit("FAILED: nothing was acknowledged, so nothing was tried")
    print(f"disks: all of {writes} acknowledged writes are there", flush=True)


def a_full_disk(command, folder):
    data = f"{folder}/data"
    with mounted(data, *memory("8m")):
        said = ("No space left on device", "Nothing acknowledged is lost", "Make room")
        filled = fill(command, folder, *said)
        sh("mount", "-o", "remount,size=64m", data)
        check_after_repair(command, folder, filled)


def failing_syncs(command, folder):
    store, data = f"{folder}/store", f"{folder}/data"
    with mounted(store, *memory("24m")):
        sh("truncate", "-s", "128m", f"{store}/image")
        sh("mkfs.ext4", "-q", "-E", "lazy_itable_init=1", f"{store}/image")
        loop = ("-o", "loop", f"{store}/image")
        with mounted(data, *loop):
            said = ("Input/output error", "Nothing acknowledged is lost", "Look after the disk")
            filled = fill(command, folder, *said)
        sh("mount", "-o", "remount,size=256m", store)
        with mounted(data, *loop):
            check_after_repair(command, folder, filled)


def a_full_disk_of_snapshots(command, folder):
    """D3: service goes on, nothing is left behind, and the next snapshot is tried."""
    with mounted(f"{folder}/data", *memory("1m")):
        settings = {"dataLogDir": f"{folder}/log", "snapCount": 100}
        server = Server(command, folder, **settings).await_service()
        try:
            client = connect(server.port)
            for n in range(1500):
                client.create(f"/n{n}", b"x" * 2000)
            failures = server.said().count("could not be written")
            if failures < 2 or len(client.get_children("/")) != 1501:
                raise SystemExit(f"FAILED: {failures} snapshots failed:\n{server.said()[-4000:]}")
        finally:
            server.kill()
        names = sorted(path.name for path in pathlib.Path(folder, "data/version-2").iterdir())
        print(f"disks: {failures} snapshots failed, service went on; left: {names}", flush=True)
        server = Server(command, folder, **settings).await_service()
        try:
            if len(connect(server.port).get_children("/")) != 1501:
                raise SystemExit("FAILED: the log does not hold what the snapshots could not")
        finally:
            server.kill()


def main():
    # Connections are cut on purpose here.
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    for trial in (a_full_disk, failing_syncs, a_full_disk_of_snapshots):
        with tempfile.TemporaryDirectory(prefix="menagerie-disks-") as folder:
            os.mkdir(f"{folder}/data")
            trial(sys.argv[1], folder)
    print("disks: passed")


main()
