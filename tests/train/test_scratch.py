"""A model from nothing: the vocabulary is of the texts, and Chinese goes all the way."""

from pathlib import Path

import pytest

from handlers.tokenization import TextTokenizer
from tests.train.runs import run
from train.scratch import SCRATCH, base_checkpoint, word_piece, write_untrained

TITLES = [("海洋生物的研究", "理学"), ("古代文学的历史", "文学")]


def write_recipe(folder: Path) -> Path:
    rows = [f"第{index}种{text}\t{label}" for index in range(24) for text, label in TITLES]
    (folder / "train.tsv").write_text("text\tlabel\n" + "\n".join(rows))
    path = folder / "recipe.toml"
    path.write_text(
        '[model]\nname = "zh"\ntask = "classification"\nbase = "scratch"\n'
        '[data]\ntrain = "train.tsv"\n[optim]\nlr = 1e-3\nepochs = 2\nbatch_rows = 8\n'
        "bf16 = false\n[artifacts]\nonnx_int8 = false\n"
    )
    return path


def test_chinese_characters_are_tokens_and_rare_words_are_spelt() -> None:
    tokenizer = word_piece(["海洋 DNA 研究", "海洋 DNA", "rare"])
    assert tokenizer.encode("海洋dna").tokens == ["[CLS]", "海", "洋", "dna", "[SEP]"]
    assert tokenizer.encode("rare").tokens[1:-1] == ["r", "##a", "##r", "##e"]
    assert tokenizer.encode("猫").tokens[1:-1] == ["[UNK]"]


def test_equal_texts_and_seeds_give_equal_checkpoints(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_untrained(tmp_path / name, [text for text, _ in TITLES], seed)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    vocabularies = [(tmp_path / name / "tokenizer.json").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]


def test_another_base_is_left_as_it_is(tmp_path: Path) -> None:
    from train.recipe_file import load_recipe

    model = load_recipe(write_recipe(tmp_path)).model
    assert model.base == SCRATCH
    other = model.model_copy(update={"base": "minilm"})
    with base_checkpoint(other, [], 0) as same:
        assert same is other


@pytest.mark.e2e  # a whole training run
def test_a_chinese_classifier_learns_from_nothing_and_serves(tmp_path: Path) -> None:
    version = run(write_recipe(tmp_path), tmp_path / "store")
    assert version.manifest.base_model == SCRATCH
    assert version.manifest.scores["accuracy"] == 1.0
    assert {one.format for one in version.manifest.artifacts} == {"torch", "onnx"}
    tokenizer = TextTokenizer.load(version.folder, 512)
    (encoding,) = tokenizer.encode(["海洋"])
    assert encoding.tokens == ["海", "洋"]
