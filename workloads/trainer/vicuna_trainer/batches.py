"""Micro-batches: a rank's share of a step as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .conversations import IGNORED
from .dataset import TokenDataset
from .order import DataOrder
from .samples import StepSamples

# Lengths are rounded up to this, so that kernels and the memory allocator meet few different shapes.
PAD_MULTIPLE = 64


@dataclass(frozen=True)
class StepPlan:
    """A rank's part of one step. `micro_batches` are lists of sample indices; None stands for an empty sequence."""

    step: int
    micro_batches: list[list[int | None]]
    samples: StepSamples
    targets: int
    tokens: int


def plan_step(dataset: TokenDataset, order: DataOrder, step: int, rank: int, world_size: int, micro_batch: int) -> StepPlan:
    """What `rank` does in `step`. `targets` and `tokens` count the whole step, over all ranks: every rank knows the whole order."""
    whole = order.of_step(step)
    share: list[int | None] = list(order.of_rank(step, rank, world_size))
    own = tuple((rank + position * world_size, dataset.names[index]) for position, index in enumerate(share) if index is not None)
    share += [None] * (order.longest_share(step, world_size) - len(share))
    return StepPlan(
        step=step,
        micro_batches=[share[start : start + micro_batch] for start in range(0, len(share), micro_batch)],
        samples=StepSamples(step, own),
        targets=sum(dataset.target_count(index) for index in whole),
        tokens=sum(dataset.length(index) for index in whole),
    )


def tensors(dataset: TokenDataset, samples: list[int | None], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(input ids, labels), both int64 [sequences, length]; labels are IGNORED where there is no loss.

    Padding is on the right, where causal attention never looks from a real token: no mask is needed, which keeps the fast
    attention kernels.
    """
    longest = max((dataset.length(index) for index in samples if index is not None), default=1)
    width = -(-longest // PAD_MULTIPLE) * PAD_MULTIPLE
    ids = torch.zeros((len(samples), width), dtype=torch.int64)
    labels = torch.full((len(samples), width), IGNORED, dtype=torch.int64)
    for row, index in enumerate(samples):
        if index is None:
            continue
        sample_ids, learned = dataset.sample(index)
        own = torch.from_numpy(sample_ids.astype("int64"))
        ids[row, : len(own)] = own
        labels[row, : len(own)] = torch.where(torch.from_numpy(learned.copy()), own, IGNORED)
    if device.type == "cuda":
        ids, labels = ids.pin_memory(), labels.pin_memory()
    return ids.to(device, non_blocking=True), labels.to(device, non_blocking=True)
