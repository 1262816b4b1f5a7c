"""One answer as it is generated: which token comes next, what of it may be shown, and when it ends. Pure but for the tensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import Tensor

from .sampling import Sampling, choose, log_probabilities
from .text import TextStream
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class GenerationRequest:
    """One answer that is wanted. `max_tokens` counts the `continued` tokens too, which the answer begins with."""

    prompt: tuple[int, ...]
    max_tokens: int
    sampling: Sampling
    stops: tuple[str, ...] = ()
    ends: frozenset[int] = frozenset()
    """Tokens that end the answer."""
    continued: tuple[int, ...] = ()
    top_logprobs: int | None = None
    """How many of the likeliest tokens to tell per token; None tells no log-probabilities at all."""
    drop: str = ""
    """What the prompt's format puts between prompt and answer: not part of the answer's text."""


@dataclass(frozen=True)
class TokenLogprob:
    """A token of the answer and its likeliest rivals: (id, log-probability)."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Delta:
    """What one more token brought. `finish_reason` (stop or length) is set once, at the end."""

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: str | None = None


class Answer:
    """An answer's state. It goes through the `continued` tokens, which someone else has shown, without showing them again."""

    def __init__(self, request: GenerationRequest, vocabulary: Vocabulary) -> None:
        self.request = request
        self.tokens: list[int] = []
        self._vocabulary = vocabulary
        self._text = TextStream(request.stops, request.drop)
        self._counts: Counter[int] = Counter()
        self.finish_reason: str | None = None
        for token in request.continued:
            self._take(token)

    def next(self, logits: Tensor, likeliest: int) -> Delta:
        """Chooses the next token from `logits` [vocabulary], of which `likeliest` has the highest."""
        sampling = self.request.sampling
        token = likeliest if sampling.plain else choose(logits, sampling, self._counts, len(self.tokens))
        text = self._take(token)
        logprobs: tuple[TokenLogprob, ...] = ()
        if self.request.top_logprobs is not None and token not in self.request.ends:
            value, top = log_probabilities(logits, token, self.request.top_logprobs)
            logprobs = (TokenLogprob(token, value, tuple(top)),)
        return Delta(text, (token,), logprobs, self.finish_reason)

    def _take(self, token: int) -> str:
        """What the token lets be shown."""
        if self.finish_reason is not None:
            return ""
        self.tokens.append(token)
        self._counts[token] += 1
        if token in self.request.ends:
            self.finish_reason = "stop"
            return self._text.finish()
        text = self._text.push(self._vocabulary.text_bytes(token))
        if self._text.stopped:
            self.finish_reason = "stop"
        elif len(self.tokens) >= self.request.max_tokens:
            self.finish_reason = "length"
            text += self._text.finish()
            if self._text.stopped:
                self.finish_reason = "stop"
        return text
