"""Writes ``train.json``: generated questions over generated pages, in the SQuAD v2 layout.

The patterns are hand-written (``patterns/*.txt``); this file only draws from them. A page is a few
facts about one or two subjects, so that a model cannot answer by the type of the value alone: two
prices, two durations or two names usually stand side by side. The same seed gives the same bytes.

Pattern notation: ``(a|b)`` picks one, ``{slot}`` draws a value, ``{slot#1}`` draws it once per
fact or page, ``[label:text]`` marks an answer, ``?label`` is a question about it.
"""

from __future__ import annotations

import json
import random
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from draw import Words, expand  # noqa: E402

SEED = 20
PAGES = 2300
UNANSWERABLE = 0.15
MAX_CHARS = 620  # about 140 tokens: training time grows with the longest page of a batch

_LABEL = re.compile(r"\[(?:([a-z0-9]+):)?")


@dataclass
class Fact:
    """Statements of one fact and the questions about it, by answer label."""

    group: str
    statements: list[str] = field(default_factory=list)
    questions: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Topic:
    """A kind of subject: how it is named and referred to, and what may be said about it."""

    name: str = ""
    kind: str = ""
    pronouns: str = "it its"
    facts: list[Fact] = field(default_factory=list)
    filler: list[str] = field(default_factory=list)


@dataclass
class Subject:
    """One drawn subject of a page."""

    name: str
    kind: str
    pronoun: str
    possessive: str


@dataclass
class Said:
    """A fact as it stands on a page, with what its questions need."""

    fact: Fact
    subject: Subject
    scope: dict[str, str]
    answers: dict[str, tuple[int, int]]


def unmark(text: str) -> tuple[str, dict[str, tuple[int, int]]]:
    """Removes answer brackets; returns the text and each label's character span."""
    out, spans, label, start = "", {}, "", 0
    position = 0
    while position < len(text):
        if text[position] == "[":
            match = _LABEL.match(text, position)
            assert match is not None
            label, start, position = match[1] or "", len(out), match.end()
        elif text[position] == "]":
            spans[label] = (start, len(out))
            position += 1
        else:
            out += text[position]
            position += 1
    first = next((i for i, c in enumerate(out) if c.isalnum()), 0)
    return out[:first] + out[first : first + 1].upper() + out[first + 1 :], spans


def load_topics(folder: Path) -> tuple[dict[str, Topic], list[list[str]], list[list[str]]]:
    """Reads all pattern files: topics, whole pages, and the rows of the event table."""
    topics: dict[str, Topic] = {}
    pages: list[list[str]] = []
    verbs: list[list[str]] = []
    for path in sorted(folder.glob("*.txt")):
        fact: Fact | None = None
        targets: list[Topic] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            line = line.strip()
            head, _, rest = line.partition(" ")
            if not line or head == "#":
                continue
            if head == "topic":
                name, _, attributes = rest.partition(" ")
                values = [v.strip() for v in attributes.split(";")]
                topics[name] = Topic(values[0], values[1], values[2] if values[2:] else "it its")
            elif head == "fact":
                *names, group = rest.split()
                fact = Fact(group)
                targets = [topics[name] for name in names]
                for topic in targets:
                    topic.facts.append(fact)
            elif head == "filler":
                fact, targets = None, [topics[name] for name in rest.split()]
            elif head == "page":
                pages.append([])
                fact, targets = None, []
            elif head == "verb":
                verbs.append([v.strip() for v in rest.split(";")])
            elif targets and head == "-":
                if fact is None:
                    for topic in targets:
                        topic.filler.append(rest)
                else:
                    fact.statements.append(rest)
            elif fact is not None and head.startswith("?"):
                fact.questions.append((head[1:], rest))
            else:
                pages[-1].append(line)
    return topics, pages, verbs


class Writer:
    """Draws pages until there are enough."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.words = Words(self.rng, HERE.parent / "words.txt")
        self.topics, self.pages, self.verbs = load_topics(HERE / "patterns")
        self.count = 0

    def write(self, pages: int) -> dict[str, Any]:
        """Returns the whole SQuAD document."""
        rng = self.rng
        names = list(self.topics)
        weights = [len(self.topics[name].facts) ** 0.7 for name in names]
        data: list[dict[str, Any]] = []
        whole = [
            page for page in self.pages for _ in range(max(1, 2 * pages // 5 // len(self.pages)))
        ]
        while len(data) < pages:
            draw = rng.random()
            if whole and draw < 0.42:
                title, paragraph = "page", self.whole_page(whole.pop(rng.randrange(len(whole))))
            elif draw < 0.5:
                title, paragraph = "events", self.events()
            else:
                title = rng.choices(names, weights)[0]
                paragraph = self.fact_page(self.topics[title])
            if paragraph["qas"]:
                data.append({"title": title, "paragraphs": [paragraph]})
        return {"version": "v2.0", "data": data}

    def qa(self, question: str, context: str, span: tuple[int, int] | None) -> dict[str, Any]:
        """One question entry; the first letter is a capital most of the time."""
        self.count += 1
        question = question[0].upper() + question[1:]
        if self.rng.random() < 0.12:
            question = question.lower().rstrip("?") if self.rng.random() < 0.5 else question[:-1]
        answers = (
            [] if span is None else [{"text": context[span[0] : span[1]], "answer_start": span[0]}]
        )
        return {
            "id": f"t{self.count}",
            "question": question,
            "answers": answers,
            "is_impossible": span is None,
        }

    def subject(self, topic: Topic) -> Subject:
        """Draws a name, a kind and the pronouns of one subject."""
        kind = expand(topic.kind, self.words, {})
        scope = {"kind": kind}
        pronouns = self.rng.choice(topic.pronouns.split(",")).split()
        scope["given"] = self.words.draw("female" if pronouns[0] == "she" else "male")
        name = expand(topic.name, self.words, scope)
        return Subject(name, kind, pronouns[0], pronouns[1])

    def refer(self, text: str, subject: Subject, form: str) -> str:
        """Puts a name, a noun phrase or a pronoun in the place of ``{X}`` and ``{X's}``."""
        name, own = subject.name, subject.name + ("'" if subject.name.endswith("s") else "'s")
        if form == "kind" and subject.kind:
            name, own = f"the {subject.kind}", f"the {subject.kind}'s"
        elif form == "pronoun" and subject.pronoun != "-":
            name, own = subject.pronoun, subject.possessive
        return text.replace("{X}", name).replace("{X's}", own).replace("{kind}", subject.kind)

    def fact_page(self, topic: Topic) -> dict[str, Any]:
        """A page of some facts about one or two subjects, in a random order."""
        rng = self.rng
        two = rng.random() < 0.4 and topic.pronouns != "- -"
        subjects = [self.subject(topic) for _ in range(2 if two else 1)]
        if two and subjects[0].name == subjects[1].name:
            subjects.pop()
        size = rng.choice([1, 2, 2, 3, 3, 4, 5, 6, 7])
        plan: list[tuple[Subject, Fact]] = []
        if len(subjects) == 2:
            shared = self._groups(topic, max(1, (size + 1) // 2))
            for subject in subjects:
                plan += [(subject, fact) for fact in shared if rng.random() < 0.85]
            if rng.random() < 0.5:
                rng.shuffle(plan)
        else:
            plan = [(subjects[0], fact) for fact in self._groups(topic, size)]
        return self._compose(topic, subjects, plan)

    def _groups(self, topic: Topic, size: int) -> list[Fact]:
        """Up to ``size`` facts, no two of one group, so that a question has one answer."""
        picked: dict[str, Fact] = {}
        for fact in self.rng.sample(topic.facts, len(topic.facts)):
            if len(picked) < size:
                picked.setdefault(fact.group, fact)
        return list(picked.values())

    def _compose(
        self, topic: Topic, subjects: list[Subject], plan: list[tuple[Subject, Fact]]
    ) -> dict[str, Any]:
        rng = self.rng
        context, said = "", []
        last: Subject | None = None
        for subject, fact in plan:
            if topic.filler and rng.random() < 0.22:
                text = self.refer(
                    rng.choice(topic.filler), subject, "name" if subject is not last else "kind"
                )
                context += unmark(expand(text, self.words, {}))[0] + " "
                last = subject
            form = "name"
            if subject is last:
                form = rng.choice(["name", "kind", "pronoun", "pronoun"])
            last = subject
            scope: dict[str, str] = {}
            told = [s for s in fact.statements if len(subjects) == 1 or "{X" in s]
            if not told:
                continue  # with two subjects on the page, each sentence must say whose it is
            raw = self.refer(rng.choice(told), subject, form)
            text, spans = unmark(expand(raw, self.words, scope))
            if len(context) + len(text) > MAX_CHARS:
                break
            spans = {k: (a + len(context), b + len(context)) for k, (a, b) in spans.items()}
            said.append(Said(fact, subject, scope, spans))
            context += text + rng.choice([" "] * 9 + ["\n"])
        context = context.rstrip()
        return {"context": context, "qas": self._ask(topic, subjects, said, context)}

    def _question(
        self, fact: Fact, label: str, subject: Subject, alone: bool, scope: dict[str, str]
    ) -> str | None:
        rng = self.rng
        asked = [q for name, q in fact.questions if name == label]
        if not asked:
            return None
        form = rng.choice(["name", "name", "kind", "pronoun"]) if alone else "name"
        raw = self.refer(rng.choice(asked), subject, form)
        return expand(raw, self.words, dict(scope))

    def _ask(
        self, topic: Topic, subjects: list[Subject], said: list[Said], context: str
    ) -> list[dict[str, Any]]:
        rng = self.rng
        qas = []
        alone = len(subjects) == 1
        for item in rng.sample(said, min(len(said), 4)):
            labels = list(item.answers)
            for label in rng.sample(labels, min(len(labels), 2)):
                if question := self._question(item.fact, label, item.subject, alone, item.scope):
                    qas.append(self.qa(question, context, item.answers[label]))
        if said and rng.random() < UNANSWERABLE * 5.5:
            subject = rng.choice(subjects)
            groups = {item.fact.group for item in said if item.subject is subject}
            absent = [f for f in topic.facts if f.group not in groups and f.questions]
            if rng.random() < 0.25 and topic.pronouns != "- -":
                subject, absent, alone = self.subject(topic), [i.fact for i in said], False
            if absent and subject.name not in (
                "",
                *[s.name for s in subjects if not alone and s is not subject],
            ):
                fact = rng.choice(absent)
                label = rng.choice(fact.questions)[0] if fact.questions else ""
                question = self._question(fact, label, subject, alone, {})
                if question:
                    qas.append(self.qa(question, context, None))
        return qas

    def whole_page(self, lines: list[str]) -> dict[str, Any]:
        """A hand-written page whose values are drawn anew."""
        rng, scope = self.rng, dict[str, str]()
        body = " ".join(line for line in lines if not line.startswith("?"))
        context, spans = unmark(expand(body, self.words, scope))
        values = scope | {label: context[a:b] for label, (a, b) in spans.items()}
        asked = [line.partition(" ") for line in lines if line.startswith("?")]
        qas = []
        rng.shuffle(asked)
        none = 0
        for mark, _, raw in asked:
            question = expand(raw, self.words, dict(values))
            if mark == "?-":
                none += 1
                if none == 1 and rng.random() < 0.6:
                    qas.append(self.qa(question, context, None))
            elif len(qas) < 5:
                qas.append(self.qa(question, context, spans[mark[1:]]))
        return {"context": context, "qas": qas}

    def events(self) -> dict[str, Any]:
        """A few short events by different people: who did what, where, when, for how much."""
        rng = self.rng
        context = ""
        asked: list[tuple[str, tuple[int, int] | None]] = []
        rows = rng.sample(self.verbs, rng.randint(2, 4))
        people = rng.sample(self.words.lists["male"] + self.words.lists["female"], len(rows))
        for row, first in zip(rows, people, strict=True):
            past, base, participle, objects = row[:4]
            thing = rng.choice(row[3].split("|")) if objects else ""
            person = first if rng.random() < 0.5 else expand(first + " {surname}", self.words, {})
            place = rng.choice(["", self.words.draw("inplace"), "in " + self.words.draw("town")])
            when = rng.choice(
                [
                    "",
                    self.words.draw("onday"),
                    "on " + self.words.draw("day"),
                    "in " + self.words.draw("year"),
                ]
            )
            scope: dict[str, str] = {}
            thing = expand(thing, self.words, scope)
            place, when = expand(place, self.words, {}), expand(when, self.words, {})
            marked_place = re.sub(r"^(in|on|at|near|behind|outside) (.*)", r"\1 [where:\2]", place)
            marked_when = re.sub(r"^(in|on|at) (.*)", r"\1 [when:\2]", when)
            if when and "[" not in marked_when:
                marked_when = f"[when:{when}]"
            tail = f" {marked_place} {marked_when}".rstrip().replace("  ", " ")
            sentence = f"[who:{person}] {past} [what:{thing}]{tail}."
            if when and rng.random() < 0.3:
                sentence = f"{marked_when}, [who:{person}] {past} [what:{thing}]"
                sentence = (
                    sentence[0].upper() + sentence[1:] + (f" {marked_place}" if place else "") + "."
                )
            elif participle and rng.random() < 0.3:
                sentence = f"[what:{thing}] (was|were) {participle} by [who:{person}]{tail}."
                plural = thing.split()[0] in ("two", "three", "four", "some") or (
                    thing.endswith("s") and not thing.startswith(("a ", "an ", "the "))
                )
                sentence = sentence.replace("(was|were)", "were" if plural else "was")
            text, spans = unmark(sentence)
            questions = {
                "who": [
                    f"Who {past} {thing}?",
                    f"Which person {past} {thing}?",
                    f"Who was it that {past} {thing}?",
                ],
                "what": [
                    f"What did {first} {base}?",
                    f"What did {person} {base}?",
                    f"What was it that {person} {past}?",
                ],
                "where": [
                    f"Where did {first} {base} {thing}?",
                    f"Where did {person} {base} it?",
                    f"In which place did {first} {base} {thing}?",
                ],
                "when": [
                    f"When did {first} {base} {thing}?",
                    f"When did {person} {base} it?",
                    f"On what day did {first} {base} {thing}?"
                    if "day" in when
                    else f"When was it that {first} {past} {thing}?",
                ],
            }
            for label, (a, b) in spans.items():
                asked.append((rng.choice(questions[label]), (a + len(context), b + len(context))))
            missing = [k for k in ("where", "when") if k not in spans]
            if missing and rng.random() < 0.2:
                asked.append((rng.choice(questions[rng.choice(missing)][:2]), None))
            context += text + " "
        rng.shuffle(asked)
        context = context.rstrip()
        return {"context": context, "qas": [self.qa(q, context, s) for q, s in asked[:4]]}


def render() -> str:
    """Returns the text of ``train.json``, one page a line."""
    document = Writer(SEED).write(PAGES)
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.replace('{"title"', '\n{"title"') + "\n"


if __name__ == "__main__":
    (HERE / "train.json").write_text(render(), encoding="utf-8")
