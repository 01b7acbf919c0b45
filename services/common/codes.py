"""What people are told about errors, and the code that a process ends with.

Exit codes, of the services and of the command line alike: 0 done · 1 failed · 2 wrong settings or input · 3 something
that is needed can't be reached or opened · 4 refused.
"""

from lwmecps_core.errors import InvalidInput, LwmecpsError, QueueUnavailable, RunEnded, ServiceUnavailable

FAILED, BAD_INPUT, UNREACHABLE, REFUSED = 1, 2, 3, 4


def lines(error: LwmecpsError) -> list[str]:
    """What people are told about an error."""
    if isinstance(error, InvalidInput):
        return [f"{error.source}: {v}" for v in error.violations]
    return [str(error)]


def exit_code(error: LwmecpsError) -> int:
    """The code that a process ends with after it."""
    if isinstance(error, InvalidInput):
        return BAD_INPUT
    if isinstance(error, RunEnded):
        return FAILED
    return UNREACHABLE if isinstance(error, ServiceUnavailable | QueueUnavailable) else REFUSED
