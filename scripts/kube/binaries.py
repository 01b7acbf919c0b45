"""Where the control plane's server binaries come from."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SERVERS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
HERE = Path(__file__).resolve().parent
# Lies beside the repository where one is shared between checkouts.
ARCHIVE = HERE.parents[2] / "shared" / "kube" / "bin.tar.xz"
BUILD_SCRIPT = HERE / "build.sh"
# Half an hour is what an unhurried machine needs; a build that hangs still ends.
BUILD_DEADLINE_S = 3 * 3600


class BinariesMissing(RuntimeError):
    """The servers can't be had here; the text says what was looked for."""


@dataclass(frozen=True)
class Binaries:
    """A folder with the four servers, and Kubernetes' version as (major, minor)."""

    folder: Path
    version: tuple[int, int]

    def __getitem__(self, server: str) -> str:
        return str(self.folder / server)


def find_binaries(build: bool = False) -> Binaries:
    """The servers from KUBEBUILDER_ASSETS, else from the archive beside the repository, else built from source.

    Building (a quarter of an hour or more) happens only with `build`; what was built before is found without it.
    Raises BinariesMissing.
    """
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        folder = Path(assets)
        if missing := _missing(folder):
            raise BinariesMissing(
                f"KUBEBUILDER_ASSETS={folder} lacks {', '.join(missing)} (envtest's archives hold only etcd and "
                "kube-apiserver: add the others of the same version, or unset it)"
            )
        return _described(folder)
    if ARCHIVE.is_file():
        return _described(_cached(ARCHIVE, _unpack))
    if build or not _missing(_cache_folder(BUILD_SCRIPT)):
        return _described(_cached(BUILD_SCRIPT, _build))
    raise BinariesMissing(
        f"no Kubernetes servers: set KUBEBUILDER_ASSETS to a folder with {', '.join(SERVERS)}, or put them as "
        f"{ARCHIVE.name} into {ARCHIVE.parent}, or build them once with `python -m scripts.kube build`"
    )


def _missing(folder: Path) -> list[str]:
    return [server for server in SERVERS if not os.access(folder / server, os.X_OK)]


def _described(folder: Path) -> Binaries:
    answer = subprocess.run(
        [folder / "kube-apiserver", "--version"], capture_output=True, text=True, check=False, timeout=60
    )
    found = re.search(r"v(\d+)\.(\d+)", answer.stdout)
    if not found:
        raise BinariesMissing(f"{folder}/kube-apiserver does not run here: {(answer.stderr or answer.stdout)[-500:]}")
    return Binaries(folder.resolve(), (int(found[1]), int(found[2])))


def _cache_folder(source: Path) -> Path:
    """Named by the source's content, so that a changed archive or build never meets an old cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with source.open("rb") as file:
        return home / "lwmecps" / "kube" / hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _cached(source: Path, fill: Callable[[Path, Path], None]) -> Path:
    target = _cache_folder(source)
    if not _missing(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="filling-", dir=target.parent) as scratch:
        full = Path(scratch) / "bin"
        fill(source, full)
        if missing := _missing(full):
            raise BinariesMissing(f"{source} gave no {', '.join(missing)}")
        try:
            full.rename(target)
        except OSError:
            # Somebody else filled the cache meanwhile; theirs is as good, unless it is a ruin.
            if _missing(target):
                shutil.rmtree(target)
                full.rename(target)
    return target


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")


def _build(script: Path, folder: Path) -> None:
    subprocess.run(["bash", script, folder], check=True, timeout=BUILD_DEADLINE_S)
