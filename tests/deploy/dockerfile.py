"""A Dockerfile as data: stages, and their instructions in order."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPTS = "/usr/local/lib/tuneserve-build/"
"""Where the image keeps deploy/build."""


@dataclass
class Stage:
    """One FROM and what follows it."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [text for name, text in self.instructions if name == instruction]

    def argv(self, instruction: str) -> list[str]:
        """The words of the last instruction of that name, which must be in exec form."""
        words = json.loads(self.all(instruction)[-1])
        assert isinstance(words, list)
        return words

    def environment(self) -> dict[str, str]:
        pairs = " ".join(self.all("ENV"))
        return dict(re.findall(r"(\w+)=(\S+)", pairs))


def stages(path: Path = ROOT / "Dockerfile") -> dict[str, Stage]:
    """All stages by name, in order; ARGs before the first FROM are in the stage ``""``."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = {"": Stage("", "")}
    now = found[""]
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            now = found[name] = Stage(base, name)
        else:
            now.instructions.append((instruction, rest.strip()))
    return found


def lineage(name: str) -> list[Stage]:
    """A stage and those it is built on, the first one first."""
    everything = stages()
    chain = [everything[name]]
    while chain[0].base in everything:
        chain.insert(0, everything[chain[0].base])
    return chain


def image(name: str) -> Stage:
    """What a target is in the end: its own instructions after those of its bases."""
    merged = Stage("", name)
    for stage in lineage(name):
        merged.instructions += stage.instructions
    return merged
