"""The finished model as Hugging Face safetensors with its tokenizer, below `{storage}/model/`."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor

from .checkpoint import checksum_of_file
from .conversations import chat_template
from .manifest import INCOMPLETE, MANIFEST, now, write_manifest
from .storage import Storage

SHARD_BYTES = 4 * 1024**3
DIRECTORY = "model"


@torch.no_grad()
def export_model(storage: Storage, model: Any, tokenizer: Any, dtype: torch.dtype, step: int) -> None:
    """Writes the model; called by all ranks. Needs memory and scratch space for one shard of 4 GiB, not for the model.

    The manifest is written last, as for a checkpoint. Raises OSError on rank 0 when the storage fails.
    """
    directory = f"{DIRECTORY}{INCOMPLETE}" if storage.can_rename else DIRECTORY
    writer = _Shards(storage, directory) if dist.get_rank() == 0 else None
    if writer is not None:
        storage.delete(directory)
    for name, parameter in model.named_parameters():
        whole = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        if writer is not None:
            writer.add(name, whole.to(device="cpu", dtype=dtype, copy=True).contiguous())
    if writer is None:
        return
    writer.finish()
    model.config.dtype = dtype
    with tempfile.TemporaryDirectory() as scratch:
        model.config.save_pretrained(scratch)
        model.generation_config.save_pretrained(scratch)
        if getattr(tokenizer, "chat_template", None) is None:
            tokenizer.chat_template = chat_template()
        tokenizer.save_pretrained(scratch)
        for path in sorted(Path(scratch).iterdir()):
            writer.upload(path, path.name)
    write_manifest(storage, directory, {"version": 1, "step": step, "files": writer.files, "savedAt": now()})
    if storage.can_rename:
        storage.delete(DIRECTORY)
        storage.rename(directory, DIRECTORY)


def is_exported(storage: Storage, step: int) -> bool:
    """Whether the model of `step` lies there complete. Raises OSError."""
    try:
        return json.loads(storage.read(f"{DIRECTORY}/{MANIFEST}")).get("step") == step
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False


class _Shards:
    """Collects tensors into files of Hugging Face's naming and their index."""

    def __init__(self, storage: Storage, directory: str) -> None:
        self._storage = storage
        self._directory = directory
        self._tensors: dict[str, torch.Tensor] = {}
        self._bytes = 0
        self._weights: list[tuple[str, list[str]]] = []
        self._total = 0
        self.files: list[dict[str, Any]] = []

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Adds one parameter."""
        self._tensors[name] = tensor
        self._bytes += tensor.nbytes
        if self._bytes >= SHARD_BYTES:
            self._flush()

    def finish(self) -> None:
        """Writes what is left, and the index. A shard's name says how many there are, which nobody knows before: none says it."""
        self._flush()
        index = {
            "metadata": {"total_size": self._total},
            "weight_map": {name: file for file, names in self._weights for name in names},
        }
        self._write("model.safetensors.index.json", json.dumps(index, indent=1).encode())

    def upload(self, path: Path, name: str) -> None:
        """Copies a local file into the model's directory."""
        with open(path, "rb") as source, self._storage.open(f"{self._directory}/{name}", "wb") as target:
            shutil.copyfileobj(source, target, 1 << 24)
            if self._storage.can_rename:
                target.flush()
                os.fsync(target.fileno())
        self.files.append({"path": name, "bytes": path.stat().st_size, "crc32": checksum_of_file(path)})

    def _write(self, name: str, content: bytes) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, name)
            path.write_bytes(content)
            self.upload(path, name)

    def _flush(self) -> None:
        if not self._tensors:
            return
        name = f"model-{len(self._weights) + 1:05d}.safetensors"
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, name)
            save_file(self._tensors, path, metadata={"format": "pt"})
            self.upload(path, name)
        self._weights.append((name, list(self._tensors)))
        self._total += self._bytes
        self._tensors, self._bytes = {}, 0
