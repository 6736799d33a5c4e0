"""What tells the content of a file, or a value, from another."""

import hashlib
import json
from pathlib import Path
from typing import Any


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(value: Any) -> str:
    """SHA-256 of a value as JSON with sorted keys.

    Raises:
        TypeError: if JSON cannot express the value.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
