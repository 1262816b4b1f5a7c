"""`release.json` beside a delta: what it is made from, what it restores, and the SHA-256 of everything.

version     1
mode        "exact" or "additive"
base        name: what the card calls the base
files       the delta's weights: name, bytes, sha256
result      the restored weights, one for each of `files`: name, bytes, sha256, head (the safetensors header's very text)
copied      tokenizer and configuration, the same in the delta and in the result: name, bytes, sha256
tensors     by name: dtype, shape, sha256 of the restored one; base: dtype, shape, sha256, or null where it stands for itself
madeFrom    changes with base, target and options, so that the same release is not made twice
    parameters, changedElements (other than in the base), inexactElements (restored other than they were; 0 for "exact")
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from ..exits import BAD_INPUT, TrainingError
from ..storage import Storage

MANIFEST = "release.json"
# Beside restored weights: what they were restored from; written last.
APPLIED = "applied.json"
LARGEST = 256 * 1024 * 1024
# Nothing outside the directory is ever written.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_KEYS = ("mode", "base", "files", "result", "copied", "tensors", "parameters")


def read_manifest(storage: Storage) -> tuple[dict[str, Any], str] | None:
    """(manifest, its SHA-256), or None where there is none. Raises TrainingError (66), OSError."""
    try:
        if storage.sizes(MANIFEST).get("", 0) > LARGEST:
            raise _damaged(storage, "it is too large")
        text = storage.read(MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise _damaged(storage, f"it is not JSON ({error})") from None
    if not isinstance(manifest, dict) or manifest.get("version") != 1:
        raise _damaged(storage, "it is of a version that this tool does not know")
    lacks = [key for key in _KEYS if key not in manifest]
    if lacks:
        raise _damaged(storage, f"it lacks {lacks[0]}")
    for part in ("files", "result", "copied"):
        for file in manifest[part]:
            if not _NAME.fullmatch(str(file.get("name"))) or not isinstance(file.get("bytes"), int):
                raise _damaged(storage, f"{file.get('name')!r} is no name of a file")
    return manifest, hashlib.sha256(text).hexdigest()


def _damaged(storage: Storage, why: str) -> TrainingError:
    return TrainingError(BAD_INPUT, f"{storage.path_uri(MANIFEST)} cannot be used: {why}.")
