"""Micro-batches: a rank's share of a step as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .conversations import IGNORED
from .order import DataOrder
from .packing import Sequences
from .samples import StepSamples

# Lengths are rounded up to this, so that kernels and the memory allocator meet few different shapes.
PAD_MULTIPLE = 64


@dataclass(frozen=True)
class StepPlan:
    """A rank's part of one step. `micro_batches` are lists of rows; None stands for an empty sequence."""

    step: int
    micro_batches: list[list[int | None]]
    samples: StepSamples
    targets: int
    tokens: int


@dataclass(frozen=True)
class Batch:
    """`ids` and `labels`, both int64 [sequences, length]; labels are IGNORED where there is no loss.

    `positions` is of the same shape, where conversations are packed; None: 0, 1, 2, … in each sequence.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor | None


def plan_step(rows: Sequences, order: DataOrder, step: int, rank: int, world_size: int, micro_batch: int) -> StepPlan:
    """What `rank` does in `step`. `targets` and `tokens` count the whole step, over all ranks: every rank knows the whole order."""
    whole = order.of_step(step)
    share: list[int | None] = list(order.of_rank(step, rank, world_size))
    own = tuple(
        (rank + position * world_size, name) for position, row in enumerate(share) if row is not None for name in rows.names(row)
    )
    share += [None] * (order.longest_share(step, world_size) - len(share))
    return StepPlan(
        step=step,
        micro_batches=in_micro_batches(share, micro_batch),
        samples=StepSamples(step, own),
        targets=sum(rows.target_count(row) for row in whole),
        tokens=sum(rows.length(row) for row in whole),
    )


def in_micro_batches(share: list[int | None], micro_batch: int) -> list[list[int | None]]:
    """The rows, so many at a time."""
    return [share[start : start + micro_batch] for start in range(0, len(share), micro_batch)]


def tensors(rows: Sequences, micro_batch: list[int | None], device: torch.device) -> Batch:
    """A micro-batch on the device.

    Padding is on the right, where causal attention never looks from a real token: no mask is needed, which keeps the fast
    attention kernels. Packed conversations are told apart by their positions, which begin anew with each: Transformers makes
    the mask from them that keeps attention within a conversation (masking_utils.find_packed_sequence_indices).
    """
    longest = max((rows.length(row) for row in micro_batch if row is not None), default=1)
    width = -(-longest // PAD_MULTIPLE) * PAD_MULTIPLE
    ids = torch.zeros((len(micro_batch), width), dtype=torch.int64)
    labels = torch.full((len(micro_batch), width), IGNORED, dtype=torch.int64)
    positions = torch.arange(width).repeat(len(micro_batch), 1) if rows.packed else None
    for place, row in enumerate(micro_batch):
        begin = 0
        for index in () if row is None else rows.members[row]:
            sample_ids, learned = rows.dataset.sample(index)
            own = torch.from_numpy(sample_ids.astype("int64"))
            end = begin + len(own)
            ids[place, begin:end] = own
            labels[place, begin:end] = torch.where(torch.from_numpy(learned.copy()), own, IGNORED)
            labels[place, begin] = IGNORED  # nothing before it is its own
            if positions is not None:
                positions[place, begin:] = torch.arange(width - begin)
            begin = end
        if positions is not None and 0 < begin < width:
            positions[place, begin:] = torch.arange(width - begin)
    if device.type == "cuda":
        ids, labels = ids.pin_memory(), labels.pin_memory()
        positions = None if positions is None else positions.pin_memory()
    moved = None if positions is None else positions.to(device, non_blocking=True)
    return Batch(ids.to(device, non_blocking=True), labels.to(device, non_blocking=True), moved)
