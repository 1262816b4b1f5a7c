"""Tokenizer and configuration, which go with the weights."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ..exits import BAD_INPUT, TrainingError
from ..storage import Storage
from .manifest import APPLIED, MANIFEST
from .weights import INDEX_SUFFIX, Weights

LARGEST = 256 * 1024 * 1024
SMALL_FILES = (".json", ".model", ".txt", ".jinja")
_LICENCES = ("LICENSE", "LICENCE", "NOTICE", "USE_POLICY")
# The trainer's own; says nothing of the model.
_OTHERS = frozenset({MANIFEST, APPLIED, "manifest.json"})


def files_to_copy(weights: Weights) -> list[str]:
    """Names of the files of a model directory that belong to the model and are no weights."""
    return [
        name
        for name in weights.names
        if "/" not in name
        and (name.endswith(SMALL_FILES) or name.startswith(_LICENCES))
        and not name.endswith(INDEX_SUFFIX)
        and not name.startswith(".")
        and name not in _OTHERS
    ]


def copy_files(source: Storage, target: Storage, names: list[str], as_float16: bool) -> list[dict[str, Any]]:
    """Copies them; name, bytes and sha256 of each. `as_float16`: config.json is to say that the weights are of that type."""
    copied = []
    for name in names:
        if source.sizes(name).get("", 0) > LARGEST:
            raise TrainingError(BAD_INPUT, f"{source.path_uri(name)} is too large for a file beside weights: move it away.")
        content = source.read(name)
        if as_float16 and name == "config.json":
            content = _as_float16(content, source.path_uri(name))
        target.write(name, content)
        copied.append({"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    return copied


def _as_float16(content: bytes, uri: str) -> bytes:
    try:
        config = json.loads(content)
    except ValueError as error:
        raise TrainingError(BAD_INPUT, f"{uri} is not JSON ({error}).") from None
    for key in ("dtype", "torch_dtype"):
        if key in config:
            config[key] = "float16"
    return json.dumps(config, indent=2).encode()
