"""Makes a delta: target minus base, file by file of the target's, in memory for a few pieces of each."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..exits import BAD_CONFIGURATION, TrainingError
from ..storage import Storage
from .ahead import ahead
from .bits import FLOATS, INTEGERS, SIZES, additive_difference, additive_sum, as_bits, cast, exact_difference, not_finite
from .card import card
from .copied import copy_files, files_to_copy
from .manifest import MANIFEST, read_manifest
from .output import HashingFile, Output, alone, key_of
from .pairs import COMPUTED, Need, find_base
from .progress import Progress
from .task import ReleaseConfig, ReleaseResult
from .weights import Tensor, WeightFile, Weights, head_of

# Elements that are worked on at a time.
CHUNK = 1 << 22
INDEX = {"exact": "delta.safetensors.index.json", "additive": "model.safetensors.index.json"}


def make_delta(
    config: ReleaseConfig, base_name: str, stores: tuple[Storage, Storage, Storage], progress: Progress
) -> ReleaseResult:
    """Makes the delta that `config` asks for. `stores`: those of base, target and output.

    Files that an earlier, interrupted run has finished are kept. Raises TrainingError (64, 66) and OSError.
    """
    started = time.monotonic()
    base, target = Weights(stores[0], "base"), Weights(stores[1], "target")
    work = _Make(config, base, target, progress)
    versions = {"base": base.version(), "target": target.version()}
    key = key_of({"config": vars(config), "version": 1, **versions})
    output = Output(stores[2], key)
    with alone(stores[2], lambda: progress.say(f"Another process writes to {config.output}: waiting for it.")):
        there = read_manifest(stores[2])
        if there is not None and there[0].get("madeFrom") == key:
            return _result(config, *there, kept=len(there[0]["files"]), seconds=0.0)
        records, kept = [], 0
        for file, delta_name in work.files():
            record = output.finished(delta_name)
            if record is not None:
                progress.keep(file.size - len(file.head))
                kept += 1
            else:
                with output.writing(delta_name) as out:
                    record = work.one_file(file, out)
                record = output.finish(delta_name, {"bytes": out.bytes, "sha256": out.sha256, **record})
            records.append((delta_name, record))
        progress.end()
        manifest = {**_manifest(config.mode, base_name, records), "madeFrom": key}
        _write_index(stores[2], config.mode, records)
        manifest["copied"] = copy_files(stores[1], stores[2], files_to_copy(target), config.mode == "additive")
        stores[2].write("README.md", card(manifest, base_name, target.config).encode())
        text = json.dumps(manifest, indent=1).encode()
        stores[2].write(MANIFEST, text)
        output.complete()
    base.close()
    target.close()
    return _result(config, manifest, hashlib.sha256(text).hexdigest(), kept, time.monotonic() - started)


def _result(config: ReleaseConfig, manifest: dict[str, Any], identity: str, kept: int, seconds: float) -> ReleaseResult:
    return ReleaseResult(
        output=config.output,
        mode=config.mode,
        tensors=len(manifest["tensors"]),
        parameters=manifest["parameters"],
        bytes=sum(file["bytes"] for file in manifest["files"]),
        files=len(manifest["files"]),
        kept_files=kept,
        changed_elements=manifest["changedElements"],
        inexact_elements=manifest["inexactElements"],
        manifest_sha256=identity,
        seconds=round(seconds, 3),
    )


class _Make:
    def __init__(self, config: ReleaseConfig, base: Weights, target: Weights, progress: Progress) -> None:
        self._exact = config.mode == "exact"
        self._base, self._target, self._progress = base, target, progress
        tensors = [tensor for file in target.files for tensor in self._wanted(file)]
        if not self._exact:
            for tensor in tensors:
                if tensor.dtype not in FLOATS:
                    raise TrainingError(
                        BAD_CONFIGURATION, f"{tensor.name} of the target is {tensor.dtype}: only floats can be released with "
                        "mode additive. Use mode exact.",
                    )  # fmt: skip
        needs = [Need(tensor.name, tensor.shape, tensor.dtype) for tensor in tensors]
        self._pairs = find_base(base, needs, "target", config.vocabulary == "extend")
        progress.total = sum(tensor.size for tensor in tensors)

    def files(self) -> Iterator[tuple[WeightFile, str]]:
        """The target's files, each with the name of its part of the delta."""
        count = len(self._target.files)
        for number, file in enumerate(self._target.files, 1):
            yield file, f"delta-{number:05d}-of-{count:05d}.safetensors" if self._exact else file.name

    def one_file(self, file: WeightFile, out: HashingFile) -> dict[str, Any]:
        """Writes one file of the delta; its record."""
        tensors = self._wanted(file)
        types = [(t.name, INTEGERS[SIZES[t.dtype]] if self._exact else "F16", t.shape) for t in tensors]
        out.write(head_of(types, {"format": "pt", "delta": "exact"} if self._exact else {"format": "pt"}))
        head = file.head if self._exact else head_of(types, {"format": "pt"})
        result = hashlib.sha256(head)
        about = {tensor.name: self._one_tensor(tensor, out, result) for tensor in tensors}
        size = len(head) + (file.size - len(file.head) if self._exact else sum(2 * tensor.elements for tensor in tensors))
        return {
            "result": {"name": file.name, "bytes": size, "sha256": result.hexdigest(), "head": head[8:].decode()},
            "tensors": about,
        }

    def _wanted(self, file: WeightFile) -> list[Tensor]:
        return [tensor for tensor in file.tensors if self._exact or not tensor.name.endswith(COMPUTED)]

    def _one_tensor(self, tensor: Tensor, out: HashingFile, file_hash: Any) -> dict[str, Any]:
        partner = self._pairs[tensor.name]
        base_hash, target_hash = hashlib.sha256(), hashlib.sha256()
        dtype = tensor.dtype if self._exact else "F16"
        changed = inexact = infinite = 0
        bases = ahead(base_pieces(self._base, partner, tensor.elements, dtype, base_hash))
        targets = ahead(_target_pieces(self._target, tensor, [target_hash, file_hash] if self._exact else []))
        for base, raw in zip(bases, targets, strict=True):
            target = as_bits(raw, tensor.dtype)
            if self._exact:
                delta = exact_difference(target, base)
            else:
                half = cast(target, tensor.dtype, "F16")
                delta = additive_difference(half, base)
                restored = additive_sum(base, delta)
                inexact += int(np.count_nonzero(cast(restored, "F16", tensor.dtype) != target))
                infinite += not_finite(delta)
                target_hash.update(restored)
                file_hash.update(restored)
            changed += int(np.count_nonzero(delta))
            out.write(delta)
            self._progress.add(len(raw))
        if infinite:
            raise TrainingError(
                BAD_CONFIGURATION,
                f"{infinite} elements of {tensor.name} are not finite as 16-bit floats: use mode exact.",
            )
        about = None if partner is None else _about(partner.dtype, partner.shape, base_hash)
        return {**_about(dtype, tensor.shape, target_hash), "base": about, "changed": changed, "inexact": inexact}


def base_pieces(base: Weights, tensor: Tensor | None, elements: int, dtype: str, checksum: Any) -> Iterator[np.ndarray]:
    """`elements` bits of `dtype` in pieces: the base's, and zeros where it has fewer.

    `checksum` is of the base's bytes as they lie there.
    """
    left = elements
    if tensor is not None:
        for raw in base.chunks(tensor, CHUNK * SIZES[tensor.dtype]):
            checksum.update(raw)
            bits = cast(as_bits(raw, tensor.dtype), tensor.dtype, dtype)
            wanted = min(CHUNK, left)
            left -= wanted
            yield bits if len(bits) == wanted else np.concatenate([bits, np.zeros(wanted - len(bits), bits.dtype)])
    while left > 0:
        wanted = min(CHUNK, left)
        left -= wanted
        yield np.zeros(wanted, f"<u{SIZES[dtype]}")


def _target_pieces(target: Weights, tensor: Tensor, checksums: list[Any]) -> Iterator[bytes]:
    for raw in target.chunks(tensor, CHUNK * SIZES[tensor.dtype]):
        for checksum in checksums:
            checksum.update(raw)
        yield raw


def _about(dtype: str, shape: tuple[int, ...], checksum: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "sha256": checksum.hexdigest()}


def _manifest(mode: str, base_name: str, records: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    tensors = {name: dict(about) for _, record in records for name, about in record["tensors"].items()}
    changed = sum(about.pop("changed") for about in tensors.values())
    inexact = sum(about.pop("inexact") for about in tensors.values())
    return {
        "version": 1,
        "mode": mode,
        "base": {"name": base_name},
        "parameters": sum(int(np.prod(about["shape"], dtype=np.int64)) for about in tensors.values()),
        "changedElements": changed,
        "inexactElements": inexact,
        "files": [{"name": name, "bytes": record["bytes"], "sha256": record["sha256"]} for name, record in records],
        "result": [record["result"] for _, record in records],
        "tensors": tensors,
    }


def _write_index(output: Storage, mode: str, records: list[tuple[str, dict[str, Any]]]) -> None:
    total = sum(record["bytes"] for _, record in records)
    places = {tensor: name for name, record in records for tensor in record["tensors"]}
    output.write(INDEX[mode], json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=1).encode())
