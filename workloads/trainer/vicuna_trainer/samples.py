"""The samples log: which samples went into which step, committed together with the checkpoint that contains their effect.

`{storage}/samples/step-N-gG.json` lists the steps since the checkpoint's parent (its predecessor in the line of checkpoints
that training really went along). Work that was lost with a node never enters the line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DIRECTORY = "samples"


@dataclass(frozen=True)
class StepSamples:
    """What one rank fed into one step: (position in the step, sample id)."""

    step: int
    samples: tuple[tuple[int, str], ...]


def samples_path(checkpoint: str) -> str:
    """Where the log of a checkpoint lies below the storage."""
    return f"{DIRECTORY}/{checkpoint}.json"


def merge(parts: Iterable[StepSamples]) -> dict[str, list[str]]:
    """All ranks' parts as step → sample ids in the step's order."""
    steps: dict[int, list[tuple[int, str]]] = {}
    for part in parts:
        steps.setdefault(part.step, []).extend(part.samples)
    return {str(step): [name for _, name in sorted(found)] for step, found in sorted(steps.items())}
