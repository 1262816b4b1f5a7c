"""A release as a task pod: its configuration, progress and result."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from vicuna_trainer.exits import TrainingError
from vicuna_trainer.release.task import ReleaseConfig, ReleaseResult, Task, TaskReporter, leave_result

CONFIG = {"base": "s3://models/llama", "target": "s3://ckpt/run/model", "output": "s3://public/delta"}


def test_the_configuration_has_defaults():
    assert ReleaseConfig.parse(CONFIG) == ReleaseConfig(**CONFIG, mode="exact", vocabulary="same")
    assert ReleaseConfig.parse({**CONFIG, "mode": "additive", "vocabulary": "extend"}).mode == "additive"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"base": ""}, "config.base is missing"),
        ({"mode": "xor"}, "config.mode is 'xor', but must be one of exact, additive"),
        ({"vocabulary": 3}, "config.vocabulary is 3"),
        ({"colour": "red"}, "config.colour is not known"),
    ],
)
def test_a_bad_configuration_is_refused_by_name(change, sentence):
    with pytest.raises(TrainingError, match=sentence) as raised:
        ReleaseConfig.parse({**CONFIG, **change})
    assert raised.value.exit_code == 64


def test_without_a_task_it_is_a_command_line():
    assert Task.from_environment({}) is None
    with pytest.raises(TrainingError, match="VICUNA_TASK is not JSON"):
        Task.from_environment({"VICUNA_TASK": "{"})


def test_progress_is_told_to_the_operator(tmp_path):
    told, arrived = [], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.append((self.path, self.headers["Authorization"], body))
            self.send_response(200)
            self.end_headers()
            arrived.set()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    (tmp_path / "token").write_text("secret\n")
    environment = {
        "name": "team/vicuna-release",
        "operatorUrl": f"http://127.0.0.1:{server.server_address[1]}",
        "tokenFile": str(tmp_path / "token"),
        "config": CONFIG,
    }
    reporter = TaskReporter(Task.from_environment({"VICUNA_TASK": json.dumps(environment)}))
    for done in range(5):
        reporter.report("subtract", done, 100, "bytes", 12.4)
    assert arrived.wait(10)
    server.shutdown()
    server.server_close()
    body = {"stage": "subtract", "done": 0, "total": 100, "unit": "bytes", "etaSeconds": 12}
    assert told == [("/v1/tasks/team/vicuna-release/report", "Bearer secret", body)], "once in five seconds"


def test_an_operator_that_is_away_harms_nothing():
    reporter = TaskReporter(Task("team/x", "http://127.0.0.1:9", None, {}))
    reporter.report("subtract", 1, None, "bytes", None)
    reporter._sending.join(10)


def test_the_result_is_left_for_the_kubelet(tmp_path):
    log = tmp_path / "log"
    result = ReleaseResult("s3://d", "exact", 3, 10, 20, 1, 0, 5, 0, "ab", 1.5)
    leave_result(json.dumps(result.to_json()), {"VICUNA_TERMINATION_LOG": str(log)})
    assert json.loads(log.read_text())["changedElements"] == 5
    leave_result("x" * 5000, {"VICUNA_TERMINATION_LOG": str(log)})
    assert log.stat().st_size == 4000
    leave_result("x", {"VICUNA_TERMINATION_LOG": str(tmp_path / "no" / "where")})
