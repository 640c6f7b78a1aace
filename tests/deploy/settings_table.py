"""The table of settings in docs/deployment.md, made from the one declaration in server/settings.py.

python -m tests.deploy.settings_table    writes it again
"""

import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le

from server.settings import Settings
from tests.deploy.dockerfile import ROOT

PAGE = ROOT / "docs" / "deployment.md"
BEGIN = "<!-- settings: written by python -m tests.deploy.settings_table -->\n"
END = "<!-- end of settings -->\n"


def table() -> str:
    """One row per setting, in the order of the declaration."""
    rows = ["| variable | values | default | what it does |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        cells = (
            f"`SERVE_{name.upper()}`",
            "folder" if name == "store" else _values(field.annotation, field.metadata),
            _default(field.default),
            str(field.description),
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def written(page: Path = PAGE) -> str:
    """The table as the page has it now."""
    _, _, rest = page.read_text().partition(BEGIN)
    return rest.partition(END)[0]


def _values(annotation: Any, bounds: list[Any]) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{one}`" for one in get_args(annotation))
    if annotation is bool:
        return "`true`, `false`"
    if get_origin(annotation) is list:
        return "list, with commas"
    limits = {type(one): one for one in bounds if isinstance(one, Ge | Gt | Le)}
    words = {int: "whole number", float: "number", str: "text", Path: "file"}[annotation]
    if Le in limits:
        return f"{limits[Ge].ge} to {limits[Le].le}"
    if Ge in limits:
        return f"{words}, {limits[Ge].ge} or more"
    return f"{words} above {limits[Gt].gt}" if Gt in limits else words


def _default(value: Any) -> str:
    if value is None or value == []:
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main() -> None:
    """Write the page again."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + table() + END + after)


if __name__ == "__main__":
    main()
