"""Model folders in sentence-transformers layout, made on the spot: random weights, real files, the real loading code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedModel, XLMRobertaConfig, XLMRobertaModel

CORPUS = [
    "The invoice must be paid within thirty days of delivery.",
    "The invoice has to be paid within thirty days after the delivery.",
    "Photosynthesis lets green plants turn sunlight into sugar.",
    "Les plantes vertes transforment la lumière du soleil en sucre.",
    "When the pump stops, close the valve and open the housing.",
]


def word_pieces() -> tokenizers.Tokenizer:
    """BERT's tokenizer, with token types for pairs."""
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def unigrams() -> tokenizers.Tokenizer:
    """XLM-RoBERTa's tokenizer."""
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def byte_pairs() -> tokenizers.Tokenizer:
    """Qwen's tokenizer: pieces of bytes, and an end of text that pooling by the last token reads."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 0)])
    return tokenizer


def bert_config(tokenizer: tokenizers.Tokenizer, **extra: Any) -> BertConfig:
    return BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=0,
        **extra,
    )


def xlm_roberta_config(tokenizer: tokenizers.Tokenizer, **extra: Any) -> XLMRobertaConfig:
    return XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=66,
        pad_token_id=1,
        type_vocab_size=1,
        **extra,
    )


def bert(folder: Path, *, pooling: str = "mean_tokens", normalise: bool = True, seed: int = 1, **extra: Any) -> Path:
    """A BERT shape with a WordPiece tokenizer."""
    tokenizer = word_pieces()
    torch.manual_seed(seed)
    model = BertModel(bert_config(tokenizer), add_pooling_layer=False)
    return _save(folder, model, tokenizer, pooling=pooling, normalise=normalise, **extra)


def xlm_roberta(folder: Path, *, pooling: str = "cls_token", normalise: bool = True, **extra: Any) -> Path:
    """An XLM-RoBERTa shape with a Unigram tokenizer and positions that begin behind the padding id."""
    tokenizer = unigrams()
    torch.manual_seed(2)
    model = XLMRobertaModel(xlm_roberta_config(tokenizer), add_pooling_layer=False)
    return _save(folder, model, tokenizer, pooling=pooling, normalise=normalise, **extra)


def _save(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: tokenizers.Tokenizer,
    *,
    pooling: str,
    normalise: bool,
    window: int | None = 48,
    prompts: Mapping[str, str] | None = None,
) -> Path:
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    modules = ["Transformer", "Pooling", *(["Normalize"] if normalise else [])]
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    described = [
        {"idx": place, "name": str(place), "path": paths[module], "type": f"sentence_transformers.models.{module}"}
        for place, module in enumerate(modules)
    ]
    (folder / "1_Pooling").mkdir()
    _write(folder / "modules.json", described)
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": model.config.hidden_size, f"pooling_mode_{pooling}": True})
    _write(folder / "sentence_bert_config.json", {"max_seq_length": window, "do_lower_case": False})
    _write(folder / "config_sentence_transformers.json", {"prompts": dict(prompts or {}), "default_prompt_name": None})
    _write(folder / "tokenizer_config.json", {"model_max_length": 512})
    return folder


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))
