"""Conversations in ShareGPT form → token ids and labels, in Vicuna's prompt format (vicuna_v1.1).

    <s>SYSTEM USER: question ASSISTANT: answer</s>USER: question ASSISTANT: answer</s>

The loss falls on the answers and the </s> after each, on nothing else. Text is never searched for role names: each turn is
put together from its parts, and the tokenizer's own offsets tell which tokens lie in the answer. So a message that contains
" ASSISTANT: " or "</s>" is just text. Format and rule are FastChat's (conversation.py, train.py); the code is not.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .exits import BAD_INPUT, TrainingError

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
IGNORED = -100
FORMAT_VERSION = "vicuna_v1.1/1"
_USER = frozenset({"human", "user"})
_ASSISTANT = frozenset({"gpt", "assistant", "chatgpt", "bing", "bard"})
_CHAT_TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}{% set rest = messages[1:] %}"
    "{% else %}" + SYSTEM + "{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{% if m['role'] == 'user' %}{{ (' ' if loop.first else '') + 'USER: ' + m['content'] }}"
    "{% else %}{{ ' ASSISTANT: ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}"
)


@dataclass(frozen=True)
class Conversation:
    """Pairs of question and answer, in order, none empty."""

    id: str
    system: str
    turns: tuple[tuple[str, str], ...]


def chat_template() -> str:
    """The same format as a Jinja template, for the exported model's tokenizer."""
    return _CHAT_TEMPLATE


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
    system = SYSTEM
    said: list[tuple[bool, str]] = []
    for message in messages:
        role, content = _role_and_content(message)
        if role == "system" and not said:
            system = content or SYSTEM
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


def tokenize(conversation: Conversation, tokenizer: Any, limit: int) -> tuple[list[int], list[bool]]:
    """Token ids and, for each, whether the loss falls on it; both cut to `limit` tokens.

    `tokenizer` is a fast Hugging Face tokenizer with an end-of-sequence token; one without a beginning-of-sequence token
    starts without it.
    """
    ids: list[int] = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    learned = [False] * len(ids)
    for number, (question, answer) in enumerate(conversation.turns):
        prompt = _prompt(conversation.system if number == 0 else None, question)
        encoded = _encode(f"{prompt} {answer}", tokenizer)
        ids.extend(encoded["input_ids"])
        learned.extend(start >= len(prompt) for start, _ in encoded["offset_mapping"])
        ids.append(tokenizer.eos_token_id)
        learned.append(True)
        if len(ids) >= limit:
            break
    return ids[:limit], learned[:limit]


def tokenize_prompt(conversation: Conversation, question: str, begun: str, tokenizer: Any) -> list[int]:
    """Token ids of a conversation whose last question is to be answered, or whose last answer, `begun`, is to be continued.

    An answer follows after one space. `tokenizer` as for `tokenize`.
    """
    ids, _ = tokenize(conversation, tokenizer, sys.maxsize)
    prompt = _prompt(None if conversation.turns else conversation.system, question)
    return ids + _encode(f"{prompt} {begun}" if begun else prompt, tokenizer)["input_ids"]


def _prompt(system: str | None, question: str) -> str:
    return f"{'' if system is None else system + ' '}USER: {question} ASSISTANT:"


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
