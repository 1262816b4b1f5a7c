"""Requests that are wrong, each refused with the field and the reason."""

from __future__ import annotations

import json

import pytest
from vicuna_engine import prepare
from vicuna_engine.errors import ApiError

HELLO = [{"role": "user", "content": "Hello"}]

# What is added to a good request, the status and field of the refusal, and a word of its message.
CHAT = [
    ({"messages": None}, 400, "messages", "list"),
    ({"messages": []}, 400, "messages", "at least 1"),
    ({"messages": "Hello"}, 400, "messages", "list"),
    ({"messages": [{"role": "user"}]}, 400, "messages.0.content", "required"),
    ({"messages": [{"role": "user", "content": 5}]}, 400, "messages.0.content", "valid"),
    ({"messages": [{"role": "user", "content": None}]}, 400, "messages.0.content", "valid"),
    ({"messages": [{"role": "robot", "content": "x"}]}, 400, "messages.0.role", "user"),
    ({"messages": [{"role": "user", "content": "x", "tool_calls": []}]}, 400, "messages.0.tool_calls", "does not know"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        400,
        "messages.0.content.0.type",
        "text",
    ),
    ({"messages": [{"role": "user", "content": "\\ud800"}]}, 400, "messages.0.content", "unicode"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "messages", "in turn"),
    ({"messages": HELLO * 2}, 400, "messages", "in turn"),
    ({"messages": [{"role": "system", "content": "x"}]}, 400, "messages", "in turn"),
    ({"messages": HELLO * 1025}, 400, "messages", "1024"),
    ({"messages": [{"role": "user", "content": "a " * 2050}]}, 400, "max_tokens", "2048"),
    ({"messages": [{"role": "user", "content": "a" * 300_000}]}, 400, "messages", "cannot fit"),
    ({"model": "gpt-4"}, 404, "model", "no model"),
    ({"model": 4}, 400, "model", "string"),
    ({"stream": "yes"}, 400, "stream", "boolean"),
    ({"stream_options": {"include_usage": True}}, 400, None, "needs stream"),
    ({"stream": True, "stream_options": {"usage": True}}, 400, "stream_options.usage", "does not know"),
    ({"max_tokens": 0}, 400, "max_tokens", "greater"),
    ({"max_tokens": 1.5}, 400, "max_tokens", "integer"),
    ({"max_tokens": True}, 400, "max_tokens", "integer"),
    ({"max_tokens": 2048}, 400, "max_tokens", "context"),
    ({"max_completion_tokens": -1}, 400, "max_completion_tokens", "greater"),
    ({"temperature": 2.1}, 400, "temperature", "less"),
    ({"temperature": "hot"}, 400, "temperature", "number"),
    ({"top_p": 0}, 400, "top_p", "greater"),
    ({"top_k": -2}, 400, "top_k", "greater"),
    ({"n": 17}, 400, "n", "16"),
    ({"stop": ""}, 400, "stop", "at least 1"),
    ({"stop": ["a"] * 17}, 400, "stop", "16"),
    ({"stop": "x" * 257}, 400, "stop", "256"),
    ({"presence_penalty": -3}, 400, "presence_penalty", "greater"),
    ({"frequency_penalty": 3}, 400, "frequency_penalty", "less"),
    ({"seed": 2**64}, 400, "seed", "less"),
    ({"top_logprobs": 3}, 400, None, "needs logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, 400, "top_logprobs", "20"),
    ({"logprobs": 3}, 400, "logprobs", "boolean"),
    ({"response_format": {"type": "json_object"}}, 400, "response_format.type", "text"),
    ({"tools": []}, 400, "tools", "does not know"),
    ({"continue_final_message": True}, 400, None, "add_generation_prompt"),
    ({"add_generation_prompt": False}, 400, None, "continue_final_message"),
    ({"add_generation_prompt": False, "continue_final_message": True}, 400, "messages", "assistant"),
    ({"continue_token_ids": [1], "n": 2}, 400, None, "n = 1"),
    ({"continue_token_ids": [10**6]}, 400, "continue_token_ids", "vocabulary"),
    ({"continue_token_ids": [5] * 21, "max_tokens": 20}, 400, "continue_token_ids", "max_tokens"),
]
COMPLETION = [
    ({"prompt": None}, 400, "prompt", "valid"),
    ({"prompt": []}, 400, "prompt", "empty"),
    ({"prompt": ["a", 5]}, 400, "prompt.0", "valid"),
    ({"prompt": [[]]}, 400, "prompt", "empty"),
    ({"prompt": [-1]}, 400, "prompt.0", "greater"),
    ({"prompt": [10**6]}, 400, "prompt", "vocabulary"),
    ({"prompt": ["a"] * 257}, 400, "prompt", "256"),
    ({"prompt": [7] * 2040, "max_tokens": 9}, 400, "max_tokens", "context"),
    ({"prompt": [7] * 2048}, 400, "max_tokens", "context"),
    ({"echo": True}, 400, "echo", "False"),
    ({"best_of": 3}, 400, "best_of", "1"),
    ({"suffix": "x"}, 400, "suffix", "does not know"),
    ({"logprobs": 21}, 400, "logprobs", "20"),
    ({"messages": HELLO}, 400, "messages", "does not know"),
    ({"prompt": ["a", "b"], "continue_token_ids": [1]}, 400, None, "one prompt"),
]
EMBEDDINGS = [
    ({"input": ""}, 400, "input", "tokens"),
    ({"input": []}, 400, "input", "empty"),
    ({"input": {"text": "x"}}, 400, "input", "valid"),
    ({"input": [7] * 2049}, 400, "input", "2048"),
    ({"dimensions": 4}, 400, "dimensions", "does not know"),
    ({"encoding_format": "hex"}, 400, "encoding_format", "base64"),
]
BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff\xfe",
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b"[" * 100_000,
    b'{"a": ' + b"9" * 5000 + b"}",
]


def refusal(make, body, served):
    with pytest.raises(ApiError) as caught:
        make(body, served)
    return caught.value


@pytest.mark.parametrize(
    ("make", "more", "status", "param", "word"),
    [
        *((prepare.chat, {"messages": HELLO, **more}, *rest) for more, *rest in CHAT),
        *((prepare.completion, {"prompt": "Hello", **more}, *rest) for more, *rest in COMPLETION),
        *((prepare.embeddings, {"input": "Hello", **more}, *rest) for more, *rest in EMBEDDINGS),
    ],
)
def test_a_wrong_field_is_refused_by_name(served, make, more, status, param, word):
    body = json.dumps({"model": "model", **more}).replace("\\\\ud800", "\\ud800").encode()
    error = refusal(make, body, served)
    assert (error.status, error.param) == (status, param), error.message
    assert word in error.message


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("make", [prepare.chat, prepare.completion, prepare.embeddings])
def test_a_body_that_is_no_object_of_json_is_refused(served, make, body):
    assert refusal(make, body, served).status == 400


def test_what_clients_send_as_null_is_the_default(served):
    fields = [
        "stream",
        "stream_options",
        "max_tokens",
        "temperature",
        "top_p",
        "n",
        "stop",
        "presence_penalty",
        "frequency_penalty",
    ]
    fields += ["seed", "user", "logprobs", "top_logprobs", "response_format", "max_completion_tokens"]
    body = json.dumps({"model": "model", "messages": HELLO, **dict.fromkeys(fields)}).encode()
    wanted = prepare.chat(body, served)
    request = wanted.requests[0]
    assert (len(wanted.requests), wanted.stream, request.stops, request.top_logprobs) == (1, False, (), None)
    assert request.max_tokens == 2048 - len(request.prompt)
    assert (request.sampling.temperature, request.sampling.top_p) == (1.0, 1.0)


def test_parts_of_text_are_put_together_and_choices_told_apart(served):
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    body = {"model": "model", "messages": [{"role": "user", "content": parts}], "n": 2, "seed": 1, "stop": ["a", "b"]}
    split = prepare.chat(json.dumps(body).encode(), served)
    whole = prepare.chat(json.dumps({**body, "messages": HELLO}).encode(), served)
    assert split.requests == whole.requests
    assert [request.sampling.choice for request in split.requests] == [0, 1]


def test_a_completions_prompts_come_as_texts_or_tokens(served):
    def prompts(value):
        body = {"model": "model", "prompt": value}
        return [request.prompt for request in prepare.completion(json.dumps(body).encode(), served).requests]

    tokens = tuple(served.tokens("Hello"))
    assert prompts("Hello") == prompts(["Hello"]) == prompts(list(tokens)) == prompts([list(tokens)]) == [tokens]
    assert prompts(["Hello", "Hello"]) == [tokens, tokens]
