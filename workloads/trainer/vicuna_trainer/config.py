"""The training's configuration, as the operator hands it over in VICUNA_CONFIG."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .conversations import DEFAULT_TEMPLATE, TEMPLATES
from .exits import BAD_CONFIGURATION, TrainingError

SCHEDULES = ("cosine", "linear", "constant")
PRECISIONS = ("bf16", "fp32")
ATTENTIONS = ("sdpa", "flash", "eager")
EXPORTS = ("merged", "adapter")
QUANTIZATIONS = ("none", "nf4")
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Lora:
    """`rank` of the added matrices, `alpha`/`rank` their weight; `targets` are the linear layers that get them."""

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]
    quantization: str
    export: str


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
    conversation_template: str = DEFAULT_TEMPLATE
    packing: bool = False
    lora: Lora | None = None

    @property
    def sequences_per_step(self) -> int:
        """Sequences of one optimizer step, whatever the world size."""
        return max(1, self.global_batch_tokens // self.context_length)

    def checked(self) -> Recipe:
        """Itself. Raises TrainingError (64) where its values cannot go together."""
        if self.packing and self.attention == "flash":
            raise _bad(
                "recipe.packing",
                "cannot go with recipe.attention flash: that kernel takes no mask, and packed conversations would see each other. "
                "Use attention sdpa",
            )
        return self


@dataclass(frozen=True)
class Validation:
    """Conversations that are never trained on, and after how many steps the loss on them is looked at."""

    dataset: str
    every_steps: int


@dataclass(frozen=True)
class Config:
    """Where a training's inputs and outputs lie, and its recipe."""

    model: str
    tokenizer: str
    dataset: str
    storage: str
    keep: int
    recipe: Recipe
    validation: Validation | None = None
    # Whose the checkpoints are: the uid of the training. None where the operator does not say it.
    owner: str | None = None

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
        dataset = _object(value, "dataset")
        lora = _object(recipe, "recipe.lora") if recipe.get("lora") is not None else None
        validation = _object(dataset, "dataset.validation") if dataset.get("validation") is not None else None
        return Config(
            model=base,
            tokenizer=_text(model, "model.tokenizer") if model.get("tokenizer") else base,
            dataset=_text(dataset, "dataset.uri"),
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
                conversation_template=_choice(
                    {"conversationTemplate": DEFAULT_TEMPLATE, **recipe}, "recipe.conversationTemplate", TEMPLATES
                ),
                packing=bool(recipe.get("packing", False)),
                lora=None if lora is None else _lora(lora),
            ).checked(),
            validation=None
            if validation is None
            else Validation(
                dataset=_text(validation, "dataset.validation.uri"),
                every_steps=int(_number(validation, "dataset.validation.everySteps", least=1)),
            ),
            owner=_object(value, "checkpoint").get("owner"),
        )

    @staticmethod
    def from_environment(env: Mapping[str, str] = os.environ) -> Config:
        """The configuration of this process. Raises TrainingError (64)."""
        text = env.get("VICUNA_CONFIG")
        if not text:
            raise _bad("VICUNA_CONFIG", "is not set")
        return Config.parse(text)


def _lora(value: dict[str, Any]) -> Lora:
    full = {
        "alpha": 2 * value.get("rank", 0),
        "dropout": 0.0,
        "targetModules": list(TARGETS),
        "quantization": "none",
        "export": "merged",
        **value,
    }
    targets = full["targetModules"]
    if not isinstance(targets, list) or not targets or not all(isinstance(name, str) for name in targets):
        raise _bad("recipe.lora.targetModules", "must be a list of names of linear layers")
    return Lora(
        rank=int(_number(full, "recipe.lora.rank", least=1)),
        alpha=_number(full, "recipe.lora.alpha", least=0),
        dropout=_number(full, "recipe.lora.dropout", least=0),
        targets=tuple(targets),
        quantization=_choice(full, "recipe.lora.quantization", QUANTIZATIONS),
        export=_choice(full, "recipe.lora.export", EXPORTS),
    )


def _object(value: Any, field: str) -> dict[str, Any]:
    part = value.get(field.rpartition(".")[2]) if isinstance(value, dict) else None
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
