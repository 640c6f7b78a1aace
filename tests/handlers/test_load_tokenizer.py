"""Our tokenizer, read without transformers, gives what transformers' AutoTokenizer gives."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import CheckpointError
from handlers.tokenization import TextTokenizer
from model_store.tokenizer import load_tokenizer
from tests.models import tiny_tokenizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    " leading space and  two spaces",
    "ÉCOLE Zürich naïve CAFÉ",
    "combining: e\u0301 n\u0303 A\u030a",
    "emoji 😀 family 👨\u200d👩\u200d👧 flag 🇩🇪 done",
    "我爱北京天安门 and Shanghai上海 mixed",
    "line one\r\nline two\n\ttabbed",
    "``quoted'' and [MASK] <mask> [SEP] </s> inside",
    "ﬁne ﬀ ½ ① Ａ full-width",
    "a" * 150,
    "x",
]
PAIRS = list(zip(TEXTS, TEXTS[1:] + TEXTS[:1], strict=True))

CLASSES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("bert", "BertTokenizer", {}),
    "bert-cased": ("bert", "BertTokenizer", {"do_lower_case": False}),
    "bert-accents": ("bert", "BertTokenizer", {"strip_accents": False}),
    "bert-chinese": ("bert", "BertTokenizer", {"tokenize_chinese_chars": False}),
    "distilbert": ("distilbert", "DistilBertTokenizer", {}),
    "electra": ("electra", "ElectraTokenizer", {"do_lower_case": False}),
    "mpnet": ("mpnet", "MPNetTokenizer", {}),
    "roberta": ("roberta", "RobertaTokenizer", {}),
    "roberta-prefix": ("roberta", "RobertaTokenizer", {"add_prefix_space": True}),
    "xlm-roberta": ("xlm-roberta", "XLMRobertaTokenizer", {}),
    "albert": ("albert", "AlbertTokenizer", {}),
    "albert-cased": ("albert", "AlbertTokenizer", {"do_lower_case": False, "keep_accents": True}),
    "deberta-v2": ("deberta-v2", "DebertaV2Tokenizer", {}),
    "modernbert": ("modernbert", "PreTrainedTokenizerFast", {}),
}
"""Architecture, tokenizer class and settings, each with a tiny vocabulary."""


def saved(folder: Path, case: str) -> Path:
    """A tokenizer as transformers itself saves it, with the model type that AutoTokenizer wants."""
    import transformers

    architecture, class_name, settings = CLASSES[case]
    cased = settings.get("do_lower_case") is False
    raw = tiny_tokenizer(folder, architecture, cased=cased)
    (folder / "config.json").write_text(json.dumps({"model_type": architecture}))
    if class_name != "PreTrainedTokenizerFast":
        state = json.loads(raw.to_str())["model"]
        parts: dict[str, Any] = {"vocab": state["vocab"]}
        if "merges" in state:
            parts["merges"] = [tuple(merge) for merge in state["merges"]]
        if state["type"] == "Unigram":
            parts["vocab"] = [tuple(piece) for piece in state["vocab"]]
            unknown = state["vocab"][state["unk_id"]][0]
            parts["unk_token"] = unknown
        tokenizer = getattr(transformers, class_name)(**parts, **settings, model_max_length=128)
        tokenizer.save_pretrained(folder)
    return folder


def reference(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


def assert_same(folder: Path) -> None:
    theirs, ours = reference(folder), TextTokenizer.load(folder, 128)
    assert ours.pad_id == theirs.pad_token_id
    encodings = ours.encode(TEXTS)
    for text, encoding in zip(TEXTS, encodings, strict=True):
        expected = theirs(text, return_offsets_mapping=True)
        row = ours.row(encoding.ids)
        assert row.input_ids == expected["input_ids"], text
        assert row.token_type_ids == expected.get("token_type_ids", [0] * len(row)), text
        start = len(ours.single_prefix)
        offsets = expected["offset_mapping"][start : start + len(encoding.ids)]
        assert encoding.offsets == offsets, text
    by_text = dict(zip(TEXTS, encodings, strict=True))
    for first, second in PAIRS:
        expected = theirs(first, second, return_offsets_mapping=True, return_token_type_ids=True)
        head, tail = by_text[first], by_text[second]
        row = ours.pair_row(head.ids, tail.ids)
        assert row.input_ids == expected["input_ids"], (first, second)
        assert row.token_type_ids == expected["token_type_ids"], (first, second)
        start = ours.second_start(len(head.ids))
        assert tail.offsets == expected["offset_mapping"][start : start + len(tail.ids)]


@pytest.mark.parametrize("case", CLASSES)
def test_ids_types_and_offsets_equal_those_of_transformers(tmp_path: Path, case: str) -> None:
    assert_same(saved(tmp_path, case))


@pytest.mark.parametrize(
    ("case", "edited"),
    [
        ("bert", {"do_lower_case": False}),
        ("bert-cased", {"do_lower_case": True}),
        ("bert-cased", {"strip_accents": True}),
        ("electra", {"tokenize_chinese_chars": False}),
        ("roberta", {"add_prefix_space": True}),
        ("roberta-prefix", {"add_prefix_space": False}),
        ("mpnet", {"do_lower_case": False}),
    ],
)
def test_settings_that_disagree_with_the_tokenizer_file_win(
    tmp_path: Path, case: str, edited: dict[str, Any]
) -> None:
    folder = saved(tmp_path, case)
    before = [encoding.ids for encoding in TextTokenizer.load(folder, 128).encode(TEXTS)]
    edit(folder / "tokenizer_config.json", edited)
    assert_same(folder)
    assert before != [encoding.ids for encoding in TextTokenizer.load(folder, 128).encode(TEXTS)]


def test_bert_defaults_apply_where_settings_are_silent(tmp_path: Path) -> None:
    folder = saved(tmp_path, "bert-cased")
    (folder / "tokenizer_config.json").unlink()
    assert_same(folder)


def test_a_token_that_only_the_settings_know_is_added(tmp_path: Path) -> None:
    folder = saved(tmp_path, "bert")
    size = load_tokenizer(folder)[0].get_vocab_size()
    token = {"content": "brown fox", "special": False, "lstrip": True, "normalized": True}
    decoder = json.loads((folder / "tokenizer_config.json").read_text())
    decoder = {**decoder.get("added_tokens_decoder", {}), str(size): token}
    edit(folder / "tokenizer_config.json", {"added_tokens_decoder": decoder})
    assert size in load_tokenizer(folder)[0].encode("the quick brown fox").ids
    assert_same(folder)


def test_a_token_beyond_the_vocabulary_is_not_added(tmp_path: Path) -> None:
    folder = saved(tmp_path, "bert")
    before = load_tokenizer(folder)[0].get_vocab_size()
    token = {"content": "<elsewhere>", "special": True}
    edit(folder / "tokenizer_config.json", {"added_tokens_decoder": {str(before + 7): token}})
    assert load_tokenizer(folder)[0].get_vocab_size() == before


@pytest.mark.parametrize("case", ["bert", "roberta"])
def test_a_vocabulary_without_a_tokenizer_file_is_converted(tmp_path: Path, case: str) -> None:
    folder = saved(tmp_path, case)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    if case == "bert":
        pieces = sorted(model["vocab"], key=model["vocab"].get)
        (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    else:
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
        merges = [" ".join(merge) for merge in model["merges"]]
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    assert_same(folder)


def test_the_pad_id_comes_from_the_model_where_the_tokenizer_names_none(tmp_path: Path) -> None:
    tiny_tokenizer(tmp_path, "roberta")
    (tmp_path / "tokenizer_config.json").write_text("{}")
    edit(tmp_path / "config.json", {"model_type": "roberta", "pad_token_id": 1})
    assert load_tokenizer(tmp_path)[1] == 1


def test_loading_needs_neither_transformers_nor_torch(tmp_path: Path) -> None:
    tiny_tokenizer(tmp_path, "bert")
    code = (
        "import sys; from pathlib import Path; from handlers.tokenization import TextTokenizer; "
        f"TextTokenizer.load(Path({str(tmp_path)!r}), 128).encode(['a text']); "
        "print([name for name in ('transformers', 'torch', 'huggingface_hub') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_tokenizer_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"version": "1.0"')
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read"):
        load_tokenizer(tmp_path)
    path.unlink()
    with pytest.raises(CheckpointError, match="no tokenizer from"):
        load_tokenizer(tmp_path)
    edit(
        tmp_path / "tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}}
    )
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json .*auto_map.*never run"):
        load_tokenizer(tmp_path)


def test_a_tokenizer_without_a_fast_version_is_refused(tmp_path: Path) -> None:
    edit(tmp_path / "config.json", {"model_type": "canine"})
    edit(tmp_path / "tokenizer_config.json", {"tokenizer_class": "CanineTokenizer"})
    with pytest.raises(CheckpointError, match="CanineTokenizer has no fast version"):
        load_tokenizer(tmp_path)


def edit(path: Path, changes: dict[str, Any]) -> None:
    settings = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(settings | changes))
