"""The model: a Hugging Face LLaMA, sharded by FSDP2 from the moment it exists."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from .config import Lora, Recipe
from .exits import BAD_INPUT, TrainingError
from .lora import add_adapters, base_name, draw_adapter, is_adapter, is_quantized, quantize_layers, set_quantized
from .storage import Directory, Storage, open_storage

WEIGHTS = ".safetensors"
SMALL_FILES = (".json", ".model", ".txt", ".jinja")


def fetch_model(uri: str, cache: Path, with_weights: bool, builds: bool) -> Path:
    """A local directory with the model's files; a file:// model is used where it lies.

    `builds`: this process downloads; the pod's others find the files after the next barrier. Raises TrainingError (66), OSError.
    """
    storage = open_storage(uri)
    if isinstance(storage, Directory):
        if not any(os.path.isfile(storage.local(name)) for name in ("config.json", "tokenizer.json")):
            raise TrainingError(BAD_INPUT, f"There is no model at {uri}: its config.json is missing. Correct model.base.")
        return Path(storage.root)
    directory = cache / f"model-{zlib.crc32(uri.encode()):08x}{'' if with_weights else '-config'}"
    if builds and not directory.exists():
        _download(storage, uri, with_weights, directory)
    return directory


def load_tokenizer(directory: Path) -> Any:
    """The tokenizer in `directory`. Raises TrainingError (66) where it cannot serve."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory)
    except (OSError, ValueError) as error:
        raise TrainingError(BAD_INPUT, f"There is no tokenizer in {directory} ({error}): correct model.tokenizer.") from None
    if not tokenizer.is_fast or tokenizer.eos_token_id is None:
        raise TrainingError(
            BAD_INPUT, f"The tokenizer in {directory} needs a tokenizer.json and an end-of-sequence token: convert it."
        )
    return tokenizer


def build_model(directory: Path, recipe: Recipe, device: torch.device, mesh: DeviceMesh) -> LlamaForCausalLM:
    """The model of `directory`'s config.json, sharded over `mesh`, parameters not yet set.

    What is trained is in fp32; what is frozen, under an adapter, in the precision of the computation, or quantized.
    """
    config = LlamaConfig.from_pretrained(directory)
    config.use_cache = False
    config._attn_implementation = "eager" if recipe.attention == "eager" else "sdpa"
    with torch.device("meta"):
        model = LlamaForCausalLM(config).to(torch.float32)
        if recipe.lora is not None:
            _freeze(model, recipe, recipe.lora)
    if recipe.activation_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    policy = MixedPrecisionPolicy()
    if recipe.precision == "bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    whole = {module.weight for module in model.modules() if is_quantized(module)}
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy, ignored_params=whole)
    fully_shard(model, mesh=mesh, mp_policy=policy, ignored_params=whole)
    if whole:
        # A layer's packed weight is made when it is set; until then there is none.
        model._apply(lambda tensor: tensor if tensor in whole else torch.empty_like(tensor, device=device))
    else:
        model.to_empty(device=device)
    # Its frequencies are computed when it is made, and on "meta" there was nothing to compute.
    with device:
        model.model.rotary_emb = LlamaRotaryEmbedding(config)
    model.train()
    return model


def _freeze(model: LlamaForCausalLM, recipe: Recipe, lora: Lora) -> None:
    """Leaves nothing to train but adapters."""
    compute = torch.bfloat16 if recipe.precision == "bf16" else torch.float32
    model.to(compute)
    if lora.quantization == "nf4":
        quantize_layers(model, compute)
    add_adapters(model, lora)
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            parameter.data = parameter.data.to(torch.float32)


@torch.no_grad()
def load_base_weights(model: LlamaForCausalLM, directory: Path, seed: int) -> str:
    """Fills every process's shards from safetensors files, each reading only its own rows; "file" or "random".

    Without weights the parameters are drawn from `seed`, the same for every world size.
    Raises TrainingError (66) when the files do not fit the model.
    """
    files = sorted(directory.glob(f"*{WEIGHTS}"))
    if not files:
        if any(is_quantized(module) for module in model.modules()):
            raise TrainingError(BAD_INPUT, f"There are no weights in {directory} to quantize: correct model.base.")
        _draw_weights(model, seed)
        return "random"
    from safetensors import safe_open

    where = {}
    opened = [safe_open(file, framework="pt", device="cpu") for file in files]
    for file in opened:
        for name in file.keys():  # noqa: SIM118 - no mapping
            where[name] = file
    tied = bool(model.config.tie_word_embeddings)
    quantized = {f"{name}.weight": module for name, module in model.named_modules() if is_quantized(module)}
    for name, parameter in list(model.named_parameters()):
        if is_adapter(name):
            _set_adapter(name, parameter, seed)
            continue
        own = base_name(name)
        source = own if own in where else ("model.embed_tokens.weight" if tied and own == "lm_head.weight" else None)
        if source is None:
            raise TrainingError(BAD_INPUT, f"The weights in {directory} lack {own}: they are not of this model.")
        stored = where[source].get_slice(source)
        layer = quantized.get(name)
        expected = tuple(parameter.shape) if layer is None else (layer.out_features, layer.in_features)
        if tuple(stored.get_shape()) != expected:
            raise TrainingError(
                BAD_INPUT, f"{own} in {directory} is {stored.get_shape()}, but config.json asks for {list(expected)}."
            )
        if layer is not None:
            set_quantized(layer, stored[:].to(layer.compute_dtype), model.device)
            continue
        rows, first = _own_rows(parameter)
        _local(parameter).copy_(stored[first : first + rows])
    return "file"


def _set_adapter(name: str, parameter: nn.Parameter, seed: int) -> None:
    rows, first = _own_rows(parameter)
    _local(parameter).copy_(draw_adapter(name, parameter, seed)[first : first + rows])


@torch.no_grad()
def _draw_weights(model: LlamaForCausalLM, seed: int) -> None:
    for name, parameter in model.named_parameters():
        rows, first = _own_rows(parameter)
        if is_adapter(name):
            _set_adapter(name, parameter, seed)
            continue
        if parameter.dim() == 1:
            _local(parameter).fill_(1.0)
            continue
        generator = torch.Generator().manual_seed((seed << 32) + zlib.crc32(base_name(name).encode()))
        whole = torch.empty(parameter.shape).normal_(0.0, model.config.initializer_range, generator=generator)
        _local(parameter).copy_(whole[first : first + rows])


def _local(parameter: nn.Parameter) -> torch.Tensor:
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter


def _own_rows(parameter: nn.Parameter) -> tuple[int, int]:
    """(number, index of the first) of the rows that this process holds; FSDP2 shards the first dimension."""
    if not isinstance(parameter, DTensor):
        return parameter.shape[0], 0
    shape, offset = compute_local_shape_and_global_offset(parameter.shape, parameter.device_mesh, parameter.placements)
    return shape[0], offset[0]


def learning_rate_factor(step: int, total: int, warmup_ratio: float, schedule: str) -> float:
    """Share of the peak learning rate at step `step` (from 1): linear warm-up, then as `schedule` says.

    The same as Hugging Face's get_cosine_schedule_with_warmup and get_linear_schedule_with_warmup, whose count starts at 0.
    """
    done = step - 1
    warmup = math.ceil(total * warmup_ratio)
    if done < warmup:
        return done / max(1, warmup)
    if schedule == "constant":
        return 1.0
    progress = (done - warmup) / max(1, total - warmup)
    if schedule == "linear":
        return max(0.0, 1.0 - progress)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))


def _download(storage: Storage, uri: str, with_weights: bool, directory: Path) -> None:
    sizes = storage.sizes("")
    if "config.json" not in sizes and "tokenizer.json" not in sizes:
        raise TrainingError(BAD_INPUT, f"There is no model at {uri}: its config.json is missing. Correct model.base.")
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=directory.parent))
    try:
        for name in sizes:
            wanted = name.endswith(SMALL_FILES) or (with_weights and name.endswith(WEIGHTS))
            if not wanted or "/" in name or name == "manifest.json":
                continue
            with storage.open(name, "rb") as source, open(scratch / name, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 24)
        os.rename(scratch, directory)
    except OSError:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def model_summary(model: LlamaForCausalLM) -> str:
    """One line for the log."""
    count = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    shape = json.dumps({"layers": model.config.num_hidden_layers, "hidden": model.config.hidden_size})
    return f"{count / 1e6:.1f} M parameters{'' if trained == count else f', {trained / 1e6:.2f} M of them trained'} {shape}"
