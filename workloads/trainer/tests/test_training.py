"""Real gloo processes: whatever interrupts them, the result is the undisturbed run's."""

from __future__ import annotations

import json
import os
import random
import time

import pytest
from safetensors.torch import load_file
from vicuna_trainer.check_samples import check
from vicuna_trainer.manifest import MANIFEST, committed, parse_name, read_manifest, verify
from vicuna_trainer.storage import open_storage

from .ranks import Ranks

TOTAL = 40  # 40 samples, 4 per step, 4 epochs
EPOCHS = 4


@pytest.fixture(autouse=True)
def four_epochs(ranks):
    ranks.recipe["epochs"] = EPOCHS


@pytest.fixture(scope="module")
def undisturbed(processes, tiny, tmp_path_factory):
    """Losses by step, and the final weights, of a run of two processes that nothing happens to."""
    gang = Ranks(processes, tiny, tmp_path_factory.mktemp("u"))
    gang.recipe["epochs"] = EPOCHS
    gang.start(2)
    assert gang.wait_end(120) == [0, 0], gang.ended
    gang.close()
    losses = gang.losses()
    assert sorted(losses) == list(range(1, TOTAL + 1)) and losses[TOTAL] < losses[1]
    return losses, load_file(gang.storage / "model" / "model-00001.safetensors")


def expect_as_undisturbed(ranks, undisturbed, tolerance):
    """The history proves every sample once per epoch; losses and weights are the undisturbed run's."""
    proof = check(open_storage(ranks.storage_uri))
    assert (proof.epochs, proof.rest, proof.steps) == (EPOCHS, 0, TOTAL)
    expected, weights = undisturbed
    assert ranks.losses() == pytest.approx(expected, abs=tolerance)
    final = load_file(ranks.storage / "model" / "model-00001.safetensors")
    for name, tensor in weights.items():
        assert (final[name] - tensor).abs().max() <= tolerance, name


def test_interruptions_with_notice_lose_no_step(ranks, undisturbed):
    """Twelve stops at random moments: while starting, in a step, during a save."""
    chance = random.Random(int(os.environ.get("VICUNA_TEST_SEED", "1")))
    for _ in range(12):
        resume = ranks.checkpoint()
        ranks.start(2, resume, {"steps": 2})
        if chance.random() < 0.75:
            ranks.wait(lambda said: said["state"] == "running")
        time.sleep(chance.uniform(0.0, 0.35))  # not a wait for anything: the moment is what varies
        ranks.direct("stop")
        assert ranks.wait_end() == [0, 0], ranks.ended
        reached = ranks.step
        assert ((ranks.checkpoint() or {}).get("step", 0)) == reached, "a stop loses nothing"
        last = {said["localRank"]: said["state"] for said in ranks.said if said["generation"] == ranks.generation}
        assert set(last.values()) in ({"stopped"}, {"succeeded"})
    ranks.start(2, ranks.checkpoint())
    assert ranks.wait_end() == [0, 0], ranks.ended
    expect_as_undisturbed(ranks, undisturbed, 1e-5)


def test_kills_at_random_moments_never_damage_a_checkpoint(ranks, undisturbed):
    """Twelve times SIGKILL to one or both processes, with saves under way all the time."""
    chance = random.Random(int(os.environ.get("VICUNA_TEST_SEED", "2")))
    for _ in range(12):
        resume = ranks.checkpoint()
        ranks.start(2, resume, {"steps": 2})
        if chance.random() < 0.75:
            ranks.wait(lambda said: said["state"] == "running")
        time.sleep(chance.uniform(0.0, 0.6))
        if chance.random() < 0.3:
            ranks.direct("checkpoint")
        ranks.kill(*chance.choice([[0], [1], [0, 1]]))
        time.sleep(chance.choice([0.0, 0.2]))
        ranks.end()  # a survivor may wait for its peer for ever; the supervisor ends it when the next world comes
        # What claims to be complete is complete, whoever died writing.
        storage = open_storage(ranks.storage_uri)
        for name in committed(storage):
            verify(storage, name)
        reached, saved = ranks.step, (ranks.checkpoint() or {}).get("step", 0)
        assert reached - saved <= 5, "an interval of 2, and the steps that pass while a save is under way"
    ranks.start(2, ranks.checkpoint())
    assert ranks.wait_end() == [0, 0], ranks.ended
    expect_as_undisturbed(ranks, undisturbed, 1e-5)


def test_resumes_on_one_two_and_four_processes(ranks, undisturbed):
    for world_size in (2, 1, 4, 3, 2):
        resume = ranks.checkpoint()
        ranks.start(world_size, resume)
        ranks.wait_step((resume["step"] if resume else 0) + 5)
        ranks.direct("stop")
        assert ranks.wait_end() == [0] * world_size, ranks.ended
        assert (
            read_manifest(open_storage(ranks.storage_uri), ranks.checkpoint()["uri"].rpartition("/")[2])["worldSize"] == world_size
        )
    ranks.start(1, ranks.checkpoint())
    assert ranks.wait_end() == [0], ranks.ended
    # Sums are made in another order on another number of processes.
    expect_as_undisturbed(ranks, undisturbed, 2e-4)


def test_a_checkpoint_on_demand_does_not_end_training(ranks):
    ranks.start(2)
    ranks.wait_step(2)
    ranks.direct("checkpoint")
    saved = ranks.wait(lambda said: "checkpoint" in said)
    assert saved["state"] == "running"
    ranks.wait_step(saved["checkpoint"]["step"] + 3)
    assert len(list(ranks.storage.glob("step-*"))) == 1, "one directive, one save"


def test_what_is_kept(ranks):
    """The newest two and the one that the operator acknowledged; nothing incomplete stays behind."""
    ranks.keep = 2
    ranks.storage.mkdir()
    (ranks.storage / "step-00000002-g0.incomplete").mkdir()
    (ranks.storage / "step-00000003-g0.deleted-abc").mkdir()
    ranks.start(1, interval={"steps": 5})
    first = ranks.wait(lambda said: "checkpoint" in said)["checkpoint"]
    ranks.acknowledged = first["uri"]
    ranks.direct("run")
    assert ranks.wait_end() == [0]
    left = sorted(path.name for path in ranks.storage.glob("step-*"))
    assert first["uri"].rpartition("/")[2] in left
    assert len(left) == 3 and all((ranks.storage / name / MANIFEST).exists() for name in left)


def test_the_exported_model_is_what_transformers_loads(ranks):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ranks.recipe["maxSteps"] = 2
    ranks.recipe["precision"] = "bf16"
    ranks.start(2)
    assert ranks.wait_end() == [0, 0], ranks.ended
    model = AutoModelForCausalLM.from_pretrained(ranks.storage / "model")
    tokenizer = AutoTokenizer.from_pretrained(ranks.storage / "model")
    text = tokenizer.apply_chat_template([{"role": "user", "content": "1?"}], tokenize=False, add_generation_prompt=True)
    assert text.endswith("USER: 1? ASSISTANT:")
    out = model.generate(**tokenizer(text, return_tensors="pt", add_special_tokens=False), max_new_tokens=4)
    assert out.shape[1] > 4
    assert json.loads((ranks.storage / "model" / MANIFEST).read_text())["step"] == 2


def test_activation_checkpointing_and_accumulation_change_nothing(ranks, undisturbed):
    ranks.recipe.update(activationCheckpointing=True, microBatchSize=1, maxSteps=4, warmupRatio=0.1)
    ranks.start(2)
    assert ranks.wait_end() == [0, 0], ranks.ended
    # maxSteps shortens the schedule: only what does not depend on it can be compared.
    assert ranks.losses()[1] == pytest.approx(undisturbed[0][1], abs=1e-5)


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        ({"recipe": {"learningRate": 1e30, "warmupRatio": 0.0}}, 65, "The loss is not finite at step"),
        ({"recipe": {"schedule": "square"}}, 64, "recipe.schedule is 'square'"),
        ({"recipe": {"contextLength": 20}}, 66, "raise recipe.contextLength"),
        ({"dataset": "file:///nowhere/data.jsonl"}, 66, "There is no dataset at file:///nowhere/data.jsonl"),
        ({"model": "file:///nowhere"}, 66, "There is no model at file:///nowhere"),
        ({"storage_uri": "gs://bucket/x"}, 64, "gs:// needs gcsfs"),
    ],
)
def test_what_cannot_work_ends_with_a_sentence(ranks, change, code, sentence):
    for name, value in change.items():
        if name == "recipe":
            ranks.recipe.update(value)
        else:
            setattr(ranks, name, value)
    ranks.start(1)
    assert ranks.wait_end() == [code]
    assert sentence in ranks.ended[0][1]
    assert ranks.said[-1]["state"] == "failed" and sentence in ranks.said[-1]["message"]


def test_a_loss_that_is_not_finite_leaves_the_last_checkpoint_usable(ranks):
    ranks.recipe.update(learningRate=1e30, warmupRatio=0.0)
    ranks.start(2, interval={"steps": 1})
    assert ranks.wait_end() == [65, 65]
    checkpoint = ranks.checkpoint()
    assert checkpoint is None or checkpoint["step"] <= ranks.step


@pytest.mark.parametrize("damage", ["shorten", "lose", "flip", "no manifest", "not ours"])
def test_nothing_is_resumed_from_a_damaged_checkpoint(ranks, damage):
    ranks.recipe["maxSteps"] = 2
    ranks.start(1)
    assert ranks.wait_end() == [0]
    checkpoint = ranks.checkpoint()
    directory = ranks.storage / checkpoint["uri"].rpartition("/")[2]
    data = directory / "__0_0.distcp"
    if damage == "shorten":
        os.truncate(data, 1000)
    elif damage == "lose":
        data.unlink()
    elif damage == "flip":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif damage == "no manifest":
        (directory / MANIFEST).unlink()
    else:
        checkpoint = {**checkpoint, "uri": "file:///elsewhere/step-00000002-g1"}
    ranks.start(1, checkpoint)
    assert ranks.wait_end() == [66]
    assert any(word in ranks.ended[0][1] for word in ("is damaged", "no complete checkpoint", "is no checkpoint in"))


def test_a_changed_dataset_is_not_resumed(ranks):
    ranks.recipe["maxSteps"] = 2
    ranks.start(1)
    assert ranks.wait_end() == [0]
    ranks.recipe["contextLength"] = 200
    ranks.recipe["globalBatchTokens"] = 800
    ranks.recipe["seed"] = 8
    ranks.start(1, ranks.checkpoint())
    assert ranks.wait_end() == [64]
    assert "cannot be resumed" in ranks.ended[0][1]


def test_a_storage_with_another_trainings_checkpoints_is_not_begun_in(ranks):
    """Whatever the generation: a training has to say that it goes on from them, and from the last one."""
    ranks.recipe["maxSteps"] = 4
    ranks.start(2, interval={"steps": 2})
    assert ranks.wait_end() == [0, 0]
    names = sorted(path.name for path in ranks.storage.glob("step-*"))
    assert names == ["step-00000002-g1", "step-00000004-g1"]
    ranks.start(2)
    assert ranks.wait_end() == [0, 0], "its own do not keep it from beginning again"
    last = sorted(ranks.storage.glob("step-*"))[-1].name
    ranks.owner = "second"
    for generation in (0, 3):
        ranks.generation = generation
        ranks.start(2)
        assert ranks.wait_end() == [64, 64]
        assert f"create the training with checkpoint.resumeFrom: {last} to go on from it" in ranks.ended[0][1]
    ranks.start(2, {"step": 4, "uri": f"{ranks.storage_uri}/step-00000004-g1"})
    assert ranks.wait_end() == [64, 64]
    assert f"{last} is: go on from that one" in ranks.ended[0][1]
    ranks.recipe["maxSteps"] = 6
    ranks.start(2, {"step": 4, "uri": f"{ranks.storage_uri}/{last}"})
    assert ranks.wait_end() == [0, 0]
    model = json.loads((ranks.storage / "model" / MANIFEST).read_text())
    assert (model["step"], model["checkpoint"]) == (6, f"step-00000006-g{ranks.generation}")


def test_parse_name():
    assert parse_name("step-00000012-g3") == (12, 3)
    assert parse_name("step-00000012-g3.incomplete") is None
