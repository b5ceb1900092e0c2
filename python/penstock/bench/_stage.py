"""One run in a process of its own: `python -m penstock.bench._stage JOB`, with the outcome as the last line of output.

What a peer leaves behind in a process (threads, imported modules, memory) thereby never meets the next one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from penstock.bench import _work, peers
from penstock.bench.peers._peer import CannotDo


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Carry out a job and return its figures, or why there are none."""
    work = _work.EVERY[job["work"]]
    try:
        peer = peers.find(job["peer"])
        reason = peer.missing()
        if reason is not None:
            return {"absent": reason}
        peer.check(work)
        return _measure(peer, work, Path(job["place"]), job)
    except CannotDo as error:
        return {"absent": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever it is, this run has failed, and the table says so
        return {"failed": f"{type(error).__name__}: {error}"}


def _measure(peer: Any, work: _work.Work, place: Path, job: dict[str, Any]) -> dict[str, Any]:
    if work.kind == "stream":
        from penstock.bench import _stream
        from penstock.bench._items import item_of

        made = peer(work, item_of(work.item), place)
        try:
            return _stream.run(made, work, job["seconds"], job["patience"])
        finally:
            made.close()
    from penstock.bench import _single

    return _single.run(peer, work, place, job["seconds"], job["patience"])


def _stop(_number: int, _frame: object) -> None:
    """Unwind, so that what was made is removed."""
    raise SystemExit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    print(json.dumps(main(json.loads(sys.argv[1]))), flush=True)
    os._exit(0)  # a peer's threads must not keep it
