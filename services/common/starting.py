"""How a process of ours begins: what it refuses then is a line for each thing that is wrong, and an exit code."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from lwmecps_core.errors import InvalidInput, LwmecpsError, ServiceUnavailable, Violation
from services.common import tracing
from services.common.codes import exit_code, lines
from services.common.settings import check_names


def begin(main: Callable[[], None], service: str) -> None:
    """Run a service's main function, and end the process with a line and a code where it refuses to go on.

    `service` is its name in traces.
    """
    try:
        check_names()
        tracing.begin(service)
        main()
    except LwmecpsError as error:
        print("\n".join(lines(error)), file=sys.stderr)
        raise SystemExit(exit_code(error)) from None


def end_at_once(code: int = 0) -> NoReturn:
    """End this process without the interpreter's own end, for one whose threads may be inside PyTorch.

    A thread that comes out of it while the interpreter ends is unwound through C++, which aborts the process
    ("terminate called without an active exception", 134): a drained process would look like one that crashed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def blaming(variable: str, *kinds: type[Exception]) -> Iterator[None]:
    """What is raised inside, if it is of `kinds`, is the fault of what the variable says: it can't be used now."""
    try:
        yield
    except kinds as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ServiceUnavailable(f"{variable}: {text}") from None


def check_folder(variable: str, path: Path, *, make: bool = True) -> None:
    """Raise `InvalidInput` naming the variable (or option) unless the folder is there, or can be made, to be written.

    Without `make` it must be there to be read.
    """
    wrong = ""
    try:
        if make:
            path.mkdir(parents=True, exist_ok=True)
        if not path.is_dir():
            wrong = "no such folder"
        elif not os.access(path, os.R_OK | os.X_OK | (os.W_OK if make else 0)):
            wrong = "can't be written" if make else "can't be read"
    except OSError as error:
        wrong = f"can't be made: {error.strerror}"
    if wrong:
        raise InvalidInput("settings", [Violation(variable, f"{path}: {wrong}: give another folder")])
