"""Write train.csv for the ``intent`` model, the same bytes every time.

The seeds are sentences written by hand, one file per intent, in a tiny grammar: ``(a|b|)`` is a
choice, ``{item}`` a slot. What flows through: seed -> one expansion -> filled slots -> the noise
of real chat (an opener, a closer, a typo, a lost full stop) -> one CSV row. The noise is drawn
from the same lists for every intent, so that it carries no hint of the label.
"""

import argparse
import csv
import random
import re
from pathlib import Path

HERE = Path(__file__).parent
SEED = 20240607
ROWS_PER_LABEL = 188  # 25 labels: 4,700 rows, read three or four times in a minute of training

SOCIAL = {"greeting", "thanks_goodbye"}  # an opener or a closer would turn one into the other
NO_BACKGROUND = {*SOCIAL, "praise", "out_of_scope"}


def load(name: str) -> list[str]:
    """Read one list, a value per line."""
    return (HERE / "lists" / f"{name}.txt").read_text(encoding="utf-8").splitlines()


LISTS = {path.stem: load(path.stem) for path in (HERE / "lists").glob("*.txt")}


def fill(slot: str, rng: random.Random) -> str:
    """Draw one value for ``{slot}``.

    Raises:
        KeyError: the seed names a slot that does not exist.
    """
    if slot == "num":
        return str(number(3, 120, rng))
    if slot == "id":
        letters = pick(list("ABDKORX"), rng) + pick(list("ABCRZ"), rng)
        digits = str(number(10**4, 10**7, rng))
        return pick([f"#{digits}", f"number {digits}", f"{letters}-{digits[:4]}", digits], rng)
    if slot == "amount":
        amount = pick(["15", "20", "29.99", "49", "80", "120", "9.90", "35.50", "250"], rng)
        return pick([f"${amount}", f"{amount} euros", f"£{amount}", f"{amount} dollars"], rng)
    return pick(LISTS[slot], rng)


def pick(values: list[str], rng: random.Random) -> str:
    """Draw one value; ``random()`` is the part of the module that never changes its stream."""
    return values[int(rng.random() * len(values))]


def number(low: int, high: int, rng: random.Random) -> int:
    """Draw an integer, both ends included."""
    return low + int(rng.random() * (high - low + 1))


def expand(seed: str, rng: random.Random) -> str:
    """Draw one sentence from a seed: innermost choices first, then the slots."""
    choice = re.compile(r"\(([^()]*)\)")
    while match := choice.search(seed):
        seed = seed[: match.start()] + pick(match[1].split("|"), rng) + seed[match.end() :]
    seed = re.sub(r"\{item\}s\b", lambda _: plural(fill("item", rng)), seed)
    return tidy(re.sub(r"\{(\w+)\}", lambda slot: fill(slot[1], rng), seed))


def tidy(text: str) -> str:
    """Close the gaps that empty choices leave."""
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\s(?=[?,.!])", "", text)


def plural(noun: str) -> str:
    """The plural of an item; pairs are plural already."""
    if noun.endswith("s"):
        return noun
    return noun + ("es" if noun.endswith(("ch", "sh")) else "s")


def typo(text: str, rng: random.Random) -> str:
    """Swap, drop or double one inner letter of one longer word."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long:
        return text
    at = long[int(rng.random() * len(long))]
    word = words[at]
    i = 1 + int(rng.random() * (len(word) - 2))
    words[at] = pick(
        [
            word[:i] + word[i + 1] + word[i] + word[i + 2 :],
            word[:i] + word[i + 1 :],
            word[:i] + word[i] + word[i:],
        ],
        rng,
    )
    return " ".join(words)


def chatter(text: str, label: str, rng: random.Random) -> str:
    """Add what surrounds a request in a chat window, and lose some of its care."""
    if label not in SOCIAL:
        if label not in NO_BACKGROUND and rng.random() < 0.12:
            text = expand(pick(LISTS["background"], rng), rng) + " " + text
        elif rng.random() < 0.25:
            text = pick(LISTS["openers"], rng) + " " + text
        if rng.random() < 0.2:
            if text[-1].isalnum() and rng.random() < 0.6:
                text += pick([".", ",", "!"], rng)
            text = f"{text} {expand(pick(LISTS['closers'], rng), rng)}"
    style = rng.random()
    if style < 0.25:
        text = re.sub(r"[,.!?']", "", text)
    elif style < 0.7 and text[-1].isalnum():
        text += pick([".", ".", "!", ".", "!!", "..."], rng)
    if rng.random() < 0.12:
        text = typo(text, rng)
    case = rng.random()
    if case < 0.6:
        text = text[0].upper() + re.sub(r"\bi\b", "I", text[1:])
    elif case < 0.64:
        text = text.upper()
    return tidy(text)


def rows(seeds: Path = HERE / "seeds") -> list[tuple[str, str]]:
    """Make all rows, shuffled; every seed is used before any is used again."""
    rng = random.Random(SEED)
    made: list[tuple[str, str]] = []
    seen: set[str] = set()
    for path in sorted(seeds.glob("*.txt")):
        lines = path.read_text(encoding="utf-8").splitlines()
        count = 0
        for turn in range(100 * len(lines)):
            if count == ROWS_PER_LABEL:
                break
            text = expand(lines[turn % len(lines)], rng)
            if turn >= len(lines) or rng.random() < 0.5:
                text = chatter(text, path.stem, rng)
            words = re.findall(r"\w+", text.casefold().replace("'", ""))
            key = " ".join(words) or text
            if key not in seen:
                seen.add(key)
                made.append((text, path.stem))
                count += 1
    order = sorted((rng.random(), row) for row in made)
    return [row for _, row in order]


def write(path: Path) -> None:
    """Write the CSV, with the same line ends on every platform."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label"])
        writer.writerows(rows())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "train.csv")
    write(parser.parse_args().out)
