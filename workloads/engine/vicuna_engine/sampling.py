"""From logits to the next token.

A draw depends on the seed and on the token's place in the answer, on nothing that happened before. So another worker that goes
on with the answer draws what this one would have drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Of distributions that are cut to their likeliest tokens, this many are sorted at first: nearly always enough, and much faster.
HEAD = 1024


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens. `top_k` 0 is all; `choice` tells several answers to one request apart."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0
    choice: int = 0

    @property
    def penalizes(self) -> bool:
        """Whether earlier tokens of the answer count."""
        return self.presence_penalty != 0.0 or self.frequency_penalty != 0.0

    @property
    def plain(self) -> bool:
        """Whether the likeliest token is the answer."""
        return self.temperature == 0.0 and not self.penalizes


def choose(logits: Tensor, sampling: Sampling, counts: Mapping[int, int], place: int) -> int:
    """The answer's token number `place`. `logits` [vocabulary]; `counts`: how often each token is in the answer already."""
    scores = logits.float().cpu()
    if sampling.penalizes and counts:
        tokens = torch.tensor(list(counts))
        times = torch.tensor(list(counts.values()), dtype=torch.float32)
        scores = scores.index_add(0, tokens, -(sampling.presence_penalty + sampling.frequency_penalty * times))
    if sampling.temperature == 0.0:
        return int(scores.argmax())
    # Less the maximum first: a temperature near 0 would make infinities of the scores.
    weights = ((scores.double() - scores.max()) / sampling.temperature).exp()
    tokens = None
    if sampling.top_p < 1.0 or sampling.top_k:
        weights, tokens = _likeliest(weights, sampling)
    sums = weights.cumsum(0)
    drawn = _uniform(sampling, place) * float(sums[-1])
    index = int(torch.searchsorted(sums, drawn, right=True))
    if index == len(sums):  # the product was rounded up to the sum itself
        index = int(weights.argmax())
    return index if tokens is None else int(tokens[index])


def log_probabilities(logits: Tensor, chosen: int, top: int) -> tuple[float, list[tuple[int, float]]]:
    """The chosen token's log-probability and the `top` likeliest tokens with theirs, before temperature and penalties."""
    values = logits.float().cpu().log_softmax(0)
    best = values.topk(top) if top else None
    likeliest = list(zip(best.indices.tolist(), best.values.tolist(), strict=True)) if best is not None else []
    return float(values[chosen]), likeliest


def _likeliest(weights: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """(weights, token ids) of the tokens that top_k and top_p leave, the likeliest first."""
    enough = sampling.top_p * float(weights.sum())
    for size in (min(HEAD, len(weights)), len(weights)):
        ordered, tokens = weights.topk(min(size, sampling.top_k) if sampling.top_k else size)
        sums = ordered.cumsum(0)
        if sampling.top_k or float(sums[-1]) >= enough:
            break
    if sampling.top_k:
        enough = sampling.top_p * float(sums[-1])
    count = min(int((sums < enough).sum()) + 1, len(ordered))
    return ordered[:count], tokens[:count]


def _uniform(sampling: Sampling, place: int) -> float:
    key = sampling.seed % 2**64
    return float(np.random.Generator(np.random.Philox(key=key, counter=[0, 0, sampling.choice, place])).random())
