"""The trainer's own tokenizer, without what it takes to load it.

transformers knows how a model directory's tokenizer is meant, but it is large: it runs once, in a process that ends again, and
hands over the tokenizer as JSON for the small `tokenizers` package. So the numbers are the trainer's, and a core costs little
memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from vicuna_trainer.conversations import find_anchor
from vicuna_trainer.exits import BAD_INPUT, ERROR, TrainingError
from vicuna_trainer.storage import Directory, open_storage

FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "config.json",
)
LOAD_SECONDS = 300


@dataclass(frozen=True)
class TokenizerText:
    """A tokenizer as JSON. `begins`: a sequence begins with a token of its own. `anchor`: see `Counter.count`."""

    definition: str
    begins: bool
    anchor: str = ""

    def open(self) -> Counter:
        """Ready to count."""
        return Counter(Tokenizer.from_str(self.definition), self.begins, self.anchor)


class Counter:
    """Counts tokens. Special tokens written in a text are text, as in the trainer."""

    def __init__(self, tokenizer: Tokenizer, begins: bool, anchor: str = "") -> None:
        tokenizer.encode_special_tokens = True
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self.begins = begins
        self.anchor = anchor

    def count(self, text: str, after: str = "") -> int:
        """Tokens of a text, without any at its beginning or end, as they are when `after` stands before it.

        `anchor` stands for a special token: LLaMA's tokenizer puts a space before a text that begins, not before one that follows.
        Where no text can stand for it, a count is too high rather than too low.
        """
        if not after:
            return len(self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0])
        offsets = self._tokenizer.encode(after + text, add_special_tokens=False).offsets
        return sum(start >= len(after) for start, _ in offsets)

    def ends(self, text: str) -> list[int]:
        """For each token, the index of the character after its last one."""
        return [end for _, end in self._tokenizer.encode(text, add_special_tokens=False).offsets]


def load_tokenizer(uri: str) -> TokenizerText:
    """The tokenizer at a model's URI. Raises TrainingError (64, 66), OSError when the storage fails."""
    with _local(uri) as directory:
        command = [sys.executable, "-m", "vicuna_data.tokens", str(directory)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise TrainingError(ERROR, f"The tokenizer at {uri} was not loaded within {LOAD_SECONDS} s.") from None
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        raise TrainingError(BAD_INPUT, f"There is no usable tokenizer at {uri} ({last[:300]}): correct tokenizer.")
    return TokenizerText(**json.loads(done.stdout))


@contextlib.contextmanager
def _local(uri: str) -> Iterator[Path]:
    storage = open_storage(uri)
    if isinstance(storage, Directory):
        yield Path(storage.root)
        return
    scratch = Path(tempfile.mkdtemp())
    try:
        for name in storage.sizes(""):
            if name in FILES:
                with storage.open(name, "rb") as source, open(scratch / name, "wb") as target:
                    shutil.copyfileobj(source, target)
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _export(directory: str) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory)
    except (OSError, ValueError, KeyError) as error:
        sys.exit(str(error).replace("\n", " "))
    if not tokenizer.is_fast or tokenizer.eos_token_id is None:
        sys.exit("it needs a tokenizer.json and an end-of-sequence token")
    definition = tokenizer.backend_tokenizer.to_str()
    begins = tokenizer.bos_token_id is not None
    json.dump({"definition": definition, "begins": begins, "anchor": find_anchor(tokenizer)}, sys.stdout)


if __name__ == "__main__":
    _export(sys.argv[1])
