"""ZeroMQ by pyzmq: PUSH and PULL over ipc, the pattern that its guide has for handing on work."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import zmq

from penstock.bench.peers._peer import CannotDo, Peer, Receiver, Sender

if TYPE_CHECKING:
    from penstock.bench._work import Work

# The bound on each side, in items. Its default, for its guide warns of small ones; more where more is asked for.
_HIGH_WATER = 1000
# From this size on the guide advises copy=False; pyzmq itself copies what is smaller.
_LARGE_BYTES = zmq.COPY_THRESHOLD


class Zmq(Peer):
    """The consumer binds, the producers connect. Each process has a context of its own."""

    name = "pyzmq"
    module = "zmq"
    package = "pyzmq"
    says = (
        "PUSH and PULL over ipc://, high-water mark 1000 (its default) or the capacity if larger,"
        " copy=False from 64 KiB on, send_pyobj for dicts"
    )
    most_consumers = 1
    one_reason = "PUSH deals items out to its consumers: there is no common queue that the next one takes from"
    is_in_kernel = True

    @classmethod
    def check(cls, work: Work) -> None:
        """Refuse what would be something else."""
        super().check(work)
        if work.way in ("batch", "array"):
            raise CannotDo("has no verb for many items; its context gathers them by itself")

    def _socket(self, kind: int) -> Any:
        made = zmq.Context().socket(kind)
        made.set_hwm(max(_HIGH_WATER, self.work.capacity))
        return made

    def sender(self) -> Sender:
        """Connect."""
        push, item = self._socket(zmq.PUSH), self.item
        push.connect(f"ipc://{self.place}/zmq")
        if self.work.item == "object":
            return Sender(partial(push.send_pyobj, protocol=5))
        if item.nbytes >= _LARGE_BYTES:
            return Sender(lambda one: push.send(item.encode(one), copy=False))
        if self.work.item == "u4":
            return Sender(lambda one: push.send(item.encode(one)))
        return Sender(push.send)

    def receiver(self) -> Receiver:
        """Bind."""
        pull, item = self._socket(zmq.PULL), self.item
        pull.bind(f"ipc://{self.place}/zmq")
        if self.work.item == "object":
            return Receiver(pull.recv_pyobj)
        if item.nbytes >= _LARGE_BYTES:
            return Receiver(lambda: item.decode(pull.recv(copy=False).buffer))
        if self.work.item == "u4":
            return Receiver(lambda: item.decode(pull.recv()))
        return Receiver(pull.recv)
