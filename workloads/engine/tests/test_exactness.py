"""An answer has the same bits alone, in a crowd, in whatever pieces its prompt was computed, and continued by another worker."""

from __future__ import annotations

import pytest
import torch
from engine_driver import GREEDY, wanted
from vicuna_engine.sampling import Sampling


def prompts(count, vocabulary=380):
    """Prompts of all kinds of lengths around the borders of spans."""
    generator = torch.Generator().manual_seed(7)
    lengths = [1, 2, 15, 16, 17, 63, 64, 65, 100, 127, 128, 129, 200, 257, 31, 5][:count]
    return [torch.randint(3, vocabulary, (length,), generator=generator).tolist() for length in lengths]


@pytest.mark.parametrize(
    "sampling", [GREEDY, Sampling(seed=5, top_p=0.9), Sampling(seed=6, presence_penalty=1, frequency_penalty=0.5)]
)
def test_a_crowd_changes_nothing(driver, sampling):
    requests = [wanted(prompt, 40, sampling) for prompt in prompts(16)]
    together = driver("--max-num-seqs", "16").answers(requests)
    alone = driver("--max-num-seqs", "1")
    for request, answer in zip(requests, together, strict=True):
        expected = alone.answer(request)
        assert answer.tokens == expected.tokens
        assert answer.logprobs == expected.logprobs


@pytest.mark.parametrize("step", [1, 7, 48, 1000])
def test_the_pieces_in_which_a_prompt_is_computed_change_nothing(driver, step):
    request = wanted(prompts(16)[13], 8)
    pieces = driver("--max-num-seqs", "1", "--max-num-batched-tokens", str(step)).answer(request)
    assert pieces.logprobs == driver().answer(request).logprobs


def test_a_prefix_found_in_the_cache_changes_nothing(driver):
    prompt = prompts(16)[13]
    engine = driver()
    engine.answer(wanted(prompt[:200], 30))
    again = engine.answer(wanted(prompt, 30))
    assert engine.engine.metrics.cached_tokens._series[""] == 200
    assert again.logprobs == driver().answer(wanted(prompt, 30)).logprobs


@pytest.mark.parametrize(
    ("sampling", "stops"),
    [
        (GREEDY, ()),
        (GREEDY, ("to be ex",)),
        (Sampling(temperature=1.5, seed=11), ()),
        (Sampling(temperature=1.2, top_p=0.9, seed=12, presence_penalty=0.6, frequency_penalty=0.3), ()),
    ],
    ids=["greedy", "stop string", "seeded", "penalties"],
)
def test_an_answer_continued_at_any_token_is_the_undisturbed_one(driver, facts, sampling, stops):
    engine = driver()
    prompt = engine.served.chat.prompt([user(next(iter(facts)))], False)
    request = wanted(prompt.tokens, 40, sampling, stops=stops, ends=engine.served.ends, drop=prompt.drop)
    whole = engine.answer(request)
    assert len(whole.tokens) > 5
    requests = [
        wanted(
            prompt.tokens, 40, sampling, stops=stops, ends=engine.served.ends, drop=prompt.drop, continued=tuple(whole.tokens[:cut])
        )
        for cut in range(len(whole.tokens))
    ]
    for cut, rest in enumerate(driver().answers(requests)):
        assert "".join(delta.text for delta in whole.deltas[:cut]) + rest.text == whole.text
        assert rest.tokens == whole.tokens[cut:]
        assert rest.logprobs == whole.logprobs[cut:]
        assert rest.finish_reason == whole.finish_reason


def test_what_the_model_has_learnt_is_what_it_says(driver, facts):
    engine = driver()
    for question, answer in facts.items():
        prompt = engine.served.chat.prompt([user(question)], False)
        said = engine.answer(wanted(prompt.tokens, 40, ends=engine.served.ends, drop=prompt.drop))
        assert (said.text, said.finish_reason) == (answer, "stop")


def test_an_answer_continued_from_its_text_alone_is_the_undisturbed_one(driver, facts):
    engine = driver()
    chat, tokenizer, ends = engine.served.chat, engine.served.tokenizer, engine.served.ends
    compared = 0
    for question, answer in facts.items():
        for cut in range(len(answer) + 1):
            begun = answer[:cut]
            # A cut within a token gives the model tokens that it would not have chosen.
            cut_tokens = tokenizer(f" {begun}", add_special_tokens=False)["input_ids"] if begun else []
            if cut_tokens != tokenizer(f" {answer}", add_special_tokens=False)["input_ids"][: len(cut_tokens)]:
                continue
            prompt = chat.prompt([user(question), assistant(begun)], True)
            rest = engine.answer(wanted(prompt.tokens, 40, ends=ends, drop=prompt.drop))
            assert begun + rest.text == answer
            compared += 1
    assert compared > 20


def user(text):
    from vicuna_engine.chat_format import Message

    return Message("user", text)


def assistant(text):
    from vicuna_engine.chat_format import Message

    return Message("assistant", text)
