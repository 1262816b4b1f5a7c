"""The program as the operator runs it, and as a person does: reports, results, exit codes."""

import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from samples import config, content_of, record, tokenizer, write_lines
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from vicuna_data.__main__ import main
from vicuna_data.progress import Progress, Reporter, State
from vicuna_data.task import Task
from vicuna_data.tokens import load_tokenizer
from vicuna_trainer.exits import BAD_CONFIGURATION, BAD_INPUT, STORAGE_FAILED, TERMINATED, TrainingError

PROGRAM = [sys.executable, "-m", "vicuna_data"]
ANSWERS = [record(f"Why is number {n} so?", f"Number {n} is so because it is.", id=str(n)) for n in range(30)]


class Operator(http.server.BaseHTTPRequestHandler):
    """Takes reports as the operator does, and nothing else."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Content-Type"] == "application/json"
        assert set(body) == {"stage", "done", "total", "unit", "etaSeconds"}
        known = self.path == "/v1/tasks/team/my-data/report" and self.headers["Authorization"] == "Bearer secret"
        self.server.reports.append(body)
        self.send_response(200 if known else 403)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def operator():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Operator)
    server.reports = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model directory with a tokenizer."""
    directory = tmp_path_factory.mktemp("model")
    whole = Tokenizer.from_str(tokenizer().definition)
    PreTrainedTokenizerFast(tokenizer_object=whole, unk_token="<unk>", bos_token="<s>", eos_token="</s>").save_pretrained(directory)
    return directory


def run(*arguments, task=None, message=None, **more):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    env |= {} if task is None else {"VICUNA_TASK": json.dumps(task)}
    env |= {} if message is None else {"VICUNA_TERMINATION_LOG": str(message)}
    return subprocess.run([*PROGRAM, *arguments], env=env, capture_output=True, text=True, timeout=120, check=False, **more)


def test_a_task_pod_reports_and_leaves_its_result(operator, model, tmp_path):
    source = write_lines(tmp_path / "in.jsonl", ANSWERS)
    (tmp_path / "token").write_text("secret\n")
    task = {
        "name": "team/my-data",
        "operatorUrl": f"http://127.0.0.1:{operator.server_port}",
        "tokenFile": str(tmp_path / "token"),
        "config": {"sources": [{"uri": source}], "tokenizer": f"file://{model}", "output": f"file://{tmp_path}/out"},
    }
    ended = run(task=task, message=tmp_path / "message")
    assert ended.returncode == 0, ended.stderr
    message = (tmp_path / "message").read_bytes()
    result = json.loads(message)
    assert len(message) <= 4000 and result == json.loads(ended.stdout)
    assert result["read"] == 30 and result["train"]["uri"] == f"file://{tmp_path}/out/train"
    assert operator.reports and operator.reports[0]["unit"] in ("bytes", "steps", "conversations")


def test_the_command_line_goes_by_a_file_and_flags(model, tmp_path):
    write_lines(tmp_path / "in.jsonl", ANSWERS)
    (tmp_path / "config.json").write_text(json.dumps({"validationFraction": 0, "output": "file:///nowhere"}))
    flags = ["--source", "in.jsonl", "--tokenizer", str(model), "--output", "out", "--json", "result.json", "--workers", "1"]
    ended = run("prepare", "--config", "config.json", *flags, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(ended.stdout)
    assert "clean: " in ended.stderr and "split: " in ended.stderr and "conversations (100 %)" in ended.stderr
    first = content_of(tmp_path / "out")
    assert run("prepare", "--config", "config.json", *flags, cwd=tmp_path).returncode == 0
    assert content_of(tmp_path / "out") == first


def test_the_tokenizer_is_the_trainers(model, tmp_path):
    loaded = load_tokenizer(f"file://{model}")
    assert loaded.begins and loaded.open().count("the model </s>") == tokenizer().open().count("the model </s>")
    with pytest.raises(TrainingError, match=r"There is no usable tokenizer at file://.*: correct tokenizer") as caught:
        load_tokenizer(f"file://{tmp_path}")
    assert caught.value.exit_code == BAD_INPUT


@pytest.mark.parametrize(
    ("arguments", "task", "code", "sentence"),
    [
        ([], None, BAD_CONFIGURATION, "There is nothing to do: give a command"),
        ([], {"name": "a/b", "config": {"sources": []}}, BAD_CONFIGURATION, "sources must be a list"),
        ([], {"name": "ab", "config": {}}, BAD_CONFIGURATION, "VICUNA_TASK cannot be used"),
        (["prepare", "--config", "none.json"], None, BAD_CONFIGURATION, "There is no file none.json: correct --config."),
        (["inspect", "/nowhere/none.json"], None, BAD_INPUT, "There are no conversations at file:///nowhere/none.json"),
        (["inspect", "gs://bucket/x"], None, BAD_CONFIGURATION, "gs:// needs gcsfs"),
    ],
)
def test_what_cannot_work_ends_with_its_code_and_a_sentence(tmp_path, monkeypatch, capsys, arguments, task, code, sentence):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["vicuna_data", *arguments])
    monkeypatch.setenv("VICUNA_TERMINATION_LOG", str(tmp_path / "message"))
    monkeypatch.setenv("VICUNA_TASK", "" if task is None else json.dumps(task))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code and sentence in (tmp_path / "message").read_text()
    assert capsys.readouterr().err.count("\n") == 1  # a sentence, no traceback


def test_a_storage_that_fails_ends_with_its_code(model, tmp_path):
    source = write_lines(tmp_path / "in.jsonl", ANSWERS)
    (tmp_path / "file").write_text("no directory")
    flags = ["--source", source, "--tokenizer", str(model), "--output", str(tmp_path / "file" / "out")]
    ended = run("prepare", *flags, message=tmp_path / "message")
    assert ended.returncode == STORAGE_FAILED and "The storage failed" in (tmp_path / "message").read_text()


def test_sigterm_ends_it_at_once(tmp_path):
    script = (
        "import time; from vicuna_data.task import run_to_the_end\n"
        "def work():\n    print('at work', flush=True)\n    time.sleep(60)\n"
        "run_to_the_end(work)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    env["VICUNA_TERMINATION_LOG"] = str(tmp_path / "message")
    with subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE) as started:
        assert started.stdout.readline() == b"at work\n"
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=30) == TERMINATED
    assert "taken up again" in (tmp_path / "message").read_text()


def test_inspect_says_what_would_become_of_records(tmp_path):
    source = write_lines(tmp_path / "in.jsonl", [ANSWERS[0], record("Who?", "I am ChatGPT."), "{broken"])
    ended = run("inspect", source, "--show")
    assert ended.returncode == 0
    assert "record 0 (0): kept, 1 rounds, language en" in ended.stdout and "--- assistant\nNumber 0 is so" in ended.stdout
    assert "record 1: set aside, forbiddenPhrases: chatgpt" in ended.stdout
    assert "record 2: set aside, notJson" in ended.stdout


def test_rules_are_listed():
    assert "forbiddenPhrases   rejects" in run("rules").stdout


class Heard(io.StringIO):
    """Tells when a whole line has been written."""

    def __init__(self):
        super().__init__()
        self.line = threading.Event()

    def write(self, text):
        written = super().write(text)
        if "\n" in text:
            self.line.set()
        return written


def test_an_operator_that_is_away_neither_fails_nor_delays_the_work(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("t")
    heard = Heard()
    monkeypatch.setattr(sys, "stderr", heard)
    reporter = Reporter("http://127.0.0.1:9/report", str(tmp_path / "token"))
    begun = time.monotonic()
    for done in range(100):
        reporter(State("clean", done, 100, "records", None))
    assert time.monotonic() - begun < 1
    assert heard.line.wait(30)
    assert "The operator cannot be told of the progress" in heard.getvalue() and "the work goes on" in heard.getvalue()


def test_the_time_left_is_of_the_rate_of_this_run(capsys):
    now = [0.0]
    states = []
    progress = Progress(states.append, clock=lambda: now[0])
    progress.update("split", 500, 1000, "conversations")  # done before
    now[0] = 10.0
    progress.update("split", 600, 1000, "conversations")
    progress.update("clean", 0, None, "records")
    assert [state.etaSeconds for state in states] == [None, 40, None]
    assert "split: 600 of 1,000 conversations (60 %), 40 s left" in capsys.readouterr().err


def test_a_task_may_have_no_operator():
    task = Task.from_environment({"VICUNA_TASK": '{"name": "a/b", "config": {}}'})
    task.reporter()(State("clean", 0, None, "records", None))
    assert Task.from_environment({}) is None


def test_settings_say_all_that_decides_the_output():
    assert config(split={"maxTokens": 100}).settings() != config().settings()
    assert Path(config(output="file:///elsewhere").output).name not in json.dumps(config(output="file:///elsewhere").settings())
