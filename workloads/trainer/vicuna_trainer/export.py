"""The finished model, or its adapter, as Hugging Face safetensors with its tokenizer, below `{storage}/model/`."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from .checkpoint import checksum_of_file
from .config import Config, Lora
from .conversations import DEFAULT_TEMPLATE, chat_template
from .lora import adapter_parameters, merged_parameters, save_adapter_config, whole
from .manifest import INCOMPLETE, MANIFEST, now, write_manifest
from .storage import Storage

SHARD_BYTES = 4 * 1024**3
DIRECTORY = "model"


@torch.no_grad()
def export_model(storage: Storage, model: Any, tokenizer: Any, config: Config, step: int, checkpoint: str | None) -> None:
    """Writes the model of `checkpoint`; called by all ranks.

    Adapters are added to their layers, or written alone in PEFT's form, as told. Needs memory and scratch space for one shard of
    4 GiB, not for the model. The manifest is written last, as for a checkpoint. Raises OSError on rank 0 when the storage fails.
    """
    directory = f"{DIRECTORY}{INCOMPLETE}" if storage.can_rename else DIRECTORY
    writer = _Shards(storage, directory) if dist.get_rank() == 0 else None
    if writer is not None:
        storage.delete(directory)
    lora, precision = config.recipe.lora, config.recipe.precision
    is_adapter_alone = lora is not None and lora.export == "adapter"
    dtype = torch.bfloat16 if precision == "bf16" and not is_adapter_alone else torch.float32
    for name, tensor in _parameters(model, lora):
        if writer is not None:
            writer.add(name, tensor.to(device="cpu", dtype=dtype, copy=True).contiguous())
    if writer is None:
        return
    writer.finish("adapter_model" if is_adapter_alone else None)
    model.config.dtype = dtype
    with tempfile.TemporaryDirectory() as scratch:
        if lora is not None and is_adapter_alone:
            save_adapter_config(lora, config.model, Path(scratch))
        else:
            model.config.save_pretrained(scratch)
            model.generation_config.save_pretrained(scratch)
        # A base's own template is not what it was trained with.
        if config.recipe.conversation_template != DEFAULT_TEMPLATE or getattr(tokenizer, "chat_template", None) is None:
            tokenizer.chat_template = chat_template(config.recipe.conversation_template)
        tokenizer.save_pretrained(scratch)
        for path in sorted(Path(scratch).iterdir()):
            writer.upload(path, path.name)
    write_manifest(
        storage, directory, {"version": 1, "step": step, "checkpoint": checkpoint, "files": writer.files, "savedAt": now()}
    )
    if storage.can_rename:
        storage.delete(DIRECTORY)
        storage.rename(directory, DIRECTORY)


def _parameters(model: Any, lora: Lora | None) -> Iterator[tuple[str, torch.Tensor]]:
    if lora is None:
        return ((name, whole(parameter)) for name, parameter in model.named_parameters())
    return adapter_parameters(model) if lora.export == "adapter" else merged_parameters(model, lora)


def is_exported(storage: Storage, checkpoint: str | None) -> bool:
    """Whether the model of this checkpoint lies there complete. Raises OSError."""
    try:
        return json.loads(storage.read(f"{DIRECTORY}/{MANIFEST}")).get("checkpoint") == checkpoint
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

    def finish(self, single: str | None = None) -> None:
        """Writes what is left, and the index. A shard's name says how many there are, which nobody knows before: none says it.

        `single`: everything goes into one file of that name, without an index.
        """
        self._flush(single)
        if single is not None:
            return
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

    def _flush(self, single: str | None = None) -> None:
        if not self._tensors:
            return
        name = f"{single or f'model-{len(self._weights) + 1:05d}'}.safetensors"
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, name)
            save_file(self._tensors, path, metadata={"format": "pt"})
            self.upload(path, name)
        self._weights.append((name, list(self._tensors)))
        self._total += self._bytes
        self._tensors, self._bytes = {}, 0
