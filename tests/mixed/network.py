# SPDX-License-Identifier: Apache-2.0
"""The network between the servers of an ensemble: each link goes through here, and each way from
one server to another can be cut or slowed. A cut holds bytes back, as lost packets do that are sent
again; the links live on, or are reset when it heals."""

import asyncio
import contextlib
import threading

AT_ONCE = 65536


class Network:
    """Runs in a thread of its own until it is closed."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.held, self.delays, self.links = set(), {}, {}
        self.changed = asyncio.Condition()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def close(self):
        async def end():
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def listen(self, dialler, acceptor, port):
        """The port at which `dialler` finds the port of `acceptor`."""

        async def serve(reader, writer):
            with contextlib.suppress(asyncio.CancelledError):
                await self.carry(dialler, acceptor, port, reader, writer)

        async def begin():
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            return server.sockets[0].getsockname()[1]

        return self.run(begin())

    def cut(self, ways):
        """Nothing gets along these ways, which are pairs of servers."""
        self.run(self.set(lambda: self.held.update(ways)))

    def slow(self, ways, seconds):
        self.run(self.set(lambda: self.delays.update(dict.fromkeys(ways, seconds))))

    def heal(self, reset):
        """All ways are free and fast. With `reset`, links along those that were cut end."""

        def free():
            for (dialler, acceptor), writers in list(self.links.items()):
                if reset and self.held & {(dialler, acceptor), (acceptor, dialler)}:
                    for writer in writers:
                        writer.transport.abort()
            self.held.clear()
            self.delays.clear()

        self.run(self.set(free))

    def run(self, task):
        return asyncio.run_coroutine_threadsafe(task, self.loop).result(30)

    async def set(self, change):
        async with self.changed:
            change()
            self.changed.notify_all()

    async def carry(self, dialler, acceptor, port, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        writers = self.links.setdefault((dialler, acceptor), set())
        writers |= {writer, far_writer}
        await asyncio.gather(
            self.pump(reader, far_writer, (dialler, acceptor)),
            self.pump(far_reader, writer, (acceptor, dialler)),
        )
        writers -= {writer, far_writer}

    async def pump(self, reader, writer, way):
        with contextlib.suppress(OSError):
            while data := await reader.read(AT_ONCE):
                await asyncio.sleep(self.delays.get(way, 0))
                async with self.changed:
                    await self.changed.wait_for(lambda: way not in self.held)
                writer.write(data)
                await writer.drain()
        writer.close()
