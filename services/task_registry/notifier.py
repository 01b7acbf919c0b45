"""Wakes those who wait for something to change, inside one process."""

import threading

PLACES = 1024


class Notifier:
    """Counts changes in a fixed number of places, which keys share: whoever is woken reads again what it cares about.

    So its size doesn't grow with the keys that it has seen, and a key that shares a place costs a vain wake-up.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._counts = [0] * PLACES

    def count(self, key: str) -> int:
        """How often `key`'s place has changed; to be read before the data."""
        return self._counts[_place(key)]

    def notify(self, key: str) -> None:
        """Wake those who wait for `key`."""
        with self._condition:
            self._counts[_place(key)] += 1
            self._condition.notify_all()

    def wait(self, key: str, seen: int, timeout_s: float) -> None:
        """Block until `key`'s place has changed after `seen`, or `timeout_s` have passed."""
        with self._condition:
            self._condition.wait_for(lambda: self.count(key) != seen, timeout_s)


def _place(key: str) -> int:
    return hash(key) % PLACES
