"""Commands of child processes that must not outlive the process that started them."""

import shutil
from collections.abc import Sequence


def tied(command: Sequence[str]) -> list[str]:
    """`command`, such that Linux sends it SIGTERM when the thread that starts it ends, however that happens.

    By `setpriv` (util-linux), because a function between fork and exec is unsafe beside threads; elsewhere the command
    as it is.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *command] if setpriv else list(command)
