"""One record → a clean conversation, or the reason why it is set aside. Pure: what other records say does not matter here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .config import Clean, Config
from .filters import poor_quality, unsafe
from .language import language_of
from .markdown import HtmlError, to_markdown, without_blank_lines
from .records import MAX_RECORD_BYTES, TooLarge, salvage

LEAST_CHARACTERS = 16
RATE_LIMIT = "Too many requests in 1 hour. Try again later."

_ROLES = {"human": "human", "user": "human"} | dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard"), "gpt")
_LIST_FIELDS = ("conversations", "messages", "items")
_STARTS_WITH_HTML = re.compile(r"\s*(?:<!--.*?-->\s*)?<(?:div|p|pre|ol|ul|table|blockquote|h[1-6])\b[^<>]*>")
_PAGE_NUMBER = re.compile(r"\d+ / \d+")
_COPY_COUNT = re.compile(r"Copy\d+ chars / \d+ words")
_SAME_DIGIT = re.compile(r"(\d)\1{8}")
_RESTARTED_LIST = re.compile(r"\n1\. [^2]*\n1\. ")
_SURROGATES = re.compile(r"[\ud800-\udfff]")


@dataclass
class Conversation:
    """Messages in turns, the user's first, each answered. `given_id`: the record had one. `edits`: rules that changed it."""

    id: str
    given_id: bool
    model: str | None
    system: str | None
    messages: list[str]
    language: str | None = None
    edits: set[str] = field(default_factory=set)

    @property
    def answers(self) -> list[str]:
        """Every second message."""
        return self.messages[1::2]

    def value(self) -> dict[str, Any]:
        """As a JSON object, for `from_value`."""
        return {"id": self.id, "model": self.model, "system": self.system, "messages": self.messages}

    @staticmethod
    def from_value(value: dict[str, Any]) -> Conversation:
        """What `value` made."""
        return Conversation(value["id"], True, value["model"], value["system"], value["messages"])


@dataclass(frozen=True)
class Rejected:
    """Why a record is set aside: a rule's name or one of OTHER_REASONS, and what exactly was found."""

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class _Message:
    role: str
    text: str


class _Reject(Exception):
    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.rejected = Rejected(reason, detail)


def parse(record: bytes | TooLarge) -> list[tuple[Any, Any]]:
    """Pairs (JSON value or Rejected, what it was read from) of a record: one, or several where the record is not JSON, but has
    whole conversations in it."""
    if isinstance(record, TooLarge):
        return [(Rejected("tooLarge", f"more than {MAX_RECORD_BYTES >> 20} MiB"), record.beginning.decode(errors="replace"))]
    if not record:
        return [(Rejected("notJson", "the file ends before its array does"), "")]
    try:
        value = json.loads(record)
        return [(value, value)]
    except (ValueError, RecursionError) as error:
        rejected = Rejected("notJson", str(error))
    return [(rejected, part.decode(errors="replace")) if isinstance(part, bytes) else (part, part) for part in salvage(record)]


def clean(value: Any, fallback_id: str, source_format: str, config: Config) -> Conversation | Rejected:
    """The conversation in a JSON value, by the rules that are on, in the order of `rules.RULES`."""
    try:
        given, model, system, messages = _messages(value, source_format)
        conversation = Conversation(given or fallback_id, given is not None, model, system, [])
        messages = _trimmed(messages, conversation, config.clean)
        _read_turns(messages, conversation, source_format == "sharegpt", config.clean)
        _check_whole(conversation, value, config)
    except _Reject as reject:
        return reject.rejected
    return conversation


def _messages(value: Any, source_format: str) -> tuple[str | None, str | None, str | None, list[_Message]]:
    """(id, model, system prompt, the other messages) of a record."""
    if not isinstance(value, dict):
        raise _Reject("notConversation", "it is no object")
    names = _LIST_FIELDS if source_format == "auto" else _LIST_FIELDS[:1]
    found = next((value[name] for name in names if isinstance(value.get(name), list)), None)
    if found is None:
        raise _Reject("notConversation", f"it has no list {' or '.join(names)}")
    messages = []
    for number, message in enumerate(found):
        role = message.get("from", message.get("role")) if isinstance(message, dict) else None
        text = message.get("value", message.get("content")) if isinstance(message, dict) else None
        if not isinstance(role, str) or not isinstance(text, str):
            raise _Reject("notConversation", f"message {number} has no role or no text")
        messages.append(_Message(_ROLES.get(role.lower(), role.lower()), _without_surrogates(text)))
    system = None
    if messages and messages[0].role == "system":
        system = messages.pop(0).text.strip() or None
    given, model = value.get("id"), value.get("model")
    if isinstance(given, bool) or not isinstance(given, str | int) or given == "":
        given = None
    return (
        None if given is None else _without_surrogates(str(given)),
        _without_surrogates(model) if isinstance(model, str) and model else None,
        system,
        messages,
    )


def _without_surrogates(text: str) -> str:
    """Halves of surrogate pairs, which UTF-8 does not have, become the replacement character."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _trimmed(messages: list[_Message], conversation: Conversation, rules: Clean) -> list[_Message]:
    if len(messages) > 1 and messages[0].role != "human" and rules.enabled("leadingAnswer"):
        messages = messages[1:]
        conversation.edits.add("leadingAnswer")
    if len(messages) > 1 and messages[-1].role == "human" and rules.enabled("trailingQuestion"):
        messages = messages[:-1]
        conversation.edits.add("trailingQuestion")
    if len(messages) < 2:
        raise _Reject("tooShort", "no question with an answer")
    return messages


def _read_turns(messages: list[_Message], conversation: Conversation, all_html: bool, rules: Clean) -> None:
    """Message by message, as FastChat does: what comes after a message that ends the conversation is not looked at."""
    from_page = all_html or any(_is_html(message) for message in messages)
    for number, message in enumerate(messages):
        if message.role != ("human", "gpt")[number % 2]:
            if rules.enabled("roles"):
                raise _Reject("roles", f"message {number} is of {message.role!r}")
            break
        if rules.enabled("forbiddenPhrases"):
            lowered = message.text.lower()
            phrase = next((phrase for phrase in rules.forbidden_phrases if phrase.lower() in lowered), None)
            if phrase is not None:
                raise _Reject("forbiddenPhrases", phrase)
        text = _text(message, all_html, conversation.edits, rules) if from_page else message.text.strip()
        if message.role == "gpt" and text.removeprefix("!").startswith(RATE_LIMIT) and rules.enabled("rateLimit"):
            raise _Reject("rateLimit", f"message {number}")
        if not text or (not text[0].isprintable() and rules.enabled("emptyMessage")):
            conversation.edits.add("emptyMessage")
            break
        conversation.messages.append(text)
    if len(conversation.messages) % 2 == 1:
        conversation.messages.pop()
        if "emptyMessage" not in conversation.edits and not rules.enabled("trailingQuestion"):
            raise _Reject("roles", "the last message has no answer")
    if not conversation.messages:
        raise _Reject("tooShort", "no question with an answer")
    characters = sum(map(len, conversation.messages))
    if characters < LEAST_CHARACTERS and rules.enabled("tooShort"):
        raise _Reject("tooShort", f"{characters} characters")


def _is_html(message: _Message) -> bool:
    """ShareGPT takes an answer's HTML from the page, but the plain text of what the user wrote."""
    return message.role == "gpt" and _STARTS_WITH_HTML.match(message.text) is not None


def _text(message: _Message, all_html: bool, edits: set[str], rules: Clean) -> str:
    """A message's text without what the page had around it."""
    text = message.text

    def edit(rule: str, change: Callable[[str], str]) -> None:
        nonlocal text
        if rules.enabled(rule) and (changed := change(text)) != text:
            text = changed
            edits.add(rule)

    is_html = (all_html or _is_html(message)) and rules.enabled("html")
    if is_html:
        try:
            markdown = to_markdown(text, rules.enabled("codeFences"), rules.enabled("emptyCodeFences"))
        except HtmlError as error:
            raise _Reject("htmlError", str(error)) from None
        if markdown.text != text.strip():
            edits.add("html")
        edits |= markdown.edits
        text = markdown.text
    text = text.strip()
    edit("pageNumbers", lambda value: value[found.end() :] if (found := _PAGE_NUMBER.match(value)) else value)
    edit("copyCounts", lambda value: _COPY_COUNT.sub("", value))
    if is_html:
        edit("blankLines", without_blank_lines)
    return text.strip()


def _check_whole(conversation: Conversation, value: dict[str, Any], config: Config) -> None:
    rules = config.clean
    texts = conversation.messages
    if value.get("plugins") is not None and rules.enabled("plugins"):
        raise _Reject("plugins")
    if rules.enabled("languages"):
        conversation.language = language_of("\n".join(texts))
        languages = rules.languages
        if languages is not None:
            unwanted = conversation.language not in languages.keep if languages.keep else conversation.language in languages.skip
            if unwanted:
                raise _Reject("languages", conversation.language)
    if rules.repetition and rules.enabled("repetition") and any(_SAME_DIGIT.search(text) for text in texts):
        raise _Reject("repetition")
    if rules.enabled("restartedList") and any(_RESTARTED_LIST.search(text) for text in texts):
        raise _Reject("restartedList")
    quality, safety = config.filters.quality, config.filters.safety
    if quality is not None and rules.enabled("quality") and (found := poor_quality(conversation.answers, quality)):
        raise _Reject("quality", found)
    if safety is not None and rules.enabled("safety") and (found := unsafe(texts, safety)):
        raise _Reject("safety", found)
