"""Language codes reach the tokens where transformers puts them, and wrong ones are refused."""

from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from contracts.errors import InvalidRequest
from handlers.languages import Languages
from handlers.tokenization import TextTokenizer
from model_store.tokenizer import load_tokenizer
from tests.sentencepieces import MARIAN_CODES, marian, trained, write

pytestmark = pytest.mark.filterwarnings("ignore:Recommended")  # sacremoses, which decoding skips

TEXT = "The quick brown fox"
WORDS = ["<s>", "<pad>", "</s>", "<unk>", "▁a", "▁The", "▁quick", "▁brown", "▁fox"]


def templated(single: str, codes: list[str]) -> TextTokenizer:
    """A tokenizer of a few words, with codes as special tokens and a template around a text."""
    vocabulary = [(word, -1.0) for word in WORDS] + [(code, -1.0) for code in codes]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens([AddedToken(token) for token in [*WORDS[:4], *codes]])
    ids = [(token, tokenizer.token_to_id(token)) for token in single.split() if token != "$A"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=single.replace("$A", "$A $B"), special_tokens=ids
    )
    return TextTokenizer(tokenizer, 128, 1)


def mbart(folder: Path, tokenizer_class: str) -> Path:
    settings = {"tokenizer_class": tokenizer_class}
    return write(folder, "sentencepiece.bpe.model", "mbart", settings, trained())


@pytest.mark.parametrize("tokenizer_class", ["MBartTokenizer", "MBart50Tokenizer"])
@pytest.mark.parametrize("src_lang", [None, "de_DE", "fr_XX"])
def test_mbart_rows_equal_those_of_transformers(
    tmp_path: Path, tokenizer_class: str, src_lang: str | None
) -> None:
    from transformers import AutoTokenizer

    folder = mbart(tmp_path, tokenizer_class)
    theirs = AutoTokenizer.from_pretrained(str(folder))
    ours = TextTokenizer.load(folder, 128)
    languages = Languages(ours)
    expected = theirs._build_translation_inputs(
        TEXT, return_tensors=None, src_lang=src_lang or "en_XX", tgt_lang="ro_RO"
    )
    ids = ours.encode([TEXT])[0].ids
    row = languages.source_row(ids, src_lang, "ro_RO")
    assert row.input_ids == expected["input_ids"]
    assert row.token_type_ids == [0] * len(row)
    assert languages.forced_bos("ro_RO") == expected["forced_bos_token_id"]
    assert languages.forced_bos(None) is None
    assert len(languages.ids) == (25 if tokenizer_class == "MBartTokenizer" else 52)


def test_a_marian_model_reads_its_target_in_front_of_the_text(tmp_path: Path) -> None:
    from transformers import MarianTokenizer

    folder = marian(tmp_path, codes=MARIAN_CODES)
    theirs = MarianTokenizer.from_pretrained(str(folder))
    ours = TextTokenizer.load(folder, 128)
    languages = Languages(ours)
    assert languages.in_front
    ids = ours.encode([TEXT])[0].ids
    for asked in ("fra", ">>fra<<", "FRA"):
        row = languages.source_row(ids, "eng", asked)
        assert row.input_ids == theirs(f">>fra<< {TEXT}").input_ids
        assert languages.forced_bos(asked) is None
    assert languages.source_row(ids).input_ids == theirs(TEXT).input_ids
    assert languages.around("en", "pt") == languages.around(None, ">>pt_BR<<")
    with pytest.raises(InvalidRequest, match="choose from zho_Hans, zho_Hant"):
        languages.around(None, "zho")


@pytest.mark.parametrize(
    ("single", "codes"),
    [
        ("__en__ $A </s>", ["__en__", "__de__", "__ast__"]),
        ("eng_Latn $A </s>", ["eng_Latn", "deu_Latn", "ast_Latn"]),
        ("$A </s> eng_Latn", ["eng_Latn", "deu_Latn", "ast_Latn"]),
    ],
)
def test_the_source_stands_where_the_tokenizers_own_default_stands(
    single: str, codes: list[str]
) -> None:
    tokenizer = templated(single, codes)
    raw, languages = tokenizer.raw, Languages(tokenizer)
    ids = tokenizer.encode([TEXT])[0].ids
    own = languages.source_row(ids).input_ids
    assert own == raw.encode(TEXT).ids
    source, target = raw.token_to_id(codes[1]), raw.token_to_id(codes[2])
    swapped = [source if index == raw.token_to_id(codes[0]) else index for index in own]
    assert swapped != own
    for name in (codes[1], codes[1].strip("_"), codes[1].strip("_").split("_")[0]):
        assert languages.source_row(ids, name, codes[2]).input_ids == swapped
    assert languages.forced_bos("ast") == target


def test_a_language_is_found_by_its_code_or_by_the_only_code_that_begins_with_it() -> None:
    codes = ["en_XX", "fr_XX", "zh_CN", "zh_TW", "ro_RO", "est_EE"]
    tokenizer = templated("en_XX $A </s>", codes)
    languages = Languages(tokenizer)
    for asked, code in {
        "fr_XX": "fr_XX",
        "fr": "fr_XX",
        "FR": "fr_XX",
        "fr-xx": "fr_XX",
        "zh_TW": "zh_TW",
        "est": "est_EE",
    }.items():
        assert languages.forced_bos(asked) == tokenizer.raw.token_to_id(code), asked
    with pytest.raises(InvalidRequest, match=r"tgt_lang: 'zh' .* choose from zh_CN, zh_TW\."):
        languages.forced_bos("zh")
    for asked in ("es", "xx", "fr_CA", "", "</s>", "<pad>"):
        with pytest.raises(InvalidRequest, match="tgt_lang: this model has no language"):
            languages.forced_bos(asked)


def test_an_unknown_language_is_answered_with_some_that_exist(tmp_path: Path) -> None:
    languages = Languages(TextTokenizer.load(mbart(tmp_path, "MBartTokenizer"), 128))
    with pytest.raises(InvalidRequest) as raised:
        languages.around("fr_FX", None)
    assert str(raised.value).startswith(
        "parameters.src_lang: this model has no language 'fr_FX'; it has fr_XX, "
    )
    assert str(raised.value).endswith(" and 17 more.")
    with pytest.raises(InvalidRequest, match=r"^parameters\.tgt_lang: .* 'klingon'; it has "):
        languages.forced_bos("klingon")
    with pytest.raises(InvalidRequest, match=r"'tlh'; it has .*ro_RO\.$"):
        Languages(templated("en_XX $A </s>", ["en_XX", "ro_RO"])).forced_bos("tlh")


def test_a_model_without_languages_says_so(tmp_path: Path) -> None:
    google = trained(pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    t5 = write(tmp_path / "t5", "spiece.model", "t5", {}, google)
    one_pair = marian(tmp_path / "marian")
    for folder in (t5, one_pair):
        languages = Languages(TextTokenizer.load(folder, 128))
        assert languages.ids == {}
        assert languages.around() == ([], [load_tokenizer(folder)[0].token_to_id("</s>")])
        assert languages.forced_bos(None) is None
        with pytest.raises(InvalidRequest, match=r"tgt_lang: .* no language codes"):
            languages.forced_bos("de")
        with pytest.raises(InvalidRequest, match=r"src_lang: .* write the direction into the text"):
            languages.around("de", None)


def test_a_source_without_a_place_is_refused() -> None:
    languages = Languages(templated("$A </s>", ["en_XX", "ro_RO"]))
    assert languages.forced_bos("ro") is not None
    assert languages.around(None, "ro") == ([], [2])
    with pytest.raises(InvalidRequest, match=r"src_lang: .* no place"):
        languages.around("en", "ro")


def test_special_tokens_that_look_like_codes_are_none() -> None:
    names = ["__start__", "__end__", "__unk__", "__null__", "<extra_id_0>", "[SEP]", "<2de>"]
    assert Languages(templated("$A </s>", names)).ids == {}
