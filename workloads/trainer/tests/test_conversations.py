"""The prompt format and the loss mask, against expectations written by hand."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from vicuna_trainer.conversations import SYSTEM, Conversation, chat_template, parse_conversation, parse_records, tokenize
from vicuna_trainer.exits import TrainingError
from vicuna_trainer.model import load_tokenizer


@pytest.fixture(scope="module")
def byte_level(tiny):
    """A byte-level BPE tokenizer, as Llama 3's is."""
    return load_tokenizer(tiny / "model")


@pytest.fixture(scope="module")
def metaspace(tiny):
    """A tokenizer that puts ▁ in front of words and of the text, as LLaMA's is."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>", "<s>", "</s>", *byte_tokens], show_progress=False)
    bpe.train_from_iterator([SYSTEM, "USER: hello ASSISTANT: Hi there", (tiny / "data.jsonl").read_text()], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.fixture(params=["byte_level", "metaspace"])
def tokenizer(request):
    return request.getfixturevalue(request.param)


def rendered(tokenizer, turns, limit=4096, system=SYSTEM):
    """(whole text, text under the loss) of a conversation, decoded from its tokens."""
    ids, learned = tokenize(Conversation("x", system, tuple(turns)), tokenizer, limit)
    whole = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    runs, run = [], []
    for token, is_learned in zip(ids, learned, strict=True):
        if is_learned:
            run.append(token)
        elif run:
            runs.append(run)
            run = []
    runs += [run] if run else []
    texts = [tokenizer.decode(r, clean_up_tokenization_spaces=False).strip() for r in runs]
    return whole, texts


def test_one_turn_as_vicuna_v1_1_has_it(byte_level):
    whole, learned = rendered(byte_level, [("Hello!", "Hi there.")])
    assert whole == (
        "<s>A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
        "and polite answers to the user's questions. USER: Hello! ASSISTANT: Hi there.</s>"
    )
    assert learned == ["Hi there.</s>"]


def test_two_turns_have_no_space_after_the_end_of_an_answer(byte_level):
    whole, learned = rendered(byte_level, [("One?", "1"), ("Two?", "2")])
    assert whole.endswith(" USER: One? ASSISTANT: 1</s>USER: Two? ASSISTANT: 2</s>")
    assert learned == ["1</s>", "2</s>"]


def test_ids_are_those_of_the_whole_text(byte_level):
    ids, learned = tokenize(Conversation("x", SYSTEM, (("Hello!", "Hi there."),)), byte_level, 4096)
    text = f"{SYSTEM} USER: Hello! ASSISTANT: Hi there."
    assert ids == [1, *byte_level(text, add_special_tokens=False)["input_ids"], 2]
    answer = byte_level(" Hi there.", add_special_tokens=False)["input_ids"]
    assert [i for i, on in zip(ids, learned, strict=True) if on] == [*answer, 2]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What does ASSISTANT: mean? And USER: x ASSISTANT: y?", "A role."),
        ("Why is </s> there, and <s>, and <unk>?", "They are tokens </s> of <s> the vocabulary."),
        ("Grüße, 你好, 🙂🙃?", "Ja 🙂, 好."),
        ("Two\n\nlines\n", "\n- a\n- b"),
        (" spaces  around ", "  kept   inside  "),
        ("ends in a colon:", ": begins with one"),
        ("x" * 500, "y" * 500),
    ],
)
def test_the_loss_falls_on_each_answer_and_nothing_else(tokenizer, question, answer):
    turns = [(question, answer), ("And now?", "Done."), (question, answer)]
    ids, learned = tokenize(Conversation("x", SYSTEM, tuple(turns)), tokenizer, 1 << 20)
    assert ids.count(tokenizer.eos_token_id) == 3, "special tokens inside messages are plain text"
    assert ids.count(tokenizer.bos_token_id) == 1 and not learned[0]
    _, texts = rendered(tokenizer, turns, 1 << 20)
    assert texts == [
        f"{answer.strip()}</s>" if not answer[0].isspace() else f"{answer.lstrip()}</s>" for answer in (answer, "Done.", answer)
    ] or [t.split() for t in texts] == [f"{a}</s>".split() for a in (answer, "Done.", answer)]


def test_a_long_conversation_is_cut(tokenizer):
    conversation = Conversation("x", SYSTEM, (("q", "a" * 50),) * 20)
    ids, learned = tokenize(conversation, tokenizer, 100)
    whole, marks = tokenize(conversation, tokenizer, 1 << 20)
    assert (ids, learned) == (whole[:100], marks[:100])


def test_the_chat_template_is_the_same_format(byte_level):
    byte_level.chat_template = chat_template()
    messages = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two?"},
    ]
    text = byte_level.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    whole, _ = rendered(byte_level, [("One?", "1"), ("Two?", "2")])
    assert whole == f"{text} 2</s>"


def record(*messages, **more):
    return {"id": "r", "conversations": [{"from": role, "value": text} for role, text in messages], **more}


@pytest.mark.parametrize(
    ("given", "turns", "why"),
    [
        (record(("human", "q"), ("gpt", "a")), (("q", "a"),), None),
        (record(("user", "q"), ("assistant", "a")), (("q", "a"),), None),
        (record(("gpt", "hello"), ("human", "q"), ("gpt", "a")), (("q", "a"),), None),
        (record(("human", "q"), ("gpt", "a"), ("human", "tail")), (("q", "a"),), None),
        (record(("human", "q"), ("gpt", "a"), ("human", " "), ("gpt", "b")), (("q", "a"),), None),
        (record(("human", "q"), ("human", "r"), ("gpt", "a")), None, "roles do not alternate"),
        (record(("human", "q"), ("plugin", "a")), None, "unknown role"),
        (record(("human", "q")), None, "no answer"),
        (record(), None, "no answer"),
        ({"text": "x"}, None, "no conversation"),
        ({"conversations": ["x"]}, None, "unknown role"),
    ],
)
def test_records_are_read_or_refused_with_a_reason(given, turns, why):
    refused = Counter()
    conversation = parse_conversation(given, "f:1", refused)
    assert (conversation.turns if conversation else None) == turns
    assert dict(refused) == ({} if why is None else {why: 1})


def test_a_system_message_replaces_the_systems_text():
    conversation = parse_conversation(record(("system", "Be brief."), ("human", "q"), ("gpt", "a")), "f:1", Counter())
    assert (conversation.system, conversation.id) == ("Be brief.", "r")
    assert parse_conversation({**record(("human", "q"), ("gpt", "a")), "id": None}, "f:1", Counter()).id == "f:1"


def test_json_and_json_lines_are_both_read():
    records = [record(("human", "q"), ("gpt", "a")), record(("human", "r"), ("gpt", "b"))]
    assert list(parse_records(json.dumps(records), "x")) == records
    assert list(parse_records("\n".join(json.dumps(r) for r in records) + "\n\n", "x")) == records


@pytest.mark.parametrize(("text", "where"), [("[{", "x is not JSON"), ('{"a": 1}\n{"b"', "x, line 2, is not JSON")])
def test_broken_json_is_named(text, where):
    with pytest.raises(TrainingError, match=where) as raised:
        list(parse_records(text, "x"))
    assert raised.value.exit_code == 66
