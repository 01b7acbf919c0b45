"""Files that commands write."""

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is whole or absent, whatever happens meanwhile."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
