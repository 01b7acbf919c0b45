"""Writers that share one transaction: whoever has the turn does the work of all that wait, and one sync serves them."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

MOST = 64
"""So many share a transaction at most: the first of them waits for the last one's work."""
LINGER_S = 0.002
"""How long a group waits for one more, where there were more writers lately: those who got their answers ask again."""


@dataclass(eq=False)
class Waiting:
    """Work that waits for its turn, and what it came to: `found`, or `error`."""

    work: Callable[[Any], Any]
    found: Any = None
    error: BaseException | None = None
    done: bool = False
    called: threading.Event = field(default_factory=threading.Event)
    """It is done, or it has the turn."""

    def outcome(self) -> Any:
        """What was found; raises the error if there is one."""
        if self.error is not None:
            raise self.error
        return self.found


class Turns:
    """One group of writers at a time; who comes while it is at work joins it, who comes while it ends is in the next.

    `together` takes everybody of a group and fills in what each comes to; it raises nothing. A writer that was alone
    the last time waits for nobody.
    """

    def __init__(self, together: Callable[[Iterator[Waiting]], None]) -> None:
        self._together = together
        self._changed = threading.Condition(threading.Lock())
        self._line: list[Waiting] = []
        self._taken, self._usual = False, 1

    def run(self, work: Callable[[Any], Any], timeout_s: float) -> Any:
        """What `work` returns or raises; raises `TimeoutError` where it has not begun after `timeout_s`."""
        mine = Waiting(work)
        with self._changed:
            self._line.append(mine)
            leads, self._taken = not self._taken, True
            self._changed.notify()
        if not leads and not mine.called.wait(timeout_s):
            self._leave(mine)
        if not mine.done:
            self._lead()
        return mine.outcome()

    def _leave(self, mine: Waiting) -> None:
        """Give up, unless it was called, or begun, in the meantime."""
        with self._changed:
            if mine in self._line and not mine.called.is_set():
                self._line.remove(mine)
                raise TimeoutError
        mine.called.wait()

    def _lead(self) -> None:
        group: list[Waiting] = []
        try:
            self._together(self._called(group))
        finally:
            with self._changed:
                self._taken, self._usual = bool(self._line), len(group) + len(self._line)
                if self._line:
                    self._line[0].called.set()
            for each in group:
                each.done = True
                each.called.set()

    def _called(self, group: list[Waiting]) -> Iterator[Waiting]:
        """Who waits, and who comes while those before are at work; they are put into `group`."""
        while len(group) < MOST:
            with self._changed:
                if not self._line and len(group) < self._usual:
                    self._changed.wait(LINGER_S)
                if not self._line:
                    return
                group.append(self._line.pop(0))
            yield group[-1]
