"""Values made of files, and made again when the files change: certificates, tokens and keys that are rotated."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

CHECK_S = 1.0
"""Files are looked at no more often than that, because calls are frequent and changes are rare."""

T = TypeVar("T")
Stamp = tuple[int, int, int] | None


class Reloaded(Generic[T]):
    """Calling it gives what `load` makes of `files`; the first one is made at once, and `load`'s errors are raised.

    A later one that can't be loaded is logged, once, and the value before it stays.
    """

    def __init__(self, files: Sequence[str], load: Callable[[], T]) -> None:
        self._files, self._load = files, load
        self._lock = threading.Lock()
        self._stamps = [_stamp(file) for file in files]  # before they are read: a change meanwhile is seen later
        self._value = load()
        self._checked_s = time.monotonic()

    def __call__(self) -> T:
        """The value of the files as they are, or were up to `CHECK_S` ago."""
        if time.monotonic() - self._checked_s >= CHECK_S and self._lock.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._lock.release()
        return self._value

    def _refresh(self) -> None:
        self._checked_s = time.monotonic()
        stamps = [_stamp(file) for file in self._files]
        if stamps == self._stamps:
            return
        self._stamps = stamps
        import structlog  # here, because every command has such values, and hardly any sees a change

        log = structlog.get_logger(__name__)
        try:
            self._value = self._load()
        except Exception as error:
            # Its message alone, because a traceback or what a parser quotes may hold what the file holds.
            log.error("changed files not taken, the former ones stay", files=self._files, error=str(error))
        else:
            log.info("changed files taken", files=self._files)


def _stamp(file: str) -> Stamp:
    """What changes with a file, also when it is replaced by another or is a link that now leads elsewhere."""
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
