"""Measures the engine on this machine, without HTTP; prints one JSON object.

    python3 bench/throughput.py --model URI [--concurrency N ...] [--prompt N] [--answer N] [--threads N]

For each number of concurrent requests: `tokensPerSecond` generated, `firstToken` and `nextToken` in seconds (p50, p99), and
`tokensPerCpuSecond`, which means something on a machine that others use too. `generate` is Hugging Face's own `generate`, alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT.parent / "trainer")]

import torch  # noqa: E402
from vicuna_engine.answer import Delta, GenerationRequest  # noqa: E402
from vicuna_engine.engine import Engine, Event, Job, Loaded  # noqa: E402
from vicuna_engine.load import load  # noqa: E402
from vicuna_engine.sampling import Sampling  # noqa: E402
from vicuna_engine.settings import parse  # noqa: E402

ROUNDS = 3


class Timed:
    """One request and the times of its tokens."""

    def __init__(self, prompt: tuple[int, ...], answer: int) -> None:
        self.begun = time.perf_counter()
        self.times: list[float] = []
        self.job = Job(GenerationRequest(prompt, answer, Sampling(temperature=0.0)), self._receive)

    def _receive(self, event: Event) -> None:
        assert isinstance(event, Delta)
        self.times.append(time.perf_counter())


def measure(loaded: Loaded, prompts: list[tuple[int, ...]], answer: int) -> dict[str, Any]:
    """All prompts at once."""
    engine = Engine(lambda: loaded, lambda events: [job.receive(event) for job, event in events] and None, len(prompts))
    engine.load()
    begun, used = time.perf_counter(), time.process_time()
    requests = [Timed(prompt, answer) for prompt in prompts]
    engine.submit([request.job for request in requests])
    while any(len(request.times) < answer for request in requests):
        engine.turn()
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    gaps = [b - a for request in requests for a, b in zip(request.times, request.times[1:], strict=False)]
    return {
        "concurrency": len(prompts),
        "tokensPerSecond": round(answer * len(prompts) / seconds, 1),
        "tokensPerCpuSecond": round(answer * len(prompts) / used, 1),
        "firstToken": spread([request.times[0] - request.begun for request in requests]),
        "nextToken": spread(gaps),
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    ordered = sorted(values)
    return {"p50": round(statistics.median(ordered), 5), "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 5)}


def generate(directory: str, loaded: Loaded, prompt: tuple[int, ...], answer: int) -> dict[str, Any]:
    """Hugging Face's generate."""
    from transformers import AutoModelForCausalLM

    own = loaded.runner.model
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=own.dtype).to(own.device)
    options = {"max_new_tokens": answer, "min_new_tokens": answer, "do_sample": False}
    model.generate(torch.tensor([prompt], device=own.device), **options)
    begun, used = time.perf_counter(), time.process_time()
    model.generate(torch.tensor([prompt], device=own.device), **options)
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    return {"tokensPerSecond": round(answer / seconds, 1), "tokensPerCpuSecond": round(answer / used, 1)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, help="URI; file:// for the comparison with generate")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--prompt", type=int, default=64, help="tokens of each prompt")
    parser.add_argument("--answer", type=int, default=128, help="tokens of each answer")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        most = str(max(arguments.concurrency))
        served, loaded = load(
            parse(["--model", arguments.model, "--max-num-seqs", most]), lambda text: print(text, file=sys.stderr)
        )
        runs = []
        for concurrency in arguments.concurrency:
            best: dict[str, Any] | None = None
            for _ in range(ROUNDS):
                shape = (concurrency, arguments.prompt)
                drawn = torch.randint(3, served.vocabulary.size, shape, generator=generator).tolist()
                run = measure(loaded, [tuple(prompt) for prompt in drawn], arguments.answer)
                best = run if best is None or run["tokensPerSecond"] > best["tokensPerSecond"] else best
            runs.append(best)
        report = {
            "processor": platform.processor() or platform.machine(),
            "device": str(loaded.runner.device),
            "threads": arguments.threads,
            "runs": runs,
        }
        if arguments.model.startswith("file://"):
            prompt = tuple(torch.randint(3, served.vocabulary.size, (arguments.prompt,), generator=generator).tolist())
            report["generate"] = generate(arguments.model.removeprefix("file://"), loaded, prompt, arguments.answer)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
