"""What OpenAI's Python client makes of the gateway: `python3 python_client.py URL KEY LIMITED_KEY MODEL`."""

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

assert [m.id for m in client.models.list()] == [model]
assert client.models.retrieve(model).id == model

create = client.chat.completions.create
fails(openai.BadRequestError, lambda: create(**{**question, "max_tokens": -1}))
fails(openai.NotFoundError, lambda: create(**{**question, "model": "none"}))
fails(openai.AuthenticationError, lambda: client.with_options(api_key="a-wrong-key").chat.completions.create(**question))
limited = client.with_options(api_key=limited_key)
limited.chat.completions.create(**question)
error = fails(openai.RateLimitError, lambda: limited.chat.completions.create(**question))
assert int(error.response.headers["retry-after"]) > 0
