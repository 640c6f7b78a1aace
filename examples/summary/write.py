"""Writes ``train.jsonl``: short articles with the sentences that matter marked.

Each article is drawn from one hand-written scenario (``patterns/*.txt``): a few alternatives for
each key sentence (``K1`` the event or decision, ``K2``... what follows from it), and a pool of
background, quotes, colour and pleasantries. Key sentences stand anywhere, the first place being
only somewhat likelier, and numbers and names stand in both kinds, so that neither position nor
digits are enough to find them.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from draw import Words, expand  # noqa: E402

SEED = 7
ARTICLES = 2400
LEAD = 0.4  # how often the first key sentence opens the article


@dataclass
class Scenario:
    """One hand-written story: key sentences by rank, and everything around them."""

    genre: str
    keys: dict[str, list[str]] = field(default_factory=dict)
    filler: list[str] = field(default_factory=list)
    openers: list[str] = field(default_factory=list)
    closers: list[str] = field(default_factory=list)


def load(folder: Path) -> tuple[list[Scenario], dict[str, list[str]]]:
    """Reads the scenarios, and the filler that fits every article of a genre."""
    scenarios: list[Scenario] = []
    shared: dict[str, list[str]] = {}
    genres: list[str] = []
    for path in sorted(folder.glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            head, _, rest = line.strip().partition(" ")
            if head == "article":
                scenarios.append(Scenario(rest))
                genres = []
            elif head == "filler":
                genres = rest.split()
            elif head == "-" and genres:
                for genre in genres:
                    shared.setdefault(genre, []).append(rest)
            elif head == "-":
                scenarios[-1].filler.append(rest)
            elif head == ">":
                scenarios[-1].openers.append(rest)
            elif head == "<":
                scenarios[-1].closers.append(rest)
            elif head.startswith("K"):
                scenarios[-1].keys.setdefault(head, []).append(rest)
    return scenarios, shared


def compose(scenario: Scenario, shared: list[str], words: Words) -> tuple[list[str], list[int]]:
    """Draws one article: its sentences, and 1 for each sentence that matters."""
    rng, scope = words.rng, dict[str, str]()
    keys = [
        rng.choice(lines)
        for rank, lines in scenario.keys.items()
        if rank == "K1" or rng.random() < 0.75
    ]
    size = rng.randint(max(5, 2 * len(keys)), 11)
    pool = rng.sample(scenario.filler, min(len(scenario.filler), size - len(keys)))
    pool += rng.sample(shared, min(len(shared), rng.randint(1, 4)))
    rng.shuffle(pool)
    marked = [(text, 0) for text in pool]
    order = list(keys)
    if rng.random() < 0.25:
        rng.shuffle(order)
    low = 0
    for number, text in enumerate(order):
        if number == 0 and rng.random() < LEAD:
            place = 0
        else:
            place = rng.randint(low, len(marked))
            if rng.random() < 0.4:
                place = min(place, low + rng.randint(0, 2))
        marked.insert(place, (text, 1))
        low = place + 1
    if scenario.openers and rng.random() < 0.8:
        marked.insert(0, (rng.choice(scenario.openers), 0))
    if scenario.closers and rng.random() < 0.8:
        marked.append((rng.choice(scenario.closers), 0))
    sentences = []
    for text, _ in marked:
        sentence = expand(text, words, scope)
        first = next(i for i, c in enumerate(sentence) if c.isalnum())
        sentences.append(sentence[:first] + sentence[first].upper() + sentence[first + 1 :])
    return sentences, [label for _, label in marked]


def render() -> str:
    """Returns the text of ``train.jsonl``."""
    words = Words(random.Random(SEED), HERE.parent / "words.txt")
    scenarios, shared = load(HERE / "patterns")
    lines: list[str] = []
    while len(lines) < ARTICLES:
        scenario = scenarios[len(lines) % len(scenarios)]
        sentences, labels = compose(scenario, shared[scenario.genre], words)
        lines.append(json.dumps({"sentences": sentences, "labels": labels}, ensure_ascii=False))
    words.rng.shuffle(lines)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (HERE / "train.jsonl").write_text(render(), encoding="utf-8")
