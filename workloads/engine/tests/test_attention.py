"""Attention over the cache, against Hugging Face's own."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config
from vicuna_engine.attention import Batch, Group, KvCache, Span, attend
from vicuna_engine.kv_ranges import KvRanges
from vicuna_engine.model_runner import ModelRunner, load_model
from vicuna_engine.scheduler import Scheduler, Sequence
from vicuna_trainer.exits import TrainingError

SMALL = {"vocab_size": 100, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
CONFIGS = {
    "several query heads per key head": LlamaConfig(**SMALL, num_key_value_heads=2),
    "heads wider than their share": LlamaConfig(**SMALL, num_key_value_heads=1, head_dim=32),
    "biases and tied embeddings": Qwen2Config(**SMALL, num_key_value_heads=2, tie_word_embeddings=True, use_sliding_window=False),
    "a sliding window": MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=50),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_the_logits_are_hugging_faces(tmp_path, config):
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    reference = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    sequences = [Sequence(torch.randint(0, 100, (length,)).tolist(), length + 9) for length in (1, 20, 63, 64, 130, 200)]
    runner = ModelRunner(load_model(tmp_path, torch.device("cpu"), torch.float32), 1024)
    scheduler = Scheduler(KvRanges(1024), 8, 100)
    for sequence in sequences:
        scheduler.add(sequence)
    with torch.inference_mode():
        while (step := scheduler.plan()) is not None:
            logits = iter(runner.run(step).logits)
            scheduler.computed(step)
            for segment in step.segments:
                if segment.last:
                    sequence, found = segment.sequence, next(logits)
                    expected = reference(torch.tensor([sequence.tokens])).logits[0, -1]
                    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
                    sequence.tokens.append(int(found.argmax()))
                    if len(sequence.tokens) == sequence.limit:
                        scheduler.remove(sequence)


def test_a_gpus_way_of_reading_keys_gives_the_same():
    """The GPU's path, on the CPU: one copy by index, sequences of any length together."""
    torch.manual_seed(2)
    spans = [Span(0, 1, 0, 5), Span(1, 1, 100, 63), Span(2, 1, 200, 64), Span(3, 1, 400, 150)]
    cache = KvCache(1, 2, 8, 640, torch.float32, torch.device("cpu"))
    cache.keys[0].normal_()
    cache.values[0].normal_()
    query, key, value = torch.randn(1, 4, 4, 8), torch.randn(1, 2, 4, 8), torch.randn(1, 2, 4, 8)
    rows = torch.tensor([span.start + span.position for span in spans])
    module = type("Module", (), {"layer_idx": 0})

    def result(groups, **more):
        return attend(module, query, key, value, None, batch=Batch(cache, rows, groups), scaling=0.3, **more)[0]

    one_by_one = tuple(Group.of_one(span, torch.device("cpu")) for span in spans)
    by_index = (Group.indexed(spans, torch.device("cpu")),)
    torch.testing.assert_close(result(by_index), result(one_by_one), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(result(by_index, sliding_window=40), result(one_by_one, sliding_window=40), atol=1e-6, rtol=1e-5)
    with pytest.raises(NotImplementedError, match="softcap"):
        result(by_index, softcap=30.0)


def test_a_directory_without_a_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(TrainingError, match="cannot be loaded"):
        load_model(tmp_path, torch.device("cpu"), None)
