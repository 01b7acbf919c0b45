"""A learner process whose loop sums random numbers, 20 ms a step: `python -m tests.learner_service.slow_learner`."""

import time

from tests.learner_service.fakes import summing_loop

TOTAL = 150

if __name__ == "__main__":
    from services.learner_service import __main__ as learner
    from services.learner_service import loops

    loops.LOOPS = {"train": summing_loop(TOTAL, after_step=lambda _: time.sleep(0.02))}
    learner.main()
