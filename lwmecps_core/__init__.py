"""Placement and scaling of services on edge clusters: simulator, environments, learning, and what results say.

The names below are what a notebook or script needs; `docs/library.md` shows them at work. Each is loaded at its first
use, so that importing the package costs nothing:

    load_task, make_env, make_vec                 problems and environments
    load_policy                                   a stored policy that acts
    train, meta_train, adapt, continual           learning in this process
    evaluate, compare                             measuring in this process
    TaskSpec, TaskDistribution                    a problem, and a way to draw problems

Everything else is in the modules: `lwmecps_core.envs`, `lwmecps_core.training`, ….
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lwmecps_core.arrival import when_imported

if TYPE_CHECKING:
    from lwmecps_core.face.comparison import compare as compare
    from lwmecps_core.face.policies import load_policy as load_policy
    from lwmecps_core.face.runs import adapt as adapt
    from lwmecps_core.face.runs import continual as continual
    from lwmecps_core.face.runs import evaluate as evaluate
    from lwmecps_core.face.runs import meta_train as meta_train
    from lwmecps_core.face.runs import train as train
    from lwmecps_core.face.tasks import load_task as load_task
    from lwmecps_core.face.tasks import make_env as make_env
    from lwmecps_core.face.tasks import make_vec as make_vec
    from lwmecps_core.specs import TaskDistribution as TaskDistribution
    from lwmecps_core.specs import TaskSpec as TaskSpec

_HOMES = {
    "TaskDistribution": "specs",
    "TaskSpec": "specs",
    "adapt": "face.runs",
    "compare": "face.comparison",
    "continual": "face.runs",
    "evaluate": "face.runs",
    "load_policy": "face.policies",
    "load_task": "face.tasks",
    "make_env": "face.tasks",
    "make_vec": "face.tasks",
    "meta_train": "face.runs",
    "train": "face.runs",
}
"""Name → the module of this package that has it."""
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def _register() -> None:
    import_module(f"{__name__}.envs.registration").register()


when_imported("gymnasium", _register)  # which reads no entry points, and takes long to import where nobody needs it
