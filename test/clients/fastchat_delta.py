"""Deltas by FastChat and by this project from the same two models, each restored by the other; prints what was equal.

All in one process: FastChat's programs take longer to import than to run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from fastchat.model import apply_delta as theirs_apply
from fastchat.model import make_delta as theirs_make
from safetensors.torch import load_file
from vicuna_trainer.release.apply import apply_delta
from vicuna_trainer.release.make import make_delta
from vicuna_trainer.release.progress import Progress
from vicuna_trainer.release.task import ReleaseConfig
from vicuna_trainer.storage import open_storage
from vicuna_trainer.tiny import make


def bits(directory: Path) -> dict[str, bytes]:
    """All tensors of a model directory."""
    found = {}
    for file in sorted(directory.glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            assert tensor.dtype == torch.float16, f"{name} in {file} is {tensor.dtype}"
            found[name] = tensor.contiguous().view(torch.int16).numpy().tobytes()
    return found


def main(directory: Path) -> None:
    """Works below `directory`."""
    at = {name: directory / name for name in ("base", "target", "ours", "theirs", "ours-ours", "ours-theirs", "theirs-ours")}
    turn = [{"from": "human", "value": "What is one plus one?"}, {"from": "gpt", "value": "It is two."}]
    data = directory / "data.jsonl"
    data.write_text(json.dumps({"id": "1", "conversations": turn}))
    for seed, name in enumerate(("base", "target"), 1):
        make(data, at[name], hidden=32, layers=2, seed=seed)

    def stores(*names: str) -> tuple:
        return tuple(open_storage(f"file://{at[name]}") for name in names)

    def restore(delta: str, output: str) -> bool:
        return apply_delta(f"file://{at['base']}", False, stores("base", delta, output), Progress("x", 0, None)).verified

    config = ReleaseConfig(*(f"file://{at[name]}" for name in ("base", "target", "ours")), "additive")
    make_delta(config, "base", stores("base", "target", "ours"), Progress("x", 0, None))
    theirs_make.args = argparse.Namespace(hub_repo_id=None)
    theirs_make.make_delta(str(at["base"]), str(at["target"]), str(at["theirs"]))
    theirs_apply.apply_delta(str(at["base"]), str(at["theirs-ours"]), str(at["ours"]))
    verified = {"ours": restore("ours", "ours-ours"), "theirs": restore("theirs", "ours-theirs")}
    expected = bits(at["ours-ours"])
    print(
        json.dumps(
            {
                "tensors": len(expected),
                "sameDelta": bits(at["ours"]) == bits(at["theirs"]),
                "theyRestoreOurs": bits(at["theirs-ours"]) == expected,
                "weRestoreTheirs": bits(at["ours-theirs"]) == expected,
                "verified": verified,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
