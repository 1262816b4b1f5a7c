"""Runs steps through the model: tokens in, logits (and pooled outputs) out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging
from vicuna_trainer.exits import BAD_INPUT, TrainingError

from .attention import NAME, ROWS, Batch, KvCache, Span, attend, group_spans
from .scheduler import Segment, Step

AttentionInterface.register(NAME, attend)
transformers_logging.disable_progress_bar()


@dataclass(frozen=True)
class Output:
    """A step's outputs, in the order of its segments.

    `logits` [segments with `last` that are not pooled, vocabulary]; `pooled`: per pooled segment the sum of its tokens' last
    hidden states, [hidden size] in fp32.
    """

    logits: Tensor
    pooled: list[Tensor]


class ModelRunner:
    """A model with its cache. Not for several threads at once; call it under `torch.inference_mode`."""

    def __init__(self, model: Any, cache_rows: int) -> None:
        self.model = model
        self.device = model.device
        config = model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.cache = KvCache(config.num_hidden_layers, heads, size, cache_rows, model.dtype, model.device)
        self._hidden: Tensor | None = None
        model.base_model.register_forward_hook(self._keep_hidden)

    def run(self, step: Step) -> Output:
        """Computes a step; its tokens' keys and values are in the cache afterwards."""
        for copy in step.copies:
            self.cache.copy(copy)
        ids, positions, rows, spans = [], [], [], []
        for segment in step.segments:
            first, end, start = segment.first, segment.first + segment.count, _start(segment)
            spans.append(Span(len(ids), segment.count, start, first))
            ids += segment.sequence.tokens[first:end]
            positions += range(first, end)
            rows += range(start + first, start + end)
        wanted = [
            span.row + span.count - 1
            for span, segment in zip(spans, step.segments, strict=True)
            if segment.last and not segment.sequence.pooled
        ]
        logits = self._forward(_padded(ids, 0), _padded(positions, 0), _padded(rows, self.cache.padding_row), spans, wanted)
        pooled = [
            self._hidden[0, span.row : span.row + span.count].float().sum(0)
            for span, segment in zip(spans, step.segments, strict=True)
            if segment.sequence.pooled
        ]
        return Output(logits, pooled)

    def _forward(self, ids: list[int], positions: list[int], rows: list[int], spans: list[Span], wanted: list[int]) -> Tensor:
        batch = Batch(self.cache, torch.tensor(rows, device=self.device), tuple(group_spans(spans, self.device)))
        out = self.model(
            input_ids=torch.tensor([ids], device=self.device),
            position_ids=torch.tensor([positions], device=self.device),
            use_cache=False,
            logits_to_keep=torch.tensor(_padded(wanted, 0) or [0] * ROWS, device=self.device),
            batch=batch,
        )
        return out.logits[0, : len(wanted)]

    def _keep_hidden(self, _module: Any, _inputs: Any, output: Any) -> None:
        self._hidden = output.last_hidden_state


def load_model(directory: Path, device: torch.device, dtype: torch.dtype | None) -> Any:
    """The model in `directory`, ready for ModelRunner; `dtype` None takes the one it was saved in.

    Raises TrainingError (66) where the files are not a model that this engine can run.
    """
    try:
        model = AutoModelForCausalLM.from_pretrained(
            directory, dtype=dtype or "auto", attn_implementation=NAME, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise TrainingError(BAD_INPUT, f"The model in {directory} cannot be loaded: {error}") from None
    if not model._supports_attention_backend:
        raise TrainingError(BAD_INPUT, f"Models of type {model.config.model_type} cannot be served by this engine: use vLLM.")
    return model.to(device).eval()


def _start(segment: Segment) -> int:
    assert segment.sequence.held is not None
    return segment.sequence.held.start


def _padded(values: list[int], filler: int) -> list[int]:
    return values + [filler] * (-len(values) % ROWS)
