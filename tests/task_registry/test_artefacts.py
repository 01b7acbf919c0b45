"""Stored files are whole or absent, and damage is noticed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lwmecps_core.errors import DamagedArtefact
from services.task_registry.artefacts import CHUNK_BYTES, ArtefactStore


@pytest.fixture(params=["folder", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ArtefactStore:
    """A store on a local folder, and on a file system that only fsspec knows."""
    return ArtefactStore(str(tmp_path / "files") if request.param == "folder" else f"memory://{tmp_path}")


def test_a_file_comes_back_in_chunks(files: ArtefactStore) -> None:
    content = bytes(range(256)) * 3000
    artefact = files.write("a/b.bin", (content[i : i + 10_000] for i in range(0, len(content), 10_000)))
    assert artefact.size_bytes == len(content)
    chunks = list(files.read(artefact))
    assert b"".join(chunks) == content
    assert max(len(chunk) for chunk in chunks) <= CHUNK_BYTES


def test_an_upload_that_fails_half_way_leaves_nothing(files: ArtefactStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError("lost")

    with pytest.raises(ConnectionError):
        files.write("a/b.bin", broken())
    assert files.keys() == set()


def test_a_missing_file_is_reported_before_the_first_chunk(files: ArtefactStore) -> None:
    artefact = files.write("x", [b"data"])
    files.delete("x")
    files.delete("x")
    with pytest.raises(FileNotFoundError):
        files.read(artefact)


@pytest.mark.parametrize(("content", "reason"), [(b"dat", "3 bytes in place of 4"), (b"dusk", "SHA-256")])
def test_a_truncated_or_altered_file_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    files = ArtefactStore(str(tmp_path))
    artefact = files.write("policies/p1.safetensors", [b"data"])
    (tmp_path / "policies/p1.safetensors").write_bytes(content)
    with pytest.raises(DamagedArtefact, match=f"policies/p1.safetensors is damaged: .*{reason}"):
        files.read(artefact)


def test_a_file_and_every_folder_above_it_are_synced_before_it_counts_as_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd))[1])
    ArtefactStore(str(tmp_path / "files")).write("runs/r1/c1", [b"state"])
    assert synced[0].startswith(str(tmp_path / "files/runs/r1/c1.")) and synced[0].endswith(".tmp")
    assert synced[1:] == [str(tmp_path / name) for name in ("files/runs/r1", "files/runs", "files")]
