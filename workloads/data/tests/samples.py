"""Short ways to make records, configurations and a tokenizer for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from vicuna_data.config import Config
from vicuna_data.tokens import TokenizerText

WORDS = "the model answers a question about spot machines and how their price moves over night in many regions"


def record(*texts: str, id: str | None = "x", **more: object) -> dict:
    """A record whose messages take turns."""
    messages = [{"from": ("human", "gpt")[at % 2], "value": text} for at, text in enumerate(texts)]
    return {**({} if id is None else {"id": id}), "conversations": messages, **more}


def config(source: str = "file:///none", output: str = "file:///none", **more: object) -> Config:
    """A configuration of one source."""
    return Config.parse({"sources": [{"uri": source}], "tokenizer": "file:///none", "output": output, **more})


@lru_cache
def tokenizer() -> TokenizerText:
    """A small byte-level BPE: any text can be written in it."""
    bpe = Tokenizer(models.BPE(unk_token=None))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator([WORDS, "USER: ASSISTANT: ### Human: "] * 20, trainer)
    return TokenizerText(bpe.to_str(), True)


def write_lines(path: Path, records: Iterable[object]) -> str:
    """Writes JSON lines (texts as they are) and returns the file's URI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in records)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return f"file://{path}"


def read_lines(directory: Path) -> list[dict]:
    """The records of all files of a directory, in the files' order."""
    return [json.loads(line) for file in sorted(directory.glob("*.jsonl")) for line in file.read_text("utf-8").splitlines()]


def content_of(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}
