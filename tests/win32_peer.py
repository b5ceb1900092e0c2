"""Make Win32 calls for a test, in a process of its own: requests come as lines of JSON, answers go the same way.

    python win32_peer.py [pywin32]

With "pywin32" the calls that pywin32 has are made through it, and the others as without.

A request names the thread to do it in, which is started when first named, and a call with its arguments. A handle or a
view comes back as a name, which may stand in later arguments. The last error is made 0xDEADBEEF before each call.

Knows nothing of the tests, of pytest or of the system: it runs on Linux as it runs under Wine.
"""

from __future__ import annotations

import ctypes
import json
import queue
import sys
import threading
from pathlib import Path
from typing import Any

from penstock import win32

PLANTED = 0xDEADBEEF
UNTOUCHED = -7

if "pywin32" in sys.argv[1:]:
    import win32_pywin32

    calls: Any = win32_pywin32
else:
    calls = win32

things: dict[str, Any] = {}
"""What the names of handles, views and files stand for."""

unclosed: set[str] = set()
"""Those of them that are still open."""

talking = threading.Lock()
threads: dict[str, queue.SimpleQueue[dict[str, Any] | None]] = {}


def value_of(argument: Any) -> Any:
    """Return what an argument of a request stands for."""
    if isinstance(argument, list):
        return [value_of(one) for one in argument]
    if isinstance(argument, dict):
        thing = things[argument["thing"]]
        return thing + argument["plus"] if argument.get("plus") else thing
    return argument


def local_path(path: str) -> str:
    """Return a path of the test's as this system calls it."""
    return f"Z:{path}" if sys.platform == "win32" and path.startswith("/") else path


def make(request: dict[str, Any]) -> dict[str, Any]:
    """Make a call, and describe what came of it."""
    name, arguments = request["call"], value_of(request["arguments"])
    own = OWN.get(name)
    if own is not None:
        result = own(*arguments)
        return {"result": result, "error": None}
    previous = ctypes.c_int32(UNTOUCHED)
    if name == "ReleaseSemaphore" and len(arguments) == 2:
        arguments.append(ctypes.byref(previous))
    calls.SetLastError(PLANTED)
    result = getattr(calls, name)(*arguments)
    error = calls.GetLastError()
    answer = {"result": result, "error": "unchanged" if error == PLANTED else error}
    if name.startswith(("Create", "Open", "Map")) and result:
        things[request["keep"]] = result
        unclosed.add(request["keep"])
        answer["result"] = request["keep"]
        if name == "MapViewOfFile":
            answer["base"] = result
    if name in ("CloseHandle", "UnmapViewOfFile") and result:
        (closed,) = request["arguments"]
        unclosed.discard(closed["thing"] if isinstance(closed, dict) else "")
    if previous.value != UNTOUCHED:
        answer["previous"] = previous.value
    return answer


def open_file(keep: str, path: str, mode: str) -> bool:
    things[keep] = Path(local_path(path)).open(mode, buffering=0)  # noqa: SIM115  # `close_file` closes it
    unclosed.add(keep)
    return True


def close_file(file: Any) -> bool:
    file.close()
    return True


def peek(address: int, size: int) -> str:
    return ctypes.string_at(address, size).hex()


def poke(address: int, data: str) -> bool:
    ctypes.memmove(address, bytes.fromhex(data), len(data) // 2)
    return True


def region(address: int) -> int:
    """Return how many bytes are mapped from an address on: whole pages."""
    if sys.platform == "win32":

        class Information(ctypes.Structure):
            _fields_ = (
                ("BaseAddress", ctypes.c_void_p),
                ("AllocationBase", ctypes.c_void_p),
                ("AllocationProtect", ctypes.c_uint32),
                ("PartitionId", ctypes.c_uint16),
                ("RegionSize", ctypes.c_size_t),
                ("State", ctypes.c_uint32),
                ("Protect", ctypes.c_uint32),
                ("Type", ctypes.c_uint32),
            )

        information = Information()
        query = ctypes.WinDLL("kernel32").VirtualQuery
        query.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        query(address, ctypes.byref(information), ctypes.sizeof(information))
        return int(information.RegionSize)
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if start == address:
                return end - start
    return 0


def reset() -> bool:
    """Close everything, and end the other threads, as if the process were new."""
    while threads:
        threads.popitem()[1].put(None)
    for thing in [things[name] for name in unclosed]:
        if not isinstance(thing, int):
            thing.close()
        elif not calls.UnmapViewOfFile(thing):
            calls.CloseHandle(thing)
    things.clear()
    unclosed.clear()
    return True


OWN: dict[str, Any] = {
    "reset": reset,
    "open_file": open_file,
    "close_file": close_file,
    "peek": peek,
    "poke": poke,
    "region": region,
}


def answer(request: dict[str, Any], told: dict[str, Any]) -> None:
    """Send an answer."""
    with talking:
        print(json.dumps(told | {"id": request["id"]}), flush=True)


def work(requests: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    """Make the calls of one thread until it is told to end."""
    while (request := requests.get()) is not None:
        try:
            answer(request, make(request))
        except Exception as err:  # noqa: BLE001  # the test shows it
            answer(request, {"result": f"{type(err).__name__}: {err}", "error": "raised"})


def main() -> None:
    """Hand requests to their threads."""
    for line in sys.stdin:
        request = json.loads(line)
        thread = request["thread"]
        if request["call"] == "end_thread":
            threads.pop(thread).put(None)
            continue
        if thread not in threads:
            threads[thread] = queue.SimpleQueue()
            threading.Thread(target=work, args=(threads[thread],), daemon=True).start()
        threads[thread].put(request)


if __name__ == "__main__":
    main()
