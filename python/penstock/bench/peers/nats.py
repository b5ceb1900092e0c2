"""NATS: a work queue of JetStream on a server of its own."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

from penstock.bench._children import die_with_parent
from penstock.bench.peers._peer import CannotDo, Peer, Receiver, Sender

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work

_PATIENCE_SECONDS = 10.0
_MOST_BYTES = 1024 * 1024 - 1  # max_payload, its default; larger ones are advised against


class Nats(Peer):
    """Publish; fetch and acknowledge: what its documentation has for work that must not be lost."""

    name = "nats"
    module = "nats"
    package = "nats-py"
    says = (
        "a JetStream work queue in memory on a server of its own over the loopback interface; publish one by one or 100"
        " at once; a durable pull consumer that fetches up to 100 and acknowledges each"
    )

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        if item.nbytes > _MOST_BYTES:
            raise CannotDo("takes at most 1 MiB less a few bytes")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self._url = f"nats://127.0.0.1:{port}"
        options = ["-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(place)]
        self._server = subprocess.Popen(
            ["nats-server", *options], stderr=subprocess.DEVNULL, preexec_fn=die_with_parent
        )
        self._wait_until_up(port)
        self._run = asyncio.Runner().run
        self._run(self._make_stream())

    @classmethod
    def missing(cls) -> str | None:
        """Look for the client and for the server."""
        if shutil.which("nats-server") is None:
            return "there is no nats-server on the PATH"
        return super().missing()

    @classmethod
    def check(cls, work: Work) -> None:
        """Refuse what has no sense for a server."""
        super().check(work)
        if work.kind == "memory":
            raise CannotDo("keeps items on its server")

    def _wait_until_up(self, port: int) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError as error:
                if time.monotonic() > until or self._server.poll() is not None:
                    raise CannotDo("nats-server does not start") from error
                time.sleep(0.01)

    async def _make_stream(self) -> None:
        import nats
        from nats.js import api

        client = await nats.connect(self._url)
        stream = client.jetstream()
        await stream.add_stream(
            name="bench",
            subjects=["bench"],
            retention=api.RetentionPolicy.WORK_QUEUE,
            storage=api.StorageType.MEMORY,
        )
        await client.close()

    def sender(self) -> Sender:
        """Connect, with an event loop for this process."""
        import nats

        run, encode = asyncio.Runner().run, self.item.encode

        async def connect() -> Any:
            return (await nats.connect(self._url)).jetstream()

        stream = run(connect())

        async def publish(items: Sequence[Any]) -> None:
            await asyncio.gather(*[stream.publish("bench", bytes(encode(item))) for item in items])

        return Sender(lambda item: run(stream.publish("bench", bytes(encode(item)))), lambda items: run(publish(items)))

    def receiver(self) -> Receiver:
        """Connect, with an event loop for this process."""
        import nats
        from nats.errors import TimeoutError as NothingYet

        run, decode = asyncio.Runner().run, self.item.decode

        async def subscribe() -> Any:
            return await (await nats.connect(self._url)).jetstream().pull_subscribe("bench", durable="bench")

        subscription = run(subscribe())

        async def fetch(most: int) -> list[Any]:
            while True:
                try:
                    messages = await subscription.fetch(most, timeout=1)
                except NothingYet:
                    continue
                for message in messages:
                    await message.ack()
                return [decode(message.data) for message in messages]

        return Receiver(lambda: run(fetch(1))[0], lambda most: run(fetch(most)))

    def servers(self) -> list[int]:
        """Return the server."""
        return [self._server.pid]

    def close(self) -> None:
        """Stop the server."""
        self._server.kill()
        self._server.wait()
