"""From chat messages to the tokens that the model goes on from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from vicuna_trainer.conversations import SYSTEM, Conversation, chat_template, tokenize_prompt

from .errors import invalid


@dataclass(frozen=True)
class Message:
    """`role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Prompt:
    """Tokens to go on from, and the text that the format puts before an answer, which is no part of it."""

    tokens: list[int]
    drop: str


class ChatFormat:
    """A tokenizer's own chat template where it has one, else Vicuna's format.

    A template that is Vicuna's is not rendered: the code that made the training data makes the prompt, so it is the same to the
    token, and nothing in a message can pass for a special token.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._vicuna = getattr(tokenizer, "chat_template", None) in (None, chat_template())

    def prompt(self, messages: list[Message], continues: bool) -> Prompt:
        """The prompt for an answer to `messages`; if `continues`, the last of them is the answer's beginning.

        Raises ApiError (400) for messages that the format cannot express.
        """
        if continues and messages[-1].role != "assistant":
            raise invalid("continue_final_message needs the last message to be the assistant's.", "messages")
        return self._vicuna_prompt(messages, continues) if self._vicuna else self._template_prompt(messages, continues)

    def _vicuna_prompt(self, messages: list[Message], continues: bool) -> Prompt:
        has_system = messages[0].role == "system"
        said = messages[1:] if has_system else messages
        begun = said[-1].content if continues and said else ""
        said = said[:-1] if continues else said
        expected = ("user", "assistant")
        if len(said) % 2 == 0 or any(message.role != expected[i % 2] for i, message in enumerate(said)):
            raise invalid(
                "This model takes an optional system message, then user and assistant in turn, and answers a user's message.",
                "messages",
            )
        texts = [message.content.strip() for message in said]  # as the training data's
        turns = tuple(zip(texts[0:-1:2], texts[1::2], strict=True))
        conversation = Conversation("", (messages[0].content.strip() if has_system else "") or SYSTEM, turns)
        return Prompt(tokenize_prompt(conversation, texts[-1], begun, self._tokenizer), "" if begun else " ")

    def _template_prompt(self, messages: list[Message], continues: bool) -> Prompt:
        plain = [{"role": message.role, "content": message.content} for message in messages]
        try:
            text = self._tokenizer.apply_chat_template(
                plain, tokenize=False, add_generation_prompt=not continues, continue_final_message=continues
            )
        except (TemplateError, ValueError, TypeError) as error:
            raise invalid(f"The model's chat template refuses these messages: {error}", "messages") from None
        return Prompt(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], "")
