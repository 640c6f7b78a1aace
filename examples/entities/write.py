"""Write train.conll for the ``entities`` model, the same bytes every time.

Hand-written templates in a tiny grammar (``(a|b|)`` a choice, ``{PER}`` an entity) meet long lists
of real names and a generator of invented ones: a third of the names exist nowhere else, so the
model has to read the sentence around them. What flows through: template -> one expansion ->
entities drawn to fit the word before them -> tokens as a BERT pre-tokenizer splits them, with BIO
tags. No value that test.conll uses is ever drawn.
"""

import argparse
import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
SEED = 20240608
SENTENCES = 4500
SHARES = (("support", 0.5), ("general", 0.88), ("plain", 1.0))  # cumulative
TAGS = {"PER": "PERSON", "LAST": "PERSON", "ORG": "ORG", "PLACE": "PLACE", "STREET": "PLACE"}
TAGS |= {"DATE": "DATE", "PROD": "PRODUCT"}

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
# After these words a full date reads well, after any other a relative one.
BEFORE_DATE = {"on", "dated", "born", "from", "by", "to", "until", "since", "before", ":"}
GENERIC = 0.2  # how often a slot holds a plain noun instead of an entity
UNITS = ["days", "weeks", "months", "years"]
Token = tuple[str, str]


def pick(values: list[str], rng: random.Random) -> str:
    """Draw one value; ``random()`` is the part of the module that never changes its stream."""
    return values[int(rng.random() * len(values))]


def number(low: int, high: int, rng: random.Random) -> int:
    """Draw an integer, both ends included."""
    return low + int(rng.random() * (high - low + 1))


@cache
def load(name: str) -> list[str]:
    """Read one list: values between ``|`` and line ends, or between spaces for the name parts."""
    text = (HERE / "lists" / f"{name}.txt").read_text(encoding="utf-8")
    if name == "first_names":
        return text.split()
    if name == "last_names":
        text = re.sub(r"(?<=[^ ]) (?!Vries|Dijk)|(?<=\n)", "|", text).replace("de|", "de ")
        text = text.replace("van|", "van ")
    return [value.strip() for value in re.split(r"[|\n]", text) if value.strip()]


def word(rng: random.Random) -> str:
    """Invent a pronounceable word of two or three syllables."""
    syllables = [
        pick(load("onsets"), rng)
        + pick(load("vowels"), rng)
        + (pick(load("codas"), rng) if rng.random() < 0.35 else "")
        for _ in range(number(2, 3, rng))
    ]
    return "".join(syllables).capitalize()


def code(rng: random.Random) -> str:
    """Invent a model number: ``XR-450``, ``T5``, ``300i``."""
    letters = "".join(pick(list("ABCDEFGHKLMNPRSTVXZ"), rng) for _ in range(number(1, 3, rng)))
    digits = str(number(1, 9, rng) * 10 ** number(0, 3, rng) + number(0, 60, rng))
    forms = [f"{letters}-{digits}", f"{letters}{digits}", f"{letters} {digits}", f"{digits}i"]
    return pick(forms, rng)


class Names:
    """Draws entity values, real or invented."""

    def __init__(self) -> None:
        self.draw: dict[str, Callable[[str, random.Random], str]] = {
            "PER": self.person,
            "LAST": lambda _, rng: self.last(rng),
            "ORG": self.org,
            "PLACE": self.place,
            "STREET": self.street,
            "DATE": date,
            "PROD": self.product,
        }

    def one(self, name: str, rng: random.Random) -> str:
        """Draw from a list."""
        return pick(load(name), rng)

    def last(self, rng: random.Random) -> str:
        """A surname; every fifth invented, every tenth double."""
        if rng.random() < 0.2:
            return word(rng)
        name = self.one("last_names", rng)
        return f"{name}-{self.one('last_names', rng)}" if rng.random() < 0.06 else name

    def person(self, _: str, rng: random.Random) -> str:
        """Full names half of the time, else one of the shorter forms."""
        first = word(rng) if rng.random() < 0.12 else self.one("first_names", rng)
        form = rng.random()
        if form < 0.5:
            return f"{first} {self.last(rng)}"
        if form < 0.78:
            return first
        if form < 0.84:
            return f"{first} {pick(list('ABCDEFGHJKLMPRSTW'), rng)}. {self.last(rng)}"
        if form < 0.88:
            return f"{first[0]}. {self.last(rng)}"
        if form < 0.93:
            return f"{first} {self.one('first_names', rng)} {self.last(rng)}"
        return self.one("people", rng)

    def org(self, _: str, rng: random.Random) -> str:
        """Known companies half of the time, else a name built like one."""
        form = rng.random()
        if form < 0.52:
            return self.one("orgs", rng)
        if form < 0.7:
            return f"{self.one('org_parts', rng)} {self.one('org_suffixes', rng)}"
        if form < 0.76:
            return f"{self.last(rng)} {self.one('org_suffixes', rng)}"
        if form < 0.8:
            return f"{self.last(rng)} & {self.last(rng)}"
        if form < 0.85:
            city = self.one("places", rng).removeprefix("the ")
            kinds = ["University", "Bank", "Airport Services", "Hospital", "City Council", "FC"]
            return pick([f"{city} {pick(kinds, rng)}", f"University of {city}"], rng)
        if form < 0.89:
            return "".join(pick(list("ABCDEFGHIKLMNOPRSTVW"), rng) for _ in range(3))
        if form < 0.95:
            return f"{word(rng)} {self.one('org_suffixes', rng)}"
        return word(rng)

    def place(self, _: str, rng: random.Random) -> str:
        """Real places mostly; a sixth are built from the parts of English and German towns."""
        form = rng.random()
        if form < 0.8:
            return self.one("places", rng)
        if form < 0.93:
            town = self.one("place_parts", rng) + self.one("place_ends", rng)
            lead = pick([""] * 9 + ["New ", "Upper ", "St. ", "Bad ", "North ", "Lake "], rng)
            return lead + town
        return word(rng) if form < 0.98 else self.street("", rng)

    def street(self, _: str, rng: random.Random) -> str:
        """A street without its number."""
        name = pick(
            [self.one("place_parts", rng), self.one("last_names", rng), self.one("org_parts", rng)],
            rng,
        )
        return f"{name} {self.one('street_ends', rng)}"

    def product(self, _: str, rng: random.Random) -> str:
        """Known products, brand names with a model number, and invented product lines."""
        form = rng.random()
        if form < 0.45:
            return self.one("products", rng)
        tail = self.one("product_tails", rng)
        part, noun = self.one("product_parts", rng), self.one("product_nouns", rng)
        if form < 0.6:
            joined = part + noun.lower() if rng.random() < 0.5 else f"{part} {noun}"
            return pick([joined, f"{joined} {tail}", f"{joined} {tail}"], rng)
        if form < 0.7:
            brand = self.one("orgs", rng).removeprefix("the ")
            return pick([f"{brand} {code(rng)}", f"{brand} {part} {tail}"], rng)
        if form < 0.8:
            return pick([f"{part} {code(rng)}", f"{word(rng)} {code(rng)}"], rng)
        if form < 0.86:
            return code(rng)
        return pick(
            [f"{word(rng)} {tail}", f"{word(rng)} {noun}", f"{word(rng)} {noun} {tail}"], rng
        )


def date(before: str, rng: random.Random) -> str:
    """A date that reads well after the word before it (``on``, ``in`` or anything else)."""
    day, year = number(1, 31, rng), number(1955, 2027, rng)
    month_no = number(1, 12, rng)
    month = MONTHS[month_no - 1]
    if before == "in":
        forms = [month, f"{month} {year}", str(year), f"early {month}", f"late {year}"]
        forms += [f"the summer of {year}", "spring", f"the {year // 10 * 10}s", "autumn"]
        return pick([*forms, month, str(year)], rng)
    if before not in BEFORE_DATE:
        kind = rng.random()
        if kind < 0.5:
            return pick(load("relative_dates"), rng)
        if kind < 0.6:
            count, unit = pick(load("counts"), rng), pick(UNITS, rng)
            return f"{count} {unit} ago"
        if kind < 0.68:
            return date("on", rng)
        weekday = pick(WEEKDAYS, rng)
        return pick([f"last {weekday}", f"next {weekday}", f"this {weekday}", weekday], rng)
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(day % 10 if day not in {11, 12, 13} else 0, "th")
    short = month[:3]
    weekday = pick(WEEKDAYS, rng)
    forms = [
        f"{day} {month} {year}",
        f"{month} {day}, {year}",
        f"{day} {month}",
        f"{month} {day}",
        f"the {day}{suffix} of {month}",
        f"{month} {day}{suffix}",
        f"{day}{suffix} {month}",
        f"the {day}{suffix}",
        f"{year}-{month_no:02}-{day:02}",
        f"{day:02}.{month_no:02}.{year}",
        f"{day}/{month_no}/{year}",
        f"{month_no}/{day}/{year % 100:02}",
        f"{day}.{month_no}.",
        f"{short} {day}",
        f"{day} {short} {year}",
        f"{weekday}",
        f"{weekday}",
        f"{weekday}, {day} {month}",
        f"{weekday} the {day}{suffix}",
        f"{weekday[:3]} {day} {short}",
        pick(load("holidays"), rng),
    ]
    if before not in {"on", "born", "dated"}:
        forms += [f"last {weekday}", f"{month} {year}", month, str(year), "yesterday", "last week"]
        forms += [
            f"next {weekday}",
            f"the end of {month}",
            "tomorrow",
            "next month",
            "mid-" + month,
        ]
    return pick(forms, rng)


def tokens(text: str, tag: str = "O") -> list[Token]:
    """Split as BERT's pre-tokenizer does, every punctuation mark alone; tag in BIO."""
    parts = re.findall(r"[^\W_]+|[^\w\s]|_", text)
    if tag == "O":
        return [(part, "O") for part in parts]
    return [(part, f"{'I' if i else 'B'}-{tag}") for i, part in enumerate(parts)]


def entity(value: str, tag: str) -> list[Token]:
    """Tag a value; articles and prepositions in front stay outside, by convention."""
    lead = re.match(r"((?:the|in|earlier) )?(.*)", value)
    assert lead is not None
    return tokens(lead[1] or "") + tokens(lead[2], tag)


def values(sentences: list[list[Token]]) -> set[tuple[str, str]]:
    """Every (type, lower-case value) in tagged sentences, and every single part of a name."""
    found: set[tuple[str, str]] = set()
    for sentence in sentences:
        span: list[str] = []
        kind = ""
        for token, tag in [*sentence, ("", "O")]:
            if span and not tag.startswith("I-"):
                found.add((kind, " ".join(span)))
                if kind == "PERSON":
                    found.update((kind, part) for part in span if len(part) > 2)
                span = []
            if tag != "O":
                kind = tag[2:]
                span.append(token.casefold())
    return found


def read(path: Path) -> list[list[Token]]:
    """Read a CoNLL file: a token and its tag per line, blank lines between sentences."""
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    lines = [[line.split("\t") for line in block.splitlines()] for block in blocks]
    return [[(token, tag) for token, tag in block] for block in lines]


def mention(slot: str, before: str, names: Names, rng: random.Random) -> list[Token]:
    """Draw what stands in a slot: mostly an entity, sometimes a plain noun where one would fit.

    Without the plain nouns the model learns that whatever was bought is a PRODUCT.
    """
    generic = HERE / "lists" / f"generic_{slot}.txt"
    if (
        rng.random() < GENERIC
        and generic.exists()
        and (slot != "DATE" or before not in BEFORE_DATE | {"in"})
    ):
        return tokens(pick(load(generic.stem), rng))
    drawn = entity(names.draw[slot](before, rng), TAGS[slot])
    if slot == "PER" and len(drawn) < 3 and rng.random() < 0.12:
        drawn = tokens(pick(load("titles"), rng)) + drawn
    if slot == "PROD" and rng.random() < 0.15:
        drawn += tokens(pick(load("product_kinds"), rng))
    return drawn


def sentence(template: str, names: Names, rng: random.Random) -> list[Token]:
    """Draw one tagged sentence from a template."""
    choice = re.compile(r"\(([^()]*)\)")
    while match := choice.search(template):
        drawn = pick(match[1].split("|"), rng)
        template = template[: match.start()] + drawn + template[match.end() :]
    out: list[Token] = []
    for part in re.split(r"(\{\w+\})", template):
        slot = part.strip("{}")
        if not part.startswith("{"):
            out += tokens(part)
        elif slot == "num":
            out += tokens(str(number(2, 250, rng)))
        elif slot == "id":
            out += tokens(f"{pick(['#', '', 'A-', 'DE'], rng)}{number(10**4, 10**8, rng)}")
        else:
            out += mention(slot, out[-1][0].casefold() if out else "", names, rng)
    return out


def sentences(held_out: set[tuple[str, str]]) -> list[list[Token]]:
    """Make all training sentences.

    Args:
        held_out: (type, value) pairs of the test set; a sentence that has one is drawn again.
    """
    rng = random.Random(SEED)
    names = Names()
    files = {name: (HERE / "templates" / f"{name}.txt") for name, _ in SHARES}
    pools = {name: path.read_text(encoding="utf-8").splitlines() for name, path in files.items()}
    turn = dict.fromkeys(pools, 0)

    def draw() -> list[Token]:
        share = rng.random()
        name = next(name for name, upto in SHARES if share < upto)
        turn[name] += 1
        return sentence(pools[name][turn[name] % len(pools[name])], names, rng)

    made: list[list[Token]] = []
    seen: set[str] = set()
    while len(made) < SENTENCES:
        new = draw()
        if rng.random() < 0.15:
            new = [*new, *([] if new[-1][0] in ".!?" else tokens(".")), *draw()]
        if new[-1][0] not in ".!?," and rng.random() < 0.5:
            new += tokens(pick([".", "!", "?", "."], rng))
        case = rng.random()
        if case < 0.15:
            new = [(token.lower(), tag) for token, tag in new]
        elif case < 0.18:
            new = [(token.upper(), tag) for token, tag in new]
        key = " ".join(token for token, _ in new).casefold()
        if key in seen or values([new]) & held_out:
            continue
        seen.add(key)
        made.append(new)
    return made


def write(path: Path) -> None:
    """Write the CoNLL file, with the same line ends on every platform."""
    blocks = sentences(values(read(HERE / "test.conll")))
    text = "\n\n".join("\n".join(f"{token}\t{tag}" for token, tag in block) for block in blocks)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "train.conll")
    write(parser.parse_args().out)
