"""Makes a model small enough for a laptop: a tokenizer trained on the conversations, and a random LLaMA of about 1 M parameters.

python3 -m vicuna_trainer.tiny --conversations FILE --out DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .conversations import chat_template, parse_records

VOCABULARY = 2000


def make(conversations: Path, out: Path, hidden: int = 128, layers: int = 4, seed: int = 1) -> int:
    """Writes model and tokenizer to `out`; the number of parameters. Raises OSError, TrainingError."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    texts = [
        str(message.get("value", ""))
        for record in parse_records(conversations.read_text(encoding="utf-8"), str(conversations))
        for message in record.get("conversations", [])
    ]
    bpe = Tokenizer(models.BPE(unk_token=None))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
    )
    tokenizer.chat_template = chat_template()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=hidden * 2,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    for path in out.iterdir():
        path.chmod(0o644)  # the weights are written for their owner alone, who is not who trains in a container
    return model.num_parameters()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--conversations", type=Path, required=True, help="ShareGPT-form JSON or JSON lines")
    parser.add_argument("--out", type=Path, required=True, help="directory for model and tokenizer")
    arguments = parser.parse_args()
    count = make(arguments.conversations, arguments.out)
    print(f"{count / 1e6:.2f} M parameters and {VOCABULARY} tokens in {arguments.out}")


if __name__ == "__main__":
    main()
