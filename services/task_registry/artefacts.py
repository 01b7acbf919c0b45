"""Files of weights and checkpoints on any fsspec file system: whole or absent, and checked when read."""

import hashlib
import os
import threading
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import fsspec
from fsspec.implementations.local import LocalFileSystem

from lwmecps_core.errors import DamagedArtefact
from services.task_registry.domain import Artefact

CHUNK_BYTES = 256 * 1024


class ArtefactStore:
    """Write-once files below `url` (a folder, or an fsspec URL such as `s3://bucket/prefix`)."""

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._local = isinstance(self._fs, LocalFileSystem)
        if self._local:
            self._fs.makedirs(self._root, exist_ok=True)
        self._turn, self._readers, self._deleted = threading.Lock(), 0, set[str]()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Meanwhile whatever is deleted stays; it goes when nobody keeps it any more."""
        with self._turn:
            self._readers += 1
        try:
            yield
        finally:
            with self._turn:
                self._readers -= 1
                going, self._deleted = (set(), self._deleted) if self._readers else (self._deleted, set())
            for key in going:
                self.delete(key)

    def write(self, key: str, chunks: Iterable[bytes]) -> Artefact:
        """Store `chunks` under `key`; the file appears only when it is complete and durable.

        Whatever `chunks` raises is raised on, and leaves nothing behind.
        """
        path = self._path(key)
        temporary = f"{path}.{uuid.uuid4().hex}.tmp"
        self._fs.makedirs(self._fs._parent(path), exist_ok=True)
        digest, size = hashlib.sha256(), 0
        try:
            with self._fs.open(temporary, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                if self._local:
                    file.flush()
                    os.fsync(file.fileno())
            self._publish(temporary, path)
            with self._turn:
                self._deleted.discard(key)
        except BaseException:
            if self._fs.exists(temporary):
                self._fs.rm_file(temporary)
            raise
        return Artefact(key=key, size_bytes=size, sha256=digest.hexdigest())

    def read(self, artefact: Artefact) -> Iterator[bytes]:
        """Chunks of at most 256 KiB of the content, which was checked against size and digest before the first.

        Raises, before it returns, `FileNotFoundError` and `DamagedArtefact` (naming the key).
        """
        digest, size = hashlib.sha256(), 0
        for chunk in self._chunks(artefact.key):
            digest.update(chunk)
            size += len(chunk)
        if size != artefact.size_bytes:
            raise DamagedArtefact(artefact.key, f"{size} bytes in place of {artefact.size_bytes}")
        if digest.hexdigest() != artefact.sha256:
            raise DamagedArtefact(artefact.key, "its SHA-256 differs from the recorded one")
        return self._chunks(artefact.key)

    def delete(self, key: str) -> None:
        """Remove a file; removing one that is absent does nothing."""
        with self._turn:
            if self._readers:
                self._deleted.add(key)
                return
        if self._fs.exists(self._path(key)):
            self._fs.rm_file(self._path(key))

    def sweep(self, kept: Collection[str], before: datetime) -> list[str]:
        """Remove what was written before `before` and is not `kept` (cut-off uploads included); returns the keys."""
        swept = [key for key in self.keys() - set(kept) if self._written_at(key) < before]
        for key in swept:
            self.delete(key)
        return swept

    def keys(self) -> set[str]:
        """All keys in the store, those of unfinished uploads included."""
        return {path.removeprefix(self._root).lstrip("/") for path in self._fs.find(self._root)}

    def _written_at(self, key: str) -> datetime:
        time: datetime = self._fs.modified(self._path(key))
        return time if time.tzinfo else time.replace(tzinfo=UTC)

    def _publish(self, temporary: str, path: str) -> None:
        if not self._local:
            self._fs.mv(temporary, path)
            return
        os.replace(temporary, path)
        folder = os.path.dirname(path)
        while len(folder) >= len(self._root):  # a folder that is new is durable once its own folder is
            _sync_folder(folder)
            folder = os.path.dirname(folder)

    def _chunks(self, key: str) -> Iterator[bytes]:
        with self._fs.open(self._path(key), "rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"


def _sync_folder(path: str) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
