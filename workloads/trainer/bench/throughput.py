"""Measures the trainer on this machine; prints one JSON object.

    python3 bench/throughput.py [--size 58m|1b] [--world N] [--steps N] [--context N] [--batch N] [--micro-batch N] ...

* tokensPerSecond: median of the steps without a save; mfu: model FLOPs utilization of the accelerator's dense bf16 peak, where
  that is known (PaLM, appendix B: 6 N + 12 L H T FLOPs per token; N without the input embedding, which multiplies nothing).
* save: how long training stands still for an asynchronous save, until its commit, and for one that is waited for, in seconds.
* stop: from the order to the committed checkpoint and to the processes' end; restart: until the first step can run, in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.ranks import Ranks, warm_processes  # noqa: E402

SIZES = {
    "58m": {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8, "num_attention_heads": 8, "vocab_size": 32000},
    "1b": {"hidden_size": 2048, "intermediate_size": 5504, "num_hidden_layers": 22, "num_attention_heads": 16, "vocab_size": 32000},
}
# Dense bf16 TFLOPS of the vendor's data sheets.
PEAK_TFLOPS = {"H200": 989, "H100": 989, "A100": 312}


def write_inputs(directory: Path, size: str, context: int, samples: int) -> int:
    """A model's configuration without weights, a tokenizer, and conversations that fill the context; the number of parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from vicuna_trainer.tiny import make

    words = " ".join(f"word{number % 97} is {number}" for number in range(context))
    with open(directory / "data.jsonl", "w", encoding="utf-8") as file:
        for number in range(samples):
            turn = [{"from": "system", "value": "Count."}, {"from": "human", "value": f"{number}"}]
            turn.append({"from": "gpt", "value": words})
            file.write(json.dumps({"id": str(number), "conversations": turn}) + "\n")
    make(directory / "data.jsonl", directory / "model", hidden=32, layers=1)
    (directory / "model" / "model.safetensors").unlink()
    shape = SIZES[size]
    config = LlamaConfig(**shape, num_key_value_heads=shape["num_attention_heads"], max_position_embeddings=context)
    config.save_pretrained(directory / "model")
    import torch

    with torch.device("meta"):
        return LlamaForCausalLM(config).num_parameters()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="58m")
    parser.add_argument("--world", type=int, default=1)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--micro-batch", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4, help="sequences per step")
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--storage", type=Path, help="where to save; default: a temporary directory")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="vt-bench-"))
    processes = warm_processes()
    try:
        print(json.dumps(measure(arguments, work, processes), indent=1))
    finally:
        processes.close()
        shutil.rmtree(work, ignore_errors=True)


def measure(arguments: argparse.Namespace, work: Path, processes: object) -> dict[str, object]:
    """All figures."""
    steps = arguments.steps
    parameters = write_inputs(work, arguments.size, arguments.context, arguments.batch * steps * 4)
    ranks = Ranks(processes, work, work)
    if arguments.storage is not None:
        ranks.storage_uri = f"file://{arguments.storage}"
    device = gpu_name()
    ranks.recipe.update(
        learningRate=1e-4,
        epochs=4,
        contextLength=arguments.context,
        globalBatchTokens=arguments.context * arguments.batch,
        microBatchSize=arguments.micro_batch,
        precision="bf16" if device else "fp32",
        activationCheckpointing=bool(device),
        attention=arguments.attention,
    )
    patience = 1200.0
    # Without saves.
    ranks.start(arguments.world, interval={"steps": 1_000_000})
    ranks.wait_step(steps, patience)
    plain = [said for said in ranks.said if said["localRank"] == 0 and said["step"] > 2 and "tokensPerSecond" in said]
    speed = statistics.median(said["tokensPerSecond"] for said in plain)
    step_seconds = statistics.median(said["stepSeconds"] for said in plain)
    # On demand, behind training.
    saves: list[dict[str, float]] = []
    for _ in range(4):
        before = saves[-1]["step"] if saves else 0
        ranks.direct("checkpoint")
        said = ranks.wait(
            lambda said, before=before: said["localRank"] == 0 and said.get("checkpoint", {"step": 0})["step"] > before, patience
        )
        saves.append(said["checkpoint"])
    # Stop, from the order on; and back.
    ordered = time.monotonic()
    ranks.direct("stop")
    stopped = ranks.wait(lambda said: said["state"] == "stopped", patience)
    committed = time.monotonic() - ordered
    ranks.wait_end(patience)
    ended = time.monotonic() - ordered
    begun = time.monotonic()
    ranks.start(arguments.world, ranks.checkpoint())
    ranks.wait(lambda said: said["state"] == "running", patience)
    restart = time.monotonic() - begun
    ranks.end()
    synchronous = stopped["checkpoint"]["seconds"]
    stall = statistics.median(save["stallSeconds"] for save in saves[1:])
    shape = SIZES[arguments.size]
    flops = (
        6 * (parameters - shape["vocab_size"] * shape["hidden_size"])
        + 12 * shape["num_hidden_layers"] * shape["hidden_size"] * arguments.context
    )
    peak = next((tflops for name, tflops in PEAK_TFLOPS.items() if name in device), None)
    return {
        "machine": {"cpus": os.cpu_count(), "device": device or platform.processor() or platform.machine()},
        "settings": {key: str(value) for key, value in vars(arguments).items()} | {"parameters": parameters},
        "tokensPerSecond": round(speed, 1),
        "stepSeconds": round(step_seconds, 4),
        "modelTflops": round(speed * flops / 1e12, 3),
        "mfu": None if peak is None else round(speed * flops / 1e12 / peak / arguments.world, 4),
        "save": {
            "bytes": saves[-1]["bytes"],
            "asyncStallSeconds": [save["stallSeconds"] for save in saves],
            "asyncSeconds": [save["seconds"] for save in saves],
            "syncSeconds": synchronous,
            "stallRatio": round(stall / synchronous, 4),
        },
        "stop": {"committedSeconds": round(committed, 3), "endedSeconds": round(ended, 3)},
        "restartSeconds": round(restart, 3),
    }


def gpu_name() -> str:
    """The first GPU's name, or ''; asks a process of its own, so that none is touched here before the fork."""
    import subprocess

    code = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
