"""Folders with tiny sentencepiece models, as checkpoints on the hub have them."""

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.models import CORPUS

ENGLISH = "\n".join(line for line in CORPUS.splitlines() if line.isascii())
GERMAN_AND_RUSSIAN = """
Der schnelle braune Fuchs springt über den faulen Hund, während das Paket im Lager wartet.
Größe und Maße: äußerst übel, ßß? Москва и Киев. Ёлка. Привет мир, как дела сегодня вечером?
Übermäßig viele Wörter für ein Gespräch über Straßen, Füße, Grüße.
"""
MARIAN_CODES = (">>fra<<", ">>deu<<", ">>pt_BR<<", ">>zho_Hans<<", ">>zho_Hant<<")


@cache
def trained(text: str = CORPUS, **options: Any) -> bytes:
    """A tiny sentencepiece model; options are those of sentencepiece's trainer."""
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.strip().splitlines()),
        model_writer=model,
        minloglevel=2,
        **{"vocab_size": 300, "hard_vocab_limit": False, **options},
    )
    return model.getvalue()


def processor(model: bytes) -> Any:
    """Sentencepiece itself."""
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_proto=model)


def write(folder: Path, name: str, model_type: str, settings: dict[str, Any], model: bytes) -> Path:
    """A checkpoint's tokenizer as sentencepiece's file and settings, without tokenizer.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(model)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def marian(
    folder: Path,
    source: bytes | None = None,
    target: bytes | None = None,
    codes: tuple[str, ...] = (),
    **settings: Any,
) -> Path:
    """Marian's files: both models, and one numbering of their pieces."""
    source = source or trained(ENGLISH, unk_id=1, eos_id=0, bos_id=-1)
    target = target or trained(GERMAN_AND_RUSSIAN * 3, unk_id=1, eos_id=0, bos_id=-1)
    write(folder, "source.spm", "marian", {"source_lang": "en", **settings}, source)
    (folder / "target.spm").write_bytes(target)
    models = (processor(source), processor(target))
    pieces = ["</s>", "<unk>"]
    pieces += [model.id_to_piece(index) for model in models for index in range(len(model))]
    numbered = list(dict.fromkeys([*pieces, *codes, "<pad>"]))
    (folder / "vocab.json").write_text(
        json.dumps({piece: index for index, piece in enumerate(numbered)})
    )
    return folder
