"""A model's own tokenizer and chat template."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from generator.domain.language_model import Message

if TYPE_CHECKING:
    from vllm.tokenizers import TokenizerLike

# Control tokens that their makers did not mark as special are told by their brackets.
_BRACKETED = re.compile(r"<.+>|\[.+\]", re.DOTALL)


class TemplateRefused(Exception):  # noqa: N818  # what happened, not whose fault it is
    """The model's chat template does not take these messages."""


class ChatTokenizer:
    """Makes tokens of texts and of conversations. Its methods may run in several threads at once, and block.

    Control tokens that stand in a text, such as ``<|im_end|>``, are text and no control: a document cannot end its own message.
    """

    def __init__(self, tokenizer: TokenizerLike, template_arguments: Mapping[str, Any]) -> None:
        """Tell the chat template ``template_arguments`` besides the messages."""
        self._tokenizer: Any = tokenizer
        self._arguments = dict(template_arguments)
        controls = [
            str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special or _BRACKETED.fullmatch(str(token))
        ]
        longest_first = sorted(filter(None, controls), key=len, reverse=True)
        self._controls = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @property
    def has_template(self) -> bool:
        return bool(self._tokenizer.chat_template)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without any that a template adds."""
        if not texts:
            return []
        encoded = self._tokenizer([self._as_text(text) for text in texts], add_special_tokens=False, return_attention_mask=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The conversation in the model's chat template, up to where the model goes on.

        Raises:
            TemplateRefused: some templates take no system message, or want user and assistant in turns.
        """
        told = [{"role": message.role.value, "content": self._as_text(message.text)} for message in messages]
        try:
            ids: list[int] = self._tokenizer.apply_chat_template(
                told, add_generation_prompt=True, tokenize=True, return_dict=False, **self._arguments
            )
        except TemplateError as error:
            raise TemplateRefused from error
        return ids

    def _as_text(self, text: str) -> str:
        return self._controls.sub(lambda control: f"{control[0][0]} {control[0][1:]}", text)
