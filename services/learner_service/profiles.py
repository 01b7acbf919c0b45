"""Profiles of the runs that ask for one, as files in a folder of this learner."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from lwmecps_core.errors import NotFound
from lwmecps_core.profiling import Dear, dearest, profiled
from services.common.run_labels import PROFILE
from services.learner_service.jobs import Job


@dataclass(frozen=True)
class Profiles:
    """One file for each profiled run, below `folder`."""

    folder: Path

    def of(self, job: Job) -> AbstractContextManager[None]:
        """Profile the body if the run asks for it."""
        return profiled(self._file(job.run_id)) if job.labels.get(PROFILE) else nullcontext()

    def read(self, run_id: str) -> tuple[str, bytes, list[Dear]]:
        """A run's file, what is in it, and its dearest functions; raises `NotFound`."""
        file = self._file(run_id)
        # What people send is no path: only names of files that are there are looked for.
        if not self.folder.is_dir() or file.name not in {known.name for known in self.folder.iterdir()}:
            raise NotFound("profile", run_id)
        return str(file), file.read_bytes(), dearest(file)

    def _file(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.prof"
