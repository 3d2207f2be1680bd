"""A Qwen2 of two small layers with random weights, a tokenizer and a chat template, as a folder that vLLM loads."""

from __future__ import annotations

import string
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

BEGIN, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
# As Qwen's own, without its default system message.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WINDOW_TOKENS = 32_768
_SEED = 20260101
_SENTENCE = "the leave of five days carries over and is written in the handbook with all that it says of the year"


def make_tiny_qwen(folder: Path) -> Path:
    """Write the model into ``folder``. Its vocabulary is printable ASCII, so that whatever it writes is text."""
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    vocabulary = tokenizer.get_vocab()
    torch.manual_seed(_SEED)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=WINDOW_TOKENS,
        bos_token_id=None,
        eos_token_id=vocabulary[END],
        pad_token_id=vocabulary[PAD],
        tie_word_embeddings=False,
    )
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        # The likeliest token is never one that ends the text, so that it goes on until it is told to stop.
        model.lm_head.weight[[vocabulary[token] for token in (PAD, BEGIN, END)]] = 0
    model.save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE over the characters that can be printed, with merges for a few words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = [*string.ascii_letters, *string.digits, *string.punctuation, "Ġ", "Ċ"]
    trainer = trainers.BpeTrainer(vocab_size=160, special_tokens=[PAD, BEGIN, END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([_SENTENCE] * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD)
    fast.chat_template = CHAT_TEMPLATE
    return fast
