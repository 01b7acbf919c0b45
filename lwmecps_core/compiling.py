"""Loops that numba compiles once for all processes of a machine."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from numba import njit
from threadpoolctl import ThreadpoolController

LONGEST_S = 120.0
"""Who has waited so long for another process compiles it as well."""
_called: list["KeptLoop"] = []


def kept(function: Callable[..., Any], *, products: bool = False, **options: Any) -> "KeptLoop":
    """Compile a function that calls nothing of Python, and keep that on disk; `options` are more of numba's.

    It takes the digest of what it calls into its closure: numba looks for changes in the function's own file only.
    `products`: it has matrix products, see `products_take_one_thread`.
    """
    if products:
        products_take_one_thread()
    return KeptLoop(njit(cache=True, nogil=True, error_model="numpy", **options)(function))


@cache
def products_take_one_thread() -> None:
    """For loops with matrix products: the BLAS that numba calls, SciPy's, begins no threads in this process.

    Products of small networks are too small for several, and where these wait for busy cores a loop takes sixty times
    as long; neither PyTorch's nor numba's number of threads says anything to it. NumPy's own BLAS is left as it is,
    unless it is the same library.
    """
    import_module("scipy.linalg.cython_blas")
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    of_scipy = [library for library in found if "scipy.libs" in library.filepath]
    for library in of_scipy or found:
        library.set_num_threads(1)


def on_disk() -> list[Path]:
    """The files of all loops that this process has called."""
    return [path for loop in _called for path in loop.kept_as]


class KeptLoop:
    """A compiled function, whose first call only one process makes at a time: the next ones find it on disk.

    Services and their workers start together, and each would compile the same for half a minute.
    """

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher, self._called = dispatcher, False

    def __call__(self, *args: Any) -> Any:
        """Call it."""
        if self._called:
            return self._dispatcher(*args)
        with ExitStack() as alone:
            with suppress(Timeout, OSError):  # an error: a folder where nobody may write
                alone.enter_context(FileLock(self._lock_file, timeout=LONGEST_S))
            found = self._dispatcher(*args)
        self._called = True
        _called.append(self)
        return found

    @property
    def signatures(self) -> list[Any]:
        """The types of arguments that it is compiled for."""
        return list(self._dispatcher.signatures)

    @property
    def kept_as(self) -> list[Path]:
        """The files that it is found by."""
        name = self._dispatcher.py_func.__qualname__.replace("<", "").replace(">", "")  # as numba writes it
        return sorted(self._lock_file.parent.glob(f"*.{name}-*.nbi"))

    @property
    def _lock_file(self) -> Path:
        """In numba's own folder."""
        return Path(self._dispatcher.stats.cache_path) / f"{self._dispatcher.py_func.__qualname__}.lock"
