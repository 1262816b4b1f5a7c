"""Records what FastChat's own preprocess makes of the conversations: token ids, and where its loss falls.

    python3 regenerate.py

Needs the trainer's packages on PYTHONPATH, and pip, which fetches the releases of FastChat by name. The tokenizers are made here
too: small ones of LLaMA's kind, since LLaMA's own cannot be given away.

* 0.2.36: the last release; vicuna_v1.1.
* 0.1.10: the last one with vicuna_v0, its masks repaired. 0.1.2: as on the day of the first release.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOKENIZERS = ("legacy", "first")
LENGTHS = (512, 48)
VERSIONS = {"0.2.36": "vicuna_v1.1", "0.1.10": "vicuna_v0", "0.1.2": "vicuna_v0"}
# The last release comes with what it imports, as the tests of clients have it.
LOCK = HERE.parents[3] / "test" / "clients" / "fastchat.lock"


def make_tokenizers() -> None:
    """`legacy` puts ▁ before every text, as LLaMA's tokenizer in its `legacy` form does, `first` only before the first."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    given = json.loads((HERE / "conversations.json").read_text())
    texts = [message["value"] for kind in given.values() for c in kind for message in c["conversations"]]
    system = "A chat between a curious user and an artificial intelligence assistant, human, Human, Assistant, USER, ASSISTANT."
    texts += [
        system,
        "The assistant gives helpful, detailed, and polite answers to the user's questions.",
        "### Human: ",
        "### Assistant: ",
    ]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    bpe = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # As in LLaMA's vocabulary: ▁ begins pieces and is never at the end of one.
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="never", split=True)
    special = ["<unk>", "<s>", "</s>"]
    # Line by line, as sentencepiece learns: a line's end is in no token.
    lines = [line for text in texts for line in text.split("\n")]
    alphabet = {character for character in "".join(lines) if ord(character) < 128}
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=[*special, *bytes_], limit_alphabet=len(alphabet), show_progress=False
    )
    bpe.train_from_iterator(["### Human", "### Assistant", *lines] * 3, trainer)
    value = {**json.loads(bpe.to_str()), "pre_tokenizer": None}
    # The bytes are tokens that texts are made into, not special ones that they are searched for.
    value["added_tokens"] = [token for token in value["added_tokens"] if token["content"] in special]
    for name in TOKENIZERS:
        tokenizer = Tokenizer.from_str(json.dumps(value))
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
        parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        tokenizer.decoder = decoders.Sequence(parts)
        if name == "first":
            tokenizer.normalizer = None
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
        tokenizer.save(str(HERE / f"{name}.tokenizer"), pretty=False)


def load(name: str, length: int) -> object:
    """The tokenizer as FastChat's trainer sets it up."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(HERE / f"{name}.tokenizer"),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<unk>",
        padding_side="right",
        model_max_length=length,
    )
    tokenizer.legacy = name == "legacy"
    return tokenizer


def record(version: str) -> list[dict]:
    """What this version makes of every conversation."""
    from fastchat.train import train

    given = json.loads((HERE / "conversations.json").read_text())
    found = []
    for name in TOKENIZERS:
        for length in LENGTHS:
            tokenizer = load(name, length)
            for kind, conversations in given.items():
                for conversation in conversations:
                    source = copy.deepcopy(conversation["conversations"])
                    if version != "0.2.36" and source[0]["from"] != "human":
                        source = source[1:]  # only later versions do it themselves
                    made = train.preprocess([source], tokenizer)
                    ids, labels = made["input_ids"][0].tolist(), made["labels"][0].tolist()
                    size = len(ids)
                    while size and ids[size - 1] == tokenizer.pad_token_id:
                        size -= 1
                    learned = "".join("1" if label >= 0 else "0" for label in labels[:size])
                    about = {"version": version, "tokenizer": name, "length": length, "kind": kind, "id": conversation["id"]}
                    found.append({**about, "ids": ids[:size], "learned": learned})
    return found


def main() -> None:
    """All versions, each in a process of its own; `--version V` is such a process."""
    if sys.argv[1:2] == ["--version"]:
        print(json.dumps(record(sys.argv[2])))
        return
    make_tokenizers()
    found = []
    for version in VERSIONS:
        with tempfile.TemporaryDirectory() as packages:
            install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", packages]
            environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            wanted = ["--require-hashes", "-r", str(LOCK)] if version == "0.2.36" else [f"fschat=={version}"]
            subprocess.run([*install, "--no-deps", *wanted], check=True, env=environment)
            # Behind the trainer's own, which must stay what they are.
            path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), packages])
            child = [sys.executable, __file__, "--version", version]
            done = subprocess.run(child, check=True, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True)
        found += json.loads(done.stdout.splitlines()[-1])
    (HERE / "fastchat.jsonl").write_text("".join(f"{json.dumps(entry, separators=(',', ':'))}\n" for entry in found))
    print(f"{len(found)} records in {HERE / 'fastchat.jsonl'}")


if __name__ == "__main__":
    main()
