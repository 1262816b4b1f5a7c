"""Answers in the shapes of OpenAI's API."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .answer import Delta, TokenLogprob
from .errors import ApiError
from .served import Served
from .vocabulary import Vocabulary

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Head:
    """What every chunk of an answer repeats."""

    id: str
    created: int
    model: str


class ChatShape:
    """POST /v1/chat/completions."""

    def __init__(self, vocabulary: Vocabulary, returns_tokens: bool) -> None:
        self._vocabulary = vocabulary
        self.returns_tokens = returns_tokens

    def chunk(self, head: Head, index: int, delta: Delta, first: bool, prompt: Iterable[int]) -> dict[str, Any]:
        """A chunk of a stream; the first of each choice names the role."""
        content = {"role": "assistant", "content": delta.text} if first else {"content": delta.text} if delta.text else {}
        logprobs = self._logprobs(delta.logprobs)
        choice = {"index": index, "delta": content, "logprobs": logprobs, "finish_reason": delta.finish_reason}
        chunk = _head(head, "chat.completion.chunk") | {"choices": [choice]}
        if self.returns_tokens:
            choice["token_ids"] = list(delta.tokens)
            if first:
                chunk["prompt_token_ids"] = list(prompt)
        return chunk

    def whole(self, head: Head, choices: list[Delta], prompts: list[Iterable[int]]) -> dict[str, Any]:
        """The whole answer; its usage is still to be added."""
        body = _head(head, "chat.completion") | {
            "choices": [
                {
                    "index": index,
                    "message": {"role": "assistant", "content": choice.text, "refusal": None},
                    "logprobs": self._logprobs(choice.logprobs),
                    "finish_reason": choice.finish_reason,
                }
                | ({"token_ids": list(choice.tokens)} if self.returns_tokens else {})
                for index, choice in enumerate(choices)
            ]
        }
        return body | ({"prompt_token_ids": list(prompts[0])} if self.returns_tokens else {})

    def _logprobs(self, tokens: tuple[TokenLogprob, ...]) -> dict[str, Any] | None:
        if not tokens:
            return None
        content = []
        for token in tokens:
            top = [self._token(other, value) for other, value in token.top]
            content.append(self._token(token.token, token.logprob) | {"top_logprobs": top})
        return {"content": content, "refusal": None}

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        data = self._vocabulary.all_bytes(token)
        return {"token": data.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(data)}


class CompletionShape:
    """POST /v1/completions."""

    def __init__(self, vocabulary: Vocabulary, returns_tokens: bool) -> None:
        self._vocabulary = vocabulary
        self.returns_tokens = returns_tokens
        self._offsets: dict[int, int] = {}

    def chunk(self, head: Head, index: int, delta: Delta, first: bool, prompt: Iterable[int]) -> dict[str, Any]:
        """A chunk of a stream."""
        return _head(head, "text_completion") | {"choices": [self._choice(index, delta, prompt if first else None)]}

    def whole(self, head: Head, choices: list[Delta], prompts: list[Iterable[int]]) -> dict[str, Any]:
        """The whole answer; its usage is still to be added."""
        pairs = enumerate(zip(choices, prompts, strict=True))
        rendered = [self._choice(index, delta, prompt) for index, (delta, prompt) in pairs]
        return _head(head, "text_completion") | {"choices": rendered}

    def _choice(self, index: int, delta: Delta, prompt: Iterable[int] | None) -> dict[str, Any]:
        choice = {
            "index": index,
            "text": delta.text,
            "logprobs": self._logprobs(index, delta.logprobs),
            "finish_reason": delta.finish_reason,
        }
        if self.returns_tokens:
            choice["token_ids"] = list(delta.tokens)
            if prompt is not None:
                choice["prompt_token_ids"] = list(prompt)
        return choice

    def _logprobs(self, index: int, tokens: tuple[TokenLogprob, ...]) -> dict[str, Any] | None:
        if not tokens:
            return None
        texts = [self._text(t.token) for t in tokens]
        offsets = []
        for text in texts:
            offsets.append(self._offsets.get(index, 0))
            self._offsets[index] = offsets[-1] + len(text)
        return {
            "tokens": texts,
            "token_logprobs": [t.logprob for t in tokens],
            "top_logprobs": [{self._text(token): value for token, value in t.top} for t in tokens],
            "text_offset": offsets,
        }

    def _text(self, token: int) -> str:
        return self._vocabulary.all_bytes(token).decode("utf-8", "replace")


Shape = ChatShape | CompletionShape


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Tokens used."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def usage_chunk(shape: Shape, head: Head, numbers: dict[str, int]) -> dict[str, Any]:
    """The last chunk of a stream that includes the usage."""
    kind = "chat.completion.chunk" if isinstance(shape, ChatShape) else "text_completion"
    return _head(head, kind) | {"choices": [], "usage": numbers}


def event(value: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def error_event(error: ApiError) -> bytes:
    """The event that ends a stream which cannot go on; no [DONE] follows, the answer is not done."""
    return event(error.body)


def models(served: Served) -> dict[str, Any]:
    """GET /v1/models."""
    return {"object": "list", "data": [model(served, name) for name in served.names]}


def model(served: Served, name: str) -> dict[str, Any]:
    """GET /v1/models/{name}."""
    return {"id": name, "object": "model", "created": served.created, "owned_by": "vicuna", "max_model_len": served.context}


def embeddings(name: str, vectors: list[list[float]], as_base64: bool, tokens: int) -> dict[str, Any]:
    """POST /v1/embeddings; base64 is of little-endian fp32."""
    values = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors] if as_base64 else vectors
    data = [{"object": "embedding", "index": index, "embedding": value} for index, value in enumerate(values)]
    return {"object": "list", "model": name, "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _head(head: Head, kind: str) -> dict[str, Any]:
    return {"id": head.id, "object": kind, "created": head.created, "model": head.model}
