from pathlib import Path

import pytest

from contracts.errors import CheckpointError
from contracts.tasks import Task
from train.recipe import Recipe
from train.recipe_file import data_settings, load_recipe
from train.recipe_model import Model

GOOD = '[model]\nname = "m"\ntask = "classification"\n[data]\ntrain = "a.csv"\n'


def write(folder: Path, text: str) -> Path:
    (folder / "a.csv").write_text("text,label\n")
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GOOD + "[optim]\nlearn_rate = 1",
            r'"learn_rate"; did you mean "lr"\?',
        ),
        (GOOD + "[optim]\nepoch = 1", r'\[optim\] has no key "epoch"; did you mean "epochs"\?'),
        (GOOD + "[optimizer]\n", r'the top level has no key "optimizer"; did you mean "optim"\?'),
        (GOOD + "[optim]\nlr = -1", r"optim\.lr is -1: input should be greater than 0"),
        (GOOD.replace('"classification"', '"chat"'), r"model\.task is 'chat'; choose from classif"),
        (
            GOOD.replace("[data]", 'kind = "translation"\n[data]'),
            r"model\.kind is 'translation': .*it goes with task = \"generation\"",
        ),
        (
            GOOD.replace('"classification"', '"generation"\nkind = "poem"'),
            r"model\.kind is 'poem'; choose from summarization, translation",
        ),
        (
            GOOD.replace("[data]", 'decoder = "minilm"\n[data]'),
            r"model\.decoder is 'minilm': .*it goes with task = \"generation\"",
        ),
        (
            GOOD.replace('"classification"', '"generation"\ndecoder_layers = 3'),
            r"model\.decoder_layers is 3: .*it goes with a decoder that is named beside base",
        ),
        (GOOD + 'format = "xlsx"', r"data\.format is 'xlsx'; choose from csv"),
        (GOOD.replace('name = "m"\n', ""), r"model\.name is missing"),
        (GOOD.replace("a.csv", "b.csv"), r"data\.train: there is no file .*b\.csv"),
        (GOOD + "[optim", r"is not valid TOML"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=expected):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize(
    ("lines", "task", "kind"),
    [
        ('task = "generation"', Task.TEXT2TEXT_GENERATION, Task.TEXT2TEXT_GENERATION),
        ('task = "generation"\nkind = "summarization"', Task.SUMMARIZATION, Task.SUMMARIZATION),
        ('task = "translation"', Task.TRANSLATION, Task.TRANSLATION),
        ('task = "summary"', Task.SUMMARIZATION, None),
        ('task = "summarization"', Task.SUMMARIZATION, None),
    ],
)
def test_the_kind_tells_writing_from_choosing_sentences(
    lines: str, task: Task, kind: Task | None, tmp_path: Path
) -> None:
    text = GOOD.replace('task = "classification"', lines)
    model = load_recipe(write(tmp_path, text)).model
    assert (model.task, model.kind) == (task, kind)
    assert Model.model_validate(model.model_dump(mode="json")) == model


def test_base_and_decoder_are_told_by_their_names_and_found_beside_the_recipe(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine").mkdir()
    lines = 'task = "generation"\nbase = "mine"\ndecoder = "mine"'
    recipe = load_recipe(write(tmp_path, GOOD.replace('task = "classification"', lines)))
    assert recipe.model.base == recipe.model.decoder == str(tmp_path / "mine")
    told = recipe.portable()["model"]
    assert told["base"] == told["decoder"] == "mine"


def test_paths_are_relative_to_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, GOOD)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_recipe(path).data.train == tmp_path / "a.csv"


def test_set_overrides_values_and_adds_sections(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    recipe = load_recipe(
        path, ["optim.lr=3e-5", "model.name=other", "early_stopping.patience=2", "seed=7"]
    )
    assert recipe.optim.lr == 3e-5
    assert recipe.model.name == "other"
    assert recipe.early_stopping.patience == 2
    assert recipe.seed == 7


@pytest.mark.parametrize("override", ["optim.lr", "=3", "seed.lr=1"])
def test_a_broken_override_is_refused(override: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        load_recipe(write(tmp_path, "seed = 1\n" + GOOD), [override])


def test_the_hash_is_of_the_settings_and_not_of_the_machine(tmp_path: Path) -> None:
    hashes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        hashes.append(load_recipe(write(tmp_path / name, GOOD)).sha256)
    assert hashes[0] == hashes[1]
    assert load_recipe(write(tmp_path, GOOD), ["seed=1"]).sha256 != hashes[0]


def test_every_setting_of_a_section_can_be_told_from_a_typing_error() -> None:
    for section in Recipe.model_fields.values():
        fields = getattr(section.annotation, "model_fields", {})
        assert all(name == name.lower() and name.isidentifier() for name in fields)


def test_data_settings_take_the_data_section_alone() -> None:
    assert data_settings(["data.label=category"]) == {"label": "category"}
    with pytest.raises(CheckpointError, match="optim"):
        data_settings(["optim.lr=1"])
    with pytest.raises(CheckpointError, match="lable"):
        data_settings(["data.lable=1"])
