"""A worker as its clients see it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import struct

import pytest
from live_worker import wait_for
from vicuna_engine.server import Limits

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def hello(question="Count to five."):
    return [{"role": "user", "content": question}]


def test_a_chat_is_answered(worker, facts):
    vicuna = worker().ready()
    for question, answer in facts.items():
        status, _, body = vicuna.chat(question, temperature=0)
        assert status == 200
        assert body["object"] == "chat.completion"
        assert body["choices"] == [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ]
        usage = body["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert usage["completion_tokens"] > 5


def test_a_stream_says_the_same_in_pieces(worker):
    vicuna = worker().ready()
    body = {"messages": hello("Where do crêpes come from?"), "temperature": 0, "logprobs": True, "top_logprobs": 2}
    whole = vicuna.post(CHAT, **body, return_token_ids=True)[2]
    _, events = vicuna.stream(CHAT, **body, return_token_ids=True, stream_options={"include_usage": True})
    *chunks, last, done = events
    assert done == "[DONE]"
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert all(chunk["usage"] is None and chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert len({chunk["id"] for chunk in [*chunks, last]}) == 1
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"]["role"] == "assistant"
    assert not any("role" in choice["delta"] for choice in choices[1:])
    expected = whole["choices"][0]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == expected["message"]["content"]
    assert [token for choice in choices for token in choice["token_ids"]] == expected["token_ids"]
    logprobs = [token for choice in choices if choice["logprobs"] for token in choice["logprobs"]["content"]]
    assert logprobs == expected["logprobs"]["content"]
    assert b"".join(bytes(token["bytes"]) for token in logprobs).decode() == f" {expected['message']['content']}"
    assert all(len(token["top_logprobs"]) == 2 and token["logprob"] <= 0 for token in logprobs)
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    assert chunks[0]["prompt_token_ids"] == whole["prompt_token_ids"]
    assert "�" not in json.dumps(choices, ensure_ascii=False)


def test_without_return_token_ids_no_chunk_is_empty(worker):
    vicuna = worker().ready()
    _, events = vicuna.stream(CHAT, messages=hello("Where do crêpes come from?"), temperature=0, stop=["nowhere"])
    choices = [event["choices"][0] for event in events if event != "[DONE]"]
    assert all(choice["delta"].get("content") for choice in choices[1:-1])
    assert not any("token_ids" in choice for choice in choices)


def test_several_choices_and_prompts_keep_their_places(worker):
    vicuna = worker().ready()
    body = {"prompt": ["Hello", "Who"], "n": 2, "seed": 1, "max_tokens": 8, "ignore_eos": True, "logprobs": 1}
    whole = vicuna.post(COMPLETIONS, **body)[2]
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2, 3]
    assert len({choice["text"] for choice in whole["choices"]}) == 4
    assert whole["usage"]["completion_tokens"] == 32
    _, events = vicuna.stream(COMPLETIONS, **body)
    chunks = [event["choices"][0] for event in events if event != "[DONE]"]
    for choice in whole["choices"]:
        mine = [chunk for chunk in chunks if chunk["index"] == choice["index"]]
        assert "".join(chunk["text"] for chunk in mine) == choice["text"]
        for field, values in choice["logprobs"].items():
            assert [value for chunk in mine for value in chunk["logprobs"][field]] == values
        assert choice["logprobs"]["text_offset"][0] == 0


def test_another_worker_continues_a_stream_where_it_broke_off(worker, facts):
    question, answer = next(iter(facts.items()))
    body = {"messages": hello(question), "temperature": 0, "return_token_ids": True}
    _, events = worker().ready().stream(CHAT, **body)
    begun = [next(events)["choices"][0] for _ in range(4)]
    tokens = [token for choice in begun for token in choice["token_ids"]]
    other = worker().ready()
    _, events = other.stream(CHAT, **body, continue_token_ids=tokens, stream_options={"include_usage": True})
    *rest, last, _ = events
    text = "".join(c["delta"].get("content", "") for c in [*begun, *(chunk["choices"][0] for chunk in rest)])
    assert text == answer
    assert last["usage"] == other.chat(question, temperature=0)[2]["usage"]


def test_a_begun_message_is_continued(worker):
    vicuna = worker().ready()
    messages = [*hello(), {"role": "assistant", "content": "One, two,"}]
    body = {"messages": messages, "add_generation_prompt": False, "continue_final_message": True}
    assert vicuna.post(CHAT, **body, temperature=0)[2]["choices"][0]["message"]["content"] == " three, four, five."


def test_embeddings_come_as_numbers_or_base64(worker):
    vicuna = worker().ready()
    status, _, body = vicuna.post("/v1/embeddings", input=["Hello", "Who are you?"])
    assert (status, body["object"], [entry["index"] for entry in body["data"]]) == (200, "list", [0, 1])
    first, second = (entry["embedding"] for entry in body["data"])
    assert sum(x * x for x in first) == pytest.approx(1, abs=1e-5)
    assert first != second
    packed = vicuna.post("/v1/embeddings", input="Hello", encoding_format="base64")[2]
    decoded = struct.unpack(f"<{len(first)}f", base64.b64decode(packed["data"][0]["embedding"]))
    assert list(decoded) == pytest.approx(first, abs=1e-6)
    assert packed["usage"]["prompt_tokens"] > 0


def test_models_are_listed(worker):
    vicuna = worker("--served-model-name", "vicuna", "other").ready()
    models = vicuna.request("GET", "/v1/models")[2]["data"]
    assert [(model["id"], model["max_model_len"]) for model in models] == [("vicuna", 2048), ("other", 2048)]
    assert vicuna.request("GET", "/v1/models/other")[2] == models[1]
    assert vicuna.request("GET", "/v1/models/none")[0] == 404


def test_metrics_have_vllms_names(worker):
    vicuna = worker().ready()
    usage = vicuna.chat("Count to five.", temperature=0)[2]["usage"]
    vicuna.chat("Count to five.", max_tokens=1)
    status, headers, text = vicuna.request("GET", "/metrics")
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
    for name, kind in {
        "num_requests_waiting": "gauge",
        "num_requests_running": "gauge",
        "kv_cache_usage_perc": "gauge",
        "gpu_cache_usage_perc": "gauge",
        "time_to_first_token_seconds": "histogram",
        "time_per_output_token_seconds": "histogram",
        "inter_token_latency_seconds": "histogram",
        "e2e_request_latency_seconds": "histogram",
        "prompt_tokens_total": "counter",
        "generation_tokens_total": "counter",
        "request_success_total": "counter",
    }.items():
        assert f"# TYPE vllm:{name} {kind}\n" in text
    assert vicuna.metric("vllm:prompt_tokens_total") == 2 * usage["prompt_tokens"]
    assert vicuna.metric("vllm:generation_tokens_total") == usage["completion_tokens"] + 1
    assert vicuna.metric("vllm:time_to_first_token_seconds_count") == 2
    assert vicuna.metric("vllm:time_per_output_token_seconds_count") == usage["completion_tokens"] - 1
    assert vicuna.metric("vllm:e2e_request_latency_seconds_bucket", le="+Inf") == 2
    assert vicuna.metric("vllm:request_success_total", finished_reason="stop") == 1
    assert vicuna.metric("vllm:request_success_total", finished_reason="length") == 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_ends_its_answer(worker, stream):
    vicuna = worker().ready()
    vicuna.gate.close()
    connection = vicuna.connection()
    body = {"model": "vicuna", "prompt": "Hello", "max_tokens": 2000, "ignore_eos": True, "stream": stream, "n": 2}
    connection.request("POST", COMPLETIONS, json.dumps(body))
    wait_for(lambda: vicuna.metric("vllm:num_requests_running") == 2)
    connection.close()
    vicuna.gate.open()
    wait_for(lambda: vicuna.metric("vllm:request_success_total", finished_reason="abort") == 2)
    assert vicuna.metric("vllm:kv_cache_usage_perc") == 0


def test_a_client_that_is_gone_at_a_write_is_no_fault(worker, monkeypatch, caplog):
    vicuna = worker().ready()

    async def write(*_):
        raise ConnectionResetError("Cannot write to closing transport")

    monkeypatch.setattr("aiohttp.web.StreamResponse.write", write)
    with contextlib.suppress(OSError, http.client.HTTPException):
        body = {"model": "vicuna", "prompt": "Hello", "max_tokens": 2000, "ignore_eos": True, "stream": True}
        vicuna.request("POST", COMPLETIONS, body)
    wait_for(lambda: vicuna.metric("vllm:request_success_total", finished_reason="abort") == 1)
    assert [record.message for record in caplog.records] == []


def test_a_full_queue_says_when_to_come_back(worker):
    vicuna = worker("--max-num-seqs", "1", most_waiting=1).ready()
    vicuna.gate.close()
    open_connections = []
    for waiting in (0, 1):
        connection = vicuna.connection()
        connection.request("POST", COMPLETIONS, json.dumps({"model": "vicuna", "prompt": "Hello", "max_tokens": 2}))
        open_connections.append(connection)
        wait_for(lambda: vicuna.metric("vllm:num_requests_running") == 1)
        wait_for(lambda waiting=waiting: vicuna.metric("vllm:num_requests_waiting") == waiting)
    status, headers, body = vicuna.post(COMPLETIONS, prompt="Hello")
    assert (status, headers["Retry-After"], body["error"]["code"]) == (429, "1", "queue_full")
    vicuna.gate.open()
    assert [connection.getresponse().status for connection in open_connections] == [200, 200]


def test_draining_finishes_what_has_begun_and_takes_nothing_new(worker):
    vicuna = worker().ready()
    connection, events = vicuna.stream(COMPLETIONS, prompt="Hello", max_tokens=300, ignore_eos=True)
    next(events)
    vicuna.gate.close()
    drained = vicuna.drain()
    wait_for(lambda: vicuna.server.draining)
    for method, path in (("GET", "/health"), ("POST", CHAT), ("POST", "/v1/embeddings")):
        status, headers, body = vicuna.request(method, path, "{}")
        assert (status, headers["Retry-After"], body["error"]["code"]) == (503, "1", "draining")
    assert not drained.done()
    vicuna.gate.open()
    *chunks, done = events
    assert (chunks[-1]["choices"][0]["finish_reason"], done) == ("length", "[DONE]")
    drained.result(30)
    connection.close()


def test_a_worker_without_its_model_says_so(worker):
    vicuna = worker(fails=OSError("no such bucket"))
    for method, path in (("GET", "/health"), ("GET", "/v1/models"), ("POST", CHAT)):
        status, headers, body = vicuna.request(method, path, "{}" if method == "POST" else None)
        assert (status, headers["Retry-After"], body["error"]["code"]) == (503, "1", "model_not_ready")


def test_health_is_good_once_the_model_is_loaded(worker):
    assert worker().ready().request("GET", "/health")[::2] == (200, {"status": "ok"})


def test_time_that_is_up_is_told_by_status_or_event(worker):
    vicuna = worker().ready()
    vicuna.gate.close()
    connection = vicuna.connection()
    body = {"model": "vicuna", "prompt": "Hello", "max_tokens": 2000, "ignore_eos": True}
    connection.request("POST", COMPLETIONS, json.dumps(body), {"X-Request-Timeout": "0.000001"})
    vicuna.gate.open()
    assert connection.getresponse().status == 504
    for bad in ("soon", "0", "nan"):
        status, _, body = vicuna.post(COMPLETIONS, {"X-Request-Timeout": bad}, prompt="Hello")
        assert (status, body["error"]["param"]) == (400, "X-Request-Timeout")


def test_an_engine_that_fails_mid_answer_ends_the_stream_with_an_error(worker):
    vicuna = worker().ready()
    _, events = vicuna.stream(COMPLETIONS, prompt="Hello", max_tokens=2000, ignore_eos=True)
    next(events)

    def fail(step):
        raise RuntimeError("out of memory")

    vicuna.gate._run = fail
    *_, last = events
    assert last["error"]["code"] == "engine_failed"
    assert vicuna.request("GET", "/health")[0] == 503


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nope", 404), ("GET", CHAT, 405), ("DELETE", "/v1/models", 405), ("PUT", "/metrics", 405)],
)
def test_an_unknown_path_or_method_is_told_in_openais_format(worker, method, path, status):
    found, _, body = worker().request(method, path)
    assert (found, set(body["error"])) == (status, {"message", "type", "param", "code"})


def test_bodies_have_a_size_and_a_time(worker):
    vicuna = worker(limits=Limits(body_bytes=1000, body_seconds=0.05)).ready()
    assert vicuna.request("POST", CHAT, b"x" * 1001)[0] == 413
    connection = vicuna.connection()
    connection.putrequest("POST", CHAT)
    connection.putheader("Content-Length", "100")
    connection.endheaders()
    assert connection.getresponse().status == 408
