"""Bounded queues, mutexes, semaphores, events and memory that programs share by a name, and that outlive their users.

    import penstock

    q = penstock.Queue("jobs", capacity=1000)     # opens "jobs", or creates it
    q.put(job)                                    # waits while the queue is full
    job = q.get(timeout=1.5)                      # waits while it is empty

`penstock.aio` has the queue with async verbs, `penstock.testing` what tests of such programs need.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from penstock._core import Lease, Reservation
    from penstock._errors import (
        BadName,
        Closed,
        Corrupted,
        DecodeError,
        Empty,
        Exists,
        Foreign,
        Full,
        LeaseLost,
        Mismatch,
        NewerVersion,
        NoSpace,
        NotFound,
        NotOwner,
        OverRelease,
        PenstockError,
        Removed,
        ShutDown,
        SystemFailed,
        TooLarge,
        TooManyProcesses,
        Unsupported,
        Untrusted,
    )
    from penstock._event import Event
    from penstock._mapping import Mapping
    from penstock._mutex import Mutex
    from penstock._queue import DeadLetters, Queue
    from penstock._semaphore import Semaphore
    from penstock._wait import wait
else:
    # Imported when asked for: a command gets here before it can see to it that Ctrl-C is quiet, so this must be quick.
    _HOMES = {
        "_core": ("Lease", "Reservation"),
        "_errors": (
            "BadName",
            "Closed",
            "Corrupted",
            "DecodeError",
            "Empty",
            "Exists",
            "Foreign",
            "Full",
            "LeaseLost",
            "Mismatch",
            "NewerVersion",
            "NoSpace",
            "NotFound",
            "NotOwner",
            "OverRelease",
            "PenstockError",
            "Removed",
            "ShutDown",
            "SystemFailed",
            "TooLarge",
            "TooManyProcesses",
            "Unsupported",
            "Untrusted",
        ),
        "_event": ("Event",),
        "_mapping": ("Mapping",),
        "_mutex": ("Mutex",),
        "_queue": ("DeadLetters", "Queue"),
        "_semaphore": ("Semaphore",),
        "_wait": ("wait",),
    }

    def __getattr__(name):
        """Import what is asked for, once."""
        import importlib

        for home, names in _HOMES.items():
            if name in names:
                value = globals()[name] = getattr(importlib.import_module(f"penstock.{home}"), name)
                return value
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})


del TYPE_CHECKING

__all__ = [
    "Queue",
    "DeadLetters",
    "Lease",
    "Reservation",
    "Mutex",
    "Semaphore",
    "Event",
    "Mapping",
    "wait",
    "Empty",
    "Full",
    "ShutDown",
    "PenstockError",
    "Closed",
    "BadName",
    "Mismatch",
    "NotFound",
    "Exists",
    "TooLarge",
    "NotOwner",
    "OverRelease",
    "LeaseLost",
    "DecodeError",
    "Removed",
    "Corrupted",
    "Foreign",
    "NewerVersion",
    "Untrusted",
    "NoSpace",
    "Unsupported",
    "TooManyProcesses",
    "SystemFailed",
]
