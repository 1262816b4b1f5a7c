"""What a request is checked against and prepared with: names, limits, tokenizer. Used by one thread at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from .chat_format import ChatFormat
from .errors import invalid
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class Served:
    """A model as its clients see it. `context` is the most tokens a prompt and its answer can have together."""

    names: tuple[str, ...]
    context: int
    tokenizer: Any
    vocabulary: Vocabulary
    chat: ChatFormat
    ends: frozenset[int]
    """Tokens that end an answer."""
    created: int = field(default_factory=lambda: int(time.time()))

    def tokens(self, text: str) -> list[int]:
        """A plain text's token ids, with those that begin a text."""
        return self.tokenizer(text, verbose=False)["input_ids"]

    def room(self, prompt: int, wanted: int | None, default: int | None, param: str) -> int:
        """How many tokens the answer to a prompt of `prompt` tokens may have; `default` None is as many as fit.

        Raises ApiError (400) where they do not fit the context.
        """
        left = self.context - prompt
        count = wanted if wanted is not None else min(left, default) if default is not None else left
        if prompt == 0:
            raise invalid("The prompt is empty.", "prompt")
        if count < 1 or count > left:
            raise invalid(
                f"This model's context is {self.context} tokens, but {prompt} of the prompt and "
                f"{max(count, 1)} for the answer were asked for: shorten the prompt or lower {param}.",
                param,
                "context_length_exceeded",
            )
        return count


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer, of the model's generation settings and its tokenizer."""
    ids = getattr(model.generation_config, "eos_token_id", None)
    given = ids if isinstance(ids, list) else [ids]
    return frozenset(token for token in (*given, tokenizer.eos_token_id) if token is not None)
