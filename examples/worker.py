"""A worker whose jobs survive it: what it was at work on when it died goes to the next worker.

A job that fails again and again does not block the others: after three deliveries it lies with the dead letters.

    python examples/worker.py
"""

import os
import signal
from multiprocessing import get_context

import penstock


def work(queue: penstock.Queue) -> None:
    """Do jobs until the queue is shut down and empty."""
    while True:
        try:
            with queue.lease() as job:  # at the end of the block the job is done, and forgotten
                do(job.value)
        except penstock.ShutDown:
            return
        except ValueError as error:
            print(f"given back: {error}", flush=True)  # the error did that, on its way out of the block


def do(job: str) -> None:
    """Do one job, as far as it can be done."""
    if job == "impossible":
        raise ValueError("this job cannot be done")
    if job == "deadly" and not os.environ.get("SURVIVE"):
        print("killed in the middle of a job", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    print(f"done: {job}", flush=True)


def main() -> None:
    """Put jobs, start a worker that dies, and then one that does the rest."""
    context = get_context("spawn")
    with penstock.Queue(item=str, max_deliveries=3) as queue:
        for job in ("first", "impossible", "deadly", "last"):
            queue.put(job)
        queue.shutdown()  # no more jobs after these
        for survive in ("", "yes"):
            os.environ["SURVIVE"] = survive
            worker = context.Process(target=work, args=(queue,))
            worker.start()
            worker.join()
        print("dead letters:", queue.dead_letters.peek_many(10))


if __name__ == "__main__":
    main()
