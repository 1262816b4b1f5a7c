"""From settings to a model that is ready to run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from vicuna_trainer.exits import BAD_CONFIGURATION, TrainingError
from vicuna_trainer.model import load_tokenizer

from .chat_format import ChatFormat
from .engine import Loaded
from .kv_ranges import KvRanges
from .model_runner import ModelRunner, load_model
from .scheduler import Scheduler
from .served import Served, end_tokens
from .settings import Settings
from .vocabulary import Vocabulary
from .weights import fetch

# Of what is free once the model is loaded, the cache may take this share.
CPU_CACHE_SHARE = 0.25
GPU_CACHE_SHARE = 0.85
STEP_TOKENS = {"cpu": 128, "cuda": 1024}


def load(settings: Settings, log: Callable[[str], None]) -> tuple[Served, Loaded]:
    """Fetches and loads the model. Raises TrainingError where it cannot be served, OSError where its storage fails."""
    begun = time.monotonic()
    device = torch.device(_device(settings.device))
    directory = fetch(settings.model, settings.cache_dir, log)
    fetched = time.monotonic()
    tokenizer = load_tokenizer(directory)
    model = load_model(directory, device, _dtype(settings.dtype, device))
    context = _context(model, settings.max_model_len)
    rows = settings.kv_cache_tokens or _affordable_rows(model, settings.max_num_seqs * context)
    if rows < context:
        if settings.max_model_len is not None:
            raise TrainingError(
                BAD_CONFIGURATION,
                f"The cache has room for {rows} tokens, but --max-model-len is {context}: lower that or raise --kv-cache-tokens.",
            )
        context = rows
    vocabulary = Vocabulary(tokenizer)
    served = Served(
        names=settings.served_model_name,
        context=context,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        chat=ChatFormat(tokenizer),
        ends=end_tokens(model, tokenizer),
    )
    step_tokens = max(settings.max_num_batched_tokens or STEP_TOKENS[device.type], settings.max_num_seqs)
    scheduler = Scheduler(KvRanges(rows), settings.max_num_seqs, step_tokens)
    loaded = Loaded(ModelRunner(model, rows), scheduler, vocabulary)
    log(
        f"Serving {', '.join(settings.served_model_name)}: {model.num_parameters() / 1e6:.1f} M parameters in {model.dtype} on "
        f"{device}, context {context}, cache {rows} tokens; fetched in {fetched - begun:.1f} s, "
        f"loaded in {time.monotonic() - fetched:.1f} s."
    )
    return served, loaded


def _device(wanted: str) -> str:
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise TrainingError(BAD_CONFIGURATION, "--device cuda: there is no GPU here. Give the pod one, or use --device cpu.")
    return ("cuda" if available else "cpu") if wanted == "auto" else wanted


def _dtype(wanted: str, device: torch.device) -> torch.dtype | None:
    if wanted != "auto":
        return getattr(torch, wanted)
    return torch.float32 if device.type == "cpu" else None


def _context(model: Any, wanted: int | None) -> int:
    own = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if wanted is not None and own is not None and wanted > own:
        raise TrainingError(BAD_CONFIGURATION, f"--max-model-len {wanted} is more than the model's {own}: lower it.")
    return wanted or own or 2048


def _affordable_rows(model: Any, wanted: int) -> int:
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    row_bytes = 2 * config.num_hidden_layers * heads * size * model.dtype.itemsize
    if model.device.type == "cuda":
        free = torch.cuda.mem_get_info(model.device)[0] * GPU_CACHE_SHARE
    else:
        free = _free_memory() * CPU_CACHE_SHARE
    return min(wanted, int(free / row_bytes))


def _free_memory() -> float:
    """Bytes that this process may still take: the machine's, or what its container's limit leaves."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        with open("/sys/fs/cgroup/memory.max") as most, open("/sys/fs/cgroup/memory.current") as used:
            return min(free, int(most.read()) - int(used.read()))
    except (OSError, ValueError):  # no such file, or "max": there is no limit
        return free
