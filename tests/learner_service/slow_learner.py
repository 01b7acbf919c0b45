"""A learner process whose loop sums random numbers, 20 ms a step: `python -m tests.learner_service.slow_learner`.

With `stuck` as its argument, the loop is inside PyTorch from its third step on.
"""

import sys
import time

import torch

from tests.learner_service.fakes import summing_loop

TOTAL, STUCK_AT, STUCK = 150, 3, "stuck"


def after_step(step: int) -> None:
    """Wait, or compute what never ends."""
    time.sleep(0.02)
    start = torch.full((300, 300), 0.01, requires_grad=True)
    while sys.argv[1:] == [STUCK] and step >= STUCK_AT:
        print(STUCK, flush=True)
        out = start
        for _ in range(20):
            out = torch.tanh(out @ start)
        out.sum().backward()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    from services.learner_service import __main__ as learner
    from services.learner_service import loops

    loops.LOOPS = {"train": summing_loop(TOTAL, after_step=after_step)}
    learner.main()
