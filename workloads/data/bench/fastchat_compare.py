"""FastChat's cleaning and splitting beside ours on the same records: every difference has a name, or the program ends with code 1.

    python3 -m venv fastchat
    fastchat/bin/pip install --no-deps fschat==0.2.36 markdownify==0.11.6 && fastchat/bin/pip install beautifulsoup4 six tqdm
    python3 workloads/data/bench/fastchat_compare.py --fastchat fastchat/bin/python --tokenizer DIR [--source FILE.json]

Our rules that FastChat has not (languages and near duplicates, which it leaves to other programs) are off. Differences in a text
are explained by undoing all kinds of them, then as few as suffice: the names are those that were needed.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthesize import write
from vicuna_data.clean import Conversation, Rejected, clean, parse
from vicuna_data.config import Config, Split
from vicuna_data.split import split
from vicuna_data.tokens import Counter as TokenCounter
from vicuna_data.tokens import load_tokenizer

LIMIT = 2048
WHAT = {
    "escapes": "markdownify escapes _ and * in text: a model learns the backslashes. Ours escapes nothing",
    "userText": "a user's plain text is put through the HTML parser: tags in it vanish, entities are decoded. Ours leaves it alone",
    "codeFences": "ours finds the language of a code block in its class, too",
    "spanningFences": "FastChat's pattern for Copy code begins in a block without it and ends in the next: both are mangled",
    "lists": "markers of nested lists and their indentation",
    "headings": "Title and a line of === below it; ours is # Title at every level",
    "lineBreaks": "<br> is two blanks and a new line; ours is the new line alone",
    "blankLines": "three new lines become one, in code too; ours leaves code alone, and one blank line between paragraphs",
    "spaces": "blanks at the ends of lines, blank lines between blocks",
    "links": "autolinks and link titles",
    "tables": "layout of tables: a pipe in a cell is escaped by ours",
    "rateLimit": "the rule is of FastChat's later source",
    "roleNames": "user, assistant, bing, bard and chatgpt are roles for ours",
    "systemMessage": "a system prompt is kept by ours; FastChat takes it for a leading answer",
    "crash": "the record has no id or a message without text: FastChat's program ends; ours sets it aside, or gives it an id",
    "duplicateOfRejected": "FastChat lets a record that a later rule sets aside hide its duplicates; ours does not",
    "duplicateByText": "two first rounds are the same in one's text and not in the other's, because the texts differ (see above)",
    "emptyByConversion": "a text that is nothing but tags is empty for FastChat",
    "lostLastRound": "FastChat loses the last round when it overflows",
    "frame": "FastChat counts 6 tokens around each message and no system prompt; ours counts the real ones",
    "longRound": "FastChat keeps a round that is longer than the limit whole; ours cuts its answer at the limit",
}


def text_differences(ours: str, theirs: str, raw: str, from_user: bool) -> list[str] | None:
    """The names that explain how two texts of a message differ; None where they do not suffice."""
    if ours == theirs:
        return []
    if from_user:
        return ["userText"] if ours == re.sub(r"^\d+ / \d+", "", raw.strip()).strip() or "html" not in raw else None
    all_but = {name: [other for other, _ in UNDO if other != name] for name in ("spanningFences", "codeFences")}
    needed = next((names for names in all_but.values() if _same(ours, theirs, names)), None)
    if needed is None:
        return None
    for name in reversed(needed.copy()):  # the coarsest first
        fewer = [other for other in needed if other != name]
        if _same(ours, theirs, fewer):
            needed = fewer
    return needed


def _same(ours: str, theirs: str, names: list[str]) -> bool:
    for name, undo in UNDO:
        if name in names:
            ours, theirs = undo(ours), undo(theirs)
    return ours.strip() == theirs.strip()


def _headings(text: str) -> str:
    text = re.sub(r"^(.+)\n(?:=+|-+)[ ]*$", r"# \1", text, flags=re.MULTILINE)
    return re.sub(r"^#+ ", "# ", text, flags=re.MULTILINE)


def _code(text: str) -> str:
    return re.sub(r"```[\w+#.-]*(?:Copy code)*[ \t]*\n*", "```\n", text)


# Each applied to both texts, in this order, each on top of those before it.
UNDO: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("escapes", lambda text: re.sub(r"\\+([*_])", r"\1", text)),
    ("lineBreaks", lambda text: re.sub(r" +$", "", text, flags=re.MULTILINE)),
    ("headings", _headings),
    ("lists", lambda text: re.sub(r"^[ \t]*[*+-] ", "* ", text, flags=re.MULTILINE)),
    ("tables", lambda text: re.sub(r"[ ]*\\?\|[ ]*", "|", text)),
    ("codeFences", _code),
    ("spanningFences", lambda text: text.replace("```", " ")),
    ("blankLines", lambda text: re.sub(r"\n{2,}", "\n", text)),
    ("links", lambda text: re.sub(r"<(https?:[^>]*)>", r"\1", text)),
    ("spaces", lambda text: " ".join(text.split())),
)


def decision_difference(record: Any, ours: Conversation | Rejected | str, theirs: dict[str, Any]) -> str | None:
    """The name that explains why one keeps a record and the other does not; None where there is none."""
    reason = ours.reason if isinstance(ours, Rejected) else ours if isinstance(ours, str) else None
    roles = {str(message.get("from")) for message in record.get("conversations", []) if isinstance(message, dict)}
    if (theirs["reason"] or "").startswith("crash") or reason == "notConversation":
        return "crash"
    if reason == "rateLimit":
        return "rateLimit"
    if "system" in roles:
        return "systemMessage"
    if roles - {"human", "gpt"}:
        return "roleNames"
    if theirs["reason"] in ("duplicateId", "duplicateStart"):
        return "duplicateOfRejected" if theirs["hidden"] else "duplicateByText"
    if reason == "duplicateStart":
        return "duplicateByText"
    if theirs["reason"] in ("tooShort", None) and reason in ("tooShort", None):
        return "emptyByConversion"
    return None


def ask_fastchat(records: list[Any], counter: TokenCounter, fastchat: str) -> dict[str, Any]:
    """What FastChat makes of the records, and of our cleaned conversations when it splits them; `fastchat` is its Python."""
    with tempfile.TemporaryDirectory() as scratch:
        source, out, cleaned = (Path(scratch, name) for name in ("in.json", "out.json", "cleaned.json"))
        source.write_text(json.dumps(records), encoding="utf-8")
        kept = [found for found in ours_of(records) if isinstance(found, Conversation)]
        tokens = [{"tokens": [counter.count(text) + 1 for text in found.messages]} for found in kept]  # + 1: its tokenizer's <s>
        cleaned.write_text(json.dumps(tokens), encoding="utf-8")
        side = Path(__file__).with_name("fastchat_side.py")
        subprocess.run([fastchat, str(side), str(source), str(out), str(cleaned), str(LIMIT)], check=True)
        return json.loads(out.read_text(encoding="utf-8"))


def compare(records: list[Any], theirs: dict[str, Any], counter: TokenCounter) -> tuple[Counter[str], list[str]]:
    """How often each name was needed, and a line for each difference that has none. `theirs` is of `ask_fastchat`."""
    ours = ours_of(records)
    names: Counter[str] = Counter()
    unexplained: list[str] = []
    for number, (record, mine, other) in enumerate(zip(records, ours, theirs["clean"], strict=True)):
        _compare_record(number, record, mine, other, names, unexplained)
    kept = [found for found in ours if isinstance(found, Conversation)]
    for found, pieces in zip(kept, theirs["split"], strict=True):
        own, tally = split(found, Split(LIMIT, "cut", "vicuna_v1.1"), counter)
        _compare_pieces(found, [len(piece.messages) for piece in own], pieces, tally, names, unexplained)
    return names, unexplained


def ours_of(records: list[Any]) -> list[Conversation | Rejected | str]:
    """What becomes of each record; exact duplicates by the name of their rule."""
    off = {"disabledRules": ["languages", "nearDuplicates"]}
    config = Config.parse({"sources": [{"uri": "file:///x"}], "tokenizer": "x", "output": "x", "clean": off})
    seen: dict[Any, bool] = {}
    found: list[Conversation | Rejected | str] = []
    for number, record in enumerate(records):
        cleaned: Conversation | Rejected | str = clean(parse(json.dumps(record).encode())[0][0], f"x-{number}", "auto", config)
        if isinstance(cleaned, Conversation):
            start = tuple(cleaned.messages[:2])
            if cleaned.given_id and cleaned.id in seen:
                cleaned = "duplicateId"
            elif start in seen:
                cleaned = "duplicateStart"
            else:
                seen[cleaned.id] = seen[start] = True
        found.append(cleaned)
    return found


def _compare_record(
    number: int,
    record: Any,
    ours: Conversation | Rejected | str,
    theirs: dict[str, Any],
    names: Counter[str],
    unexplained: list[str],
) -> None:
    reason = ours.reason if isinstance(ours, Rejected) else ours if isinstance(ours, str) else None
    if reason != theirs["reason"]:
        name = decision_difference(record, ours, theirs)
        names[name or "unexplained"] += 1
        if name is None:
            unexplained.append(f"record {number}: ours {reason or 'kept'}, FastChat's {theirs['reason'] or 'kept'}")
        return
    names["same decision"] += 1
    if not isinstance(ours, Conversation):
        return
    names["systemMessage"] += ours.system is not None
    raw = [message["value"] for message in record["conversations"]]
    raw = raw[1:] if record["conversations"][0]["from"] != "human" else raw
    for at, (mine, other) in enumerate(zip(ours.messages, theirs["messages"], strict=False)):
        found = text_differences(mine, other, raw[at], at % 2 == 0)
        if found is None:
            names["unexplained"] += 1
            unexplained.append(f"record {number}, message {at}:\n--- ours\n{mine}\n--- FastChat's\n{other}")
        else:
            names["same text" if not found else "other text"] += 1
            names.update(found)
    if len(ours.messages) != len(theirs["messages"]):
        names["emptyByConversion"] += 1


def _compare_pieces(
    found: Conversation, own: list[int], theirs: list[list[int]], tally: Counter[str], names: Counter[str], unexplained: list[str]
) -> None:
    theirs = [piece for piece in theirs if piece]  # its filter_invalid_roles leaves out empty ones
    if own == [len(piece) for piece in theirs] and not tally:
        names["same pieces"] += 1
        return
    lost = len(found.messages) - sum(map(len, theirs))
    if lost:
        names["lostLastRound"] += 1
    if tally:
        names["longRound"] += 1
    if not lost and not tally:
        names["frame"] += 1
    if lost not in (0, 2):
        unexplained.append(f"{found.id}: FastChat's pieces lack {lost} messages")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fastchat", required=True, help="Python of the venv with fschat")
    parser.add_argument("--tokenizer", type=Path, required=True, help="directory of a tokenizer")
    parser.add_argument("--source", type=Path, help="a JSON array in ShareGPT form (default: synthesized ones)")
    parser.add_argument("--count", type=int, default=2000)
    arguments = parser.parse_args()
    source = arguments.source
    with tempfile.TemporaryDirectory() as scratch:
        if source is None:
            source = Path(scratch, "synthesized.json")
            write(source, arguments.count)
        records = json.loads(source.read_text(encoding="utf-8"))
    counter = load_tokenizer(f"file://{arguments.tokenizer.resolve()}").open()
    names, unexplained = compare(records, ask_fastchat(records, counter, arguments.fastchat), counter)
    for name, count in names.most_common():
        print(f"{count:7} {name:20} {html.unescape(WHAT.get(name, ''))}")
    print(f"{len(unexplained)} differences have no name.")
    print("\n".join(unexplained[:5]), file=sys.stderr)
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
