"""Tokenizers of sequence-to-sequence checkpoints, out of whatever files they come with."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import CheckpointError
from handlers.detokenizer import Detokenizer
from handlers.languages import Languages
from handlers.tokenization import TextTokenizer
from model_store.tokenizer import cleans_up_spaces, copy_tokenizer, load_tokenizer
from model_store.weights import has_tokenizer
from tests.models import CORPUS, tiny_tokenizer
from tests.sentencepieces import (
    ENGLISH,
    GERMAN_AND_RUSSIAN,
    MARIAN_CODES,
    marian,
    processor,
    trained,
    write,
)

pytestmark = pytest.mark.filterwarnings("ignore:Recommended")  # sacremoses, which decoding skips

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    " leading space and  two spaces",
    "ﬁne ① Ａ full-width café",
    "line one\r\nline two\n\ttabbed",
    "我爱北京天安门 and 日本 ☃☃ 😀 mixed",
    "a",
    "</s> inside <pad> and <unk>",
]
GOOGLE = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
FAIRSEQ = {0: 3, 1: 0, 2: 2}
"""Fairseq's ids of sentencepiece's <unk>, <s> and </s>; all other pieces stand one further."""


def t5(folder: Path) -> Path:
    settings = {"tokenizer_class": "T5Tokenizer"}
    return write(folder, "spiece.model", "t5", settings, trained(**GOOGLE))


def mt5(folder: Path) -> Path:
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}
    return write(folder, "spiece.model", "mt5", settings, trained(**GOOGLE))


def pegasus(folder: Path) -> Path:
    return write(folder, "spiece.model", "pegasus", {}, trained(**GOOGLE))


def mbart(folder: Path) -> Path:
    return write(folder, "sentencepiece.bpe.model", "mbart", {}, trained())


def mbart50(folder: Path) -> Path:
    settings = {"tokenizer_class": "MBart50Tokenizer", "src_lang": "fr_XX"}
    return write(folder, "sentencepiece.bpe.model", "mbart", settings, trained())


def row_of_t5(ids: list[int], size: int) -> list[int]:
    return [*ids, 1]


def row_of_pegasus(ids: list[int], size: int) -> list[int]:
    return [*(index if index < 2 else index + 103 for index in ids), 1]


def row_of_mbart(ids: list[int], size: int) -> list[int]:
    return [*(FAIRSEQ.get(index, index + 1) for index in ids), 2, size + 1 + 3]


def row_of_mbart50(ids: list[int], size: int) -> list[int]:
    return [size + 1 + 7, *(FAIRSEQ.get(index, index + 1) for index in ids), 2]


SENTENCEPIECE: dict[str, tuple[Callable[[Path], Path], Callable[[list[int], int], list[int]]]] = {
    "t5": (t5, row_of_t5),
    "mt5": (mt5, row_of_t5),
    "pegasus": (pegasus, row_of_pegasus),
    "mbart": (mbart, row_of_mbart),
    "mbart50": (mbart50, row_of_mbart50),
}
"""What the hub has, and the rows that the models were trained with."""


def rows(folder: Path, texts: list[str]) -> list[list[int]]:
    tokenizer = TextTokenizer.load(folder, 512)
    return [tokenizer.row(encoding.ids).input_ids for encoding in tokenizer.encode(texts)]


@pytest.mark.parametrize("case", SENTENCEPIECE)
def test_a_sentencepiece_model_gives_the_rows_it_was_trained_with(
    tmp_path: Path, case: str
) -> None:
    make, expected = SENTENCEPIECE[case]
    folder = make(tmp_path / "hub")
    model = processor(next(folder.glob("*.model")).read_bytes())
    texts = TEXTS[:-1]  # the last names special tokens, which sentencepiece does not look for
    found = [expected(model.encode(text), len(model)) for text in texts]
    assert rows(folder, texts) == found
    (tmp_path / "copy").mkdir()
    copy_tokenizer(folder, tmp_path / "copy")
    assert (tmp_path / "copy" / "tokenizer.json").is_file()
    assert rows(tmp_path / "copy", texts) == found
    assert load_tokenizer(tmp_path / "copy")[1] == load_tokenizer(folder)[1]


@pytest.mark.parametrize("case", SENTENCEPIECE)
def test_a_saved_tokenizer_gives_the_rows_and_texts_of_transformers(
    tmp_path: Path, case: str
) -> None:
    from transformers import AutoTokenizer

    folder = SENTENCEPIECE[case][0](tmp_path)
    AutoTokenizer.from_pretrained(str(folder)).save_pretrained(folder)
    assert_same(folder, AutoTokenizer.from_pretrained(str(folder)), TEXTS)


def test_a_nllb_tokenizer_gives_the_rows_and_texts_of_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, NllbTokenizer

    letters = sorted(set(CORPUS) - set(" \n"))
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *letters, *(f"▁{x}" for x in letters)]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    merges = [("▁", letter) for letter in letters]
    made = NllbTokenizer(vocab=vocabulary, merges=merges, src_lang="fra_Latn")
    for changes in ({}, {"legacy_behaviour": True}, {"src_lang": None}):
        made.save_pretrained(tmp_path)
        edit(tmp_path / "tokenizer_config.json", changes)
        assert_same(tmp_path, AutoTokenizer.from_pretrained(str(tmp_path)), TEXTS)


def test_the_settings_choose_the_source_language(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = mbart(tmp_path)
    AutoTokenizer.from_pretrained(str(folder)).save_pretrained(folder)
    before = rows(folder, TEXTS)
    edit(folder / "tokenizer_config.json", {"src_lang": "de_DE"})
    assert_same(folder, AutoTokenizer.from_pretrained(str(folder)), TEXTS)
    assert rows(folder, TEXTS) != before


@pytest.mark.parametrize("case", ["mbart", "mbart50"])
def test_language_codes_are_special_tokens_in_files_that_do_not_say_so(
    tmp_path: Path, case: str
) -> None:
    from transformers import AutoTokenizer

    folder = SENTENCEPIECE[case][0](tmp_path)
    AutoTokenizer.from_pretrained(str(folder)).save_pretrained(folder)
    expected = Languages(TextTokenizer.load(folder, 512)).ids
    content = json.loads((folder / "tokenizer.json").read_text())
    added = [token for token in content["added_tokens"] if token["content"] not in expected]
    assert len(added) + len(expected) == len(content["added_tokens"])
    edit(folder / "tokenizer.json", {"added_tokens": added})
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    for key in ("added_tokens_decoder", "additional_special_tokens", "extra_special_tokens"):
        settings.pop(key, None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert_same(folder, AutoTokenizer.from_pretrained(str(folder)), [*TEXTS, "de_DE and fr_XX"])
    assert Languages(TextTokenizer.load(folder, 512)).ids == expected


@pytest.mark.parametrize("key", ["extra_special_tokens", "additional_special_tokens"])
def test_special_tokens_that_only_the_settings_list_are_special(tmp_path: Path, key: str) -> None:
    from transformers import AutoTokenizer

    vocabulary = tiny_tokenizer(tmp_path, "roberta").get_vocab()
    edit(tmp_path / "config.json", {"model_type": "roberta"})
    pieces = sorted(piece for piece in vocabulary if piece.isascii() and len(piece) == 2)[-2:]
    text = f"{pieces[0]}m {pieces[1]}m"
    before = rows(tmp_path, [text])
    edit(tmp_path / "tokenizer_config.json", {key: [pieces[0], {"content": pieces[1]}]})
    assert rows(tmp_path, [text]) != before
    assert Detokenizer(load_tokenizer(tmp_path)[0]).special(vocabulary[pieces[1]])
    edit(tmp_path / "tokenizer_config.json", {key: pieces})
    assert_same(tmp_path, AutoTokenizer.from_pretrained(str(tmp_path)), [text, "qu"])
    tokens = load_tokenizer(tmp_path)[0].get_vocab_size()
    edit(tmp_path / "tokenizer_config.json", {key: ["<beyond the vocabulary>"]})
    assert load_tokenizer(tmp_path)[0].get_vocab_size() == tokens


def test_bart_in_files_without_settings(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tiny_tokenizer(tmp_path, "roberta")
    model = json.loads((tmp_path / "tokenizer.json").read_text())["model"]
    for path in tmp_path.iterdir():
        path.unlink()
    edit(tmp_path / "config.json", {"model_type": "bart", "pad_token_id": 1})
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [" ".join(merge) for merge in model["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    theirs = AutoTokenizer.from_pretrained(str(tmp_path))
    assert_same(tmp_path, theirs, TEXTS)
    theirs.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    assert_same(tmp_path, AutoTokenizer.from_pretrained(str(tmp_path)), TEXTS)


def random_texts(seed: int, count: int) -> list[str]:
    """Words of both languages, of neither, joined in every way, and letters thrown together."""
    rng = random.Random(seed)
    words = f"{ENGLISH} {GERMAN_AND_RUSSIAN}".split()
    words += ["日本", "☃", "é", "e\u0301", "ﬁne", "①", "Ａ", "😀", "ü", "üü", "ßß", "Ё", "…", "¿"]
    texts = []
    for _ in range(count):
        text = "".join(
            rng.choice([" ", " ", "  ", "", "-", "\t"]) + rng.choice(words)
            for _ in range(rng.randrange(12))
        )
        if text and rng.random() < 0.3:
            text = "".join(rng.choice(text) for _ in range(rng.randrange(30)))
        texts.append(text)
    return texts


@pytest.mark.parametrize("codes", [(), MARIAN_CODES])
def test_marian_gives_the_rows_of_transformers(tmp_path: Path, codes: tuple[str, ...]) -> None:
    from transformers import MarianTokenizer

    folder = marian(tmp_path / "hub", codes=codes)
    theirs = MarianTokenizer.from_pretrained(str(folder))
    texts = [*TEXTS, *random_texts(0, 500)]
    texts += [f"{code} {text}" for code in codes for text in texts[:60]]
    expected = theirs(texts).input_ids
    assert rows(folder, texts) == expected
    assert any(theirs.unk_token_id in row for row in expected)
    (tmp_path / "copy").mkdir()
    copy_tokenizer(folder, tmp_path / "copy")
    assert rows(tmp_path / "copy", texts) == expected
    assert load_tokenizer(tmp_path / "copy")[1] == theirs.pad_token_id


@pytest.mark.parametrize(
    "options",
    [
        {"normalization_rule_name": "identity"},
        {"add_dummy_prefix": False, "remove_extra_whitespaces": False},
        {"split_by_whitespace": False},
    ],
)
def test_marian_follows_its_models_own_rules(tmp_path: Path, options: dict[str, Any]) -> None:
    from transformers import MarianTokenizer

    source = trained(ENGLISH, unk_id=1, eos_id=0, bos_id=-1, **options)
    folder = marian(tmp_path, source)
    theirs = MarianTokenizer.from_pretrained(str(folder))
    texts = [text for text in random_texts(1, 300) if text]
    assert rows(folder, texts) == theirs(texts).input_ids


def test_marian_gives_the_texts_of_transformers(tmp_path: Path) -> None:
    from transformers import MarianTokenizer

    folder = marian(tmp_path)
    theirs = MarianTokenizer.from_pretrained(str(folder))
    ours = Detokenizer(load_tokenizer(folder)[0])
    rng, size = random.Random(0), len(theirs)
    frequent = [theirs.convert_tokens_to_ids("▁"), *range(20)]
    for _ in range(500):
        ids = [rng.choice([rng.randrange(size), *frequent]) for _ in range(rng.randrange(12))]
        for clean_up in (False, True):
            expected = theirs.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=clean_up
            )
            assert ours.decode(ids, clean_up=clean_up) == expected


def test_a_published_marian_tokenizer_is_one_for_transformers_too(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, MarianTokenizer

    folder = marian(tmp_path / "hub", codes=MARIAN_CODES)
    expected = MarianTokenizer.from_pretrained(str(folder))(TEXTS).input_ids
    (tmp_path / "copy").mkdir()
    copy_tokenizer(folder, tmp_path / "copy")
    (tmp_path / "copy" / "config.json").write_bytes((folder / "config.json").read_bytes())
    assert_same(tmp_path / "copy", AutoTokenizer.from_pretrained(str(tmp_path / "copy")), TEXTS)
    assert rows(tmp_path / "copy", TEXTS) == expected


def test_marian_needs_no_sentencepiece(tmp_path: Path) -> None:
    folder = marian(tmp_path)
    code = (
        "import sys; sys.modules['sentencepiece'] = None; from pathlib import Path; "
        "from model_store.tokenizer import load_tokenizer; "
        f"print(load_tokenizer(Path({str(folder)!r}))[0].encode('The quick brown fox').ids)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == rows(folder, ["The quick brown fox"])[0]


def test_without_sentencepiece_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = t5(tmp_path)
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(CheckpointError, match=r"spiece\.model.*pip install sentencepiece"):
        load_tokenizer(folder)


def test_marian_files_that_cannot_be_used_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="separate_vocabs"):
        load_tokenizer(marian(tmp_path / "apart", separate_vocabs=True))
    bpe = trained(ENGLISH, unk_id=1, eos_id=0, bos_id=-1, model_type="bpe")
    with pytest.raises(CheckpointError, match=r"source\.spm is no Unigram model"):
        load_tokenizer(marian(tmp_path / "bpe", bpe))
    folder = marian(tmp_path / "damaged")
    (folder / "source.spm").write_bytes(b"\x00not a model")
    with pytest.raises(CheckpointError, match=r"source\.spm cannot be read"):
        load_tokenizer(folder)
    (folder / "vocab.json").write_text('{"<unk>": 1, "</s>": 3}')
    with pytest.raises(CheckpointError, match=r"vocab\.json does not number"):
        load_tokenizer(folder)


def test_marians_files_are_a_tokenizer(tmp_path: Path) -> None:
    assert has_tokenizer(marian(tmp_path))
    (tmp_path / "vocab.json").unlink()
    assert has_tokenizer(tmp_path)
    with pytest.raises(CheckpointError, match="no tokenizer from"):
        load_tokenizer(tmp_path)


def test_only_settings_that_ask_for_it_clean_up(tmp_path: Path) -> None:
    folder = marian(tmp_path)
    assert not cleans_up_spaces(folder)
    assert not TextTokenizer.load(folder, 512).clean_up
    edit(folder / "tokenizer_config.json", {"clean_up_tokenization_spaces": True})
    assert cleans_up_spaces(folder)
    assert TextTokenizer.load(folder, 512).clean_up


def assert_same(folder: Path, theirs: Any, texts: list[str]) -> None:
    """Rows, pairs and decoded texts equal those of transformers."""
    ours = TextTokenizer.load(folder, 512)
    assert ours.pad_id == theirs.pad_token_id
    encodings = ours.encode(texts)
    detokenizer = Detokenizer(ours.raw)
    for text, encoding in zip(texts, encodings, strict=True):
        row = ours.row(encoding.ids).input_ids
        assert row == theirs(text).input_ids, text
        assert detokenizer.decode(row) == theirs.decode(row, skip_special_tokens=True)
    for first, second in pairwise(texts):
        head, tail = (encodings[texts.index(text)].ids for text in (first, second))
        assert ours.pair_row(head, tail).input_ids == theirs(first, second).input_ids


def edit(path: Path, changes: dict[str, Any]) -> None:
    settings = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(settings | changes))
