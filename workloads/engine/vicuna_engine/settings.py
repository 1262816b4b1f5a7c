"""The command line. Names are vLLM's where it has the setting."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """See the command line's help for each."""

    model: str
    served_model_name: tuple[str, ...]
    host: str
    port: int
    device: str
    dtype: str
    max_model_len: int | None
    max_num_seqs: int
    max_num_batched_tokens: int | None
    kv_cache_tokens: int | None
    max_waiting: int
    request_timeout: float
    shutdown_timeout: float
    cache_dir: Path


def parse(arguments: list[str] | None = None) -> Settings:
    """The settings on the command line; ends the program with a sentence where they are wrong."""
    parser = argparse.ArgumentParser(prog="vicuna_engine", description="Serves a language model with OpenAI's API.")
    add = parser.add_argument
    add("--model", required=True, help="URI of the model: file:///directory, s3://bucket/prefix or hf://owner/name")
    add("--served-model-name", nargs="+", default=(), help="names for clients; default is the last part of the URI")
    add("--host", default="0.0.0.0", help="address to listen on (default all)")
    add("--port", type=_whole(0, 65535), default=8000, help="port to listen on (default 8000)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU if there is one")
    add(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default="auto",
        help="default: float32 on a CPU, on a GPU as the model was saved. Only float32 on a CPU gives answers that are the same to "
        "the last bit whatever else is being answered",
    )
    add("--max-model-len", type=_whole(1), help="most tokens of prompt and answer together (default: the model's own limit)")
    add("--max-num-seqs", type=_whole(1), default=16, help="sequences worked on at the same time (default 16)")
    add("--max-num-batched-tokens", type=_whole(1), help="tokens of one step (default 128 on a CPU, 1024 on a GPU)")
    add("--kv-cache-tokens", type=_whole(1), help="tokens whose keys and values fit the cache (default: as memory allows)")
    add("--max-waiting", type=_whole(1), default=256, help="requests that may wait; more get 429 (default 256)")
    add("--request-timeout", type=_seconds, default=3600.0, help="seconds until an answer must be complete (default 3600)")
    add("--shutdown-timeout", type=_seconds, default=30.0, help="seconds for answers to finish after SIGTERM (default 30)")
    add("--cache-dir", type=Path, default=Path("/var/cache/vicuna/models"), help="where downloaded models are kept")
    values = vars(parser.parse_args(arguments))
    names = tuple(values.pop("served_model_name")) or (values["model"].rstrip("/").rpartition("/")[2],)
    return Settings(served_model_name=names, **values)


def _whole(least: int, most: int | None = None):  # noqa: ANN202 - argparse's own kind of callable
    def convert(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"must be at least {least}" + ("" if most is None else f" and at most {most}"))
        return value

    convert.__name__ = "whole number"
    return convert


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number of seconds, not negative")
    return value
