"""The key-value cache and attention over it, as an attention function for Hugging Face models.

The model sees one batch of tokens, those of all segments of a step behind one another; only here do they belong to sequences
again. The result for a token has the same bits whatever else is in the batch, and however its predecessors came into the cache
(fp32 on a CPU; a test holds it to that). This is what lets another worker continue an answer without a trace. It needs

* a number of rows that is a multiple of ROWS in every matrix product: BLAS has other kernels, which add up in another order, for
  a few rows, and none of its kernels lets a row's result depend on the other rows;
* a number of keys that depends on the token's position alone (`scheduler.SPAN`); those beyond the position weigh exactly 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .scheduler import SPAN, Copy

ROWS = 16
NAME = "vicuna_ranges"
# Sequences with at most this many keys are computed in one go on a CPU: below, calls cost more than copying the keys together.
GATHERED_KEYS = 256
# What models pass along that means nothing here, or nothing different from what is done here anyway.
_HARMLESS = frozenset(
    {"position_ids", "use_cache", "cache_position", "dropout", "output_attentions", "output_hidden_states", "is_causal"}
)


class KvCache:
    """Keys and values of `rows` tokens per layer, each [key-value heads, rows, head size], filled with zeros at first."""

    def __init__(self, layers: int, heads: int, head_size: int, rows: int, dtype: torch.dtype, device: torch.device) -> None:
        # One row for the padding of a batch, and what the last range's span reads beyond its end.
        shape = (heads, rows + SPAN, head_size)
        self.padding_row = rows
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]
        self.values = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)]

    def copy(self, copy: Copy) -> None:
        """Copies rows in every layer."""
        for tensor in (*self.keys, *self.values):
            tensor[:, copy.target : copy.target + copy.rows] = tensor[:, copy.source : copy.source + copy.rows]


@dataclass(frozen=True)
class Span:
    """`count` tokens from row `row` of the batch, at positions from `position` on; their sequence's keys begin at row `start`."""

    row: int
    count: int
    start: int
    position: int

    @property
    def keys(self) -> int:
        """How many keys are read."""
        return self.position // SPAN * SPAN + SPAN


@dataclass(eq=False)
class Group:
    """Spans computed in one go: one of any number of tokens, or `n` of one token each.

    `tokens` selects the batch's rows, `keys` the cache's: a slice for each, or an index [n * keys].
    `positions` [n, tokens of each].
    """

    tokens: slice | Tensor
    keys: list[slice] | Tensor
    positions: Tensor
    reach: int
    """Keys read for each."""
    _hidden: dict[int | None, Tensor] = field(default_factory=dict)

    @staticmethod
    def of_one(span: Span, device: torch.device) -> Group:
        """Reads the keys in place."""
        positions = torch.arange(span.position, span.position + span.count, device=device)
        return Group(slice(span.row, span.row + span.count), [_slice(span)], positions[None], span.keys)

    @staticmethod
    def stacked(spans: list[Span]) -> Group:
        """Copies the keys together slice by slice, on a CPU; the spans have one token each and read as many keys as each other."""
        positions = torch.tensor([[span.position] for span in spans])
        return Group(torch.tensor([span.row for span in spans]), [_slice(span) for span in spans], positions, spans[0].keys)

    @staticmethod
    def indexed(spans: list[Span], device: torch.device) -> Group:
        """Copies the keys together in one go, on a GPU; the spans have one token each."""
        reach = max(span.keys for span in spans)
        positions = torch.tensor([[span.position] for span in spans])
        # Beyond a sequence's own keys any row will do, as long as there is one: it is not seen.
        keys = torch.tensor([[span.start] for span in spans]) + torch.arange(reach)[None].minimum(positions)
        tokens = torch.tensor([span.row for span in spans])
        return Group(tokens.to(device), keys.view(-1).to(device), positions.to(device), reach)

    def hidden(self, window: int | None) -> Tensor:
        """[n, 1, tokens of each, keys]: minus infinity where a token does not see a key, else 0.

        `window` is how many tokens, itself included, a token sees; None is all.
        """
        if window not in self._hidden:
            keys = torch.arange(self.reach, device=self.positions.device)
            positions = self.positions[:, None, :, None]
            unseen = keys > positions if window is None else (keys > positions) | (keys <= positions - window)
            self._hidden[window] = torch.zeros(unseen.shape, device=unseen.device).masked_fill_(unseen, -torch.inf)
        return self._hidden[window]


@dataclass(frozen=True)
class Batch:
    """A step as attention sees it. `rows` [tokens] says where in the cache each token's key and value go."""

    cache: KvCache
    rows: Tensor
    groups: tuple[Group, ...]


def group_spans(spans: list[Span], device: torch.device) -> Iterator[Group]:
    """How to compute the spans with few calls and without changing a bit (on a CPU), or with few kernels (on a GPU)."""
    on_cpu = device.type == "cpu"
    alike: dict[int, list[Span]] = defaultdict(list)
    for span in spans:
        if span.count == 1 and (not on_cpu or span.keys <= GATHERED_KEYS):
            alike[span.keys if on_cpu else 0].append(span)
        else:
            yield Group.of_one(span, device)
    for several in alike.values():
        if len(several) == 1:
            yield Group.of_one(several[0], device)
        else:
            yield Group.stacked(several) if on_cpu else Group.indexed(several, device)


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, _mask: None, *, batch: Batch, scaling: float, **more: Any
) -> tuple[Tensor, None]:
    """Attention of `query` [1, heads, tokens, size] over the cache, after `key` and `value` have been put there.

    Returns [1, tokens, heads, size]. Raises NotImplementedError for a kind of attention that this one is not.
    """
    window = more.pop("sliding_window", None)
    for name, given in more.items():
        if given is not None and name not in _HARMLESS:
            raise NotImplementedError(f"this model's attention needs {name}, which this engine does not have: use vLLM for it")
    keys, values = batch.cache.keys[module.layer_idx], batch.cache.values[module.layer_idx]
    keys.index_copy_(1, batch.rows, key[0])
    values.index_copy_(1, batch.rows, value[0])
    heads, tokens, size = query.shape[1:]
    # Query heads that share a key-value head stand together: [key-value heads, heads of each, tokens, size].
    queries = query[0].view(keys.shape[0], heads // keys.shape[0], tokens, size)
    out = query.new_zeros(tokens, heads, size)
    for group in batch.groups:
        out[group.tokens] = _attend_group(queries, keys, values, group, scaling, window)
    return out[None], None


def _attend_group(queries: Tensor, keys: Tensor, values: Tensor, group: Group, scaling: float, window: int | None) -> Tensor:
    """[tokens of the group, heads, size]."""
    shared, share, _, size = queries.shape
    n, count = group.positions.shape
    wanted = share * count
    # [key-value heads, n, heads of each, tokens of each, size], then with the two in one dimension that is filled up.
    chosen = queries[:, :, group.tokens].unflatten(2, (n, count)).transpose(1, 2)
    rows = queries.new_zeros(shared, n, -(-wanted // ROWS) * ROWS, size)
    rows[:, :, :wanted] = chosen.reshape(shared, n, wanted, size)
    scores = torch.matmul(rows, _read(keys, group).transpose(2, 3)).mul_(scaling)
    scores[:, :, :wanted].unflatten(2, (share, count)).add_(group.hidden(window))
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype)
    result = torch.matmul(weights, _read(values, group))
    return result[:, :, :wanted].unflatten(2, (share, count)).permute(1, 3, 0, 2, 4).reshape(n * count, shared * share, size)


def _read(cached: Tensor, group: Group) -> Tensor:
    """The group's rows of keys or values, [key-value heads, n, keys, size]; in place where it is one sequence's."""
    if isinstance(group.keys, Tensor):
        return cached.index_select(1, group.keys).unflatten(1, (-1, group.reach))
    if len(group.keys) == 1:
        return cached[:, None, group.keys[0]]
    return torch.stack([cached[:, rows] for rows in group.keys], dim=1)


def _slice(span: Span) -> slice:
    return slice(span.start, span.start + span.keys)
