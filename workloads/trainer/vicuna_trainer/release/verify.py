"""Compares a delta, its base and a restored model with the checksums of the release."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from ..exits import BAD_INPUT, TrainingError
from ..storage import Storage
from .bits import SIZES
from .make import CHUNK
from .manifest import read_manifest
from .progress import Progress
from .weights import Weights

PIECE = 16 * 1024 * 1024


@dataclass
class Verified:
    """`problems` has a sentence for each difference; `files` and `tensors` count what was compared."""

    release: str
    files: int = 0
    tensors: int = 0
    problems: list[str] = field(default_factory=list)


def verify(delta: Storage, base: Storage | None, result: Storage | None, progress: Progress) -> Verified:
    """Compares everything, whatever is wrong. The result may be sharded otherwise than it was; then its tensors are compared.

    Raises TrainingError (66) where there is nothing to compare with, and OSError.
    """
    release = read_manifest(delta)
    if release is None:
        raise TrainingError(BAD_INPUT, f"There is no release.json at {delta.uri}: nothing can be verified.")
    manifest, identity = release
    found = Verified(identity)
    readers = [("base", Weights(base, "base"))] if base is not None else []
    sizes = None if result is None else result.sizes("")
    same_files = sizes is not None and all(sizes.get(file["name"]) == file["bytes"] for file in manifest["result"])
    if result is not None and not same_files:
        readers.append(("result", Weights(result, "result")))
    progress.total = (
        sum(file["bytes"] for file in [*manifest["files"], *manifest["copied"]])
        + sum(file["bytes"] for file in manifest["result"] if same_files)
        + sum(tensor.size for _, weights in readers for tensor in weights.tensors.values() if tensor.name in manifest["tensors"])
    )
    _files(delta, [*manifest["files"], *manifest["copied"]], found, progress)
    if result is not None:
        _files(result, manifest["copied"] + (manifest["result"] if same_files else []), found, progress)
    for role, weights in readers:
        with closing(weights):
            _tensors(role, weights, manifest["tensors"], found, progress)
    progress.end()
    return found


def _files(storage: Storage, files: list[dict[str, Any]], found: Verified, progress: Progress) -> None:
    for file in files:
        found.files += 1
        checksum, size = hashlib.sha256(), 0
        try:
            with storage.open(file["name"], "rb") as stream:
                while piece := stream.read(PIECE):
                    checksum.update(piece)
                    size += len(piece)
                    progress.add(len(piece))
        except FileNotFoundError:
            found.problems.append(f"{storage.path_uri(file['name'])} is missing.")
            continue
        if size != file["bytes"]:
            found.problems.append(f"{storage.path_uri(file['name'])} has {size} bytes, not {file['bytes']}.")
        elif checksum.hexdigest() != file["sha256"]:
            found.problems.append(f"{storage.path_uri(file['name'])} has another SHA-256 than was released.")


def _tensors(role: str, weights: Weights, expected: dict[str, Any], found: Verified, progress: Progress) -> None:
    for name, about in expected.items():
        wanted = about["base"] if role == "base" else about
        if wanted is None:
            continue
        found.tensors += 1
        tensor = weights.tensors.get(name)
        if tensor is None:
            found.problems.append(f"{name} is missing in the {role} at {weights.storage.uri}.")
            continue
        if tensor.dtype != wanted["dtype"] or list(tensor.shape) != wanted["shape"]:
            found.problems.append(
                f"{name} of the {role} is {tensor.dtype} {list(tensor.shape)}, not {wanted['dtype']} {wanted['shape']}."
            )
            continue
        checksum = hashlib.sha256()
        for raw in weights.chunks(tensor, CHUNK * SIZES[tensor.dtype]):
            checksum.update(raw)
            progress.add(len(raw))
        if checksum.hexdigest() != wanted["sha256"]:
            found.problems.append(f"{name} of the {role} at {weights.storage.uri} has another SHA-256 than was released.")
