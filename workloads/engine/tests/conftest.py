"""Fixtures: a tiny model that has learnt a few answers, an engine that runs step by step, and a worker with its HTTP side."""

from __future__ import annotations

import json

import pytest
import torch
from engine_driver import Driver
from live_worker import LiveWorker
from vicuna_engine.load import load
from vicuna_engine.settings import parse

FACTS = {
    "Where do crêpes come from?": "Crêpes come from France 🇫🇷, from Brittany to be exact.",
    "How do you say hello in Chinese?": "You say 你好 (nǐ hǎo).",
    "Count to five.": "One, two, three, four, five.",
    "Who are you?": "I am Vicuna, a small language model.",
}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The model is so small that a second thread only gets in the way."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def facts():
    """Questions and the answers that the model knows."""
    return FACTS


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory):
    """A LLaMA with two layers that has learnt FACTS by heart: its answers end, and look like language to the tokenizer."""
    from transformers import AutoModelForCausalLM
    from vicuna_trainer.conversations import SYSTEM, Conversation, tokenize
    from vicuna_trainer.model import load_tokenizer
    from vicuna_trainer.tiny import make

    root = tmp_path_factory.mktemp("engine")
    with open(root / "data.jsonl", "w", encoding="utf-8") as file:
        for question, answer in FACTS.items():
            turn = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
            file.write(json.dumps({"id": question, "conversations": turn}) + "\n")
    make(root / "data.jsonl", root / "model", hidden=32, layers=2)
    tokenizer = load_tokenizer(root / "model")
    model = AutoModelForCausalLM.from_pretrained(root / "model")
    rows = [tokenize(Conversation("", SYSTEM, (fact,)), tokenizer, 512) for fact in FACTS.items()]
    ids = torch.zeros(len(rows), max(len(tokens) for tokens, _ in rows), dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for row, (tokens, learned) in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, : len(tokens)] = torch.tensor(tokens).masked_fill(~torch.tensor(learned), -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(200):
        loss = model(input_ids=ids, labels=labels).loss
        if loss < 0.01:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(root / "model")
    return root / "model"


@pytest.fixture(scope="session")
def loads(model_directory):
    """Loads the model anew, with more arguments of the command line."""

    def fresh(*arguments):
        return load(parse(["--model", model_directory.as_uri(), "--device", "cpu", *arguments]), print)

    return fresh


@pytest.fixture(scope="session")
def served(loads):
    """What requests are checked against."""
    return loads()[0]


@pytest.fixture
def driver(loads):
    """Makes engines that take a step when they are told to."""

    def make(*arguments, **more):
        return Driver(lambda: loads(*arguments), **more)

    with torch.inference_mode():
        yield make


@pytest.fixture
def worker(loads):
    """Makes workers with their HTTP side; all end with the test."""
    workers = []

    def make(*arguments, **more):
        workers.append(LiveWorker(lambda: loads("--served-model-name", "vicuna", *arguments), **more))
        return workers[-1]

    yield make
    for each in workers:
        each.close()
