"""Languages of many-to-many translation models: where a request's codes go among the tokens.

mBART, NLLB and M2M100 name the source language around the text and start the answer with the
target's; a multilingual Marian model reads the target's code in front of the text and finds out
about the source itself.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from contracts.errors import InvalidRequest
from handlers.tokenization import Row, TextTokenizer

CODE = re.compile(
    r"(?P<template>[a-z]{2,3}_[A-Z][A-Za-z]{1,3})"  # mBART's en_XX, NLLB's eng_Latn
    r"|__(?!end__|unk__)(?P<underlined>[a-z]{2,3}(_[A-Z]{2})?)__"  # M2M100's __en__
    r"|>>(?P<marian>[^<>]+)<<"  # Marian's >>fra<<
)
"""How special tokens name languages; the first group that is there is the code. Blenderbot's
``__end__`` and ``__unk__`` are none."""

NAMED = 8
"""Codes that an error names."""


class Languages:
    """The language codes among a tokenizer's special tokens.

    Attributes:
        ids: per code, without what a token has around it (``fr_XX``, ``en``, ``fra``), its id.
        in_front: whether the target's code stands in front of the source text, as in Marian.
    """

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._prefix, self._suffix = tokenizer.single_prefix, tokenizer.single_suffix
        self.ids: dict[str, int] = {}
        self.in_front = False
        for index, token in sorted(tokenizer.raw.get_added_tokens_decoder().items()):
            found = CODE.fullmatch(token.content) if token.special else None
            if found:
                self.ids[_code(found)] = index
                self.in_front |= found["marian"] is not None
        self._tokens = set(self.ids.values())
        self._codes = {code.lower(): code for code in self.ids}

    def around(
        self, src_lang: str | None = None, tgt_lang: str | None = None
    ) -> tuple[list[int], list[int]]:
        """The special tokens of a source text.

        Args:
            src_lang: takes the place of the language that the tokenizer puts there by default. A
                model that reads no source language (``in_front``) accepts any.
            tgt_lang: stands in front of the text where ``in_front``.

        Returns:
            What comes before the text's ids, and what comes after them.

        Raises:
            InvalidRequest: there is no such language, or the model has none at all.
        """
        target = self._resolve("tgt_lang", tgt_lang)
        if self.in_front:
            return [*([] if target is None else [target]), *self._prefix], list(self._suffix)
        source = self._resolve("src_lang", src_lang)
        if source is None:
            return list(self._prefix), list(self._suffix)
        if self._tokens.isdisjoint([*self._prefix, *self._suffix]):
            raise InvalidRequest(
                "parameters.src_lang: this model's tokenizer has no place for the language of the "
                "text; leave src_lang out."
            )
        prefix, suffix = (
            [source if index in self._tokens else index for index in run]
            for run in (self._prefix, self._suffix)
        )
        return prefix, suffix

    def source_row(
        self, ids: Sequence[int], src_lang: str | None = None, tgt_lang: str | None = None
    ) -> Row:
        """A source text with its special tokens.

        Args:
            ids: the text's, without special tokens.
            src_lang: as in ``around``.
            tgt_lang: as in ``around``.

        Raises:
            InvalidRequest: as ``around``.
        """
        prefix, suffix = self.around(src_lang, tgt_lang)
        input_ids = [*prefix, *ids, *suffix]
        return Row(input_ids, [0] * len(input_ids))

    def forced_bos(self, tgt_lang: str | None) -> int | None:
        """The token that the answer must start with, for it to be in the target language.

        Returns:
            None where no language is asked for, and where the source text says it (``in_front``).

        Raises:
            InvalidRequest: as ``around``.
        """
        target = self._resolve("tgt_lang", tgt_lang)
        return None if self.in_front else target

    def _resolve(self, field: str, asked: str | None) -> int | None:
        """The id of a language, by its code, its token, or the only code that begins with it."""
        if asked is None:
            return None
        if not self.ids:
            raise InvalidRequest(
                f"parameters.{field}: this model has no language codes; leave src_lang and "
                "tgt_lang out. Where it was trained on instructions, write the direction into the "
                'text, such as "translate English to German: ...".'
            )
        found = CODE.fullmatch(asked)
        name = (_code(found) if found else asked).lower().replace("-", "_")
        if name in self._codes:
            return self.ids[self._codes[name]]
        same = sorted(code for code in self.ids if code.lower().split("_")[0] == name)
        if len(same) == 1:
            return self.ids[same[0]]
        if same:
            raise InvalidRequest(
                f"parameters.{field}: {asked!r} stands for several languages of this model; choose "
                f"from {', '.join(same)}."
            )
        near = [self._codes[code] for code in get_close_matches(name, self._codes, n=NAMED)]
        named = list(dict.fromkeys([*near, *sorted(self.ids)]))[:NAMED]
        more = f" and {len(self.ids) - len(named)} more" if len(self.ids) > len(named) else ""
        raise InvalidRequest(
            f"parameters.{field}: this model has no language {asked!r}; it has "
            f"{', '.join(named)}{more}."
        )


def _code(found: re.Match[str]) -> str:
    return found["template"] or found["underlined"] or found["marian"]
