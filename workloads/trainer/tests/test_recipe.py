"""Packing, adapters and validation: what a recipe may ask for beyond the plain one, interrupted like it."""

from __future__ import annotations

import importlib.util
import json
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch.distributed.checkpoint import FileSystemReader
from vicuna_trainer.batches import tensors
from vicuna_trainer.check_samples import check
from vicuna_trainer.config import Config
from vicuna_trainer.conversations import IGNORED
from vicuna_trainer.dataset import TokenDataset
from vicuna_trainer.exits import TrainingError
from vicuna_trainer.packing import Sequences, pack
from vicuna_trainer.storage import open_storage

from .gang import RECIPE


@pytest.mark.parametrize("seed", range(20))
def test_packing_loses_nothing_and_overfills_nothing(seed):
    chance = random.Random(seed)
    room = chance.choice([8, 64, 500])
    lengths = [chance.randint(1, room) for _ in range(chance.randint(1, 300))]
    packs = pack(lengths, room)
    assert sorted(index for members in packs for index in members) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in members) <= room for members in packs)
    assert packs == pack(list(lengths), room), "the same in every process"
    # Best fit decreasing is within 11/9 of the optimum, which is no less than what the tokens fill.
    assert len(packs) <= 11 / 9 * max(1, -(-sum(lengths) // room)) + 4 or max(lengths) * 2 > room


def test_packing_leaves_little_room_unused():
    chance = random.Random(0)
    lengths = [min(2048, int(chance.lognormvariate(6.2, 0.8))) for _ in range(20_000)]
    assert sum(lengths) / (2048 * len(pack(lengths, 2048))) > 0.99


def dataset(lengths, seed=0, vocabulary=200):
    """Random samples of those lengths; the second half of each is learned."""
    chance = np.random.default_rng(seed)
    ids = [chance.integers(3, vocabulary, length).astype(np.int32) for length in lengths]
    learned = [np.arange(length) >= length // 2 for length in lengths]
    return TokenDataset(
        np.concatenate(ids),
        np.concatenate(learned),
        np.cumsum([0, *lengths]),
        np.array([int(sample[1:].sum()) for sample in learned]),
        [f"s{number}" for number in range(len(lengths))],
        "x",
    )


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_conversations_do_not_see_each_other(attention):
    """Loss and gradients are those of each conversation alone."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = {"vocab_size": 200, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(**shape, attn_implementation=attention, use_cache=False)
    model = LlamaForCausalLM(config)
    samples = dataset([30, 17, 41, 5, 64, 2, 1])
    alone, packed = Sequences.of(samples, False, 64), Sequences.of(samples, True, 64)
    assert len(packed) < len(alone)

    def loss_and_gradients(rows, batches):
        model.zero_grad()
        total = 0.0
        for batch in batches:
            made = tensors(rows, batch, torch.device("cpu"))
            logits = model(input_ids=made.ids, position_ids=made.positions).logits[:, :-1].flatten(0, 1)
            loss = F.cross_entropy(logits, made.labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum")
            loss.backward()
            total += loss.item()
        return total, {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    expected, gradients = loss_and_gradients(alone, [[row] for row in range(len(alone))])
    for batches in ([[row] for row in range(len(packed))], [list(range(len(packed))), [None]]):
        found, others = loss_and_gradients(packed, batches)
        assert found == pytest.approx(expected, rel=1e-5)
        for name, gradient in gradients.items():
            assert torch.allclose(others[name], gradient, atol=2e-4), name
    assert sum(packed.target_count(row) for row in range(len(packed))) == sum(samples.targets)


def test_the_flash_kernel_is_refused_for_packed_conversations():
    config = {
        "model": {"base": "file:///m"},
        "dataset": {"uri": "file:///d"},
        "checkpoint": {"storage": "file:///s", "keep": 1},
        "recipe": {**RECIPE, "packing": True, "attention": "flash"},
    }
    with pytest.raises(TrainingError, match="that kernel takes no mask") as raised:
        Config.parse(json.dumps(config))
    assert raised.value.exit_code == 64
    config["recipe"] = {**RECIPE, "lora": {"rank": 8}}
    lora = Config.parse(json.dumps(config)).recipe.lora
    assert (lora.alpha, lora.export, lora.quantization, len(lora.targets)) == (16, "merged", "none", 7)
    for wrong in ({"rank": 0}, {"rank": 8, "export": "both"}, {"rank": 8, "targetModules": []}):
        config["recipe"] = {**RECIPE, "lora": wrong}
        with pytest.raises(TrainingError, match=r"recipe\.lora"):
            Config.parse(json.dumps(config))


def interrupted(ranks, worlds, every):
    """Trains on those numbers of processes in turn, stopped after `every` steps each, then to the end."""
    for world_size in worlds:
        resume = ranks.checkpoint()
        ranks.start(world_size, resume)
        ranks.wait_step((resume["step"] if resume else 0) + every)
        ranks.direct("stop")
        assert ranks.wait_end() == [0] * world_size, ranks.ended
    ranks.start(2, ranks.checkpoint())
    assert ranks.wait_end() == [0, 0], ranks.ended


def test_packed_training_uses_every_sample_once_an_epoch_whatever_happens(ranks):
    ranks.recipe.update(packing=True, epochs=4, contextLength=512, globalBatchTokens=2048)
    interrupted(ranks, (2, 1, 3), 2)
    proof = check(open_storage(ranks.storage_uri))
    assert (proof.epoch_size, proof.epochs, proof.rest) == (40, 4, 0)
    assert proof.steps < 40, "unpacked it would be 40 steps"
    losses = ranks.losses()
    assert losses[max(losses)] < losses[1]


@pytest.fixture(
    params=[{"rank": 4, "export": "merged"}, {"rank": 4, "export": "adapter", "targetModules": ["q_proj", "down_proj"]}]
)
def lora(request):
    return request.param


def test_adapters_are_trained_saved_resumed_and_exported(ranks, tiny, lora):
    """An interrupted run ends with the weights of an undisturbed one; PEFT and Transformers load what comes out."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    ranks.recipe.update(lora=lora, learningRate=1e-2)
    interrupted(ranks, (2, 1), 5)
    losses = ranks.losses()
    assert losses[20] < losses[1]
    checkpoint = next(path for path in ranks.storage.glob("step-*-g3"))
    saved = FileSystemReader(checkpoint).read_metadata().state_dict_metadata
    assert saved and all(".lora_" in name for name in saved), "the base is not saved again"
    if lora["export"] == "adapter":
        adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny / "model"), ranks.storage / "model")
        model = adapted.merge_and_unload()
        assert not list((ranks.storage / "model").glob("model*.safetensors"))
    else:
        model = AutoModelForCausalLM.from_pretrained(ranks.storage / "model")
    interrupted_weights = model.state_dict()
    original = load_file(tiny / "model" / "model.safetensors")
    changed = {name for name, tensor in original.items() if not torch.equal(interrupted_weights[name], tensor)}
    targets = lora.get("targetModules", ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
    assert changed == {name for name in original if name.split(".")[-2] in targets}
    ranks.storage = ranks.directory / "undisturbed"
    ranks.storage_uri = f"file://{ranks.storage}"
    ranks.recipe["lora"] = {**lora, "export": "merged"}
    ranks.start(2)
    assert ranks.wait_end() == [0, 0], ranks.ended
    undisturbed = AutoModelForCausalLM.from_pretrained(ranks.storage / "model").state_dict()
    for name, tensor in undisturbed.items():
        assert (interrupted_weights[name] - tensor).abs().max() < 1e-4, name


@pytest.mark.parametrize(
    ("lora", "sentence"),
    [
        ({"rank": 4, "targetModules": ["query"]}, "The model has no linear layer query"),
        ({"rank": 4, "quantization": "nf4"}, "needs bitsandbytes, which this image does not have"),
    ],
)
def test_adapters_that_cannot_be_are_refused(ranks, lora, sentence):
    if "quantization" in lora and importlib.util.find_spec("bitsandbytes") is not None:
        pytest.skip("this image has bitsandbytes")
    ranks.recipe["lora"] = lora
    ranks.start(1)
    assert ranks.wait_end() == [64]
    assert sentence in ranks.ended[0][1]


def test_frozen_weights_are_kept_in_the_precision_of_the_computation(ranks):
    ranks.recipe.update(lora={"rank": 2}, precision="bf16", activationCheckpointing=True, maxSteps=3, packing=True)
    ranks.start(2)
    assert ranks.wait_end() == [0, 0], ranks.ended
    exported = load_file(ranks.storage / "model" / "model-00001.safetensors")
    assert {tensor.dtype for tensor in exported.values()} == {torch.bfloat16}


def test_the_loss_on_validation_data_is_reported_while_training(ranks, tiny, directory):
    lines = (tiny / "data.jsonl").read_text().splitlines()
    (directory / "held-out.jsonl").write_text("\n".join(lines[:7]))
    ranks.validation = {"uri": f"file://{directory}/held-out.jsonl", "everySteps": 6}
    ranks.start(2)
    assert ranks.wait_end() == [0, 0], ranks.ended
    first = {said["validation"]["step"]: said["validation"]["loss"] for said in ranks.said if "validation" in said}
    assert set(first) == {6, 12, 18, 20}, "every six steps, and at the end"
    assert first[20] < first[6]
    losses = ranks.losses()
    # It changes nothing of the training, and is the same on any number of processes.
    ranks.storage_uri = f"file://{ranks.directory}/other"
    ranks.validation = None
    ranks.start(2)
    assert ranks.wait_end() == [0, 0], ranks.ended
    assert ranks.losses() == losses
    ranks.storage_uri = f"file://{ranks.directory}/third"
    ranks.validation = {"uri": f"file://{directory}/held-out.jsonl", "everySteps": 20}
    ranks.start(1)
    assert ranks.wait_end() == [0], ranks.ended
    assert ranks.said[-1]["validation"]["loss"] == pytest.approx(first[20], abs=1e-4)


def test_a_stop_does_not_wait_for_the_validation(ranks, tiny):
    """A thousand conversations would take many seconds."""
    ranks.validation = {"uri": f"file://{tiny}/data.jsonl", "everySteps": 1}
    ranks.recipe["microBatchSize"] = 1
    ranks.start(1)
    ranks.wait_step(2)
    ranks.direct("stop")
    assert ranks.wait_end() == [0]
    assert ranks.checkpoint()["step"] == ranks.step


def test_the_template_of_the_first_release(ranks):
    ranks.recipe.update(conversationTemplate="vicuna_v0", maxSteps=1)
    ranks.start(1)
    assert ranks.wait_end() == [0], ranks.ended
    template = (ranks.storage / "model" / "chat_template.jinja").read_text()
    assert "### " in template


def test_a_base_of_four_bits_is_trained_and_resumed(ranks):
    """QLoRA, where there is bitsandbytes; it computes on CPUs too."""
    pytest.importorskip("bitsandbytes", reason="QLoRA needs bitsandbytes, which only images for GPUs have")
    ranks.recipe.update(lora={"rank": 4, "quantization": "nf4"}, learningRate=1e-2, precision="bf16")
    interrupted(ranks, (2, 1), 5)
    losses = ranks.losses()
    assert losses[20] < losses[1]
    assert {tensor.dtype for tensor in load_file(ranks.storage / "model" / "model-00001.safetensors").values()} == {torch.bfloat16}
