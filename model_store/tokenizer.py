"""The tokenizer of a checkpoint folder, as transformers builds it, without transformers.

``tokenizer.json`` is the tokenizer that the checkpoint was trained with. transformers then applies
the settings of ``tokenizer_config.json`` on top, by rules that depend on the tokenizer's class;
those of 4.57 (``tokenization_utils_fast.py`` and the classes' own files) are applied here too.
Importing transformers takes seconds: it is asked only where there is no ``tokenizer.json``.
Marian's tokenizer, which transformers has in Python only, is built in ``marian.py``.
"""

import importlib.util
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers, processors

from contracts.errors import CheckpointError
from contracts.extras import how_to_install
from model_store.files import copy_file, read_json
from model_store.marian import END, PAD, UNKNOWN, is_marian, marian_tokenizer
from model_store.sentencepiece_model import read_sentencepiece
from model_store.weights import TOKENIZER_FILES, refuse_remote_code

BERT_CLASSES = frozenset(
    f"{prefix}Tokenizer"
    for prefix in (
        "Bert",
        "ConvBert",
        "DistilBert",
        "Electra",
        "Funnel",
        "LayoutLM",
        "Lxmert",
        "MPNet",
        "MobileBert",
        "RetriBert",
        "SqueezeBert",
    )
)
"""Classes that set a BertNormalizer's switches from their settings, or from BERT's defaults."""

BYTE_LEVEL_CLASSES = frozenset(
    f"{prefix}Tokenizer"
    for prefix in ("Bart", "Blenderbot", "Deberta", "GPT2", "LED", "Longformer", "Mvp", "Roberta")
)
"""Classes that set ByteLevel's ``add_prefix_space`` from their settings, or to False."""

LANGUAGE_CLASSES = {
    "MBart50Tokenizer": ("en_XX", re.compile("[a-z]{2}_[A-Z]{2}")),
    "MBartTokenizer": ("en_XX", re.compile("[a-z]{2}_[A-Z]{2}")),
    "NllbTokenizer": ("eng_Latn", re.compile("[a-z]{3}_[A-Z][a-z]{3}")),
}
"""Classes that set the source language among the special tokens: which one by default, and what
the codes in their vocabularies look like, which are all special tokens."""

CLASSES_BY_MODEL_TYPE = {
    "bart": "RobertaTokenizer",
    "bert": "BertTokenizer",
    "convbert": "BertTokenizer",
    "deberta": "DebertaTokenizer",
    "distilbert": "BertTokenizer",
    "electra": "BertTokenizer",
    "led": "LEDTokenizer",
    "longformer": "RobertaTokenizer",
    "mbart": "MBartTokenizer",
    "mpnet": "MPNetTokenizer",
    "mvp": "MvpTokenizer",
    "nllb-moe": "NllbTokenizer",
    "roberta": "RobertaTokenizer",
}
"""What transformers takes where no file names a class."""

NAMED_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


MASKS = ("[MASK]", "<mask>")
"""What transformers' classes call the mask where no file names it."""


def load_tokenizer(folder: Path) -> tuple[Tokenizer, int]:
    """Read ``tokenizer.json``, or convert what else the folder has.

    Returns:
        The tokenizer, with the padding and truncation of its file, and its pad id.

    Raises:
        CheckpointError: there is none, it cannot be read, or it needs code of its own.
    """
    settings = _settings(folder)
    path = folder / "tokenizer.json"
    if path.is_file():
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises nothing more precise
            raise CheckpointError(f"{path} cannot be read: {error}.") from error
        _apply(tokenizer, settings)
    elif is_marian(folder):
        tokenizer, settings = _marian(folder, settings)
    else:
        converted = _convert(folder)
        tokenizer = converted.backend_tokenizer
        settings = {**settings, "pad_token": converted.pad_token}
    return tokenizer, _pad_id(tokenizer, settings, folder)


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy a tokenizer's files into another folder, as ``tokenizer.json`` in any case.

    Raises:
        CheckpointError: as ``load_tokenizer``.
    """
    if (source / "tokenizer.json").is_file():
        for name in TOKENIZER_FILES:
            if (source / name).is_file():
                copy_file(source / name, target / name)
    elif is_marian(source):
        tokenizer, settings = _marian(source, _settings(source))
        tokenizer.save(str(target / "tokenizer.json"))
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    else:
        _convert(source).save_pretrained(target)


def cleans_up_spaces(folder: Path) -> bool:
    """Whether a checkpoint wants the spaces before punctuation taken away from decoded text."""
    return bool(_settings(folder).get("clean_up_tokenization_spaces", False))


def mask_token(tokenizer: Tokenizer, folder: Path) -> str | None:
    """The token that stands for a missing one; None where the vocabulary has none."""
    named = (_content(_settings(folder).get("mask_token")), *MASKS)
    return next((one for one in named if one and tokenizer.token_to_id(one) is not None), None)


def _settings(folder: Path) -> dict[str, Any]:
    """``tokenizer_config.json``, completed by older files and by the model's configuration."""
    refuse_remote_code(folder)
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            settings |= read_json(folder / name)
    if "tokenizer_class" not in settings and (folder / "config.json").is_file():
        config = read_json(folder / "config.json")
        settings["tokenizer_class"] = config.get("tokenizer_class") or CLASSES_BY_MODEL_TYPE.get(
            config.get("model_type", "")
        )
    return settings


def _apply(tokenizer: Tokenizer, settings: dict[str, Any]) -> None:
    """Bring a tokenizer in line with its settings, as its transformers class does."""
    family = (settings.get("tokenizer_class") or "").removesuffix("Fast")
    normalizer, pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    if family in BERT_CLASSES and isinstance(normalizer, normalizers.BertNormalizer):
        tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=normalizer.clean_text,
            handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
            strip_accents=settings.get("strip_accents"),
            lowercase=settings.get("do_lower_case", True),
        )
    stated = "add_prefix_space" in settings or family in BYTE_LEVEL_CLASSES
    if stated and isinstance(pre_tokenizer, pre_tokenizers.ByteLevel):
        prefix = bool(settings.get("add_prefix_space", False))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
            add_prefix_space=prefix,
            trim_offsets=pre_tokenizer.trim_offsets,
            use_regex=pre_tokenizer.use_regex,
        )
        if isinstance(tokenizer.post_processor, processors.RobertaProcessing):
            state = json.loads(tokenizer.post_processor.__getstate__())
            tokenizer.post_processor = processors.RobertaProcessing(
                tuple(state["sep"]),
                tuple(state["cls"]),
                trim_offsets=settings.get("trim_offsets", state["trim_offsets"]),
                add_prefix_space=prefix,
            )
    if family in LANGUAGE_CLASSES:
        _set_source_language(tokenizer, family, settings)
        code = LANGUAGE_CLASSES[family][1]
        codes = [piece for piece in tokenizer.get_vocab() if code.fullmatch(piece)]
    else:
        codes = []
    _add_tokens(tokenizer, settings, codes)
    tokenizer.encode_special_tokens = bool(settings.get("split_special_tokens", False))


def _set_source_language(tokenizer: Tokenizer, family: str, settings: dict[str, Any]) -> None:
    """Put the source language in front of a text, or behind its end, as its class does."""
    end = _content(settings.get("eos_token")) or "</s>"
    language = settings.get("src_lang") or LANGUAGE_CLASSES[family][0]
    ids = [(token, tokenizer.token_to_id(token)) for token in (end, language)]
    if any(index is None for _, index in ids):
        return  # a vocabulary of other languages, whose own template stays
    behind = family == "MBartTokenizer" or settings.get("legacy_behaviour", False)
    head, tail = ("", f"{end} {language}") if behind else (language, end)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{head} $A {tail}".strip(),
        pair=f"{head} $A $B {tail}".strip(),
        special_tokens=ids,
    )


def _add_tokens(tokenizer: Tokenizer, settings: dict[str, Any], codes: Iterable[str]) -> None:
    """Add the tokens that only the settings know, or know better (``lstrip`` and the like).

    A token that would get another id than the settings say, or one beyond the vocabulary, is left
    out: the model has no embedding for it.
    """
    known = tokenizer.get_added_tokens_decoder()
    for index, token in sorted(
        (int(index), token) for index, token in settings.get("added_tokens_decoder", {}).items()
    ):
        added = AddedToken(
            token["content"],
            **{
                flag: bool(token.get(flag, False))
                for flag in ("single_word", "lstrip", "rstrip", "normalized", "special")
            },
        )
        present = tokenizer.token_to_id(added.content)
        new = tokenizer.get_vocab_size() if present is None else present
        if new == index and known.get(index) != added:
            tokenizer.add_tokens([added])
    contents = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    named = [_content(settings.get(f"{name}_token")) for name in NAMED_TOKENS]
    for content in (*named, *_extra_tokens(settings), *codes):
        if content and content not in contents and tokenizer.token_to_id(content) is not None:
            tokenizer.add_special_tokens([content])


def _extra_tokens(settings: dict[str, Any]) -> list[str | None]:
    """Special tokens without a role of their own; transformers 5 has another name for them."""
    extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
    return [_content(token) for token in (extra.values() if isinstance(extra, dict) else extra)]


def _pad_id(tokenizer: Tokenizer, settings: dict[str, Any], folder: Path) -> int:
    content = _content(settings.get("pad_token"))
    pad_id = tokenizer.token_to_id(content) if content else None
    if pad_id is None and tokenizer.padding:
        pad_id = tokenizer.padding["pad_id"]
    if pad_id is None and (folder / "config.json").is_file():
        pad_id = read_json(folder / "config.json").get("pad_token_id")
    return pad_id or 0


def _content(token: Any) -> str | None:
    """A token's text, from a plain string or from a saved ``AddedToken``."""
    return token.get("content") if isinstance(token, dict) else token


def _marian(folder: Path, settings: dict[str, Any]) -> tuple[Tokenizer, dict[str, Any]]:
    """Marian's tokenizer, and its settings with the names that its class gives the tokens."""
    tokenizer = marian_tokenizer(folder, settings)
    settings = {"eos_token": END, "unk_token": UNKNOWN, "pad_token": PAD, **settings}
    _apply(tokenizer, settings)
    return tokenizer, settings


def _convert(folder: Path) -> Any:
    """The tokenizer that transformers builds from a vocabulary."""
    models = [path for path in sorted(folder.glob("*.model")) if path.name in TOKENIZER_FILES]
    if models and importlib.util.find_spec("sentencepiece") is None:
        raise CheckpointError(
            f"{models[0]} is converted with sentencepiece; install it (pip install sentencepiece), "
            "or save the tokenizer as tokenizer.json."
        )
    if importlib.util.find_spec("transformers") is None:
        raise CheckpointError(
            f"{folder} has no tokenizer.json, which transformers would make; "
            f"{how_to_install('transformers')}"
        )
    from transformers import AutoTokenizer

    try:
        converted = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # anything: the files are a stranger's
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"transformers can build no tokenizer from {folder}: {reason}"
        ) from error
    if not getattr(converted, "is_fast", False):
        raise CheckpointError(
            f"{folder}: {type(converted).__name__} has no fast version (tokenizer.json), "
            "which serving needs; use a checkpoint with another tokenizer."
        )
    if models and converted.backend_tokenizer.normalizer is None:
        # transformers 5.23 builds MBartTokenizer without the normaliser it was trained with.
        characters = read_sentencepiece(models[0]).normalizer_spec.precompiled_charsmap
        if characters:
            converted.backend_tokenizer.normalizer = normalizers.Precompiled(characters)
    return converted
