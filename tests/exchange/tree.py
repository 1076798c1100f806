# SPDX-License-Identifier: Apache-2.0
"""Reads a whole tree over the client protocol, many requests at a time: 100,000 znodes in seconds."""

import socket
import struct

PIPELINED = 500
GET_DATA, GET_ACL, GET_CHILDREN = 4, 6, 8
# czxid mzxid ctime mtime version cversion aversion ephemeralOwner dataLength numChildren pzxid
STAT = struct.Struct(">qqqqiiiqiiq")
STAT_NAMES = (
    "czxid mzxid ctime mtime version cversion aversion ephemeralOwner dataLength numChildren pzxid"
).split()


def tree(port):
    """Each path's data, Stat and ACL, as the bytes that the server answers."""
    found, level = {}, [b"/"]
    with socket.create_connection(("127.0.0.1", port), 60) as link:
        stream = link.makefile("rwb")
        handshake(stream)
        while level:
            with_children = []
            for path, data in zip(level, ask(stream, GET_DATA, level)):
                found[path] = data
                if data is not None and STAT.unpack(data[-STAT.size :])[9]:
                    with_children.append(path)
            for path, acl in zip(level, ask(stream, GET_ACL, level)):
                found[path] = (found[path], acl)
            level = []
            for path, children in zip(with_children, ask(stream, GET_CHILDREN, with_children)):
                level += [path.rstrip(b"/") + b"/" + name for name in strings(children)]
        send(stream, struct.pack(">ii", 1, -11))
        stream.flush()
        receive(stream)
    return found


def handshake(stream):
    send(stream, struct.pack(">iqiqi16s?", 0, 0, 60_000, 0, 16, b"", False))
    stream.flush()
    receive(stream)


def ask(stream, op, paths):
    """The bodies of the replies, or None where there was an error."""
    for start in range(0, len(paths), PIPELINED):
        batch = paths[start : start + PIPELINED]
        for path in batch:
            watch = b"" if op == GET_ACL else b"\0"
            send(stream, struct.pack(">iii", 1, op, len(path)) + path + watch)
        stream.flush()
        for _ in batch:
            reply = receive(stream)
            yield None if reply[12:16] != b"\0\0\0\0" else reply[16:]


def send(stream, body):
    stream.write(struct.pack(">i", len(body)) + body)


def receive(stream):
    (length,) = struct.unpack(">i", stream.read(4))
    return stream.read(length)


def strings(body):
    (count,), offset = struct.unpack_from(">i", body), 4
    for _ in range(count):
        (length,) = struct.unpack_from(">i", body, offset)
        yield body[offset + 4 : offset + 4 + length]
        offset += 4 + length


def differences(before, after):
    """A line for each path that is not the same in both trees."""
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            yield f"{path.decode()}:\n  was {shown(before.get(path))}\n  is  {shown(after.get(path))}"


def shown(node):
    if node is None or None in node:
        return f"not there: {node}"
    data, acl = node
    stat = dict(zip(STAT_NAMES, STAT.unpack(data[-STAT.size :])))
    return f"{data[: -STAT.size]} {stat} {acl[: -STAT.size]}"
