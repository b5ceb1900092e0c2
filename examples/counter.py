"""The lesson's shared counter: several processes add to one number in shared memory, guarded by a named mutex.

Without the mutex most additions would be lost, for reading and writing back are two steps.

    python examples/counter.py
"""

import os
from multiprocessing import get_context

import penstock

PROCESSES = 3
ADDITIONS = 10_000


def add(name: str) -> None:
    """Add one to the counter, many times."""
    guard = penstock.Mutex(f"{name}-guard")
    with penstock.Mapping(f"{name}-number", 8) as memory, memoryview(memory).cast("Q") as counter:
        for _ in range(ADDITIONS):
            with guard:  # one process at a time; the others wait here
                counter[0] += 1


def main() -> None:
    """Let some processes count together and print how far they came."""
    name = f"counter-{os.getpid()}"
    guard = penstock.Mutex(f"{name}-guard")
    with penstock.Mapping(f"{name}-number", 8) as memory:
        processes = [get_context("spawn").Process(target=add, args=(name,)) for _ in range(PROCESSES)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        with memoryview(memory).cast("Q") as counter:
            print(f"{counter[0]} of {PROCESSES * ADDITIONS}")
        memory.unlink()
    guard.unlink()


if __name__ == "__main__":
    main()
