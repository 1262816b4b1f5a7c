"""Which tensor of the base belongs to which of the target, and why two models do not belong together."""

from __future__ import annotations

from dataclasses import dataclass

from ..exits import BAD_CONFIGURATION, TrainingError
from .bits import FLOATS
from .weights import Tensor, Weights

# Tensors with a row for each token of the vocabulary.
VOCABULARY = ("embed_tokens.weight", "lm_head.weight", "wte.weight", "embed_in.weight", "embed_out.weight")
# Computed, not learnt; Transformers leaves it out since 4.31, and so need not be in both.
COMPUTED = ("rotary_emb.inv_freq",)
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
TOLD = 3


@dataclass(frozen=True)
class Need:
    """What is to be found in the base: a name, and the shape and type that its counterpart has."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def find_base(base: Weights, needs: list[Need], whose: str, extends: bool) -> dict[str, Tensor | None]:
    """The base's tensor for each need; None where the counterpart stands for itself. `whose`: "target" or "delta".

    `extends`: embeddings may have more rows than the base's. Raises TrainingError (64) that says why they do not fit.
    """
    found: dict[str, Tensor | None] = {}
    missing: list[Need] = []
    other_shape: list[tuple[Need, Tensor]] = []
    rows: list[tuple[Need, Tensor]] = []
    for need in needs:
        tensor = base.tensors.get(need.name) or _tied(base, need.name)
        found[need.name] = tensor
        if tensor is None:
            if not need.name.endswith(COMPUTED):
                missing.append(need)
        elif tensor.shape != need.shape:
            only_rows = need.name.endswith(VOCABULARY) and tensor.shape[1:] == need.shape[1:] and tensor.shape and need.shape
            (rows if only_rows else other_shape).append((need, tensor))
        elif tensor.dtype != need.dtype and not (tensor.dtype in FLOATS and need.dtype in FLOATS):
            raise _unfit(f"{need.name} is {need.dtype} in the {whose} and {tensor.dtype} in the base: only floats can be converted")
    if missing:
        raise _unfit(
            f"the base lacks {_some([need.name for need in missing])}: it is not the model that the {whose} was made from. "
            f"Give the right base"
        )
    if other_shape:
        need, tensor = other_shape[0]
        more = f" (and {len(other_shape) - 1} more tensors differ)" if len(other_shape) > 1 else ""
        raise _unfit(
            f"{need.name} is {list(need.shape)} in the {whose} and {list(tensor.shape)} in the base{more}: they are models of "
            "different sizes. Give the base that it was made from"
        )
    for need, tensor in rows:
        _check_rows(need, tensor, whose, extends)
    return found


def _check_rows(need: Need, tensor: Tensor, whose: str, extends: bool) -> None:
    more = need.shape[0] - tensor.shape[0]
    what = f"{need.name} has {need.shape[0]} rows in the {whose} and {tensor.shape[0]} in the base"
    if more < 0:
        raise _unfit(f"{what}: the base knows {_tokens(-more)} more, so it is not the model that the {whose} was made from")
    if not extends:
        raise _unfit(
            f"{what}: {_tokens(more)} {'was' if more == 1 else 'were'} added to the vocabulary (often a padding token). With "
            "--vocabulary extend the new rows are published whole, which FastChat's apply_delta does not understand; without, give "
            "a base with the same tokens, or remove them from the target"
        )


def _tied(base: Weights, name: str) -> Tensor | None:
    return base.tensors.get(EMBEDDING) if name == HEAD and base.config.get("tie_word_embeddings") is True else None


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"


def _some(names: list[str]) -> str:
    return ", ".join(names[:TOLD]) + (f" and {len(names) - TOLD} more tensors" if len(names) > TOLD else "")


def _unfit(why: str) -> TrainingError:
    return TrainingError(BAD_CONFIGURATION, f"Base and model do not fit together: {why}.")
