"""The report: what it says of a run, and that its page needs nothing but a browser."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import InputTooLong
from contracts.schemas import LabelScore
from model_store.version import ModelVersion
from tests.train.runs import WRITERS, run, write_recipe
from train.recipe import Data, Recipe
from train.recipe_model import Model
from train.report.charts import calibration_chart, line_chart
from train.report.excerpt import LONGEST, short
from train.report.findings import find
from train.report.page import confused_pairs, page
from train.tasks.classification import MULTI, ClassificationTraining, LabelledText

NO_ONNX = ("artifacts.onnx_fp32=false", "artifacts.onnx_int8=false")
NASTY = '<script>alert("x")</script> & refund'


class Reader(HTMLParser):
    """Tags in order, what they refer to, and whether all that is opened is closed."""

    VOID = ("meta", "br", "hr", "img", "input", "circle", "line", "polyline", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def write_nasty(folder: Path) -> str:
    """Texts with markup, of which no model can tell the label."""
    lines = ["text,label"]
    quoted = NASTY.replace('"', '""')
    lines += [f'"{quoted} {index}",{("<b>", "m&m")[index % 2]}' for index in range(40)]
    (folder / "train.csv").write_text("\n".join(lines))
    return "train.csv"


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    folder = tmp_path_factory.mktemp("nasty")
    recipe = write_recipe(folder, "classification", write_nasty(folder), "dev_share = 0.5")
    return run(recipe, folder / "store", *NO_ONNX)


def test_a_page_is_one_file_without_script_in_which_texts_are_only_text(
    nasty: ModelVersion,
) -> None:
    html = (nasty.folder / "report.html").read_text()
    reader = read(html)
    assert "script" not in reader.tags
    assert "link" not in reader.tags
    assert "b" not in re.findall(r"<td><(\w+)>", html)
    assert reader.references == []
    assert "http" not in html.replace("http-equiv", "")
    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;" in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_a_page_says_what_the_run_did(nasty: ModelVersion) -> None:
    content = json.loads((nasty.folder / "report.json").read_text())
    html = (nasty.folder / "report.html").read_text()
    assert read(html).headings == [
        "Beside the baselines",
        "Data",
        "Training",
        "By label",
        "Confusion matrix",
        "Most confused pairs",
        "Calibration",
        "Worst answers",
        "Artifacts",
        "How it was made",
    ]
    assert "tuneserve train" in html
    assert f"transformers {content['packages']['transformers']}" in html
    assert content["recipe_sha256"][:12] in html
    assert f"{content['scores']['dev']['accuracy']:.3f}" in html
    assert html.count("<polyline") == 2
    assert html.count('class="ring"') == 1


def test_the_findings_agree_with_the_scores(nasty: ModelVersion) -> None:
    content = json.loads((nasty.folder / "report.json").read_text())
    found, scores = content["findings"], content["scores"]["dev"]
    counts = found["confusion"]["counts"]
    right = sum(counts[index][index] for index in range(len(counts)))
    assert found["count"] == content["data"]["dev"] == sum(map(sum, counts))
    assert right / found["count"] == pytest.approx(scores["accuracy"])
    assert found["wrong"] == found["count"] - right > 0
    macro = sum(one["F1"] for one in found["groups"]) / len(found["groups"])
    assert macro == pytest.approx(scores["macro_f1"])
    assert sum(one["count"] for one in found["calibration"]["bins"]) == found["count"]
    sure = [float(one["score"].split()[1]) for one in found["worst"]]
    assert sure == sorted(sure, reverse=True)
    assert all(re.fullmatch(r"train\.csv, line \d+", one["where"]) for one in found["worst"])


@pytest.mark.parametrize("task", ["ner", "qa", "summary"])
def test_every_task_has_a_page_with_what_applies_to_it(task: str, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, task, WRITERS[task](tmp_path), epochs=1)
    version = run(recipe, tmp_path / "store", *NO_ONNX)
    headings = read((version.folder / "report.html").read_text()).headings
    groups = {"ner": "By type", "qa": "By question"}.get(task)
    assert {"Data", "Training", "Artifacts", "How it was made", groups} - {None} <= set(headings)
    assert not {"By label", "Confusion matrix", "Calibration"} & set(headings)
    found = json.loads((version.folder / "report.json").read_text())["findings"]
    assert len(found["worst"]) == found["wrong"] > 0
    for one in found["worst"]:
        assert all(one[key] for key in ("where", "text", "expected", "score"))


def job(labels: list[str], problem_type: Any = None) -> ClassificationTraining:
    model = Model(
        name="m",
        task="classification",  # type: ignore[arg-type]
        labels=labels,
        problem_type=problem_type,
    )
    made = ClassificationTraining(Recipe(model=model, data=Data(train=Path("a.csv"))))
    made.learn_labels([])
    return made


def example(text: str, *labels: str) -> LabelledText:
    return LabelledText(f"/somewhere/a.csv, line {text}", text, None, labels)


def scored(**scores: float) -> list[LabelScore]:
    return [LabelScore(label=label, score=score) for label, score in scores.items()]


def test_labels_confidence_and_errors_are_counted_as_defined() -> None:
    examples = [example("1", "a"), example("2", "a"), example("3", "b"), example("4", "b")]
    answers = [
        scored(a=0.95, b=0.05),
        scored(b=0.9, a=0.1),
        scored(b=0.65, a=0.35),
        InputTooLong(9, 8),
    ]
    found = find(job(["a", "b"]), "test", examples, answers)
    assert found.confusion == {"labels": ["a", "b"], "counts": [[1, 1], [0, 1]]}
    a, b = found.groups
    assert (a["precision"], a["recall"], a["support"]) == (1.0, 0.5, 2)
    assert (b["precision"], b["recall"], b["F1"]) == (0.5, 0.5, 0.5)
    # Bins 0.6-0.7 (right, 0.65) and 0.9-1.0 (one of two right, 0.925 on average).
    assert found.calibration["ece"] == pytest.approx((0.35 + 2 * 0.425) / 3)
    assert [one["count"] for one in found.calibration["bins"]] == [1, 2]
    assert [one["text"] for one in found.worst] == ["2", "4"]
    assert found.worst[0]["where"] == "a.csv, line 2"
    assert found.worst[1]["answer"].startswith("refused: The text has 9 tokens")


def test_label_sets_are_judged_label_by_label() -> None:
    examples = [example("1", "a", "b"), example("2")]
    answers = [scored(a=0.9, b=0.2), scored(a=0.6, b=0.1)]
    found = find(job(["a", "b"], MULTI), "test", examples, answers)
    assert found.confusion == {}
    assert [one["recall"] for one in found.groups] == [1.0, 0.0]
    assert found.calibration["ece"] == pytest.approx((0.1 + 0.8 + 0.6 + 0.1) / 4)
    assert [one["expected"] for one in found.worst] == ["a, b", "(none)"]


def test_many_labels_are_told_as_pairs(nasty: ModelVersion) -> None:
    labels = [f"label {number}" for number in range(30)]
    counts = [[int(row == column) for column in range(30)] for row in range(30)]
    counts[3][4], counts[7][1] = 2, 5
    matrix = {"labels": labels, "counts": counts}
    assert confused_pairs(matrix) == [("label 7", "label 1", 5, 6), ("label 3", "label 4", 2, 3)]
    content = json.loads((nasty.folder / "report.json").read_text())
    content["findings"]["confusion"] = matrix
    headings = read(page(content)).headings
    assert "Most confused pairs" in headings
    assert "Confusion matrix" not in headings


def test_a_refused_artifact_has_its_reasons_on_the_page(nasty: ModelVersion) -> None:
    content = json.loads((nasty.folder / "report.json").read_text())
    content["artifacts"][0] |= {"verified": False, "reasons": ["accuracy falls by 9 points."]}
    html = page(content)
    read(html)
    assert "✗ left out" in html
    assert "accuracy falls by 9 points." in html


@pytest.mark.parametrize(
    "points", [[(1.0, 0.0)], [(1, 0.5), (2, 0.5)], [(n, 1e-7 * n) for n in range(1, 40)]]
)
def test_any_curve_is_drawn_inside_its_frame(points: list[tuple[float, float]]) -> None:
    drawing = line_chart("<loss>", points, mark=points[0][0])
    read(drawing)
    assert "<loss>" not in drawing
    for x, y in re.findall(r'cx="([\d.e-]+)" cy="([\d.e-]+)"', drawing):
        assert 0 <= float(x) <= 420
        assert 0 <= float(y) <= 230
    assert "nan" not in drawing


def test_calibration_bars_are_hatched_and_numbered() -> None:
    bins = [{"from": 0.9, "to": 1.0, "count": 17, "confidence": 0.95, "right": 0.5}]
    drawing = calibration_chart(bins)
    read(drawing)
    assert "url(#hatch)" in drawing
    assert ">17<" in drawing


def test_long_texts_are_cut_around_the_place_that_matters() -> None:
    text = "a" * 5000 + "HERE" + "b" * 5000
    cut = short(text, 5000)
    assert "HERE" in cut
    assert len(cut) == LONGEST + 4
    assert short("a") == "a"
