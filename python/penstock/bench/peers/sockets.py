"""Stream sockets, of the Unix kind and over TCP on this machine."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from penstock.bench.peers import _records
from penstock.bench.peers._peer import CannotDo, Peer, Receiver, Sender

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work


class UnixSocket(Peer):
    """Items over a pair of connected sockets."""

    name = "Unix socket"
    says = "a connected pair, send and recv_into of one item each"
    most_producers = most_consumers = 1
    is_in_kernel = True

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._ours, self._theirs = self._pair()

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        return socket.socketpair()

    @classmethod
    def check(cls, work: Work) -> None:
        """Refuse what is no stream of records."""
        super().check(work)
        if work.way not in ("single", "batch"):
            raise CannotDo("bytes are copied in and out")

    def sender(self) -> Sender:
        """Send each item whole."""
        return _records.sender(self._ours.send, self.item)

    def receiver(self) -> Receiver:
        """Receive each item whole."""
        return _records.receiver(self._theirs.recv_into, self._theirs.recv, self.item)

    def close(self) -> None:
        """Close both ends."""
        self._ours.close()
        self._theirs.close()


class TcpSocket(UnixSocket):
    """The same over the loopback interface."""

    name = "TCP socket"
    says = "over the loopback interface, TCP_NODELAY as for all small messages that are waited for"

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            theirs, _ = server.accept()
        for end in (ours, theirs):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return ours, theirs
