"""Wakes those who wait for a change, inside one process."""

import threading


class Notifier:
    """A counter of changes that can be waited on; holds nothing else, so a waiter re-reads what it cares about."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """How many changes there have been; read it before reading the data."""
        return self._count

    def notify(self) -> None:
        """Wake every waiter."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout_s: float) -> int:
        """Block until there was a change after `seen`, or `timeout_s` passed; returns the new count."""
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, timeout_s)
            return self._count
