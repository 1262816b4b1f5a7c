"""The data card: what went in, what came out, what was set aside and why, in JSON for programs and in markdown for people."""

from __future__ import annotations

import hashlib
from collections import Counter as Tally
from typing import Any

from .config import Config
from .inputs import InputDigest, InputFile
from .parts import SETS
from .rules import OTHER_REASONS, RULES
from .tokens import TokenizerText

CARD = "card.json"
CARD_TEXT = "card.md"
# Changes when the same configuration and inputs give another output.
VERSION = 1

_ROUNDS = {
    "longRounds": "rounds: an answer that does not fit was cut at the limit",
    "droppedRounds": "rounds: one that does not fit was left out of its conversation",
}
_DIRECTORIES = (
    ("train", "conversations to learn from, in ShareGPT form (JSON lines)"),
    ("validation", "conversations to measure the loss on: none of them, nor a piece of one, is in `train`"),
    ("parquet", "the same two in Parquet, with each piece's number of tokens"),
    ("rejected", "every record that was set aside, as it was, with the reason"),
)


def make_card(
    key: str,
    config: Config,
    tokenizer: TokenizerText,
    files: list[InputFile],
    digests: list[InputDigest],
    written: list[dict[str, Any]],
    identity: dict[str, Any] | None,
) -> dict[str, Any]:
    """The card as JSON: `result` is what the preparation returns, `files` every file of the output but the card."""
    rejected, edited, languages = (
        sum((Tally(part[name]) for part in written), Tally()) for name in ("rejected", "edited", "languages")
    )
    sets = {name: sum((Tally(part[name]) for part in written), Tally()) for name in SETS}
    kept = sum(tally["conversations"] for tally in sets.values())
    extra = Tally(identity["train"]) if identity is not None else Tally()
    numbers = {name: {unit: tally[unit] for unit in ("conversations", "pieces", "tokens")} for name, tally in sets.items()}
    numbers["train"]["pieces"] += extra["pieces"]
    numbers["train"]["tokens"] += extra["tokens"]
    result = {
        **{name: {"uri": f"{config.output}/{name}", **numbers[name]} for name in SETS},
        "read": sum(digest.records for digest in digests),
        "kept": kept,
        "rejected": _ordered(rejected),
        "edited": _ordered(edited),
        "identity": extra["conversations"],
        "card": f"{config.output}/{CARD_TEXT}",
    }
    inputs = [
        {
            "source": file.source.uri,
            "file": file.name,
            "bytes": file.bytes,
            **digest.value(),
            "license": file.source.license,
        }
        for file, digest in zip(files, digests, strict=True)
    ]
    return {
        "version": VERSION,
        "key": key,
        "result": result,
        "languages": dict(languages.most_common()),
        "inputs": inputs,
        "tokenizer": {"uri": config.tokenizer, "sha256": hashlib.sha256(tokenizer.definition.encode()).hexdigest()},
        "settings": config.settings(),
        "files": [file for part in [*written, *([identity] if identity is not None else [])] for file in part["files"]],
    }


def card_text(card: dict[str, Any]) -> str:
    """The card for people."""
    result = card["result"]
    lines = ["# Data card", "", *_summary(card), "", "## Where it came from", ""]
    lines += _table(
        ("file", "records", "MB", "licence", "SHA-256"),
        [
            (
                f"`{entry['source']}`" + ("" if entry["source"].endswith(entry["file"]) else f" `{entry['file']}`"),
                f"{entry['records']:,}",
                f"{entry['bytes'] / 1e6:,.1f}",
                entry["license"] or "**unknown**",
                f"`{entry['sha256'][:16]}…`",
            )
            for entry in card["inputs"]
        ],
    )
    if any(entry["license"] is None for entry in card["inputs"]):
        lines += [
            "",
            "The licence of a source is unknown: find it out before you publish this set, or a model that learned from it.",
        ]
    lines += ["", "## What is here", "", *_table(("directory", "what"), [(f"`{name}/`", what) for name, what in _DIRECTORIES]), ""]
    lines += _table(
        ("set", "conversations", "pieces", "tokens"),
        [(name, *(f"{result[name][unit]:,}" for unit in ("conversations", "pieces", "tokens"))) for name in SETS],
    )
    lines += ["", "## What was set aside", ""]
    lines += _counted(result["rejected"], {**{rule.name: rule.what for rule in RULES}, **OTHER_REASONS}, "Nothing.")
    lines += ["", "## What was changed", ""]
    lines += _counted(result["edited"], {**{rule.name: rule.what for rule in RULES}, **_ROUNDS}, "Nothing.")
    if card["languages"]:
        lines += ["", "## Languages", "", "As CLD2 finds them (`un`: not sure of any).", ""]
        shown = list(card["languages"].items())
        lines += _table(("language", "conversations"), [(name, f"{count:,}") for name, count in shown[:20]])
        if len(shown) > 20:
            lines += ["", f"And {len(shown) - 20} more, with {sum(count for _, count in shown[20:]):,} conversations."]
    lines += ["", "All settings, and the hash of every file, are in `card.json`.", ""]
    return "\n".join(lines)


def _summary(card: dict[str, Any]) -> list[str]:
    result, settings = card["result"], card["settings"]
    rejected = sum(result["rejected"].values())
    text = [
        f"{result['kept']:,} conversations of {result['read']:,} records; {rejected:,} were set aside.",
        f"Split at rounds into pieces of at most {settings['split']['max_tokens']:,} tokens of `{card['tokenizer']['uri']}`, "
        f"in the format {settings['split']['template']}.",
    ]
    if result["identity"]:
        text.append(
            f"{result['identity']} conversations were written for it, in which the model says that it is "
            f"{settings['identity']['name']} of {settings['identity']['organization']}."
        )
    if off := settings["clean"]["disabled_rules"]:
        text.append(f"Rules switched off: {', '.join(off)}.")
    return text


def _counted(counts: dict[str, int], what: dict[str, str], none: str) -> list[str]:
    if not counts:
        return [none]
    return _table(("rule", "count", "what it does"), [(f"`{name}`", f"{count:,}", what[name]) for name, count in counts.items()])


def _ordered(tally: Tally[str]) -> dict[str, int]:
    """In the rules' order, so that the same counts give the same bytes."""
    order = [*OTHER_REASONS, *(rule.name for rule in RULES), *_ROUNDS]
    return {name: tally[name] for name in order if tally[name] > 0}


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [head, ("---",) * len(head), *rows]]
