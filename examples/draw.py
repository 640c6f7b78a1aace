"""Draws values for the pattern files of the examples: lists, numbers, dates, invented names.

Both ``qa/write.py`` and ``summary/write.py`` use it, with the word lists of ``words.txt``.
``(a|b)`` picks one, ``{slot}`` draws a value, and ``{slot#1}`` draws it once per scope.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

_ANSWER_CHOICE = re.compile(r"\[([a-z0-9]+:)?([^\[\]()]*\|[^\[\]()]*)\]")
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
_SLOT = re.compile(r"\{([^{}]+)\}")
_MONTHS = ["January", "February", "March", "April", "May", "June", "July"]
_MONTHS += ["August", "September", "October", "November", "December"]


class Words:
    """Values for slots: lists from ``words.txt``, and numbers, dates and invented names."""

    def __init__(self, rng: random.Random, path: Path) -> None:
        self.rng = rng
        self.lists: dict[str, list[str]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                key, values = line.split(":", 1)
                self.lists[key.strip()] = [v.strip() for v in values.split(" | ")]

    def draw(self, slot: str) -> str:
        """Draws one value; ``n:3-9`` is a number, other names are lists or made here."""
        rng = self.rng
        if slot.startswith("n:"):
            low, high = (int(v) for v in slot[2:].split("-"))
            number = rng.randint(low, high)
            if number > 100 and high > 2099 and rng.random() < 0.3:
                number = round(number, -1)
            is_year = low >= 1400 and high <= 2099
            commas = number >= 10000 or (number > 999 and not is_year and rng.random() < 0.5)
            return f"{number:,}" if commas else str(number)
        if slot.startswith("money"):
            low, high = (int(v) for v in (slot[6:] or "3-900").split("-"))
            return self._money(low, high)
        if slot == "coined":
            return self._coined()
        if slot == "town":
            return rng.choice([self._town(), self.draw("city"), self.draw("city")])
        if slot == "date":
            day, month, year = rng.randint(1, 28), rng.choice(_MONTHS), self.draw("year")
            return rng.choice(
                [
                    f"{day} {month} {year}",
                    f"{month} {day}, {year}",
                    f"{day} {month}",
                    f"{month} {day}",
                    f"{month} {year}",
                ]
            )
        if slot == "day":
            month, day = rng.choice(_MONTHS), rng.randint(1, 28)
            return rng.choice([f"{day} {month}", f"{month} {day}", self.draw("weekday")])
        if slot == "year":
            return str(rng.choice([rng.randint(1400, 1899), rng.randint(1900, 2025)]))
        if slot == "time":
            hour, minute = rng.randint(1, 12), rng.choice(["00", "15", "30", "45", "05", "40"])
            half = rng.choice(["am", "pm"])
            return rng.choice(
                [
                    f"{hour}:{minute} {half}",
                    f"{hour} {half}",
                    f"{hour + 8}:{minute}",
                    f"{hour}.{minute} {half}",
                    f"{hour} o'clock",
                ]
            )
        if slot == "phone":
            parts = [
                str(rng.randint(100, 999)),
                str(rng.randint(100, 999)),
                str(rng.randint(1000, 9999)),
            ]
            return rng.choice(
                [
                    "-".join(parts),
                    " ".join(parts),
                    f"+{rng.randint(20, 99)} " + " ".join(parts),
                    f"0{parts[0]} {parts[2]}",
                ]
            )
        if slot == "code":
            letters = "".join(rng.choice("ABCDEFGHKLMNPRSTVX") for _ in range(rng.randint(1, 3)))
            return letters + rng.choice(["", "-"]) + str(rng.randint(1, 9999))
        return rng.choice(self.lists[slot])

    def _money(self, low: int, high: int) -> str:
        rng = self.rng
        whole = rng.randint(low, high)
        text = f"{whole:,}"
        if high < 2000 and rng.random() < 0.35:
            text += rng.choice([".50", ".99", ".95", ".49", ".20"])
        forms = [
            f"${text}",
            f"${text}",
            f"€{text}",
            f"£{text}",
            f"{text} euros",
            f"{text} dollars",
            f"{text} pounds",
            f"{text} {self.draw('currency')}",
        ]
        return rng.choice(forms)

    def _coined(self) -> str:
        rng = self.rng
        middle = rng.choice(self.lists["syllable"]) if rng.random() < 0.4 else ""
        word = rng.choice(self.lists["onset"]) + middle + rng.choice(self.lists["coda"])
        return word.capitalize()

    def _town(self) -> str:
        return self.rng.choice(self.lists["townhead"]) + self.rng.choice(self.lists["towntail"])


def expand(text: str, words: Words, scope: dict[str, str]) -> str:
    """Resolves choices and slots, lists within lists included."""
    while True:
        if match := _ANSWER_CHOICE.search(text):
            picked = f"[{match[1] or ''}{words.rng.choice(match[2].split('|'))}]"
        elif match := _CHOICE.search(text):
            picked = words.rng.choice(match[1].split("|"))
        else:
            break
        text = text[: match.start()] + picked + text[match.end() :]
    while match := _SLOT.search(text):
        slot = match[1]
        value = scope.get(slot) or _value(slot, words, scope)
        text = text[: match.start()] + value + text[match.end() :]
        if _CHOICE.search(value):
            return expand(text, words, scope)
    return text


def _value(slot: str, words: Words, scope: dict[str, str]) -> str:
    """Draws a slot; a numbered one is kept in the scope and differs from the others there."""
    if "#" not in slot:
        return words.draw(slot)
    value = ""
    for _ in range(9):
        value = expand("{" + slot.split("#")[0] + "}", words, scope)
        if value not in scope.values():
            break
    scope[slot] = value
    return value
