"""From generated ids to text, whole or token by token.

Decoding a growing answer anew with every token would cost the square of its length, and the end of
a decoded beginning may still change: half a character, a space that the next word piece takes back.
A ``TextStream`` decodes the newest tokens behind two that came before them (the idea of the prefix
and read offsets of text-generation-inference and vLLM), and holds back what is not certain.
"""

import codecs
import json
from collections.abc import Sequence
from itertools import chain

from tokenizers import Tokenizer, decoders, models

CLEAN_UPS = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)
"""What transformers' ``clean_up_tokenization`` replaces, one after the other."""


class Detokenizer:
    """What a tokenizer's ids mean as text; equal to transformers.

    Attributes:
        by_bytes: tokens are pieces of UTF-8 (byte-level BPE), so a character may need several.
        clean_up: whether spaces before punctuation are taken away where the caller says nothing.
    """

    def __init__(self, tokenizer: Tokenizer, *, clean_up: bool = False) -> None:
        self.raw = tokenizer
        self.clean_up = clean_up
        self.by_bytes = isinstance(tokenizer.decoder, decoders.ByteLevel)
        self._falls_back = _has_byte_fallback(tokenizer.decoder)
        # transformers never cleans up behind BPE, whose own spaces are right.
        self._may_clean_up = not isinstance(tokenizer.model, models.BPE)
        self._special = {
            index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special
        }
        self._bytes: dict[int, bytes] = {}

    def decode(
        self, ids: Sequence[int], *, clean_up: bool | None = None, special: bool = False
    ) -> str:
        """The text of an answer, without ids that stand for nothing.

        Args:
            ids: of its tokens.
            clean_up: see ``cleans_up``.
            special: whether special tokens stay, by their names.
        """
        text: str = self.raw.decode(list(ids), skip_special_tokens=not special)
        if self.cleans_up(clean_up):
            for old, new in CLEAN_UPS:
                text = text.replace(old, new)
        return text

    def cleans_up(self, asked: bool | None) -> bool:
        """Whether spaces before punctuation are taken away; None: as the checkpoint says."""
        return self._may_clean_up and (self.clean_up if asked is None else asked)

    def special(self, index: int) -> bool:
        """Whether a token is special, and so never text."""
        return index in self._special

    def piece(self, index: int) -> str:
        """What a token adds to a text, special ones by their name; U+FFFD for half a character."""
        return self.piece_bytes(index).decode("utf-8", errors="replace")

    def piece_bytes(self, index: int) -> bytes:
        """What a token adds to a text that has begun, in UTF-8; nothing for an unknown id."""
        known = self._bytes.get(index)
        if known is None:
            known = self._bytes[index] = self._piece_bytes(index)
        return known

    def byte(self, index: int) -> bool:
        """Whether a token is one byte of a character that has no token (``<0xE2>``)."""
        return self._falls_back and _byte_of(self.raw.id_to_token(index) or "") is not None

    def _piece_bytes(self, index: int) -> bytes:
        token: str | None = self.raw.id_to_token(index)
        if token is None:
            return b""
        if self.by_bytes:
            try:
                return bytes(BYTE_LEVEL[letter] for letter in token)
            except KeyError:  # a token that was added by hand stands for itself
                return token.encode()
        if self._falls_back and (code := _byte_of(token)) is not None:
            return bytes([code])
        if self.raw.decoder is None:
            return f" {token}".encode()
        if isinstance(self.raw.decoder, decoders.BPEDecoder):  # its spaces follow, not precede
            return str(self.raw.decoder.decode([token, "a"])[:-1]).encode()
        return str(self.raw.decoder.decode(["a", token])[1:]).encode()


class TextStream:
    """The text of one answer as its tokens come; all of it together is ``decode`` of all ids.

    A push costs the same however long the answer is, and its text is final.
    """

    def __init__(self, detokenizer: Detokenizer, *, clean_up: bool | None = None) -> None:
        self._detokenizer = detokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._tail: list[int] = []
        self._visible = 0
        self._known = ""
        self._replacements = (
            [_Replacement(old, new) for old, new in CLEAN_UPS]
            if detokenizer.cleans_up(clean_up)
            else []
        )

    def push(self, index: int) -> str:
        """Take the next token.

        Returns:
            The text that is certain with it and was not before; often nothing.
        """
        if self._detokenizer.special(index):
            return ""
        if self._detokenizer.by_bytes:
            text = self._utf8.decode(self._detokenizer.piece_bytes(index))
        else:
            text = self._window(index)
        for replacement in self._replacements:
            text = replacement.push(text)
        return text

    def finish(self) -> str:
        """End the answer.

        Returns:
            The text that was held back.
        """
        text = self._utf8.decode(b"", final=True) + self._decode()[len(self._known) :]
        for replacement in self._replacements:
            text = replacement.push(text) + replacement.finish()
        return text

    def _window(self, index: int) -> str:
        """Decode behind the two tokens before this one, byte and blank tokens not counted.

        Those are held: bytes until another token ends their run, because one that is invalid makes
        the whole run so; blanks because some decoders strip the ends of a text. The first token of
        the window may be decoded as the start of a text (without its space), which it is not; the
        one behind it never is, so that what a new token adds to the two is what it adds to all.
        """
        self._tail.append(index)
        if self._detokenizer.byte(index) or not self._detokenizer.piece(index).strip():
            return ""
        before, text = len(self._known), self._decode()
        del self._tail[: self._visible]
        self._visible = len(self._tail) - 1
        self._known = self._decode()
        return text[before:]

    def _decode(self) -> str:
        return self._detokenizer.raw.decode(self._tail) if self._tail else ""


class _Replacement:
    """``str.replace`` on a text that comes in parts."""

    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = old, new
        self._starts = [old[:length] for length in range(len(old) - 1, 0, -1)]
        self._held = ""

    def push(self, text: str) -> str:
        """All but what the next part may still turn into the old string."""
        *before, last = (self._held + text).split(self._old)
        self._held = next((start for start in self._starts if last.endswith(start)), "")
        return self._new.join([*before, last[: len(last) - len(self._held)]])

    def finish(self) -> str:
        held, self._held = self._held, ""
        return held


def _byte_level_alphabet() -> dict[str, int]:
    """The byte that each letter of a byte-level vocabulary stands for (GPT-2's encoder.py)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    printable += range(ord("®"), ord("ÿ") + 1)
    others = [code for code in range(256) if code not in printable]
    return dict(
        chain(
            ((chr(code), code) for code in printable),
            ((chr(256 + place), code) for place, code in enumerate(others)),
        )
    )


BYTE_LEVEL = _byte_level_alphabet()


def _has_byte_fallback(decoder: decoders.Decoder | None) -> bool:
    if decoder is None:
        return False
    state = json.loads(decoder.__getstate__())
    return any(part["type"] == "ByteFallback" for part in [state, *state.get("decoders", [])])


def _byte_of(token: str) -> int | None:
    """The byte that a token such as ``<0xE2>`` stands for."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        try:
            return int(token[3:5], 16)
        except ValueError:
            return None
    return None
