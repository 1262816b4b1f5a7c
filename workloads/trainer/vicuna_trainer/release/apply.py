"""Restores a model from its base and a delta, each checksum on the way compared before anything counts as finished."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..exits import BAD_CONFIGURATION, BAD_INPUT, TrainingError
from ..storage import Storage
from .ahead import ahead
from .bits import FLOATS, SIZES, additive_sum, as_bits, cast, exact_sum
from .copied import copy_files, files_to_copy
from .make import CHUNK, base_pieces
from .manifest import APPLIED, read_manifest
from .output import HashingFile, Output, alone, key_of
from .pairs import COMPUTED, Need, find_base
from .progress import Progress
from .weights import Tensor, WeightFile, Weights, head_of, parse_head


@dataclass(frozen=True)
class Applied:
    """What was restored. `verified`: every checksum of the release was compared; a foreign delta has none."""

    output: str
    mode: str
    verified: bool
    already_there: bool
    files: int
    kept_files: int
    bytes: int
    seconds: float


def apply_delta(base_uri: str, extends: bool, stores: tuple[Storage, Storage, Storage], progress: Progress) -> Applied:
    """Restores the model; `stores`: those of base, delta and output.

    `extends`: embeddings of a delta without release.json may have more rows than the base's.
    Files that an earlier, interrupted run has finished are kept; a model that is there complete is left as it is.
    Raises TrainingError (64, 66) and OSError.
    """
    started = time.monotonic()
    release = read_manifest(stores[1])
    if release is None:
        manifest, identity = None, None
        progress.say(f"{stores[1].uri} has no release.json: it is taken for a delta of FastChat's, and nothing can be verified.")
    else:
        manifest, identity = release
    delta = Weights(stores[1], "delta", "delta" if manifest is not None and manifest["mode"] == "exact" else "")
    base = Weights(stores[0], "base")
    key = key_of({"release": identity, "delta": delta.version(), "base": base_uri, "versions": base.version(), "extends": extends})
    with alone(stores[2], lambda: progress.say(f"Another process restores {stores[2].uri}: waiting for it.")):
        there = _applied_before(stores[2], key)
        if there is not None:
            return there
        work = _Apply(manifest, base, delta, extends, progress)
        output = Output(stores[2], key)
        files, kept = [], 0
        for part, wanted in work.files():
            record = output.finished(wanted.name)
            if record is not None:
                progress.keep(sum(tensor.size for tensor in part.tensors))
                kept += 1
            else:
                with output.writing(wanted.name) as out:
                    work.one_file(part, wanted, out)
                record = output.finish(wanted.name, {"bytes": out.bytes, "sha256": out.sha256})
            files.append({"name": wanted.name, "bytes": record["bytes"], "sha256": record["sha256"]})
        progress.end()
        _copy(manifest, stores[1], stores[2], delta)
        total = sum(file["bytes"] for file in files)
        index = {"metadata": {"total_size": total}, "weight_map": work.places()}
        stores[2].write("model.safetensors.index.json", json.dumps(index, indent=1).encode())
        done = Applied(
            output=stores[2].uri,
            mode=work.mode,
            verified=manifest is not None,
            already_there=False,
            files=len(files),
            kept_files=kept,
            bytes=total,
            seconds=round(time.monotonic() - started, 3),
        )
        stores[2].write(APPLIED, json.dumps({"key": key, "release": identity, "files": files, "about": vars(done)}).encode())
        output.complete()
    base.close()
    delta.close()
    return done


def _applied_before(output: Storage, key: str) -> Applied | None:
    try:
        value = json.loads(output.read(APPLIED))
        sizes = output.sizes("")
        if value["key"] != key or any(sizes.get(file["name"]) != file["bytes"] for file in value["files"]):
            return None
        return Applied(**{**value["about"], "already_there": True, "seconds": 0.0})
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


class _Apply:
    def __init__(self, manifest: dict[str, Any] | None, base: Weights, delta: Weights, extends: bool, progress: Progress) -> None:
        self._manifest, self._base, self._delta, self._progress = manifest, base, delta, progress
        self.mode = "additive" if manifest is None else manifest["mode"]
        self._exact = self.mode == "exact"
        self._results = self._expected()
        tensors = [tensor for result in self._results for tensor in result.tensors]
        progress.total = sum(tensor.size for file in delta.files for tensor in file.tensors)
        whole = set() if manifest is None else {name for name, about in manifest["tensors"].items() if about["base"] is None}
        needs = [Need(tensor.name, tensor.shape, tensor.dtype) for tensor in tensors if tensor.name not in whole]
        self._pairs = find_base(base, needs, "delta", manifest is not None or extends)
        self._check_base_types()

    def files(self) -> Iterator[tuple[WeightFile, WeightFile]]:
        """Each file of the delta, with the one that it becomes."""
        return zip(self._delta.files, self._results, strict=True)

    def places(self) -> dict[str, str]:
        """In which file of the result each tensor is."""
        return {tensor.name: result.name for result in self._results for tensor in result.tensors}

    def one_file(self, part: WeightFile, wanted: WeightFile, out: HashingFile) -> None:
        """Writes one file of the result. Raises TrainingError (66) when any checksum is wrong: it must not be kept then."""
        checksum = hashlib.sha256(part.head)
        out.write(wanted.head)
        deltas = {tensor.name: tensor for tensor in part.tensors}
        # The delta's checksum is of the file from front to back: its tensors lie in the result's order.
        for tensor in wanted.tensors:
            self._one_tensor(tensor, deltas[tensor.name], checksum, out)
        if self._manifest is None:
            return
        number = self._delta.files.index(part)
        if checksum.hexdigest() != self._manifest["files"][number]["sha256"]:
            raise self._damaged(part.name)
        if out.sha256 != self._manifest["result"][number]["sha256"]:
            raise TrainingError(
                BAD_INPUT, f"{wanted.name} as restored is not the file that was released, although base and delta are: try again."
            )

    def _one_tensor(self, tensor: Tensor, part: Tensor, checksum: Any, out: HashingFile) -> None:
        partner = self._pairs.get(tensor.name)
        base_hash = hashlib.sha256()
        bases = ahead(base_pieces(self._base, partner, tensor.elements, tensor.dtype, base_hash))
        deltas = ahead(self._delta_pieces(part, checksum))
        for base, raw in zip(bases, deltas, strict=True):
            bits = as_bits(raw, part.dtype)
            if self._exact:
                out.write(exact_sum(base, bits))
            else:
                out.write(additive_sum(base, cast(bits, part.dtype, "F16")))
            self._progress.add(len(raw))
        if self._manifest is None or partner is None:
            return
        expected = self._manifest["tensors"][tensor.name]["base"]
        if base_hash.hexdigest() != expected["sha256"]:
            raise TrainingError(
                BAD_INPUT,
                f"{tensor.name} of the base at {self._base.storage.uri} is not what the delta was made from (SHA-256 "
                f"{base_hash.hexdigest()[:16]}…, not {expected['sha256'][:16]}…): it is another model or damaged. Give the "
                f"right base ({self._manifest['base'].get('name')}).",
            )

    def _delta_pieces(self, part: Tensor, checksum: Any) -> Iterator[bytes]:
        for raw in self._delta.chunks(part, CHUNK * SIZES[part.dtype]):
            checksum.update(raw)
            yield raw

    def _expected(self) -> list[WeightFile]:
        """The files that the delta's become."""
        if self._manifest is None:
            return [self._from_foreign(file) for file in self._delta.files]
        listed = self._manifest["files"]
        found = {file.name: file for file in self._delta.files}
        if [file["name"] for file in listed] != list(found):
            raise TrainingError(
                BAD_INPUT,
                f"The delta at {self._delta.storage.uri} has other files than its release.json says: fetch it again, whole.",
            )
        results = []
        for file, result in zip(listed, self._manifest["result"], strict=True):
            if found[file["name"]].size != file["bytes"]:
                raise self._damaged(file["name"])
            text = result["head"].encode()
            try:
                results.append(parse_head(result["name"], len(text).to_bytes(8, "little") + text))
            except ValueError as error:
                raise self._damaged("release.json") from error
            if {t.name for t in results[-1].tensors} != {t.name for t in found[file["name"]].tensors}:
                raise self._damaged(file["name"])
        return results

    def _from_foreign(self, file: WeightFile) -> WeightFile:
        tensors = [tensor for tensor in file.tensors if not tensor.name.endswith(COMPUTED)]
        for tensor in tensors:
            if tensor.dtype not in FLOATS:
                raise TrainingError(BAD_CONFIGURATION, f"{tensor.name} of the delta is {tensor.dtype}: FastChat's are floats.")
        return parse_head(file.name, head_of([(t.name, "F16", t.shape) for t in tensors], {"format": "pt"}))

    def _check_base_types(self) -> None:
        if self._manifest is None:
            return
        for name, tensor in self._pairs.items():
            expected = self._manifest["tensors"][name]["base"]
            if tensor is None:
                continue
            if tensor.dtype != expected["dtype"] or list(tensor.shape) != expected["shape"]:
                raise TrainingError(
                    BAD_CONFIGURATION,
                    f"{name} of the base at {self._base.storage.uri} is {tensor.dtype} {list(tensor.shape)}, but the delta was "
                    f"made from {expected['dtype']} {expected['shape']}: give the base as its publisher has it "
                    f"({self._manifest['base'].get('name')}).",
                )

    def _damaged(self, name: str) -> TrainingError:
        return TrainingError(
            BAD_INPUT, f"{self._delta.storage.path_uri(name)} is damaged: it is not what was released. Fetch it again."
        )


def _copy(manifest: dict[str, Any] | None, source: Storage, target: Storage, delta: Weights) -> None:
    names = files_to_copy(delta) if manifest is None else [file["name"] for file in manifest["copied"]]
    expected = {} if manifest is None else {file["name"]: file["sha256"] for file in manifest["copied"]}
    try:
        copied = copy_files(source, target, names, False)
    except FileNotFoundError as error:
        raise TrainingError(BAD_INPUT, f"The delta at {source.uri} lacks a file that its release.json names: {error}.") from None
    for file in copied:
        if file["name"] in expected and file["sha256"] != expected[file["name"]]:
            raise TrainingError(BAD_INPUT, f"{source.path_uri(file['name'])} is damaged: it is not what was released.")
