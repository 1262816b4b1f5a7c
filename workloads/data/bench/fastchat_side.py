"""FastChat's own cleaning and splitting of a file, record by record, for fastchat_compare.py. Run by the Python of its venv.

fastchat_side.py IN.json OUT.json CLEANED.json LIMIT      CLEANED: conversations with each message's tokens, to be split
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from fastchat.data import clean_sharegpt

CODES = {1: "tooShort", 2: "roles", 3: "forbiddenPhrases", 4: "htmlError"}


def decide(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What clean_html_all does, told record by record; then --reduce-rep of optional_clean and filter_wrong_format."""
    visited: dict[Any, int] = {}  # keys and ids, with the number of the record that has them
    rejected_later: set[int] = set()
    found = []
    for number, record in enumerate(content):
        try:
            sample, code = clean_sharegpt.clean_html_one_sample(json.loads(json.dumps(record)))
            identity = sample["id"]
        except Exception as error:
            found.append({"number": number, "reason": f"crash {type(error).__name__}", "hidden": False})
            continue
        reason = CODES.get(code)
        if reason is None:
            messages = [message["value"] for message in sample["conversations"]]
            key = tuple(messages[:2])
            if identity in visited:
                reason = "duplicateId"
            elif sample.get("plugins") is not None:
                reason = "plugins"
            elif key in visited:
                reason = "duplicateStart"
            else:
                visited[identity] = visited[key] = number
                if any(re.search(r"(\d)\1{8}", text) for text in messages):
                    reason = "repetition"
                elif any(re.search("\n1\\. [^2]*\n1\\. ", text) for text in messages):
                    reason = "restartedList"
            first = visited.get(identity if reason == "duplicateId" else key)
            if reason in ("repetition", "restartedList"):
                rejected_later.add(number)
            hidden = first in rejected_later
        else:
            hidden = False
        found.append({"number": number, "reason": reason, "hidden": hidden, **({"messages": messages} if reason is None else {})})
    return found


def split(cleaned: list[dict[str, Any]], limit: int) -> list[list[list[int]]]:
    """For each conversation, FastChat's pieces as lists of message numbers. Its module asks for transformers on import."""
    import types

    sys.modules.setdefault("transformers", types.ModuleType("transformers"))
    from fastchat.data import split_long_conversation as module

    lengths: dict[str, int] = {}
    module.tokenizer = lambda text: types.SimpleNamespace(input_ids=range(lengths[text]))
    module.max_length = limit
    found = []
    for entry in cleaned:
        messages = [{"from": ("human", "gpt")[at % 2], "value": str(at)} for at in range(len(entry["tokens"]))]
        lengths = {str(at): tokens for at, tokens in enumerate(entry["tokens"])}
        pieces = module.split_one_sample({"id": "x", "conversations": messages})
        found.append([[int(message["value"]) for message in piece["conversations"]] for piece in pieces])
    return found


def main() -> None:
    """Command line."""
    source, out, cleaned, limit = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        content = json.load(file)
    with open(cleaned, encoding="utf-8") as file:
        to_split = json.load(file)
    with open(out, "w", encoding="utf-8") as file:
        json.dump({"clean": decide(content), "split": split(to_split, int(limit))}, file)


if __name__ == "__main__":
    main()
