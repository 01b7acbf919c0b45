import sys
import threading
import time

from services.task_registry.notifier import Notifier


def test_who_waits_is_woken_by_a_change_of_its_key() -> None:
    notifier = Notifier()
    seen, began = notifier.count("a"), time.monotonic()
    threading.Timer(0.1, notifier.notify, ["a"]).start()
    notifier.wait("a", seen, 20.0)
    assert notifier.count("a") != seen
    assert time.monotonic() - began < 10.0


def test_a_change_between_count_and_wait_is_not_missed() -> None:
    notifier = Notifier()
    seen, began = notifier.count("a"), time.monotonic()
    notifier.notify("a")
    notifier.wait("a", seen, 20.0)
    assert time.monotonic() - began < 10.0


def test_it_stays_as_large_as_it_was_whatever_the_number_of_keys() -> None:
    notifier = Notifier()
    before = sys.getsizeof(notifier._counts)
    for number in range(10_000):
        notifier.notify(f"run-{number}")
        notifier.count(f"unknown-{number}")
    assert sys.getsizeof(notifier._counts) == before
