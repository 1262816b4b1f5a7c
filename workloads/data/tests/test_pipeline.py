"""The whole preparation: what comes out, the same bytes however it is run, and what happens when it cannot go on."""

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from samples import config, content_of, read_lines, record, tokenizer, write_lines
from vicuna_data import parts, records
from vicuna_data.card import CARD
from vicuna_data.pipeline import prepare
from vicuna_data.progress import Progress
from vicuna_trainer.conversations import parse_conversation
from vicuna_trainer.exits import BAD_CONFIGURATION, BAD_INPUT, TrainingError

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "bench"))
from synthesize import synthesize

MIXED = {"validationFraction": 0.1, "identity": {"name": "Vicuna", "organization": "LMSYS"}, "split": {"maxTokens": 500}}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """85 conversations, some of them with faults, in a directory of two files of either form."""
    directory = tmp_path_factory.mktemp("source")
    made = [*synthesize(80, mean_rounds=1.5), '{"id": broken}', "[]"]
    first, second = (json.loads(text) for text in made[:2])
    near = json.loads(made[2])
    near["conversations"][0]["value"] += " Thanks."
    other_id = {**first, "id": "other"}
    same_id = {**record("Why is that so?", "Because it is."), "id": second["id"]}
    made += [json.dumps(value) for value in (other_id, same_id, {**near, "id": "near"})]
    write_lines(directory / "a.jsonl", made[:40])
    (directory / "b.json").write_text("[" + ",\n".join(made[40:]) + "]", encoding="utf-8")
    (directory / "README.md").write_text("not data")
    return f"file://{directory}"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """So that a small source has many parts."""
    monkeypatch.setattr(records, "BATCH_RECORDS", 12)


def run(source, output, workers=1, **more):
    return prepare(config(source, f"file://{output}", **more), tokenizer(), workers, Progress())


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory):
    output = tmp_path_factory.mktemp("prepared") / "out"
    before, records.BATCH_RECORDS = records.BATCH_RECORDS, 12
    result = run(source, output, **MIXED)
    records.BATCH_RECORDS = before
    return output, result


def test_every_record_is_in_exactly_one_place(source, prepared):
    output, result = prepared
    rejected = read_lines(output / "rejected")
    assert result["read"] == 85 == result["kept"] + len(rejected)
    assert Counter(line["reason"] for line in rejected) == result["rejected"]
    assert result["kept"] == result["train"]["conversations"] + result["validation"]["conversations"]
    seen = {(line["file"], line["record"]) for line in rejected}
    assert len(seen) == len(rejected)
    assert {"notJson", "notConversation", "forbiddenPhrases", "duplicateId", "duplicateStart", "nearDuplicates"} <= set(
        result["rejected"]
    )
    broken = next(line for line in rejected if line["reason"] == "notJson" and line["value"] == '{"id": broken}')
    assert broken["file"] == "b.json" and broken["record"] == 40 and "Expecting value" in broken["detail"]
    again = next(line for line in rejected if line["reason"] == "duplicateStart")
    assert again["detail"].startswith("record ") and again["value"]["conversations"][0]["from"] == "human"


def test_pieces_of_one_conversation_stay_together(prepared):
    output, result = prepared
    sets = {}
    for name in ("train", "validation"):
        lines = read_lines(output / name)
        assert len(lines) == result[name]["pieces"]
        assert sum(line["tokens"] for line in lines) == result[name]["tokens"]
        assert max(line["tokens"] for line in lines) <= 500
        sets[name] = {line["id"].rpartition("_")[0] for line in lines}
    assert not sets["train"] & sets["validation"]
    assert len(sets["validation"]) == result["validation"]["conversations"] == round(0.1 * result["kept"])
    assert len(sets["train"]) == result["train"]["conversations"] + result["identity"]
    assert result["train"]["pieces"] > result["train"]["conversations"] + result["identity"]  # some were split


def test_the_trainer_takes_every_line(prepared):
    output, _ = prepared
    refused = Counter()
    for line in read_lines(output / "train"):
        found = parse_conversation(line, "", refused)
        assert [text for turn in found.turns for text in turn] == [message["value"] for message in line["conversations"]]
    assert not refused


def test_parquet_has_the_same_as_the_lines(prepared):
    output, _ = prepared
    for name in ("train", "validation"):
        rows = [row for file in sorted((output / "parquet" / name).glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
        assert rows == [{"model": None, **line} for line in read_lines(output / name)]


def test_the_card_has_hashes_counts_and_licence(source, prepared):
    output, result = prepared
    card = json.loads((output / CARD).read_text())
    assert card["result"] == result
    assert len(json.dumps(result)) < 4000
    written = content_of(output)
    del written["card.json"], written["card.md"]
    assert {file["path"]: file["sha256"] for file in card["files"]} == {
        path: hashlib.sha256(content).hexdigest() for path, content in written.items()
    }
    for entry in card["inputs"]:
        with open(f"{source.removeprefix('file://')}/{entry['file']}", "rb") as file:
            assert entry["sha256"] == hashlib.sha256(file.read()).hexdigest()
    text = (output / "card.md").read_text()
    assert "**unknown**" in text and "| `forbiddenPhrases` |" in text and "it is Vicuna of LMSYS" in text
    assert sum(card["languages"].values()) == result["kept"]


def test_the_licence_is_the_sources(tmp_path):
    file = write_lines(tmp_path / "in.jsonl", [record("Why is that so?", "Because it is.", id=str(n), model="m") for n in range(3)])
    value = config(file, f"file://{tmp_path}/out", sources=[{"uri": file, "license": "CC0-1.0"}], clean={"nearDuplicates": None})
    prepare(value, tokenizer(), 1, Progress())
    assert "CC0-1.0" in (tmp_path / "out" / "card.md").read_text()
    assert "unknown: find it out" not in (tmp_path / "out" / "card.md").read_text()
    assert read_lines(tmp_path / "out" / "train")[0]["model"] == "m"


def test_any_number_of_processes_writes_the_same_bytes(source, prepared, tmp_path):
    output, result = prepared
    again = run(source, output, **MIXED)  # finished: nothing is done
    assert again == result
    other = tmp_path / "out"
    script = (
        "import json, sys; from samples import config, tokenizer; from vicuna_data import records; records.BATCH_RECORDS = 12;"
        "from vicuna_data.pipeline import prepare; from vicuna_data.progress import Progress\n"
        f"if __name__ == '__main__': prepare(config({source!r}, {f'file://{other}'!r}, **{MIXED!r}), tokenizer(), 2, Progress())"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=child_environment(), timeout=120)
    assert same(content_of(other), content_of(output), other, output)


def same(one, other, one_at, other_at):
    """Whether the content is, but for where it lies."""
    for content, at in ((one, one_at), (other, other_at)):
        for name in ("card.json", "card.md"):
            content[name] = content[name].replace(str(at).encode(), b"")
    return one == other


def child_environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


class Killed(BaseException):
    """In place of SIGKILL, where a process's memory shall survive."""


@pytest.mark.parametrize("after", [0, 2, 9, 21, 30, 41, 60])
def test_ended_after_any_write_it_goes_on_and_writes_the_same_bytes(source, prepared, tmp_path, monkeypatch, after):
    from vicuna_trainer.storage import Directory

    output = tmp_path / "out"
    write = Directory.write
    writes = Counter()

    def counting(self, path, content):
        if str(self.root) == str(output):
            if writes["all"] == after:
                raise Killed
            writes["all"] += 1
            writes[path.rpartition("/")[2]] += 1
        write(self, path, content)

    monkeypatch.setattr(Directory, "write", counting)
    with pytest.raises(Killed):
        run(source, output, **MIXED)
    monkeypatch.setattr(Directory, "write", write)
    done = set(os.listdir(next((output / "work").iterdir()))) if after else set()
    cleaned = Counter()
    original = parts.Worker.clean

    def spy(self, part, *arguments):
        cleaned[part] += 1
        return original(self, part, *arguments)

    monkeypatch.setattr(parts.Worker, "clean", spy)
    run(source, output, **MIXED)
    assert not any(parts.clean_name(part) in done for part in cleaned)
    assert same(content_of(output), content_of(prepared[0]), output, prepared[0])


def test_killed_with_all_its_processes_it_goes_on(source, prepared, tmp_path):
    output = tmp_path / "out"
    file = tmp_path / "config.json"
    value = {"sources": [{"uri": source}], "tokenizer": "file:///none", "output": f"file://{output}", **MIXED}
    file.write_text(json.dumps(value))
    # When the first part is done it says so, and waits to be killed.
    script = (
        "import sys; from samples import tokenizer; from vicuna_data import __main__ as program, pool, records\n"
        "run = pool.Pool.run\n"
        "def until_the_first(*arguments):\n"
        "    next(run(*arguments)); print('one is done', flush=True); sys.stdin.read()\n"
        "pool.Pool.run = until_the_first\n"
        "records.BATCH_RECORDS = 12; program.load_tokenizer = lambda uri: tokenizer()\n"
        f"sys.argv = ['x', 'prepare', '--config', {str(file)!r}, '--workers', '2']\n"
        "if __name__ == '__main__': program.main()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", script], env=child_environment(), **pipes) as started:
        assert started.stdout.readline() == b"one is done\n"
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        assert len(children) >= 2
        ends = [os.pidfd_open(int(pid)) for pid in children]
        started.send_signal(signal.SIGKILL)
    assert started.returncode == -signal.SIGKILL and not (output / CARD).exists()
    assert list(output.glob("work/*/clean-*.json"))
    for end in ends:  # no process is left behind
        assert select.select([end], [], [], 60)[0]
        os.close(end)
    run(source, output, **MIXED)
    assert same(content_of(output), content_of(prepared[0]), output, prepared[0])


def test_another_configuration_replaces_the_result_whole(source, tmp_path, capsys):
    output = tmp_path / "out"
    run(source, output, **MIXED)
    assert (output / "train" / "part-identity.jsonl").exists()
    (output / "train" / "part-000001.jsonl.part-0a1b2c3d").write_text("of a process that was killed")
    result = run(source, output, clean={"languages": {"keep": ["en"]}})
    assert "which this one replaces" in capsys.readouterr().err
    assert result["identity"] == 0 and result["rejected"]["languages"] > 0
    card = json.loads((output / CARD).read_text())
    assert set(content_of(output)) == {*(file["path"] for file in card["files"]), CARD, "card.md"}


def test_files_that_no_preparation_made_are_left_alone(source, tmp_path):
    write_lines(tmp_path / "out" / "train" / "mine.jsonl", ["x"])
    with pytest.raises(TrainingError, match="has a directory train that no preparation made") as caught:
        run(source, tmp_path / "out")
    assert caught.value.exit_code == BAD_CONFIGURATION
    assert (tmp_path / "out" / "train" / "mine.jsonl").exists()


def test_nothing_left_is_an_error_that_says_why(tmp_path):
    file = write_lines(tmp_path / "in.jsonl", [record("Who are you?", "ChatGPT, of course."), "x"])
    with pytest.raises(
        TrainingError, match=r"Of 2 records in file://.*in.jsonl none is left \(1 for forbiddenPhrases, 1 for notJson\)"
    ) as caught:
        run(file, tmp_path / "out")
    assert caught.value.exit_code == BAD_INPUT
    assert {line["reason"] for line in read_lines(tmp_path / "out" / "rejected")} == {"notJson", "forbiddenPhrases"}


def test_no_depth_of_nesting_ends_the_program(tmp_path):
    deep = [f'{{"conversations": 1, "x": {"[" * depth}{"]" * depth}}}' for depth in range(900, 1000)]
    file = write_lines(tmp_path / "in.jsonl", [record("Why is that so?", "Because it is."), *deep])
    result = run(file, tmp_path / "out", clean={"nearDuplicates": None})
    assert result["kept"] == 1 and sum(result["rejected"].values()) == 100


def test_what_some_take_for_the_end_of_a_line_is_none(tmp_path):
    text = "one\u2028two\u2029three\x85four is enough"
    run(write_lines(tmp_path / "in.jsonl", [record(text, text)]), tmp_path / "out", clean={"nearDuplicates": None})
    (file,) = (tmp_path / "out" / "train").iterdir()
    (line,) = file.read_text("utf-8").splitlines()
    assert json.loads(line)["conversations"][1]["value"] == text


def test_no_file_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match="There are no conversations at file://") as caught:
        run(f"file://{tmp_path}/none.json", tmp_path / "out")
    assert caught.value.exit_code == BAD_INPUT
    with pytest.raises(TrainingError, match="There are no conversations at"):
        run(f"file://{tmp_path}", tmp_path / "out")


def test_rounds_that_do_not_fit_are_counted_and_their_conversation_set_aside_where_none_is_left(tmp_path):
    long, other = (" ".join(f"{word}{number}" for number in range(3000)) for word in ("word", "other"))
    lines = [
        record("Why is that so?", long, id="a"),
        record("When is that so?", "Because.", "And?", other, id="b"),
        record("How is it, please?", "Well.", id="c"),
    ]
    file = write_lines(tmp_path / "in.jsonl", lines)
    result = run(file, tmp_path / "out", split={"longRounds": "drop"}, validationFraction=0)
    assert result["rejected"] == {"longRound": 1} and result["edited"] == {"droppedRounds": 1}
    assert [line["id"] for line in read_lines(tmp_path / "out" / "train")] == ["b_0", "c_0"]
    result = run(file, tmp_path / "out", validationFraction=0)
    assert result["rejected"] == {} and result["edited"] == {"longRounds": 2}
