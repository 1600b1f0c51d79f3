"""Work on one block after the other, some of them at the same time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_threads(work: Callable[[Given], Made], blocks: Iterable[Given]) -> Iterator[Made]:
    """What `work` makes of each block, in the order of the blocks.

    As many threads as PyTorch would use work on a block each, within which PyTorch and BLAS have one: NumPy lets go of
    the interpreter's lock. Results that nobody has taken yet are no more than the threads.
    """
    threads, waiting = torch.get_num_threads(), deque[Future[Made]]()
    try:
        with (
            threadpool_limits(1, "blas"),
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            for block in blocks:
                waiting.append(pool.submit(work, block))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(threads)
