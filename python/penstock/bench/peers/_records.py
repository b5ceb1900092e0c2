"""Items over a stream of bytes: one after the other where they have one size, with their length before them else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.bench._items import HEAD, Item
from penstock.bench.peers._peer import Receiver, Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Up to this size one read brings a whole item, as the writer wrote it in one.
_WHOLE_BYTES = 4096


def sender(write: Callable[[Any], int], item: Item) -> Sender:
    """Return the verbs that write items; `write` returns how much it took."""
    encode = item.encode

    def put_all(data: Any) -> None:
        view = memoryview(data)
        while len(view) > 0:
            view = view[write(view) :]

    def put_small(one: Any) -> None:
        write(encode(one))

    def put_large(one: Any) -> None:
        put_all(encode(one))

    def put_framed(one: Any) -> None:
        data = encode(one)
        put_all(HEAD.pack(len(data)) + data)

    def put_many(many: Sequence[Any]) -> None:
        put_all(b"".join(map(encode, many)))

    def put_many_framed(many: Sequence[Any]) -> None:
        encoded = [encode(one) for one in many]
        put_all(b"".join(part for data in encoded for part in (HEAD.pack(len(data)), data)))

    if item.nbytes == 0:
        return Sender(put_framed, put_many_framed)
    return Sender(put_small if item.nbytes <= _WHOLE_BYTES else put_large, put_many)


def receiver(read_into: Callable[[Any], int], read: Callable[[int], bytes], item: Item) -> Receiver:
    """Return the verbs that read items; `read` and `read_into` return what is there, up to what was asked for."""
    decode, nbytes = item.decode, item.nbytes

    def get_exactly(size: int) -> Any:
        data = read(size)
        if len(data) == size:
            return data
        whole = bytearray(size)
        whole[: len(data)] = data
        fill(memoryview(whole)[len(data) :])
        return whole

    def fill(view: memoryview) -> None:
        while len(view) > 0:
            view = view[read_into(view) :]

    def get_small() -> Any:
        return decode(get_exactly(nbytes))

    def get_large() -> Any:
        whole = bytearray(nbytes)
        fill(memoryview(whole))
        return decode(whole)

    def get_framed() -> Any:
        return decode(get_exactly(HEAD.unpack(get_exactly(HEAD.size))[0]))

    def get_many(most: int) -> Sequence[Any]:
        data = read(most * nbytes)
        over = len(data) % nbytes
        if over:
            data += bytes(get_exactly(nbytes - over))
        return [decode(data[at : at + nbytes]) for at in range(0, len(data), nbytes)]

    if nbytes == 0:
        return Receiver(get_framed)
    return Receiver(get_small if nbytes <= _WHOLE_BYTES else get_large, get_many)
