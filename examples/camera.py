"""Frames of a camera, between two processes, without a copy: written in the queue, and looked at there.

Needs NumPy:    python examples/camera.py
"""

from multiprocessing import get_context

import penstock

HEIGHT, WIDTH = 480, 640
FRAMES = 25


def film(queue: penstock.Queue) -> None:
    """Stand in for a camera: each frame is one shade brighter than the one before."""
    for shade in range(FRAMES):
        with queue.reserve_array((HEIGHT, WIDTH, 3), "u1") as frame:  # room in the queue, as an array to fill
            frame[...] = shade
        # The end of the block sends it. An error in the block would have cancelled it.


def main() -> None:
    """Start the camera and look at what it films."""
    with penstock.Queue(capacity=4, max_item_bytes=2 * HEIGHT * WIDTH * 3) as queue:  # no name: only for us two
        camera = get_context("spawn").Process(target=film, args=(queue,))
        camera.start()
        for _ in range(FRAMES):
            with queue.lease() as lease:
                frame = lease.view  # the array itself, where the camera wrote it; read-only
                print(f"a frame of {frame.shape}, brightness {frame.mean():.0f}")
                del frame  # the queue gets the room back when nobody looks at it any more
        camera.join()


if __name__ == "__main__":
    main()
