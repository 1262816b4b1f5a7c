"""LoRA and QLoRA: small matrices are trained beside the base's, which stay as they are (Hu et al. 2021; Dettmers et al. 2023).

The adapters are PEFT's. The frozen base is kept in the precision of the computation, sharded like any model; with QLoRA it is
quantized to 4 bits (NF4, double quantization) and whole in every process, since its packed bytes cannot be sharded by rows.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from .config import Lora
from .exits import BAD_CONFIGURATION, TrainingError

ADAPTER = "default"


def peft_config(lora: Lora, base: str | None = None) -> Any:
    """The same as PEFT has it."""
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=sorted(lora.targets),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )


def add_adapters(model: nn.Module, lora: Lora) -> None:
    """Puts the adapters beside the model's linear layers, and freezes the rest. Raises TrainingError (64)."""
    from peft import inject_adapter_in_model

    names = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    unknown = sorted(set(lora.targets) - names)
    if unknown:
        raise TrainingError(
            BAD_CONFIGURATION,
            f"The model has no linear layer {unknown[0]}: correct recipe.lora.targetModules; it has {', '.join(sorted(names))}.",
        )
    inject_adapter_in_model(peft_config(lora), model, ADAPTER)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_adapter(name))


def is_adapter(name: str) -> bool:
    """Whether a parameter is one of an adapter's."""
    return ".lora_A." in name or ".lora_B." in name


def base_name(name: str) -> str:
    """A parameter's name in the base model."""
    return name.replace(".base_layer.", ".")


@torch.no_grad()
def draw_adapter(name: str, parameter: nn.Parameter, seed: int) -> torch.Tensor:
    """The whole of an adapter's matrix at the start, the same for every world size: A as PEFT draws it, B nothing, so that the
    model is the base's at first."""
    if ".lora_B." in name:
        return torch.zeros(parameter.shape)
    bound = 1.0 / math.sqrt(parameter.shape[1])  # kaiming_uniform_ with a = √5
    generator = torch.Generator().manual_seed((seed << 32) + zlib.crc32(name.encode()))
    return torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)


def merged_parameters(model: nn.Module, lora: Lora) -> Iterator[tuple[str, torch.Tensor]]:
    """(name in the base model, whole tensor) of the model with its adapters added in; all ranks must take part."""
    modules = dict(model.named_modules())
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            continue
        tensor = whole(parameter)
        if ".base_layer." in name and name.endswith(".weight"):
            layer = modules[name.partition(".base_layer.")[0]]
            first, second = (whole(part[ADAPTER].weight).float() for part in (layer.lora_A, layer.lora_B))
            tensor = dequantized(layer.base_layer, tensor).float() + (second @ first) * (lora.alpha / lora.rank)
        yield base_name(name), tensor


def adapter_parameters(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """(name as PEFT's files have it, whole tensor) of the adapters; all ranks must take part."""
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            yield f"base_model.model.{name.replace(f'.{ADAPTER}.', '.')}", whole(parameter)


def whole(parameter: torch.Tensor) -> torch.Tensor:
    """A parameter that may be spread over the ranks, as one tensor."""
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter.detach()


def require_quantization() -> Any:
    """bitsandbytes. Raises TrainingError (64) where this image has none."""
    try:
        import bitsandbytes
    except ImportError as error:
        raise TrainingError(
            BAD_CONFIGURATION,
            f"recipe.lora.quantization nf4 needs bitsandbytes, which this image does not have ({error}): use an image for GPUs, or "
            "quantization none.",
        ) from None
    return bitsandbytes


def quantize_layers(model: nn.Module, compute: torch.dtype) -> None:
    """Replaces the linear layers of the decoder by ones with 4-bit weights, which are still to be set with `set_quantized`."""
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    bnb = require_quantization()
    for layer in [module for module in model.modules() if isinstance(module, LlamaDecoderLayer)]:
        for name, linear in [(n, m) for n, m in layer.named_modules() if isinstance(m, nn.Linear)]:
            parent, _, own = name.rpartition(".")
            replacement = bnb.nn.Linear4bit(
                linear.in_features,
                linear.out_features,
                bias=linear.bias is not None,
                compute_dtype=compute,
                compress_statistics=True,
                quant_type="nf4",
                device="meta",
            )
            setattr(layer.get_submodule(parent), own, replacement)


def set_quantized(linear: Any, weight: torch.Tensor, device: torch.device) -> None:
    """Sets a layer's weight, [out, in] in 16 or 32 bits, quantizing it on its way to the device."""
    bnb = require_quantization()
    linear.weight = bnb.nn.Params4bit(
        weight.contiguous(), requires_grad=False, compress_statistics=True, quant_type="nf4", module=linear
    ).to(device)


def is_quantized(module: nn.Module) -> bool:
    """Whether a layer's weight is packed into 4 bits."""
    return type(module).__name__ == "Linear4bit" and hasattr(module, "compute_dtype")


def dequantized(linear: nn.Module, weight: torch.Tensor) -> torch.Tensor:
    """A layer's weight as floats, however it is kept."""
    if getattr(linear.weight, "quant_state", None) is None:
        return weight
    return require_quantization().functional.dequantize_4bit(weight, linear.weight.quant_state)


def save_adapter_config(lora: Lora, base: str, directory: Path) -> None:
    """Writes PEFT's adapter_config.json."""
    peft_config(lora, base).save_pretrained(directory)
