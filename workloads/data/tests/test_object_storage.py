"""From and to an object store: the same bytes as on a disk."""

import sys
from pathlib import Path

import pytest
from samples import config, content_of, record, tokenizer, write_lines
from vicuna_data.pipeline import prepare
from vicuna_data.progress import Progress

sys.path.append(str(Path(__file__).parents[2] / "trainer" / "tests"))
from fake_s3 import FakeS3


@pytest.fixture
def s3(monkeypatch):
    with FakeS3() as store:
        for name, value in store.env.items():
            monkeypatch.setenv(name, value)
        yield store


def test_from_and_to_an_object_store(s3, tmp_path):
    lines = [record(f"Why is number {n} so?", f"Because number {n} is so.", id=str(n)) for n in range(20)]
    file = write_lines(tmp_path / "in.jsonl", [*lines, "{broken"])
    s3.objects["bucket/data/in.jsonl"] = (tmp_path / "in.jsonl").read_bytes()
    clean = {"clean": {"nearDuplicates": None}}
    result = prepare(config("s3://bucket/data/in.jsonl", "s3://bucket/out", **clean), tokenizer(), 1, Progress())
    assert result["train"]["uri"] == "s3://bucket/out/train" and result["kept"] == 20
    prepare(config(file, f"file://{tmp_path}/out", **clean), tokenizer(), 1, Progress())
    stored = {name.removeprefix("bucket/out/"): body for name, body in s3.objects.items() if name.startswith("bucket/out/")}
    local = content_of(tmp_path / "out")
    for card in ("card.json", "card.md"):
        assert stored.pop(card) and local.pop(card)
    assert stored == local
    again = prepare(config("s3://bucket/data/in.jsonl", "s3://bucket/out", **clean), tokenizer(), 1, Progress())
    assert again == result
