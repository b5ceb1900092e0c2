"""The lesson's consumer: prints each number from the common queue of ten, then sleeps that many milliseconds.

Try it in two terminals:    python examples/producer.py    and    python examples/consumer.py
"""

import sys
import time

import penstock


def main() -> None:
    """Print numbers until 0, which is printed too."""
    with penstock.Queue("numbers", capacity=10, item="u4") as queue:
        while True:
            # Waits while the queue is empty. The number is ours for good at the end of the block: if this program
            # is interrupted or killed before it has printed it, another consumer gets it.
            with queue.lease() as lease:
                number = lease.value
                print(number, flush=True)
            if number == 0:
                return
            time.sleep(number / 1000)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
