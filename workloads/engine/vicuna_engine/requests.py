"""The requests of OpenAI's API that this engine understands, checked to the last field.

A field that would change the answer and that the engine does not implement is refused, never ignored.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import ApiError, invalid

MOST_CHOICES = 16
MOST_MESSAGES = 1024
MOST_PROMPTS = 256
MOST_TOKENS = 1 << 20

Text = Annotated[str, Field(max_length=1 << 22)]
Token = Annotated[int, Field(ge=0)]
Tokens = Annotated[list[Token], Field(max_length=MOST_TOKENS)]
_MANY = Field(max_length=MOST_PROMPTS)
TextsOrTokens = Text | Tokens | Annotated[list[Text], _MANY] | Annotated[list[Tokens], _MANY]
StopString = Annotated[str, Field(min_length=1, max_length=256)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(_Strict):
    """How to stream."""

    include_usage: bool = False


class TextPart(_Strict):
    """A part of a message."""

    type: Literal["text"]
    text: Text


class ChatMessage(_Strict):
    """One message. `name` is accepted and not used."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(max_length=256)]
    name: Annotated[str, Field(max_length=256)] | None = None

    @property
    def text(self) -> str:
        """The content's text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class TextFormat(_Strict):
    """The only response format there is."""

    type: Literal["text"]


class _Generation(_Strict):
    """What chat and plain completions have in common. `None` is the default, as clients send it."""

    model: Annotated[str, Field(min_length=1, max_length=512)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=16)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None = None
    user: Annotated[str, Field(max_length=512)] | None = None
    # Not OpenAI's; named as vLLM names them.
    top_k: Annotated[int, Field(ge=-1)] | None = None
    ignore_eos: bool = False
    return_token_ids: bool = False
    # The engine's own: the tokens of this very answer that the client has seen (from `return_token_ids`).
    continue_token_ids: Tokens | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Any:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream")
        if self.continue_token_ids and self.choices != 1:
            raise ValueError("continue_token_ids needs n = 1")
        return self

    @property
    def choices(self) -> int:
        """How many answers are wanted."""
        return self.n or 1

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(_Generation):
    """POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    response_format: TextFormat | None = None
    # vLLM's: with both, the last message is the beginning of the answer.
    add_generation_prompt: bool = True
    continue_final_message: bool = False

    @model_validator(mode="after")
    def _consistent_chat(self) -> Any:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs")
        if self.add_generation_prompt == self.continue_final_message:
            raise ValueError("continue_final_message needs add_generation_prompt: false, and that needs continue_final_message")
        return self


class CompletionRequest(_Generation):
    """POST /v1/completions."""

    prompt: TextsOrTokens
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None

    @model_validator(mode="after")
    def _consistent_completion(self) -> Any:
        if self.continue_token_ids and len(texts_or_tokens(self.prompt)) != 1:
            raise ValueError("continue_token_ids needs one prompt")
        return self


class EmbeddingsRequest(_Strict):
    """POST /v1/embeddings."""

    model: Annotated[str, Field(min_length=1, max_length=512)]
    input: TextsOrTokens
    encoding_format: Literal["float", "base64"] | None = None
    user: Annotated[str, Field(max_length=512)] | None = None


Request = TypeVar("Request", ChatRequest, CompletionRequest, EmbeddingsRequest)


def parse(kind: type[Request], body: bytes) -> Request:
    """The request in a body. Raises ApiError (400) that says which field is wrong and how."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise invalid(f"The body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise invalid("The body is not a JSON object.")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _refusal(error) from None


def texts_or_tokens(value: str | list[Any]) -> list[Any]:
    """A list of texts, or of lists of tokens, out of the four forms in which clients give them."""
    if isinstance(value, str) or (value and isinstance(value[0], int)):
        return [value]
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _refusal(error: ValidationError) -> ApiError:
    # Of a union's alternatives the one that was meant is that whose type fits, else that which went furthest.
    problems = error.errors(include_url=False, include_input=False)
    problem = max(problems, key=lambda p: (not p["type"].endswith("_type"), len(p["loc"])))
    # Names of union members stand among the fields' own; only fields and indexes mean something to a client.
    names = [str(part) for part in problem["loc"] if isinstance(part, int) or str(part).isidentifier()]
    param = ".".join(name for name in names if name not in ("str", "list")) or None
    if problem["type"] == "extra_forbidden":
        return invalid(f"This engine does not know the field {param}.", param, "unknown_parameter")
    message = problem["msg"].removeprefix("Value error, ")
    return invalid(f"{param}: {message}." if param else f"{message}.", param)
