"""The Hugging Face Trainer's callback, driven as that Trainer drives it."""

from types import SimpleNamespace

import pytest
from vicuna_trainer import session

ARGS = SimpleNamespace(output_dir="/ckpt")


class Recorded:
    """A session that notes what it is told, and answers as the test says."""

    def __init__(self, save=False, stop=False):
        self.told = []
        self.report = lambda step, loss, **more: self.told.append((step, loss, more))
        self.saved = lambda path, step: self.told.append((path, step))
        self.should_save = lambda: save
        self.should_stop = lambda: stop


def state(step):
    return SimpleNamespace(global_step=step, max_steps=10, epoch=None)


def control(save=False, stop=False):
    return SimpleNamespace(should_save=save, should_training_stop=stop)


@pytest.fixture
def callback(monkeypatch):
    def make(recorded):
        monkeypatch.setattr(session, "_default", recorded)
        return session.trainer_callback()

    return make


def test_a_step_is_reported_with_the_last_loss(callback):
    recorded = Recorded()
    hooks = callback(recorded)
    hooks.on_log(ARGS, state(1), control(), logs={"loss": 2.5})
    hooks.on_log(ARGS, state(1), control(), logs={"grad_norm": 1.0})
    hooks.on_step_end(ARGS, state(2), control())
    assert recorded.told == [(2, 2.5, {"total_steps": 10, "epoch": 0.0})]


@pytest.mark.parametrize(("asked", "own"), [(False, False), (True, False), (False, True)])
def test_it_saves_and_stops_when_either_side_wants_to(callback, asked, own):
    after = callback(Recorded(save=asked, stop=asked)).on_step_end(ARGS, state(2), control(save=own, stop=own))
    assert (after.should_save, after.should_training_stop) == (asked or own, asked or own)


def test_what_the_trainer_has_saved_is_committed(callback):
    recorded = Recorded()
    callback(recorded).on_save(ARGS, state(4), control())
    assert recorded.told == [("/ckpt/checkpoint-4", 4)]
