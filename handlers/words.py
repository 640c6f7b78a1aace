"""Which tokens begin a word, by the rules of transformers' token classification pipeline."""

import json

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from handlers.tokenization import TextTokenizer

SPACE = ord(" ")


class WordReader:
    """Tells words from parts of words, for one tokenizer."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        """Look up what marks a part of a word."""
        self.unknown_id = _unknown_id(tokenizer.raw)
        self.piece_lengths = _piece_lengths(tokenizer.raw)

    def starts(self, text: str, encoding: Encoding, tokens: int) -> NDArray[np.intp]:
        """Tokens that begin a word, by transformers' own rules; the first always does.

        With a sub-word prefix (WordPiece's ``##``) a token continues a word if its piece is not as
        long as the text it stands for. Without one, if no space stands before it or at its start.
        An unknown token is always a word.
        """
        ids = np.array(encoding.ids[:tokens])
        offsets = np.array(encoding.offsets[:tokens])
        if self.piece_lengths is not None:
            inside = self.piece_lengths[ids] != offsets[:, 1] - offsets[:, 0]
        else:
            spaces = np.zeros(len(text) + 1, dtype=bool)
            spaces[:-1] = np.frombuffer(text.encode("utf-32-le"), dtype="<u4") == SPACE
            starts = offsets[:, 0]
            inside = (starts > 0) & ~spaces[starts - 1] & ~spaces[starts]
        inside &= ids != self.unknown_id
        inside[0] = False
        return np.flatnonzero(~inside)


def _unknown_id(tokenizer: Tokenizer) -> int:
    """The id of the unknown token, or -1."""
    model = tokenizer.model
    if hasattr(model, "unk_token"):
        name = model.unk_token
        found = None if name is None else tokenizer.token_to_id(name)
    else:
        # Unigram does not show its unknown id but in what it is saved as.
        found = json.loads(tokenizer.to_str())["model"].get("unk_id")
    return -1 if found is None else int(found)


def _piece_lengths(tokenizer: Tokenizer) -> NDArray[np.intp] | None:
    """Characters of every piece by id, prefix included; None where no prefix marks sub-words."""
    if not getattr(tokenizer.model, "continuing_subword_prefix", None):
        return None
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    lengths = np.zeros(max(vocab.values()) + 1, dtype=np.intp)
    for piece, index in vocab.items():
        lengths[index] = len(piece)
    return lengths
