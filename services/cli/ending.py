"""How a command may end that could not do what it was to do."""

from services.common.codes import FAILED


class CommandFailed(Exception):
    """What was started has failed, and the message says so; the process ends with `exit_code`."""

    exit_code = FAILED
