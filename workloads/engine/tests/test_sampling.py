"""Choosing tokens."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from vicuna_engine import sampling as module
from vicuna_engine.sampling import Sampling, choose, log_probabilities

LOGITS = torch.tensor([0.0, 1.0, 2.0, 3.0, -5.0]).log_softmax(0)


def draws(sampling, logits=LOGITS, counts=None, places=2000):
    return Counter(choose(logits, sampling, counts or {}, place) for place in range(places))


def test_temperature_0_takes_the_likeliest():
    assert draws(Sampling(temperature=0.0), places=5) == {3: 5}


def test_draws_follow_the_probabilities():
    drawn = draws(Sampling(seed=1))
    for token, probability in enumerate(LOGITS.exp().tolist()):
        assert abs(drawn[token] / 2000 - probability) < 0.035


def test_temperature_flattens_and_sharpens():
    assert draws(Sampling(temperature=2.0, seed=1))[3] < draws(Sampling(seed=1))[3] < draws(Sampling(temperature=0.3, seed=1))[3]
    assert draws(Sampling(temperature=1e-300, seed=1), places=20) == {3: 20}


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({"top_p": 0.5}, {3}),
        ({"top_p": 0.8}, {3, 2}),
        ({"top_k": 1}, {3}),
        ({"top_k": 3}, {3, 2, 1}),
        ({"top_k": 3, "top_p": 0.6}, {3}),
    ],
)
def test_only_the_likeliest_tokens_are_left(limits, left):
    assert set(draws(Sampling(seed=2, **limits))) == left


def test_where_the_first_few_do_not_suffice_all_are_sorted(monkeypatch):
    logits = torch.randn(3000, generator=torch.Generator().manual_seed(1)) * 0.1
    sampling = Sampling(seed=3, top_p=0.9)
    expected = [choose(logits, sampling, {}, place) for place in range(50)]
    monkeypatch.setattr(module, "HEAD", 3000)
    assert [choose(logits, sampling, {}, place) for place in range(50)] == expected


def test_a_draw_depends_on_seed_place_and_choice_alone():
    flat = torch.zeros(1000)
    first = [choose(flat, Sampling(seed=-3), {}, place) for place in range(20)]
    assert [choose(flat, Sampling(seed=-3), {}, place) for place in reversed(range(20))] == first[::-1]
    assert [choose(flat, Sampling(seed=4), {}, place) for place in range(20)] != first
    assert [choose(flat, Sampling(seed=-3, choice=1), {}, place) for place in range(20)] != first


def test_penalties_count_what_the_answer_has():
    assert choose(LOGITS, Sampling(temperature=0.0, presence_penalty=1.5), {3: 1}, 0) == 2
    assert choose(LOGITS, Sampling(temperature=0.0, frequency_penalty=0.6), {3: 1}, 0) == 3
    assert choose(LOGITS, Sampling(temperature=0.0, frequency_penalty=0.6), {3: 2}, 0) == 2
    assert choose(LOGITS, Sampling(temperature=0.0, presence_penalty=-2.0), {2: 1}, 0) == 2


def test_log_probabilities_are_of_the_model_itself():
    value, top = log_probabilities(LOGITS + 7, 1, 2)
    assert value == pytest.approx(float(LOGITS[1]))
    assert [token for token, _ in top] == [3, 2]
    assert top[0][1] == pytest.approx(float(LOGITS[3]))
    assert log_probabilities(LOGITS, 1, 0)[1] == []
