"""Conversations in ShareGPT form → token ids and labels, in Vicuna's prompt formats.

vicuna_v1.1:  <s>SYSTEM USER: question ASSISTANT: answer</s>USER: question ASSISTANT: answer</s>
vicuna_v0:    <s>SYSTEM\\n\\n### Human: question\\n### Assistant: answer\\n### Human: …     (as on the day of the first release)

The loss falls on the answers and what ends each: in v1.1 the </s>; in v0, as in FastChat, on the whole line, since the model must
say "### " itself. Text is never searched for role names: each turn is put together from its parts, and the tokenizer's own
offsets tell which tokens lie in the answer. So a message that contains " ASSISTANT: " or "</s>" is just text. Formats and
rules are FastChat's (conversation.py, train.py), without its faults (tests/test_golden.py names them); the code is not.
"""

from __future__ import annotations

import json
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .exits import BAD_INPUT, TrainingError

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
SYSTEM_V0 = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)
TEMPLATES = ("vicuna_v1.1", "vicuna_v0")
DEFAULT_TEMPLATE = "vicuna_v1.1"
IGNORED = -100
# Changes when a conversation becomes other tokens than before.
FORMAT_VERSION = "2"
# No tokenizer joins it with what follows, and it is no letter of any name.
_ANCHORS = ("\n", "\u2028", "\x00")
_USER = frozenset({"human", "user"})
_ASSISTANT = frozenset({"gpt", "assistant", "chatgpt", "bing", "bard"})
_CHAT_TEMPLATES = {
    "vicuna_v1.1": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}{% set rest = messages[1:] %}"
        "{% else %}" + SYSTEM + "{% set rest = messages %}{% endif %}"
        "{% for m in rest %}{% if m['role'] == 'user' %}{{ (' ' if loop.first else '') + 'USER: ' + m['content'] }}"
        "{% else %}{{ ' ASSISTANT: ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"
    ),
    "vicuna_v0": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}{% set rest = messages[1:] %}"
        "{% else %}" + SYSTEM_V0 + "{% set rest = messages %}{% endif %}{{ '\n\n' }}"
        "{% for m in rest %}{{ '### ' + ('Human: ' if m['role'] == 'user' else 'Assistant: ') + m['content'] + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '### Assistant:' }}{% endif %}"
    ),
}


@dataclass(frozen=True)
class Conversation:
    """Pairs of question and answer, in order, none empty. `system` None = the format's own."""

    id: str
    system: str | None
    turns: tuple[tuple[str, str], ...]


def chat_template(template: str = DEFAULT_TEMPLATE) -> str:
    """The same format as a Jinja template, for the exported model's tokenizer."""
    return _CHAT_TEMPLATES[template]


def parse_records(text: str, source: str) -> Iterator[dict[str, Any]]:
    """The records of a JSON array or of JSON lines. Raises TrainingError (66) that names the line."""
    stripped = text.lstrip()
    if stripped.startswith("["):
        try:
            records = json.loads(stripped)
        except ValueError as error:
            raise TrainingError(BAD_INPUT, f"{source} is not JSON: {error}. Repair the dataset.") from None
        yield from (record for record in records if isinstance(record, dict))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise TrainingError(BAD_INPUT, f"{source}, line {number}, is not JSON: {error}. Repair the dataset.") from None
        if isinstance(record, dict):
            yield record


def parse_conversation(record: dict[str, Any], fallback_id: str, refused: Counter[str]) -> Conversation | None:
    """A record's conversation; None, with the reason counted in `refused`, where there is nothing to learn from it.

    A leading answer and a trailing question are dropped; an empty message ends the conversation; roles must alternate.
    """
    messages = record.get("conversations", record.get("messages"))
    if not isinstance(messages, list):
        refused["no conversation"] += 1
        return None
    system: str | None = None
    said: list[tuple[bool, str]] = []
    for message in messages:
        role, content = _role_and_content(message)
        if role == "system" and not said:
            system = content or None
            continue
        if role not in _USER and role not in _ASSISTANT:
            refused["unknown role"] += 1
            return None
        if not content:
            break
        said.append((role in _USER, content))
    if said and not said[0][0]:
        said = said[1:]
    if any(is_user != (position % 2 == 0) for position, (is_user, _) in enumerate(said)):
        refused["roles do not alternate"] += 1
        return None
    turns = tuple((said[i][1], said[i + 1][1]) for i in range(0, len(said) - 1, 2))
    if not turns:
        refused["no answer"] += 1
        return None
    return Conversation(str(record.get("id") or fallback_id), system, turns)


def tokenize(
    conversation: Conversation, tokenizer: Any, limit: int, template: str = DEFAULT_TEMPLATE
) -> tuple[list[int], list[bool]]:
    """Token ids and, for each, whether the loss falls on it; both cut to `limit` tokens.

    `tokenizer` is a fast Hugging Face tokenizer with an end-of-sequence token; one without a beginning-of-sequence token
    starts without it.
    """
    ids: list[int] = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    learned = [False] * len(ids)
    if template == "vicuna_v0":
        parts = [(f"{SYSTEM_V0 if conversation.system is None else conversation.system}\n\n", False)]
        for question, answer in conversation.turns:
            parts += [(f"### Human: {question}\n", False), (f"### Assistant: {answer}\n", True)]
        _append(parts, True, tokenizer, ids, learned)
        return ids[:limit], learned[:limit]
    for number, (question, answer) in enumerate(conversation.turns):
        _append([(_prompt(conversation, number, question), False), (f" {answer}", True)], number == 0, tokenizer, ids, learned)
        ids.append(tokenizer.eos_token_id)
        learned.append(True)
        if len(ids) >= limit:
            break
    return ids[:limit], learned[:limit]


def tokenize_prompt(conversation: Conversation, question: str, begun: str, tokenizer: Any) -> list[int]:
    """Token ids of a conversation whose last question is to be answered, or whose last answer, `begun`, is to be continued.

    An answer follows after one space. In the form vicuna_v1.1; `tokenizer` as for `tokenize`.
    """
    ids, learned = tokenize(conversation, tokenizer, sys.maxsize)
    prompt = _prompt(conversation, len(conversation.turns), question)
    _append([(f"{prompt} {begun}" if begun else prompt, False)], not conversation.turns, tokenizer, ids, learned)
    return ids


def _prompt(conversation: Conversation, number: int, question: str) -> str:
    system = SYSTEM if conversation.system is None else conversation.system
    return f"{f'{system} ' if number == 0 else ''}USER: {question} ASSISTANT:"


def _append(parts: list[tuple[str, bool]], begins: bool, tokenizer: Any, ids: list[int], learned: list[bool]) -> None:
    """Adds the tokens of a text, given in parts (text, learned).

    `begins`: nothing but <s> is in front of it, else a special token.
    """
    anchor = "" if begins else _anchor(tokenizer)
    encoded = _encode(anchor + "".join(text for text, _ in parts), tokenizer)
    ends, is_learned, position = [], [on for _, on in parts], len(anchor)
    for text, _ in parts:
        position += len(text)
        ends.append(position)
    for token, (start, _) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        if start >= len(anchor):
            ids.append(token)
            learned.append(is_learned[min(bisect_right(ends, start), len(ends) - 1)])


def _anchor(tokenizer: Any) -> str:
    """What to put before a text so that it becomes the tokens that it becomes after a special token.

    Some tokenizers (LLaMA's, but for its `legacy` form) put ▁ before a text that begins, and not before one that follows
    </s>. Encoding all at once would show, but then "</s>" in a message would be the end.
    """
    if not hasattr(tokenizer, "vicuna_anchor"):
        tokenizer.vicuna_anchor = find_anchor(tokenizer)
    return tokenizer.vicuna_anchor


def find_anchor(tokenizer: Any) -> str:
    """The text after which others become the tokens that they become after </s>; empty where that makes no difference, and where
    there is none."""
    sample = "USER: a"
    whole = tokenizer(f"{tokenizer.eos_token}{sample}", add_special_tokens=False)["input_ids"]
    if whole[:1] != [tokenizer.eos_token_id]:
        return ""
    for anchor in ("", *_ANCHORS):
        encoded = _encode(anchor + sample, tokenizer)
        after = [i for i, (start, _) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True) if start >= len(anchor)]
        if after == whole[1:]:
            return anchor
    return ""


def _encode(text: str, tokenizer: Any) -> Any:
    return tokenizer(
        text,
        add_special_tokens=False,
        split_special_tokens=True,  # "</s>" in a message is four characters, not the end
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )


def _role_and_content(message: Any) -> tuple[str, str]:
    if not isinstance(message, dict):
        return "", ""
    role = message.get("from", message.get("role"))
    content = message.get("value", message.get("content"))
    return str(role).lower(), content.strip() if isinstance(content, str) else ""
