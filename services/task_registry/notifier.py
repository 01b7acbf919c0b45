"""Wakes those who wait for something to change, inside one process."""

import threading
from collections import Counter


class Notifier:
    """Counts the changes of every key; holds nothing else, so whoever is woken reads again what it cares about."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._counts: Counter[str] = Counter()

    def count(self, key: str) -> int:
        """How often `key` has changed; to be read before the data."""
        return self._counts[key]

    def notify(self, key: str) -> None:
        """Wake those who wait for `key`."""
        with self._condition:
            self._counts[key] += 1
            self._condition.notify_all()

    def wait(self, key: str, seen: int, timeout_s: float) -> None:
        """Block until `key` has changed after `seen`, or `timeout_s` have passed."""
        with self._condition:
            self._condition.wait_for(lambda: self._counts[key] != seen, timeout_s)
