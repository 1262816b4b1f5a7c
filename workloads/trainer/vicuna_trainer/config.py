"""The training's configuration, as the operator hands it over in VICUNA_CONFIG."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .exits import BAD_CONFIGURATION, TrainingError

SCHEDULES = ("cosine", "linear", "constant")
PRECISIONS = ("bf16", "fp32")
ATTENTIONS = ("sdpa", "flash", "eager")


@dataclass(frozen=True)
class Recipe:
    """What decides the result of a training. Lengths and batch sizes are in tokens, `micro_batch_size` in sequences."""

    learning_rate: float
    epochs: float
    context_length: int
    global_batch_tokens: int
    micro_batch_size: int
    warmup_ratio: float
    weight_decay: float
    schedule: str
    seed: int
    precision: str
    activation_checkpointing: bool
    attention: str
    max_steps: int | None = None

    @property
    def sequences_per_step(self) -> int:
        """Sequences of one optimizer step, whatever the world size."""
        return max(1, self.global_batch_tokens // self.context_length)


@dataclass(frozen=True)
class Config:
    """Where a training's inputs and outputs lie, and its recipe."""

    model: str
    tokenizer: str
    dataset: str
    storage: str
    keep: int
    recipe: Recipe

    @staticmethod
    def parse(text: str) -> Config:
        """Reads the JSON of VICUNA_CONFIG. Raises TrainingError (64) that names the field at fault."""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise _bad("VICUNA_CONFIG", f"is not JSON ({error})") from None
        recipe = _object(value, "recipe")
        model = _object(value, "model")
        base = _text(model, "model.base")
        max_steps = recipe.get("maxSteps")
        return Config(
            model=base,
            tokenizer=_text(model, "model.tokenizer") if model.get("tokenizer") else base,
            dataset=_text(_object(value, "dataset"), "dataset.uri"),
            storage=_text(_object(value, "checkpoint"), "checkpoint.storage").rstrip("/"),
            keep=int(_number(_object(value, "checkpoint"), "checkpoint.keep", least=1)),
            recipe=Recipe(
                learning_rate=_number(recipe, "recipe.learningRate", least=0),
                epochs=_number(recipe, "recipe.epochs", least=0),
                context_length=int(_number(recipe, "recipe.contextLength", least=8)),
                global_batch_tokens=int(_number(recipe, "recipe.globalBatchTokens", least=1)),
                micro_batch_size=int(_number(recipe, "recipe.microBatchSize", least=1)),
                warmup_ratio=_number(recipe, "recipe.warmupRatio", least=0),
                weight_decay=_number(recipe, "recipe.weightDecay", least=0),
                schedule=_choice(recipe, "recipe.schedule", SCHEDULES),
                seed=int(_number(recipe, "recipe.seed", least=0)),
                precision=_choice(recipe, "recipe.precision", PRECISIONS),
                activation_checkpointing=bool(recipe.get("activationCheckpointing", False)),
                attention=_choice(recipe, "recipe.attention", ATTENTIONS),
                max_steps=None if max_steps is None else int(_number(recipe, "recipe.maxSteps", least=1)),
            ),
        )

    @staticmethod
    def from_environment(env: Mapping[str, str] = os.environ) -> Config:
        """The configuration of this process. Raises TrainingError (64)."""
        text = env.get("VICUNA_CONFIG")
        if not text:
            raise _bad("VICUNA_CONFIG", "is not set")
        return Config.parse(text)


def _object(value: Any, field: str) -> dict[str, Any]:
    part = value.get(field) if isinstance(value, dict) else None
    if not isinstance(part, dict):
        raise _bad(field, "is missing")
    return part


def _text(part: dict[str, Any], field: str) -> str:
    value = part.get(field.rpartition(".")[2])
    if not isinstance(value, str) or not value:
        raise _bad(field, "is missing")
    return value


def _number(part: dict[str, Any], field: str, least: float) -> float:
    value = part.get(field.rpartition(".")[2])
    if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
        raise _bad(field, f"is {value!r}, but must be a number of at least {least:g}")
    return value


def _choice(part: dict[str, Any], field: str, choices: tuple[str, ...]) -> str:
    value = part.get(field.rpartition(".")[2])
    if value not in choices:
        raise _bad(field, f"is {value!r}, but must be one of {', '.join(choices)}")
    return value


def _bad(field: str, what: str) -> TrainingError:
    return TrainingError(BAD_CONFIGURATION, f"The configuration cannot be used: {field} {what}. Correct the VicunaTraining.")
