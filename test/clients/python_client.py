"""What OpenAI's Python client makes of the gateway: `python3 python_client.py URL KEY LIMITED_KEY MODEL`."""

import asyncio
import math
import sys

import openai

url, key, limited_key, model = sys.argv[1:]
client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
question = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "temperature": 0}


def fails(kind, call):
    """Checks that a call fails with this class of error, and returns the error."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


whole = client.chat.completions.create(**question)
streamed = list(client.chat.completions.create(**question, stream=True, stream_options={"include_usage": True}))
text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
assert text == whole.choices[0].message.content, (text, whole)
assert streamed[-1].usage.completion_tokens == whole.usage.completion_tokens

prompt = {"model": model, "prompt": "Once upon", "max_tokens": 8, "temperature": 0}
completed = client.completions.create(**prompt).choices[0].text
assert "".join(c.choices[0].text for c in client.completions.create(**prompt, stream=True) if c.choices) == completed

sampled = {**question, "temperature": 1, "seed": 7, "logprobs": True, "top_logprobs": 2}
once, again = client.chat.completions.create(**sampled), client.chat.completions.create(**sampled)
assert once.choices[0].message.content == again.choices[0].message.content
first_token = once.choices[0].logprobs.content[0]
assert first_token.logprob <= 0 and len(first_token.top_logprobs) == 2

long = client.chat.completions.create(**{**question, "max_tokens": 16}).choices[0].message.content
stop = long[4:7]
stopped = client.chat.completions.create(**{**question, "max_tokens": 16, "stop": [stop]}).choices[0]
assert (stopped.message.content, stopped.finish_reason) == (long[: long.index(stop)], "stop")

# The package asks for base64 unless told otherwise: both must say the same.
texts = ["A queen.", "A king.", "Eleven bicycles"]
embedded = client.embeddings.create(model=model, input=texts)
plain = client.embeddings.create(model=model, input=texts, encoding_format="float")
assert [e.index for e in embedded.data] == [0, 1, 2] and embedded.usage.prompt_tokens > 0
for one, other in zip(embedded.data, plain.data, strict=True):
    assert max(abs(a - b) for a, b in zip(one.embedding, other.embedding, strict=True)) < 1e-5
    assert math.isclose(math.hypot(*one.embedding), 1, rel_tol=1e-3)

raw = client.chat.completions.with_raw_response.create(**question)
assert raw.headers["x-vicuna-worker"] and raw.parse().choices[0].message.content == text


async def concurrently():
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as many:
        answers = await asyncio.gather(*(many.chat.completions.create(**question) for _ in range(8)))
        assert {a.choices[0].message.content for a in answers} == {text}
        stream = await many.chat.completions.create(**{**question, "max_tokens": 400}, stream=True)
        async for _ in stream:
            break
        await stream.close()


asyncio.run(concurrently())

assert [m.id for m in client.models.list()] == [model]
assert client.models.retrieve(model).id == model

create = client.chat.completions.create
fails(openai.BadRequestError, lambda: create(**{**question, "max_tokens": -1}))
fails(openai.NotFoundError, lambda: create(**{**question, "model": "none"}))
fails(openai.AuthenticationError, lambda: client.with_options(api_key="a-wrong-key").chat.completions.create(**question))
impatient = client.with_options(timeout=0.001)
fails(openai.APITimeoutError, lambda: impatient.chat.completions.create(**{**question, "max_tokens": 400}))
fails(openai.BadRequestError, lambda: client.embeddings.create(model=model, input=[]))
too_long = fails(openai.BadRequestError, lambda: create(**{**question, "max_tokens": 10**6}))
assert too_long.code == "context_length_exceeded", too_long
limited = client.with_options(api_key=limited_key)
limited.chat.completions.create(**question)
error = fails(openai.RateLimitError, lambda: limited.chat.completions.create(**question))
assert int(error.response.headers["retry-after"]) > 0
