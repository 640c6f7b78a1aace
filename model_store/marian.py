"""Marian's tokenizer, which transformers has in Python only, as a fast one.

``source.spm`` cuts a text into pieces and ``vocab.json`` numbers them, those of the target language
too. Both go into one Unigram model: a piece's place is its id, its price stands in ``source.spm``,
and a piece of the target alone costs more than any spelling with others.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from contracts.errors import CheckpointError
from model_store.files import read_json
from model_store.sentencepiece_model import read_sentencepiece

SOURCE, TARGET, VOCABULARY = "source.spm", "target.spm", "vocab.json"
END, UNKNOWN, PAD = "</s>", "<unk>", "<pad>"
SPACE = "▁"
UNIGRAM, NORMAL, USER_DEFINED = 1, 1, 4
"""Numbers of sentencepiece_model.proto: a model's type, and the types of pieces that spell text."""

ELSEWHERE = -1e6
"""Price of a piece that ``source.spm`` does not have."""

NEVER = -1e9
"""Price of such a piece that begins or ends with letters which ``source.spm`` does have."""

NO_LETTER = "\uffff"
"""Stands for a run of letters that has no piece: no text holds it."""


def is_marian(folder: Path) -> bool:
    """Whether a folder has Marian's files for a tokenizer."""
    return (folder / SOURCE).is_file() and (folder / VOCABULARY).is_file()


def marian_tokenizer(folder: Path, settings: dict[str, Any]) -> Tokenizer:
    """Build the tokenizer of a Marian checkpoint.

    The ids are those of transformers' ``MarianTokenizer``, except where it gives ids without
    meaning: a code such as ``>>fra<<`` is one token wherever it stands, and a piece that
    ``vocab.json`` lacks is spelled with smaller ones.

    Args:
        folder: holds ``source.spm`` and ``vocab.json``.
        settings: ``tokenizer_config.json``.

    Raises:
        CheckpointError: a file is damaged, or of a kind that is not known here.
    """
    if settings.get("separate_vocabs"):
        raise CheckpointError(
            f"{folder} numbers the pieces of its two languages apart (separate_vocabs), which is "
            "not served; use a Marian checkpoint with one vocabulary."
        )
    ids = read_json(folder / VOCABULARY)
    pieces = sorted(ids, key=ids.__getitem__)
    if [ids[piece] for piece in pieces] != list(range(len(pieces))) or UNKNOWN not in ids:
        raise CheckpointError(
            f"{folder / VOCABULARY} does not number its pieces from 0 on, or has no {UNKNOWN}; "
            "download or save the checkpoint again."
        )
    spm = read_sentencepiece(folder / SOURCE)
    if spm.trainer_spec.model_type != UNIGRAM or spm.trainer_spec.treat_whitespace_as_suffix:
        raise CheckpointError(
            f"{folder / SOURCE} is no Unigram model with spaces in front of words, which Marian "
            "tokenizers must be here; use another checkpoint."
        )
    prices = {
        piece.piece: piece.score
        for piece in spm.pieces
        if piece.type in (NORMAL, USER_DEFINED) and piece.piece in ids
    }
    letters = {piece for piece in prices if len(piece) == 1}
    foreign = [piece for piece in pieces if piece not in prices and not letters & set(piece)]
    prices |= dict.fromkeys(foreign, ELSEWHERE)
    vocabulary = [(piece, prices.get(piece, NEVER)) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=ids[UNKNOWN]))
    tokenizer.normalizer = _normalizer(spm.normalizer_spec, letters, foreign)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
        replacement=SPACE,
        prepend_scheme="always" if spm.normalizer_spec.add_dummy_prefix else "never",
        split=spm.trainer_spec.split_by_whitespace,
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.Fuse(),
            decoders.Replace(Regex(r"^\s+|\s+$"), ""),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A $B {END}", special_tokens=[(END, ids[END])]
    )
    codes = [piece for piece in pieces if piece.startswith(">>") and piece.endswith("<<")]
    tokenizer.add_special_tokens(
        [AddedToken(token) for token in (END, UNKNOWN, PAD, *codes) if token in ids]
    )
    return tokenizer


def _normalizer(spec: Any, letters: set[str], foreign: Iterable[str]) -> normalizers.Normalizer:
    """What sentencepiece does to a text, and one unknown token for a run of unknown letters.

    sentencepiece takes such a run as one piece; MarianTokenizer then finds it in the vocabulary as
    a whole, or not at all. A Unigram model would spell it letter by letter.
    """
    steps: list[normalizers.Normalizer] = []
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:
        steps += [
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Replace(Regex("^ | $"), ""),
        ]
    unknown = f"[^{_ranges(letters | {' '})}]"
    run = f"(?<!{unknown})(?={unknown}{{2}})"
    if known := [piece for piece in foreign if len(piece) > 1]:
        run += f"(?!{_any_of(known)}(?!{unknown}))"
    steps.append(normalizers.Replace(Regex(f"{run}{unknown}+"), NO_LETTER))
    return normalizers.Sequence(steps)


def _any_of(words: Iterable[str]) -> str:
    """A regular expression that matches any of the words, letter by letter as in a tree.

    Tens of thousands of alternatives one after the other would take a millisecond per run.
    """
    tree: dict[str, Any] = {}
    for word in words:
        node = tree
        for letter in word:
            node = node.setdefault(letter, {})
        node[""] = {}
    return _branches(tree)


def _branches(node: dict[str, Any]) -> str:
    branches = [re.escape(letter) + _branches(node[letter]) for letter in node if letter]
    if not branches:
        return ""
    return f"(?:{'|'.join(branches)})" + ("?" if "" in node else "")


def _ranges(letters: Iterable[str]) -> str:
    """The inside of a regular expression's ``[...]`` that matches these letters."""
    spans: list[list[int]] = []
    for code in sorted(map(ord, letters)):
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"\\x{{{first:X}}}-\\x{{{last:X}}}" for first, last in spans)
