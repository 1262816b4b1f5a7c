"""Proves from the samples log that every sample was used exactly once per epoch:

    python3 -m vicuna_trainer.check_samples STORAGE [--json]

Follows the line of committed checkpoints back from the newest one. Exit code 0: proved; 1: not so, with the reason.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass

from .manifest import committed, parse_name
from .samples import samples_path
from .storage import Storage, is_uri, open_storage


class HistoryError(Exception):
    """Why the history proves nothing, or proves the opposite."""


@dataclass(frozen=True)
class Proof:
    """What was proved: all steps up to `steps`; `epochs` whole ones of `epoch_size` samples, `rest` samples of the next."""

    checkpoint: str
    steps: int
    checkpoints: int
    epoch_size: int
    epochs: int
    rest: int


def check(storage: Storage) -> Proof:
    """Raises HistoryError or OSError."""
    line = committed(storage)
    if not line:
        raise HistoryError(f"There is no complete checkpoint in {storage.uri}.")
    head = line[-1]
    steps: dict[int, list[str]] = {}
    sizes: set[int] = set()
    length = 0
    name: str | None = head
    while name is not None:
        try:
            log = json.loads(storage.read(samples_path(name)))
        except (FileNotFoundError, ValueError):
            raise HistoryError(f"The samples log of {name} is missing or unreadable.") from None
        length += 1
        sizes.add(log["epochSize"])
        for step, names in log["steps"].items():
            if int(step) in steps:
                raise HistoryError(f"Step {step} is in the line twice.")
            steps[int(step)] = names
        name = log["parent"]
    last = (parse_name(head) or (0, 0))[0]
    missing = sorted(set(range(1, last + 1)) - set(steps))
    if missing or max(steps, default=0) > last:
        raise HistoryError(f"The line to {head} lacks steps {missing[:10]} or goes beyond it.")
    if len(sizes) != 1:
        raise HistoryError(f"The dataset changed under way: epochs of {sorted(sizes)} samples.")
    return _prove(head, [steps[step] for step in sorted(steps)], length, sizes.pop())


def _prove(head: str, steps: list[list[str]], length: int, epoch_size: int) -> Proof:
    epochs, seen, whole = 0, set(), None
    for number, names in enumerate(steps, 1):
        for name in names:
            if name in seen:
                raise HistoryError(f"Sample {name} is used twice in epoch {epochs + 1} (step {number}).")
            seen.add(name)
        if len(seen) > epoch_size:
            raise HistoryError(f"Epoch {epochs + 1} has more than {epoch_size} samples (step {number}).")
        if len(seen) == epoch_size:
            if whole is not None and seen != whole:
                raise HistoryError(f"Epoch {epochs + 1} has other samples than the one before.")
            epochs, seen, whole = epochs + 1, set(), seen
    if whole is not None and not seen <= whole:
        raise HistoryError(f"Epoch {epochs + 1} has samples that the ones before do not.")
    return Proof(head, len(steps), length, epoch_size, epochs, len(seen))


def main() -> None:
    """Command line."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--json"]
    if len(arguments) != 1:
        sys.exit(f"Usage: {(__doc__ or '').splitlines()[2].strip()}")
    uri = arguments[0] if is_uri(arguments[0]) else f"file://{arguments[0]}"
    try:
        proof = check(open_storage(uri))
    except (HistoryError, OSError) as error:
        sys.exit(f"Not proved: {error}")
    if "--json" in sys.argv:
        print(json.dumps(asdict(proof)))
        return
    rest = f", {proof.rest} samples of the next once" if proof.rest else ""
    print(
        f"Proved for {proof.checkpoint}: {proof.steps} steps, {proof.epochs} epochs of {proof.epoch_size} samples, "
        f"every sample exactly once in each{rest}."
    )


if __name__ == "__main__":
    main()
