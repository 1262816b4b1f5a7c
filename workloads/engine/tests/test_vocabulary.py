"""Tokens' bytes, against the tokenizer's own decoding."""

from __future__ import annotations

import json

import pytest
from vicuna_engine.vocabulary import Vocabulary
from vicuna_trainer.exits import TrainingError

TEXTS = ["Hello, world!", "naïve café — 你好, 🇫🇷 and 🦙🦙", "  two spaces\n\n\ttabs  ", "<s> is no token here? \u00a0 ￼"]


@pytest.fixture(scope="module", params=["byte level", "byte fallback", "metaspace"])
def tokenizer(request):
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>"]
    if request.param == "byte level":
        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        options = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()}
    elif request.param == "byte fallback":
        bpe = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        bpe.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        special += [f"<0x{byte:02X}>" for byte in range(256)]
        options = {}
    else:
        bpe = Tokenizer(models.BPE(unk_token="<unk>"))
        bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
        bpe.decoder = decoders.Metaspace(prepend_scheme="never")
        options = {"initial_alphabet": sorted(set("".join(TEXTS).replace(" ", "▁")))}
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False, **options)
    bpe.train_from_iterator(["Hello world, hello café and naïve spaces here"], trainer)
    state = json.loads(bpe.to_str())
    # Bytes are tokens like others, as LLaMA has them; the trainer of tokenizers knows only special ones.
    state["added_tokens"] = [token for token in state["added_tokens"] if not token["content"].startswith("<0x")]
    bpe = Tokenizer.from_str(json.dumps(state))
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize("text", TEXTS)
def test_the_bytes_of_a_texts_tokens_are_the_text(tokenizer, text):
    vocabulary = Vocabulary(tokenizer)
    tokens = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    decoded = b"".join(vocabulary.text_bytes(token) for token in tokens).decode()
    # LLaMA's tokenizer begins a text with a space, and its decoder takes that off again.
    begins = " " if tokenizer.backend_tokenizer.normalizer is not None else ""
    assert decoded == begins + tokenizer.decode(tokens) == begins + text


def test_special_tokens_have_no_text_but_a_name(tokenizer):
    vocabulary = Vocabulary(tokenizer)
    assert vocabulary.text_bytes(tokenizer.eos_token_id) == b""
    assert vocabulary.all_bytes(tokenizer.eos_token_id) == b"</s>"
    assert vocabulary.all_bytes(10**6) == b""
    assert vocabulary.size == len(tokenizer)


def test_a_decoder_of_another_kind_is_refused():
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    words.decoder = decoders.WordPiece()
    with pytest.raises(TrainingError, match="WordPiece"):
        Vocabulary(PreTrainedTokenizerFast(tokenizer_object=words))
