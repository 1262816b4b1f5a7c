"""The tokenized dataset: made once per pod, kept beside the container, mapped into every process."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .conversations import FORMAT_VERSION, parse_conversation, parse_records, tokenize
from .exits import BAD_INPUT, TrainingError
from .storage import Storage, open_storage, split_file

SUFFIXES = (".json", ".jsonl")
BUILD_TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True)
class TokenDataset:
    """`ids` (int32) and `learned` (bool) of all samples end to end; sample i lies at offsets[i]:offsets[i + 1]."""

    ids: np.ndarray
    learned: np.ndarray
    offsets: np.ndarray
    targets: np.ndarray
    names: list[str]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.names)

    def sample(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(ids, learned) of one sample."""
        start, end = self.offsets[index], self.offsets[index + 1]
        return self.ids[start:end], self.learned[start:end]

    def length(self, index: int) -> int:
        """Tokens of one sample."""
        return int(self.offsets[index + 1] - self.offsets[index])

    def target_count(self, index: int) -> int:
        """Tokens of one sample on which the loss falls: the first token is never predicted."""
        return int(self.targets[index])


def load_dataset(
    uri: str, tokenizer: Any, tokenizer_key: str, context_length: int, cache: Path, builds: bool, template: str
) -> TokenDataset:
    """The tokenized conversations below `uri` (a file, or a directory of .json and .jsonl files).

    `builds`: this process makes the cache when it is missing; the pod's other processes wait for it.
    Raises TrainingError (66) when there is nothing to train on, OSError when the storage fails.
    """
    storage, files = _dataset_files(uri)
    try:
        versions = [f"{name}:{storage.version(name)}" for name in files]
    except FileNotFoundError:
        raise TrainingError(BAD_INPUT, f"There is no dataset at {uri}: correct dataset.uri.") from None
    key = hashlib.sha256(
        "\n".join([uri, *versions, tokenizer_key, str(context_length), template, FORMAT_VERSION]).encode()
    ).hexdigest()
    directory = cache / f"tokens-{key[:24]}"
    if builds and not directory.exists():
        _build(storage, files, uri, tokenizer, context_length, directory, template)
    deadline = time.monotonic() + BUILD_TIMEOUT_SECONDS
    while not directory.exists():
        if time.monotonic() > deadline:
            raise TrainingError(BAD_INPUT, f"{uri} was not tokenized within an hour by this pod's first process.")
        time.sleep(0.05)
    about = json.loads((directory / "about.json").read_text())
    arrays = {name: np.load(directory / f"{name}.npy", mmap_mode="r") for name in ("ids", "learned", "offsets", "targets")}
    return TokenDataset(**arrays, names=about["names"], fingerprint=about["fingerprint"])


def _dataset_files(uri: str) -> tuple[Storage, list[str]]:
    parent, name = split_file(uri)
    storage = open_storage(parent)
    if name.endswith(SUFFIXES):
        return storage, [name]
    files = sorted(f"{name}/{path}" for path in storage.sizes(name) if path.endswith(SUFFIXES))
    if not files:
        raise TrainingError(
            BAD_INPUT, f"There are no conversations at {uri}: it must be a .json or .jsonl file, or a directory of such."
        )
    return storage, files


def _build(
    storage: Storage, files: list[str], uri: str, tokenizer: Any, context_length: int, directory: Path, template: str
) -> None:
    ids: list[np.ndarray] = []
    learned: list[np.ndarray] = []
    names: list[str] = []
    seen: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for file in files:
        try:
            text = storage.read(file).decode("utf-8")
        except UnicodeDecodeError as error:
            raise TrainingError(BAD_INPUT, f"{storage.path_uri(file)} is not UTF-8 text ({error}): repair the dataset.") from None
        for number, record in enumerate(parse_records(text, storage.path_uri(file))):
            conversation = parse_conversation(record, f"{file}:{number}", refused)
            if conversation is None:
                continue
            sample_ids, sample_learned = tokenize(conversation, tokenizer, context_length, template)
            ids.append(np.array(sample_ids, dtype=np.int32))
            learned.append(np.array(sample_learned, dtype=np.bool_))
            seen[conversation.id] += 1
            count = seen[conversation.id]
            names.append(conversation.id if count == 1 else f"{conversation.id}#{count}")
    if refused:
        print(f"Left out of {uri}: {', '.join(f'{n} with {why}' for why, n in refused.items())}.", file=sys.stderr)
    if not names:
        raise TrainingError(BAD_INPUT, f"There is no conversation to learn from at {uri}: correct dataset.uri.")
    silent = sum(not sample[1:].any() for sample in learned)
    if silent == len(names):
        raise TrainingError(BAD_INPUT, f"No answer at {uri} begins within {context_length} tokens: raise recipe.contextLength.")
    if silent:
        print(f"{silent} of {len(names)} conversations have no answer within {context_length} tokens.", file=sys.stderr)
    arrays = {
        "ids": np.concatenate(ids),
        "learned": np.concatenate(learned),
        "offsets": np.cumsum([0, *(len(sample) for sample in ids)], dtype=np.int64),
        "targets": np.array([int(sample[1:].sum()) for sample in learned], dtype=np.int64),
    }
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(array.tobytes())
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = tempfile.mkdtemp(dir=directory.parent)
    try:
        for name, array in arrays.items():
            np.save(os.path.join(scratch, f"{name}.npy"), array)
        about = {"names": names, "fingerprint": digest.hexdigest()[:32]}
        Path(scratch, "about.json").write_text(json.dumps(about))
        os.rename(scratch, directory)
    except OSError:
        shutil.rmtree(scratch, ignore_errors=True)
        if not directory.exists():  # else another process was first
            raise
