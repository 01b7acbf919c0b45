"""Signals that end a process, at any moment."""

import signal

import pytest

from services.common.ending import ending


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.timeout(20)
def test_a_signal_is_taken_even_in_the_middle_of_the_event_that_it_sets(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop = ending()
        assert not stop.is_set()
        with stop._cond:  # as inside of `wait` or `set`
            for _ in range(3):
                signal.raise_signal(number)
        assert stop.wait(5)
        signal.raise_signal(number)
        assert stop.is_set()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
