"""Tiny trained tokenizers of every kind of decoder, and ids to decode with them."""

from collections.abc import Callable
from functools import cache
from itertools import chain
from typing import Any

from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from tests.models import CORPUS

SPECIAL = ["<pad>", "</s>", "<unk>", "<s>"]
LINES = [*CORPUS.splitlines(), "I don't know , it 's fine . We 've \" done \" it , they 're 'm ?!"]
WORDS = ["don't", "n't", "'s", "'", ".", ",", "do", "not", "'ve"]


def byte_level() -> Tokenizer:
    """BART, RoBERTa."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    train(tokenizer, trainers.BpeTrainer, initial_alphabet=alphabet)
    return tokenizer


def metaspace() -> Tokenizer:
    """T5, Pegasus, mBART."""
    tokenizer = unigram()
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return tokenizer


def metaspace_inside() -> Tokenizer:
    """T5 without a space in front of the text."""
    tokenizer = unigram()
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    return tokenizer


def byte_fallback() -> Tokenizer:
    """Llama, T5Gemma: a character without a piece is spelled in bytes."""
    tokenizer = unigram()
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    return tokenizer


def byte_fallback_metaspace() -> Tokenizer:
    tokenizer = unigram()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return tokenizer


def stripped() -> Tokenizer:
    """Marian: no blanks at the ends."""
    tokenizer = unigram()
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.Fuse(),
            decoders.Replace(Regex(r"^\s+|\s+$"), ""),
        ]
    )
    return tokenizer


def word_piece() -> Tokenizer:
    """BERT."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    train(tokenizer, trainers.WordPieceTrainer)
    return tokenizer


def word_piece_cleaning() -> Tokenizer:
    tokenizer = word_piece()
    tokenizer.decoder = decoders.WordPiece(cleanup=True)
    return tokenizer


def end_of_word() -> Tokenizer:
    """BPE that marks the ends of words."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder()
    train(tokenizer, trainers.BpeTrainer, end_of_word_suffix="</w>")
    return tokenizer


def plain() -> Tokenizer:
    """No decoder at all."""
    tokenizer = word_piece()
    tokenizer.decoder = None
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    kind.__name__: kind
    for kind in (
        byte_level,
        metaspace,
        metaspace_inside,
        byte_fallback,
        byte_fallback_metaspace,
        stripped,
        word_piece,
        word_piece_cleaning,
        end_of_word,
        plain,
    )
}


def train(tokenizer: Tokenizer, kind: Any, **options: Any) -> None:
    tokenizer.add_special_tokens(SPECIAL)
    trainer = kind(vocab_size=500, special_tokens=SPECIAL, show_progress=False, **options)
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.add_special_tokens([AddedToken("<lang>", special=True)])
    tokenizer.add_tokens([AddedToken(word) for word in ("<sep>", "two words", " . ", "é€")])


def unigram() -> Tokenizer:
    """All bytes, blanks, and pieces of the corpus."""
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    trained.train_from_iterator(LINES, trainer)
    pieces = [(piece, -float(place)) for piece, place in trained.get_vocab().items()]
    pieces.sort(key=lambda piece: -piece[1])
    pieces += [(f"<0x{code:02X}>", -500.0) for code in range(256)]
    pieces += [(piece, -500.0) for piece in ("▁▁", "▁ '", "a▁", "▁▁b▁▁", "<0xZZ>", "�")]
    pieces += [(f"▁{word}", -500.0) for word in WORDS if f"▁{word}" not in dict(pieces)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens([AddedToken("<sep>"), AddedToken("é€")])
    return tokenizer


@cache
def made(kind: str) -> Tokenizer:
    return KINDS[kind]()


@cache
def reference(kind: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>"}
    return PreTrainedTokenizerFast(tokenizer_object=made(kind), **names)


@cache
def ids_of(kind: str) -> st.SearchStrategy[list[int]]:
    """Any tokens; texts of the corpus's kind; runs of bytes and of blanks; ids out of range."""
    tokenizer = made(kind)
    size = tokenizer.get_vocab_size()
    marks = [
        index
        for piece, index in sorted(tokenizer.get_vocab().items())
        if piece.startswith("<0x") or not piece.strip("▁Ġ '.,?!") or len(piece) == 1
    ]
    spelled = st.text(max_size=12).map(lambda text: tokenizer.encode(text).ids)
    sentence = st.lists(st.sampled_from([*LINES[0].split(), *WORDS, "日本", "😀", "é", "  "]))
    texts = sentence.map(lambda words: tokenizer.encode(" ".join(words)).ids)
    parts = st.one_of(
        st.lists(st.integers(0, size + 2), max_size=12),
        st.lists(st.sampled_from(marks), max_size=12),
        spelled,
        texts,
    )
    return st.lists(parts, max_size=4).map(lambda found: list(chain.from_iterable(found)))
