"""Doing something as soon as a module has been imported, whoever imports it, without importing it oneself."""

import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def when_imported(name: str, do: Callable[[], object]) -> None:
    """Call `do` now if the module `name` has been imported, else right after it will be, once."""
    if name in sys.modules:
        do()
    else:
        sys.meta_path.insert(0, _ImportWatch(name, do))


class _ImportWatch(MetaPathFinder):
    """Lets the others find a module, and has something done once it has run."""

    def __init__(self, name: str, do: Callable[[], object]) -> None:
        self._name, self._do = name, do

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec that the others find, whose loader also tells."""
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def and_tell(module: ModuleType) -> None:
            run(module)
            self._do()

        spec.loader.exec_module = and_tell  # type: ignore[method-assign]
        return spec
