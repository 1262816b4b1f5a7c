"""The worker's process: how it starts, and how it ends."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import re
import signal
import sys

import pytest
from live_worker import WAIT_SECONDS, events_of, wait_for
from vicuna_trainer.exits import BAD_CONFIGURATION, BAD_INPUT, TrainingError


def serve(arguments, log):
    """What a worker's process does; its log goes to the connection `log`."""
    os.dup2(log.fileno(), 2)
    sys.argv[1:] = arguments
    from vicuna_engine.__main__ import main

    sys.exit(main())


@pytest.fixture(scope="module")
def processes():
    """Processes that have imported everything already: that takes longer than all else they do."""
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vicuna_engine.load", "vicuna_engine.__main__"])
    return context


class Process:
    """A worker with `arguments`; `port` once it listens."""

    def __init__(self, processes, *arguments):
        reading, writing = processes.Pipe(duplex=False)
        command = ["--host", "127.0.0.1", "--port", "0", "--device", "cpu", *arguments]
        self.process = processes.Process(target=serve, args=(command, writing), daemon=True)
        self.process.start()
        writing.close()
        self.log = os.fdopen(os.dup(reading.fileno()))
        self.said = []

    def wait_line(self, pattern):
        """Waits for a line of the log."""
        for line in self.log:
            self.said.append(line)
            if (match := re.search(pattern, line)) is not None:
                return match
        raise AssertionError("".join(self.said))

    def listen(self):
        self.port = int(self.wait_line(r"Listening on 127\.0\.0\.1:(\d+)")[1])
        self.wait_line("Serving")
        wait_for(lambda: self.get("/health") == 200)
        return self

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)
        connection.request("GET", path)
        return connection.getresponse().status

    def stream(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)
        body = {"model": "model", "prompt": "Hello", "max_tokens": 1500, "ignore_eos": True, "stream": True, "temperature": 0}
        connection.request("POST", "/v1/completions", json.dumps(body))
        response = connection.getresponse()
        assert response.status == 200
        return events_of(response)

    def terminate(self):
        os.kill(self.process.pid, signal.SIGTERM)

    def code(self):
        self.said += self.log.readlines()
        self.process.join(WAIT_SECONDS)
        return self.process.exitcode


@pytest.fixture
def start(processes):
    """Starts workers; none outlives the test."""
    started = []

    def run(*arguments):
        started.append(Process(processes, *arguments))
        return started[-1]

    yield run
    for each in started:
        each.process.kill()
        each.process.join()
        each.log.close()


def test_told_to_end_it_finishes_what_it_has_begun(start, model_directory):
    worker = start("--model", model_directory.as_uri(), "--shutdown-timeout", str(WAIT_SECONDS)).listen()
    events = worker.stream()
    next(events)
    worker.terminate()
    worker.wait_line("running answers have")
    assert worker.get("/health") == 503
    *chunks, done = events
    assert (chunks[-1]["choices"][0]["finish_reason"], done) == ("length", "[DONE]")
    assert worker.code() == 0


@pytest.mark.parametrize("how", ["told twice", "time is up"])
def test_it_ends_in_spite_of_answers_if_it_must(start, model_directory, how):
    seconds = "0.01" if how == "time is up" else str(WAIT_SECONDS)
    worker = start("--model", model_directory.as_uri(), "--shutdown-timeout", seconds).listen()
    events = worker.stream()
    next(events)
    worker.terminate()
    if how == "told twice":
        worker.wait_line("running answers have")
        worker.terminate()
    *_, last = events
    assert last["error"]["code"] == "shut_down"
    assert worker.code() == 143


def test_a_model_that_is_not_there_ends_it_with_a_sentence(start):
    worker = start("--model", "file:///nowhere")
    assert worker.code() == BAD_INPUT
    assert "There is no model at file:///nowhere" in "".join(worker.said)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--max-model-len", "4096"], BAD_CONFIGURATION, "2048"),
        (["--max-model-len", "512", "--kv-cache-tokens", "100"], BAD_CONFIGURATION, "--kv-cache-tokens"),
        (["--device", "cuda"], BAD_CONFIGURATION, "no GPU"),
    ],
)
def test_settings_that_cannot_work_are_refused(loads, monkeypatch, arguments, code, word):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(TrainingError, match=word) as caught:
        loads(*arguments)
    assert caught.value.exit_code == code
