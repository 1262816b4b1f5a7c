"""Pieces fit, by the trainer's own count; no round is lost in silence."""

import itertools
import random
import subprocess
import sys
from collections import Counter

import pytest
from samples import WORDS, tokenizer
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers import trainers as trainers_
from transformers import PreTrainedTokenizerFast
from vicuna_data.clean import Conversation
from vicuna_data.config import Identity, Split
from vicuna_data.identity import identity_conversations
from vicuna_data.split import split
from vicuna_data.templates import TEMPLATES
from vicuna_data.tokens import Counter as TokenCounter
from vicuna_data.tokens import TokenizerText
from vicuna_trainer.conversations import SYSTEM_V0, find_anchor, parse_conversation, tokenize

LIMIT = 200


@pytest.fixture(scope="module")
def counter():
    return tokenizer().open()


@pytest.fixture(scope="module")
def trainers():
    whole = Tokenizer.from_str(tokenizer().definition)
    return PreTrainedTokenizerFast(tokenizer_object=whole, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def conversation(*messages, system=None):
    return Conversation("c", True, None, system, list(messages))


def words(draw, count):
    return " ".join(draw.choice(WORDS.split()) for _ in range(count))


def run(counter, value, long_rounds="cut", limit=LIMIT, template="vicuna_v1.1"):
    return split(value, Split(limit, long_rounds, template), counter)


def as_trained(piece, trainers, limit):
    roles = ("human", "gpt")
    messages = [{"from": roles[at % 2], "value": text} for at, text in enumerate(piece.messages)]
    if piece.system is not None:
        messages.insert(0, {"from": "system", "value": piece.system})
    found = parse_conversation({"id": piece.id, "conversations": messages}, "", Counter())
    return tokenize(found, trainers, limit)


def test_pieces_are_whole_rounds_in_order_with_the_trainers_number_of_tokens(counter, trainers):
    draw = random.Random(1)
    for number in range(60):
        system = words(draw, 12) if number % 3 == 0 else None
        messages = [words(draw, draw.randrange(1, 40)) for _ in range(2 * draw.randrange(1, 9))]
        pieces, tally = run(counter, conversation(*messages, system=system))
        assert not tally
        assert [text for piece in pieces for text in piece.messages] == messages
        at = 0
        for piece in pieces:
            assert piece.id == f"c_{at}" and piece.system == system
            assert piece.tokens == len(as_trained(piece, trainers, 10_000)[0]) <= LIMIT
            at += len(piece.messages)


def test_a_piece_is_as_long_as_it_can_be(counter):
    draw = random.Random(2)
    messages = [words(draw, 20) for _ in range(20)]
    pieces, _ = run(counter, conversation(*messages))
    template = TEMPLATES["vicuna_v1.1"]
    for piece, following in itertools.pairwise(pieces):
        assert piece.tokens + counter.count(template.round(*following.messages[:2], None)) + 1 > LIMIT


def test_the_last_round_is_not_lost_where_it_overflows(counter):
    """FastChat's split_long_conversation loses it."""
    draw = random.Random(3)
    messages = [words(draw, 40) for _ in range(4)]
    pieces, _ = run(counter, conversation(*messages))
    assert [piece.messages for piece in pieces] == [tuple(messages[:2]), tuple(messages[2:])]


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_round_that_is_too_long_is_cut_where_the_trainer_cuts_too(counter, trainers, place):
    draw = random.Random(4)
    messages = [words(draw, 10) for _ in range(6)]
    messages[place + 1] = words(draw, 500)
    pieces, tally = run(counter, conversation(*messages))
    assert tally == {"longRounds": 1}
    long = next(piece for piece in pieces if piece.messages[0] == messages[place])
    assert messages[place + 1].startswith(long.messages[1]) and long.tokens == LIMIT
    ids, _ = as_trained(long, trainers, LIMIT)
    whole, _ = as_trained(long, trainers, 10_000)
    assert len(ids) == LIMIT and trainers.eos_token_id not in ids and LIMIT < len(whole) < LIMIT + 20
    rest = [text for piece in pieces if piece is not long for text in piece.messages]
    assert rest == messages[:place] + messages[place + 2 :]


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_round_that_is_too_long_is_dropped_when_told_so(counter, place):
    draw = random.Random(4)
    messages = [words(draw, 10) for _ in range(6)]
    messages[place + 1] = words(draw, 500)
    pieces, tally = run(counter, conversation(*messages), "drop")
    assert tally == {"droppedRounds": 1}
    assert [text for piece in pieces for text in piece.messages] == messages[:place] + messages[place + 2 :]
    assert all(piece.tokens <= LIMIT for piece in pieces)
    alone, tally = run(counter, conversation(*messages[place : place + 2]), "drop")
    assert alone == [] and tally == {"droppedRounds": 1}


def test_a_question_that_leaves_no_room_is_dropped(counter):
    pieces, tally = run(counter, conversation(words(random.Random(5), 500), "short answer"))
    assert pieces == [] and tally == {"droppedRounds": 1}


def test_cutting_never_breaks_a_character(counter, trainers):
    pieces, _ = run(counter, conversation("Why?", "日本語のとても長い答え🦙" * 100))
    assert "\ufffd" not in pieces[0].messages[1]
    ids, _ = as_trained(pieces[0], trainers, LIMIT)
    assert len(ids) == LIMIT and trainers.eos_token_id not in ids


def test_special_tokens_in_a_text_are_text(counter, trainers):
    pieces, _ = run(counter, conversation("What is </s> and ASSISTANT: in {}?", "The <s> begins, </s> ends."))
    assert pieces[0].tokens == len(as_trained(pieces[0], trainers, 10_000)[0])


def test_the_format_of_the_first_weights(counter):
    pieces, _ = run(counter, conversation("Why?", "So.", "How?", "Thus."), template="vicuna_v0")
    texts = [f"{SYSTEM_V0}\n\n### Human: Why?\n### Assistant: So.\n", "### Human: How?\n### Assistant: Thus.\n"]
    assert pieces[0].tokens == 1 + sum(map(counter.count, texts))


def test_a_tokenizer_that_puts_a_space_before_what_begins():
    """LLaMA's: after </s> there is none, and the trainer's count is that of the whole text."""
    bpe = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers_.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    bpe.train_from_iterator([WORDS, "USER: ASSISTANT: A chat between a curious user and an artificial"] * 20, trainer)
    whole = PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    anchor = find_anchor(whole)
    assert anchor
    text = TokenizerText(bpe.to_str(), True, anchor)
    draw = random.Random(6)
    messages = [words(draw, 10) for _ in range(6)]
    (piece,), _ = run(text.open(), conversation(*messages), limit=1000)
    template = TEMPLATES["vicuna_v1.1"]
    rounds = zip(messages[::2], messages[1::2], strict=True)
    rendered = [template.round(*texts, template.system if at == 0 else None) + "</s>" for at, texts in enumerate(rounds)]
    assert piece.tokens == 1 + len(whole("".join(rendered), add_special_tokens=False)["input_ids"])


def test_what_is_shared_with_the_trainer_does_not_bring_its_large_libraries():
    """Each core's process loads this: torch alone is 200 MB."""
    asked = "import vicuna_data.pipeline, sys; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_token_at_the_beginning_where_the_tokenizer_has_none():
    with_one, without = (TokenCounter(Tokenizer.from_str(tokenizer().definition), begins) for begins in (True, False))
    (one,), _ = run(with_one, conversation("Why?", "So."))
    (other,), _ = run(without, conversation("Why?", "So."))
    assert one.tokens == other.tokens + 1


def test_identity_conversations_name_the_model_and_no_other():
    made = identity_conversations(Identity("Guanaco", "the Llama Farm"))
    assert len({conversation.id for conversation in made}) == len(made) > 100
    assert len({tuple(conversation.messages) for conversation in made}) == len(made)
    for conversation_ in made:
        question, answer = conversation_.messages
        assert "Guanaco" in answer or "the Llama Farm" in answer
        assert "{" not in question + answer
        if "OpenAI" in question or "ChatGPT" in question:
            assert answer.startswith(("No", "I am not"))
    asked = {conversation_.messages[0] for conversation_ in identity_conversations(Identity("Claude", "Anthropic"))}
    assert "Are you Claude?" not in asked and "Are you made by Anthropic?" not in asked and "Are you GPT-4?" in asked
