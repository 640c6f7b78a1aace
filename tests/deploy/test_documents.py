"""What deploy/ and the docs say about the server is what the server does."""

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.metrics import Metrics
from server.settings import Settings
from tests.deploy.dockerfile import ROOT, image, stages
from tests.deploy.settings_table import table, written

DEPLOY = ROOT / "deploy"


def load(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def known_metrics() -> set[str]:
    """Names that /metrics can show, histograms' parts included, and Prometheus' own."""
    names = {"up"}
    for line in Metrics().render().decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            names |= {name + part for part in parts}
    source = (ROOT / "server" / "metrics.py").read_text()
    names |= set(re.findall(r'GaugeMetricFamily\(\s*"(\w+)"', source))
    counters = re.findall(r'CounterMetricFamily\(\s*"(\w+)"', source)
    return names | {f"{name}_total" for name in counters}


def test_settings_table_is_the_declaration() -> None:
    assert written() == table(), "run `python -m tests.deploy.settings_table`"


def test_every_variable_of_the_documents_is_a_setting() -> None:
    names = {f"SERVE_{name.upper()}" for name in Settings.model_fields}
    pages = [*DEPLOY.rglob("*.md"), *DEPLOY.rglob("*.yaml"), *(ROOT / "docs").glob("deployment.md")]
    pages.append(ROOT / "Dockerfile")
    assert len(pages) > 4
    for page in pages:
        assert set(re.findall(r"SERVE_[A-Z][A-Z_]*[A-Z]", page.read_text())) <= names, page.name


def test_every_target_and_argument_of_the_documents_is_in_the_dockerfile() -> None:
    found = stages()
    arguments = {text.split("=")[0] for stage in found.values() for text in stage.all("ARG")}
    for page in (DEPLOY / "README.md", DEPLOY / "compose.yaml", ROOT / "Dockerfile"):
        text = page.read_text()
        assert set(re.findall(r"--target (\S+)", text)) <= set(found)
        assert set(re.findall(r"--build-arg (\w+)", text)) <= arguments


def test_alerts_ask_for_metrics_that_exist() -> None:
    [rules] = load("prometheus/alerts.yaml")
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    assert expressions
    known = known_metrics()
    for expression in expressions:
        asked = set(re.findall(r"\b(up|tuneserve_\w+|process_\w+)\b", expression))
        assert asked
        assert asked <= known, expression


def test_the_page_names_every_metric_and_no_other() -> None:
    parts = ("_bucket", "_sum", "_count", "_created")
    real = {
        name
        for name in known_metrics()
        if name.startswith("tuneserve_") and not name.endswith(parts)
    }
    real |= {name.removesuffix("_sum") for name in known_metrics() if name.endswith("_sum")}
    page = set(
        re.findall(r"^\| `(\w+)` ", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    )
    assert page == real


def test_scrape_asks_for_the_port_of_the_image() -> None:
    [scrape] = load("prometheus/scrape.yaml")
    port = image("cpu").environment()["SERVE_PORT"]
    [job] = scrape["scrape_configs"]
    assert job["metrics_path"] == "/metrics"
    for group in job["static_configs"]:
        assert all(target.endswith(f":{port}") for target in group["targets"])


def test_kubernetes_runs_the_image_as_it_is_meant() -> None:
    deployment, service = load("kubernetes.yaml")
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    stage = image("cpu")
    port = int(stage.environment()["SERVE_PORT"])
    assert f"{pod['securityContext']['runAsUser']}" == stage.all("USER")[0].split(":")[0]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    [named] = container["ports"]
    assert named["containerPort"] == port
    assert service["spec"]["ports"][0]["targetPort"] == named["name"]
    drain = Settings.model_fields["drain_timeout_s"].default
    assert pod["terminationGracePeriodSeconds"] > drain


def test_compose_gives_the_server_time_to_drain() -> None:
    [compose] = load("compose.yaml")
    [service] = compose["services"].values()
    assert service["build"]["target"] in stages()
    assert service["read_only"] is True
    grace = int(service["stop_grace_period"].rstrip("s"))
    assert grace > Settings.model_fields["drain_timeout_s"].default


def test_images_are_named_after_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    [compose] = load("compose.yaml")
    deployment, _ = load("kubernetes.yaml")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    [service] = compose["services"].values()
    assert service["image"] == container["image"] == f"tuneserve:{version}"


# --- the README in two languages

BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
READMES = ("README.md", "README.zh.md")


def outline(page: Path) -> dict[str, object]:
    """What a translation has in common with its original, kind by kind."""
    text = page.read_text()
    prose = BLOCK.sub("", text)
    links = Counter(re.findall(r"\]\(([^)]+)\)", prose))
    spans = Counter(re.findall(r"`[^`]+`", prose))
    plain = re.sub(r"`[^`]+`|\]\([^)]+\)", "", prose)
    rows = [line.count("|") for line in prose.splitlines() if line.startswith("|")]
    return {
        "code blocks": BLOCK.findall(text),
        "sections": re.findall(r"^#+", prose, re.MULTILINE),
        "rows of tables, by their bars": rows,
        "items of lists": len(re.findall(r"^- ", prose, re.MULTILINE)),
        "links": links - Counter(READMES),
        "code": spans,
        "numbers": Counter(re.findall(r"\d[\d.,]*(?:e-\d+)?(?<![.,])", plain)),
    }


@pytest.mark.parametrize("kind", outline(ROOT / READMES[0]))
def test_the_chinese_readme_follows_the_english_one(kind: str) -> None:
    english, chinese = (outline(ROOT / name)[kind] for name in READMES)
    assert english
    assert chinese == english


def test_each_readme_links_to_the_other_on_its_first_lines() -> None:
    for name, other in (READMES, READMES[::-1]):
        assert f"]({other})" in "".join((ROOT / name).read_text().splitlines()[:4])


def test_every_link_of_a_document_leads_to_a_file_and_a_section() -> None:
    pages = [ROOT / name for name in READMES]
    pages += [*(ROOT / "docs").rglob("*.md"), ROOT / "examples" / "public" / "README.md"]
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text())):
            if link.startswith(("http:", "https:")):
                continue
            name, _, section = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), f"{page.name}: {link}"
            if section:
                titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
                marks = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in titles}
                assert section in marks, f"{page.name}: {link}"
