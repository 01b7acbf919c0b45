"""Which calls need which scope, by the verb that a method's name begins with.

The names follow one style (`GetRun`, `ListTasks`, `StartTraining`), so that the verb says whether a method only shows
something, is a client's ordinary work, or neither. A verb that nobody listed needs ADMIN: a new RPC is refused to
ordinary tokens until somebody decides otherwise. What learners do for each other's runs (`ClaimRun`, `ReportRun`,
`Heartbeat`, `Upload…`) is ADMIN on purpose: who may start runs may not take those of others.
"""

import re
from enum import IntEnum
from functools import lru_cache


class Scope(IntEnum):
    """What a caller may do; each includes those below it."""

    NONE = 0
    READ = 1
    RUN = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        """Its name in files and tokens."""
        return self.name.lower()


_READ = ("Get", "List", "Watch", "Download")
_RUN = ("Create", "Start", "Pause", "Resume", "Cancel", "Act", "Reset", "Step", "Close", "Apply", "Put")
_BY_VERB = dict.fromkeys(_READ, Scope.READ) | dict.fromkeys(_RUN, Scope.RUN)
_BY_NAME = {
    "CreatePolicy": Scope.ADMIN,  # a learner does that, with what its run has learnt
    "ServerReflectionInfo": Scope.READ,
    "ModelInfer": Scope.RUN,
}
_OTHERS = {"externalscaler.ExternalScaler": Scope.RUN, "inference.GRPCInferenceService": Scope.READ}
"""Services of others' contracts, whose names follow their own style."""
_VERB = re.compile("[A-Z][a-z]*")


@lru_cache(maxsize=1024)
def scope_of(method: str) -> Scope:
    """The scope that a call of `method` (`/package.Service/Method`) needs."""
    service, _, name = method.lstrip("/").rpartition("/")
    verb = _VERB.match(name)
    return _BY_NAME.get(name) or _OTHERS.get(service) or _BY_VERB.get(verb.group() if verb else "", Scope.ADMIN)
