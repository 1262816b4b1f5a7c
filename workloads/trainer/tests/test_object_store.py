"""Checkpoints in an object store that fails."""

from __future__ import annotations

import time

import pytest
from vicuna_trainer.check_samples import check
from vicuna_trainer.manifest import MANIFEST, committed, verify
from vicuna_trainer.storage import open_storage

from .fake_s3 import FakeS3


@pytest.fixture
def s3():
    with FakeS3() as store:
        yield store


@pytest.fixture
def ranks(ranks, s3):
    """Training processes that save to the object store; the undisturbed end is step 20."""
    ranks.storage_uri = "s3://bucket/run"
    ranks.env = s3.env
    return ranks


def warnings(ranks):
    return [said["message"] for said in ranks.said if "message" in said]


def test_trains_from_and_to_an_object_store_and_resumes(ranks, s3, tiny):
    for path in [*(tiny / "model").iterdir(), tiny / "data.jsonl"]:
        s3.objects[f"bucket/input/{path.relative_to(tiny)}"] = path.read_bytes()
    ranks.model, ranks.dataset = "s3://bucket/input/model", "s3://bucket/input/data.jsonl"
    ranks.start(2, interval={"steps": 3})
    ranks.wait_step(7)
    ranks.direct("stop")
    assert ranks.wait_end() == [0, 0], ranks.ended
    assert ranks.checkpoint()["step"] == ranks.step
    ranks.start(1, ranks.checkpoint())
    assert ranks.wait_end() == [0], ranks.ended
    storage = open_storage(ranks.storage_uri, s3.env)
    proof = check(storage)
    assert (proof.epochs, proof.rest) == (2, 0)
    assert len(committed(storage)) <= ranks.keep + 1
    assert "bucket/run/model/manifest.json" in s3.objects and "bucket/run/model/tokenizer.json" in s3.objects
    assert all(MANIFEST in storage.children(name) for name in storage.children("") if name.startswith("step-"))


@pytest.mark.parametrize("trouble", ["dead", "full"])
def test_training_goes_on_while_the_store_refuses_and_saves_when_it_is_back(ranks, s3, trouble):
    ranks.recipe["epochs"] = 200
    ranks.start(2, interval={"steps": 3})
    first = ranks.wait(lambda said: "checkpoint" in said)["checkpoint"]
    setattr(s3, trouble, True)
    failed = ranks.wait(lambda said: "failed" in said.get("message", ""), 120)
    assert "training goes on" in failed["message"]
    step = ranks.step
    ranks.wait_step(step + 5)
    setattr(s3, trouble, False)
    ranks.wait(lambda said: said.get("checkpoint", first)["step"] > step, 120)
    ranks.wait(lambda said: "message" not in said)
    ranks.direct("stop")
    assert ranks.wait_end() == [0, 0], ranks.ended
    assert check(open_storage(ranks.storage_uri, s3.env)).steps == ranks.step


def test_a_store_that_dies_in_the_middle_of_a_save_leaves_no_checkpoint(ranks, s3):
    storage = open_storage(ranks.storage_uri, s3.env)
    ranks.recipe["epochs"] = 200
    ranks.start(2, interval={"steps": 2})
    ranks.wait(lambda said: "checkpoint" in said)
    for more in (1, 3, 5):
        s3.writes, s3.dies_after_writes = 0, more
        before = len(warnings(ranks))
        ranks.wait(lambda said, before=before: len(warnings(ranks)) > before, 120)
        s3.dead, s3.dies_after_writes = False, None
        for name in committed(storage):
            verify(storage, name)
    saved = ranks.step
    ranks.wait(lambda said: said.get("checkpoint", {"step": 0})["step"] >= saved, 120)


def test_a_slow_store_does_not_slow_training(ranks, s3):
    ranks.recipe["epochs"] = 200
    ranks.start(2, interval={"steps": 2})
    ranks.wait(lambda said: "checkpoint" in said)
    s3.latency = 1.0
    begun, step = time.monotonic(), ranks.step
    ranks.wait_step(step + 10)
    assert time.monotonic() - begun < 8.0, "ten steps and five saves that are due, each of more than three requests"
