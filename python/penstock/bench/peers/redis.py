"""redis: a list on a server of its own, over a Unix socket."""

from __future__ import annotations

import shutil
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.bench._children import die_with_parent
from penstock.bench.peers._peer import CannotDo, Peer, Receiver, Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work

_PATIENCE_SECONDS = 10.0


class Redis(Peer):
    """LPUSH and BRPOP, the queue of its documentation. Nothing bounds the list."""

    name = "redis"
    module = "redis"
    package = "redis[hiredis]"
    says = (
        "LPUSH and BRPOP on a server of its own, over a Unix socket, persistence off, with hiredis;"
        " a pipeline and RPOP with a count for batches; the list has no bound"
    )

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._socket = f"{place}/redis.sock"
        options = ["--port", "0", "--unixsocket", self._socket, "--save", "", "--appendonly", "no", "--dir", str(place)]
        self._server = subprocess.Popen(
            ["redis-server", *options], stdout=subprocess.DEVNULL, preexec_fn=die_with_parent
        )
        until = time.monotonic() + _PATIENCE_SECONDS
        while not self._is_up():
            if time.monotonic() > until or self._server.poll() is not None:
                raise CannotDo("redis-server does not start")
            time.sleep(0.01)

    @classmethod
    def missing(cls) -> str | None:
        """Look for the client and for the server."""
        if shutil.which("redis-server") is None:
            return "there is no redis-server on the PATH"
        return super().missing()

    @classmethod
    def check(cls, work: Work) -> None:
        """Refuse what has no sense without a bound."""
        super().check(work)
        if work.kind == "memory":
            raise CannotDo("keeps items on its server")

    def _is_up(self) -> bool:
        import redis

        try:
            return bool(self._client().ping())
        except redis.ConnectionError:
            return False

    def _client(self) -> Any:
        import redis

        return redis.Redis(unix_socket_path=self._socket)

    def sender(self) -> Sender:
        """Connect."""
        client, encode = self._client(), self.item.encode

        def put(item: Any) -> None:
            client.lpush("bench", bytes(encode(item)))

        def put_many(items: Sequence[Any]) -> None:
            client.lpush("bench", *[bytes(encode(item)) for item in items])

        return Sender(put, put_many)

    def receiver(self) -> Receiver:
        """Connect."""
        client, decode = self._client(), self.item.decode

        def get() -> Any:
            return decode(client.brpop("bench")[1])

        def get_many(most: int) -> Sequence[Any]:
            several = client.rpop("bench", most)
            return [decode(data) for data in several] if several else [get()]

        return Receiver(get, get_many)

    def opened(self) -> Callable[[], Any]:
        """Connect and say hello."""
        client = self._client()
        client.ping()
        return partial(client.close)

    def servers(self) -> list[int]:
        """Return the server."""
        return [self._server.pid]

    def close(self) -> None:
        """Stop the server."""
        self._server.kill()
        self._server.wait()
