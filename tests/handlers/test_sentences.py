import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.sentences import MAX_SENTENCE_CHARS, language_of, sentences

PIECES = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        [
            "Dr. ",
            "U.S. ",
            "3.50",
            "。",
            "？」",
            "“Yes. ",
            "…",
            "\r\n",
            "\n\n",
            "\n- ",
            "\n1. ",
            "  ",
        ]
    ),
    st.sampled_from(
        ["汉字", "はい", "e\u0301", "😀", "👨\u200d👩\u200d👧", "\u3000", "\x85", "word ", "A. "]
    ),
)


def found(text: str, language: str | None = None) -> list[str]:
    return [text[start:end] for start, end in sentences(text, language)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith paid $3.50. He left.", ["Dr. Smith paid $3.50.", "He left."]),
        ("At 5 p.m. U.S. troops came! Why?", ["At 5 p.m. U.S. troops came!", "Why?"]),
        ('"Stop!" he said. It was No. 5.', ['"Stop!" he said.', "It was No. 5."]),
        ("He met J. R. Smith Jr. in Bonn. Fine.", ["He met J. R. Smith Jr. in Bonn.", "Fine."]),
        ("I like 😀. You too 🎉! Ok", ["I like 😀.", "You too 🎉!", "Ok"]),
        ("今天天气很好。我们去公园吧！好吗？", ["今天天气很好。", "我们去公园吧！", "好吗？"]),
        ("价格是3.50元。2023年很好。", ["价格是3.50元。", "2023年很好。"]),
        ("他说：“好的。”然后走了。", ["他说：“好的。”", "然后走了。"]),
        ("今日は天気がいい。本当？はい。", ["今日は天気がいい。", "本当？", "はい。"]),
        ("यह एक वाक्य है। यह दूसरा है।", ["यह एक वाक्य है।", "यह दूसरा है।"]),
        ("  One. \r\n\t Two.  ", ["One.", "Two."]),
        ("A heading\r\nThe text begins.", ["A heading", "The text begins."]),
        ("公司业绩大增\n今天公布了数字。", ["公司业绩大增", "今天公布了数字。"]),
        ("Bring:\n- a pen\n* ink", ["Bring:", "- a pen", "* ink"]),
        ("1. One. Two\n2) three\n(a) x", ["1. One.", "Two", "2) three", "(a) x"]),
        ("end of one\n\nand of another", ["end of one", "and of another"]),
    ],
)  # fmt: skip
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]) -> None:
    assert found(text) == expected


def test_wrapped_lines_are_one_sentence() -> None:
    text = (
        "The quick brown fox jumps over the lazy dog and runs to\r\nBerlin, where Dr. May\r\nlives."
    )
    assert found(text) == [text]


@given(st.lists(PIECES, max_size=30).map("".join))
def test_every_visible_character_is_in_exactly_one_sentence(text: str) -> None:
    spans = sentences(text)
    at = 0
    for start, end in spans:
        assert not text[at:start].strip()
        assert start < end
        assert text[start:end] == text[start:end].strip()
        at = end
    assert not text[at:].strip()


@pytest.mark.parametrize(
    "unit", ["word ", "汉字", "x", "Él y yo, ", "\n", "a\n", "“好。”", "1. ", "Dr. "]
)
def test_huge_texts_are_split_into_sentences_of_bounded_length(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    spans = sentences(text)
    assert all(0 < end - start <= MAX_SENTENCE_CHARS for start, end in spans)
    letters = sum(not letter.isspace() for letter in text)
    inside = sum(not letter.isspace() for a, b in spans for letter in text[a:b])
    assert letters == inside


def test_a_run_without_an_end_is_cut_between_words() -> None:
    text = "wörd und ändert sich " * 1000
    assert set(" ".join(found(text)).split()) == {"wörd", "und", "ändert", "sich"}


def test_a_long_paragraph_splits_like_its_sentences() -> None:
    parts = [f"Señor {number} paid $3.50 to Dr. Smith." for number in range(300)]
    assert found(" ".join(parts)) == parts


def test_the_script_says_the_language() -> None:
    assert [language_of(text) for text in ("今天", "今日は", "Hello", "Привет", "")] == [
        "zh",
        "ja",
        "en",
        "en",
        "en",
    ]
    assert found("Am 3. Mai kam er. Gut.", "de") == ["Am 3. Mai kam er.", "Gut."]
