"""Fixtures: a tiny model with its conversations, a pod factory, and the operator that the pods talk to."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from .fake_operator import FakeOperator
from .gang import Gang
from .ranks import Ranks, warm_processes


@pytest.fixture(scope="session")
def processes():
    """A warm process for the whole run."""
    warm = warm_processes()
    yield warm
    warm.close()


@pytest.fixture
def ranks(processes, tiny, directory):
    """Training processes without supervisors."""
    gang = Ranks(processes, tiny, directory)
    yield gang
    gang.close()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A directory with `model/` and `data.jsonl`: 40 short conversations."""
    from vicuna_trainer.tiny import make

    root = tmp_path_factory.mktemp("tiny")
    data = root / "data.jsonl"
    with open(data, "w", encoding="utf-8") as file:
        for number in range(40):
            question = f"What is {number} plus {number}? Take your time, number {number * 7} is not the answer."
            answer = f"It is {2 * number}, since twice {number} is {2 * number}."
            turn = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
            file.write(json.dumps({"id": f"c{number}", "conversations": turn}) + "\n")
    make(data, root / "model", hidden=32, layers=2)
    return root


@pytest.fixture
def operator():
    """A fresh fake operator."""
    with FakeOperator() as server:
        yield server


@pytest.fixture
def directory():
    """A directory with a short path: Unix sockets allow 108 characters."""
    path = Path(tempfile.mkdtemp(prefix="vt-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def gang(operator, tiny, directory):
    """Pods of one training; all are gone at the end."""
    with Gang(operator, tiny, directory) as pods:
        yield pods
