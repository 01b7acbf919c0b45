"""Files that commands write."""

import os
from collections.abc import Iterable
from errno import EISDIR
from pathlib import Path


def write_whole(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Write a file, in one piece or in several, that is whole or absent, whatever happens meanwhile.

    A link stays one, to what is written; pipes and devices are written to, not replaced. `OSError` has the path.
    """
    if path.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    replaced = path.is_file() or not path.exists()
    target = path.resolve() if replaced else path
    written = target.with_name(f".{target.name}.{os.getpid()}.tmp") if replaced else target
    try:
        with written.open("wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            if replaced:
                os.fsync(file.fileno())
                os.replace(written, target)
    except OSError as error:
        if error.filename in (None, str(written)):  # a full disk names no file
            error.filename = str(path)
        raise
    finally:
        if replaced:
            written.unlink(missing_ok=True)
