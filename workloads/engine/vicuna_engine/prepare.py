"""From a request's body to what the engine is to do. Runs in a thread of its own: tokenizing a long text takes a while."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any

from .answer import GenerationRequest
from .chat_format import Message
from .engine import EmbeddingRequest
from .errors import ApiError, invalid
from .requests import (
    ChatRequest,
    CompletionRequest,
    EmbeddingsRequest,
    parse,
    texts_or_tokens,
)
from .responses import ChatShape, CompletionShape, Shape
from .sampling import Sampling
from .served import Served

# What OpenAI's completions give where max_tokens is left out; chat goes on until it is done.
DEFAULT_COMPLETION_TOKENS = 16


@dataclass(frozen=True)
class Generations:
    """The answers wanted of one request, all choices of the first prompt first."""

    model: str
    shape: Shape
    requests: list[GenerationRequest]
    stream: bool
    includes_usage: bool
    prompt_tokens: int


@dataclass(frozen=True)
class Embeddings:
    """The texts to embed."""

    model: str
    requests: list[EmbeddingRequest]
    as_base64: bool


def chat(body: bytes, served: Served) -> Generations:
    """POST /v1/chat/completions. Raises ApiError (400, 404)."""
    request = parse(ChatRequest, body)
    check_model(request.model, served)
    messages = [Message("system" if m.role == "developer" else m.role, m.text) for m in request.messages]
    _check_length(sum(len(message.content) for message in messages), served, "messages")
    prompt = served.chat.prompt(messages, request.continue_final_message)
    wanted = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    first = GenerationRequest(
        prompt=tuple(prompt.tokens),
        max_tokens=served.room(len(prompt.tokens), wanted, None, "max_tokens"),
        top_logprobs=(request.top_logprobs or 0) if request.logprobs else None,
        drop=prompt.drop,
        **_common(request, served),
    )
    shape = ChatShape(served.vocabulary, request.return_token_ids)
    return _generations(request, shape, [first])


def completion(body: bytes, served: Served) -> Generations:
    """POST /v1/completions. Raises ApiError (400, 404)."""
    request = parse(CompletionRequest, body)
    check_model(request.model, served)
    common = _common(request, served)
    firsts = []
    for prompt in _prompts(request.prompt, served, "prompt"):
        room = served.room(len(prompt), request.max_tokens, DEFAULT_COMPLETION_TOKENS, "max_tokens")
        firsts.append(GenerationRequest(prompt=prompt, max_tokens=room, top_logprobs=request.logprobs, **common))
    return _generations(request, CompletionShape(served.vocabulary, request.return_token_ids), firsts)


def embeddings(body: bytes, served: Served) -> Embeddings:
    """POST /v1/embeddings. Raises ApiError (400, 404)."""
    request = parse(EmbeddingsRequest, body)
    check_model(request.model, served)
    prompts = _prompts(request.input, served, "input")
    for prompt in prompts:
        if not 0 < len(prompt) <= served.context:
            raise invalid(f"An input has {len(prompt)} tokens; it must have from 1 to {served.context}.", "input")
    return Embeddings(request.model, [EmbeddingRequest(prompt) for prompt in prompts], request.encoding_format == "base64")


def check_model(name: str, served: Served) -> None:
    """Raises ApiError (404) for a model that is not served here."""
    if name not in served.names:
        raise ApiError(404, f"There is no model {name!r} here: {', '.join(served.names)}.", param="model", code="model_not_found")


def _generations(request: ChatRequest | CompletionRequest, shape: Shape, firsts: list[GenerationRequest]) -> Generations:
    requests = [
        replace(first, sampling=replace(first.sampling, choice=choice)) for first in firsts for choice in range(request.choices)
    ]
    for first in firsts:
        if len(first.continued) > first.max_tokens:
            message = f"The answer has {len(first.continued)} tokens already, more than the {first.max_tokens} of max_tokens."
            raise invalid(message, "continue_token_ids")
    prompt_tokens = sum(len(first.prompt) for first in firsts)
    return Generations(request.model, shape, requests, bool(request.stream), request.includes_usage, prompt_tokens)


def _common(request: ChatRequest | CompletionRequest, served: Served) -> dict[str, Any]:
    continued = tuple(request.continue_token_ids or ())
    _check_tokens(continued, served, "continue_token_ids")
    sampling = Sampling(
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=max(0, request.top_k or 0),
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        seed=secrets.randbits(63) if request.seed is None else request.seed,
    )
    ends = frozenset() if request.ignore_eos else served.ends
    return {"sampling": sampling, "stops": request.stops, "ends": ends, "continued": continued}


def _prompts(value: Any, served: Served, param: str) -> list[tuple[int, ...]]:
    given = texts_or_tokens(value)
    if not given:
        raise invalid(f"{param} is empty.", param)
    prompts = []
    for item in given:
        if isinstance(item, str):
            _check_length(len(item), served, param)
            prompts.append(tuple(served.tokens(item)))
        else:
            _check_tokens(item, served, param)
            prompts.append(tuple(item))
    return prompts


def _check_tokens(tokens: tuple[int, ...] | list[int], served: Served, param: str) -> None:
    if tokens and max(tokens) >= served.vocabulary.size:
        raise invalid(f"{param}: token {max(tokens)} is not in the vocabulary of {served.vocabulary.size}.", param)


def _check_length(characters: int, served: Served, param: str) -> None:
    """Refuses a text that cannot fit whatever its tokens turn out to be: tokenizing megabytes holds up everybody."""
    if characters > served.context * served.vocabulary.longest:
        raise invalid(
            f"{param} has {characters} characters, which cannot fit this model's context of {served.context} tokens: shorten it.",
            param,
            "context_length_exceeded",
        )
