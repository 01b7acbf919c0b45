"""Memory that was freed, given back to the machine."""

import ctypes
import gc
from contextlib import suppress


def give_back() -> None:
    """Return what this process has freed and its allocator keeps (glibc does, for each of its threads)."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
