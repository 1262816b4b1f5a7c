"""The model card of a delta: what it is, what one needs, how to restore the model, and how to tell that it is the right one."""

from __future__ import annotations

import re
from typing import Any

# A model's name on the hub.
_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
MODE_SAYS = {
    "exact": (
        "Each element is the difference of the two models' bits as integers; adding the base gives the model back bit for bit. "
        "The files are of no use as weights."
    ),
    "additive": (
        "Each element is the difference of the two models as 16-bit floats, in the form of FastChat's delta weights: its "
        "`apply_delta` restores the model too."
    ),
}


def card(manifest: dict[str, Any], base_name: str, config: dict[str, Any]) -> str:
    """The card in Markdown, with the metadata that model hubs read."""
    mode = manifest["mode"]
    from_hub = _HUB.fullmatch(base_name.removeprefix("hf://"))
    front = ["---", "library_name: transformers", "tags: [delta-weights]"]
    if from_hub is not None:
        front += [f"base_model: {from_hub[0]}", "base_model_relation: finetune"]
    kind = config.get("model_type", "language model")
    shape = ", ".join(
        f"{config[key]} {what}" for key, what in (("num_hidden_layers", "layers"), ("hidden_size", "hidden")) if key in config
    )
    changed = manifest["changedElements"] / max(1, manifest["parameters"])
    inexact = manifest["inexactElements"]
    rows = [
        ("Base model", f"`{base_name}`"),
        ("Architecture", f"{kind}{f', {shape}' if shape else ''}"),
        ("Parameters", f"{manifest['parameters']:,}"),
        ("Changed by the fine-tuning", f"{changed:.1%} of the elements"),
        ("Mode", mode),
        ("Restored as it was", "bit for bit" if inexact == 0 else f"but for the rounding of {inexact:,} elements to 16-bit floats"),
    ]
    lines = [
        *front,
        "---",
        "",
        "# Delta weights",
        "",
        f"These are the differences between a fine-tuned model and its base model, not a model. {MODE_SAYS[mode]}",
        "The licence of the base model holds for the restored model as well.",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in rows),
        "",
        "## How to restore the model",
        "",
        "```",
        "python3 -m vicuna_trainer.release apply --base BASE --delta THIS --output MODEL",
        *(
            ["# or with FastChat:", "python3 -m fastchat.model.apply_delta --base BASE --delta THIS --target MODEL"]
            if mode == "additive"
            else []
        ),
        "```",
        "",
        "The first checks the base, this delta and the result against the checksums in `release.json`, and stops at the first that",
        "is wrong. `python3 -m vicuna_trainer.release verify --delta THIS` checks them without restoring anything.",
        "",
        "## Checksums (SHA-256)",
        "",
        "| file | of | bytes | sha256 |",
        "| --- | --- | ---: | --- |",
        *(f"| {file['name']} | delta | {file['bytes']} | {file['sha256']} |" for file in manifest["files"]),
        *(f"| {file['name']} | restored model | {file['bytes']} | {file['sha256']} |" for file in manifest["result"]),
        "",
    ]
    return "\n".join(lines)
