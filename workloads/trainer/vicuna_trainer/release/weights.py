"""Tensors of a model directory, read by the piece: a model's safetensors files, wherever they lie and however it is sharded.

The form is safetensors' (https://github.com/huggingface/safetensors, "Format"): 8 bytes with the header's length, a header in JSON,
the tensors' data without gaps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from ..exits import BAD_INPUT, TrainingError
from ..storage import Storage
from .bits import SIZES

INDEX_SUFFIX = ".safetensors.index.json"
SUFFIX = ".safetensors"
# What safetensors itself allows.
LONGEST_HEADER = 100_000_000
LONGEST_INDEX = 64 * 1024 * 1024
OPEN_FILES = 8


@dataclass(frozen=True)
class Tensor:
    """`start` is where the data begins in the file; `size` in bytes, `dtype` as safetensors names it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    start: int
    size: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return self.size // SIZES[self.dtype]


@dataclass(frozen=True)
class WeightFile:
    """`head` is all in front of the data, as it lies there; `tensors` in the order of their data."""

    name: str
    head: bytes
    tensors: tuple[Tensor, ...]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.head) + sum(tensor.size for tensor in self.tensors)


class Weights:
    """The weights in a directory. One reader at a time."""

    def __init__(self, storage: Storage, role: str, prefix: str = "") -> None:
        """Reads the headers alone. `role` is what messages call it; `prefix` restricts it to files that begin so.

        Raises TrainingError (66) that names what is wrong, and OSError.
        """
        self.storage = storage
        self.role = role
        self._open: dict[str, IO[bytes]] = {}
        try:
            self._sizes = storage.sizes("")
        except FileNotFoundError:
            self._sizes = {}
        self.files = [self._read_head(name) for name in self._file_names(prefix)]
        self.tensors: dict[str, Tensor] = {}
        for file in self.files:
            for tensor in file.tensors:
                if tensor.name in self.tensors:
                    raise self._bad(f"{tensor.name} is in {self.tensors[tensor.name].file} and in {file.name}")
                self.tensors[tensor.name] = tensor
        self.config = self._config()

    @property
    def names(self) -> list[str]:
        """All files of the directory."""
        return sorted(self._sizes)

    def version(self) -> list[str]:
        """Changes when any of the weights does. Raises OSError."""
        return [f"{file.name}:{self.storage.version(file.name)}" for file in self.files]

    def chunks(self, tensor: Tensor, size: int) -> Iterator[bytes]:
        """The tensor's data in pieces of `size` bytes, the last one shorter. Raises OSError, TrainingError (66)."""
        file = self._file(tensor.file)
        position, end = tensor.start, tensor.start + tensor.size
        while position < end:
            wanted = min(size, end - position)
            try:
                file.seek(position)
                chunk = file.read(wanted)
            except OSError:
                raise
            except Exception as error:  # object stores' clients have exceptions of their own
                raise OSError(f"{self.storage.path_uri(tensor.file)}: {type(error).__name__}: {error}") from error
            if len(chunk) != wanted:
                raise self._bad(f"{tensor.file} ends in the midst of {tensor.name}")
            position += wanted
            yield chunk

    def close(self) -> None:
        """Closes what is open."""
        for file in self._open.values():
            with suppress(Exception):
                file.close()
        self._open.clear()

    def _file(self, name: str) -> IO[bytes]:
        if name not in self._open:
            while len(self._open) >= OPEN_FILES:
                self._open.pop(next(iter(self._open))).close()
            self._open[name] = self.storage.open(name, "rb")
        return self._open[name]

    def _file_names(self, prefix: str) -> list[str]:
        indexes = [name for name in self._sizes if name.endswith(INDEX_SUFFIX) and name.startswith(prefix) and "/" not in name]
        if len(indexes) > 1:
            raise self._bad(f"there are several indexes ({', '.join(sorted(indexes))})")
        if indexes:
            names = self._index(indexes[0])
            missing = [name for name in names if name not in self._sizes]
            if missing:
                raise self._bad(f"{indexes[0]} names {missing[0]}, which is not there")
            return names
        names = sorted(n for n in self._sizes if n.endswith(SUFFIX) and n.startswith(prefix) and "/" not in n)
        if names == ["adapter_model.safetensors"]:
            raise self._bad("it is an adapter, not a model: publish it as it is, or train with recipe.lora.export merged")
        if names:
            return names
        pickled = sorted(name for name in self._sizes if name.endswith((".bin", ".pt", ".pth")))
        if pickled:
            raise self._bad(
                f"its weights are pickled ({pickled[0]}): save it as safetensors first, with Transformers' save_pretrained"
            )
        raise self._bad("there are no .safetensors files")

    def _index(self, name: str) -> list[str]:
        value = self._json(name, LONGEST_INDEX)
        weight_map = value.get("weight_map") if isinstance(value, dict) else None
        if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
            raise self._bad(f"{name} has no weight_map")
        return sorted(set(weight_map.values()))

    def _config(self) -> dict[str, Any]:
        value = self._json("config.json", LONGEST_INDEX) if "config.json" in self._sizes else {}
        return value if isinstance(value, dict) else {}

    def _json(self, name: str, most: int) -> Any:
        if self._sizes[name] > most:
            raise self._bad(f"{name} has {self._sizes[name]} bytes")
        try:
            return json.loads(self.storage.read(name))
        except ValueError as error:
            raise self._bad(f"{name} is not JSON ({error})") from None

    def _read_head(self, name: str) -> WeightFile:
        file = self._file(name)
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(LONGEST_HEADER, self._sizes[name]):
            raise self._bad(f"{name} is no safetensors file")
        head = length.to_bytes(8, "little") + file.read(length)
        try:
            found = parse_head(name, head)
        except ValueError as error:
            raise self._bad(f"{name} is no safetensors file ({error})") from None
        if found.size != self._sizes[name]:
            raise self._bad(f"{name} has {self._sizes[name]} bytes, its header speaks of {found.size}")
        return found

    def _bad(self, what: str) -> TrainingError:
        return TrainingError(BAD_INPUT, f"The {self.role} at {self.storage.uri} cannot be read: {what}.")


def parse_head(name: str, head: bytes) -> WeightFile:
    """The file that begins so. Raises ValueError that says what is wrong."""
    try:
        header = json.loads(head[8:])
        tensors = [_tensor(name, len(head), key, entry) for key, entry in header.items() if key != "__metadata__"]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    tensors.sort(key=lambda tensor: (tensor.start, tensor.size))
    position = len(head)
    for tensor in tensors:
        if tensor.start != position:
            raise ValueError(f"there is a gap or an overlap before {tensor.name}")
        position += tensor.size
    return WeightFile(name, head, tuple(tensors))


def _tensor(file: str, begin: int, name: str, entry: dict[str, Any]) -> Tensor:
    dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if dtype not in SIZES:
        raise ValueError(f"{name} is of type {dtype}, which this tool does not know")
    elements = math.prod(shape)
    if end - start != elements * SIZES[dtype]:
        raise ValueError(f"{name} has {end - start} bytes, its shape {list(shape)} of {dtype} needs {elements * SIZES[dtype]}")
    return Tensor(name, dtype, shape, file, begin + start, end - start)


def head_of(tensors: list[tuple[str, str, tuple[int, ...]]], metadata: dict[str, str]) -> bytes:
    """What a safetensors file of such tensors (name, dtype, shape), in this order, begins with."""
    header: dict[str, Any] = {"__metadata__": metadata}
    position = 0
    for name, dtype, shape in tensors:
        size = SIZES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data is to be aligned
    return len(text).to_bytes(8, "little") + text
