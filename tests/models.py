"""Tiny seeded checkpoints of every architecture the server is tested on, each with a tokenizer.

A checkpoint is a plain Hugging Face folder: ``config.json``, ``model.safetensors``,
``tokenizer.json``, ``tokenizer_config.json``. Weights are random; the head is scaled so that logits
are well apart.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from contracts.tasks import Task

MAX_TOKENS = 128
"""Tokens that every tiny model accepts in one row, special tokens included."""

ARCHITECTURES = (
    "bert",
    "roberta",
    "distilbert",
    "deberta-v2",
    "xlm-roberta",
    "mpnet",
    "electra",
    "albert",
    "modernbert",
)

LABELS: dict[Task, tuple[str, ...]] = {
    Task.TEXT_CLASSIFICATION: ("refund", "delivery", "complaint", "praise"),
    Task.TOKEN_CLASSIFICATION: ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"),
    Task.QUESTION_ANSWERING: ("start", "end"),
    Task.SUMMARIZATION: ("keep",),
    Task.FEATURE_EXTRACTION: (),
    Task.FILL_MASK: (),
}

CORPUS = """
The quick brown fox jumps over the lazy dog while the parcel waits in the warehouse of Hamburg.
Angela Merkel visited Paris and New York before she returned to Berlin, where Siemens is at home.
My order number 48213 has not arrived; please refund the money to my account or send another one.
Thank you for the friendly and quick answer, I will recommend Acme Corporation to all my friends.
When does the shop in München open? Can I change the delivery address after the payment was made?
Barack Obama was born in Honolulu, Hawaii, and worked for the University of Chicago in Illinois.
Zoë and José met François at the café near São Paulo; the naïve coöperation surprised everybody.
Microsoft and Google announced that they would be working together on unbelievable new products.
The contract ends on the 31st of December 2024 unless either party renews it thirty days before.
我爱北京天安门，上海是一个很大的城市。今天天气很好，我们去公园吧。
"""

WORD_PIECE = ("bert", "distilbert", "electra", "mpnet")
BYTE_LEVEL = ("roberta", "modernbert")
PAD_FIRST = {"roberta": 1, "xlm-roberta": 1, "mpnet": 1}
"""Architectures whose positions start after the pad id."""


def tiny_checkpoint(
    folder: Path,
    architecture: str,
    task: Task,
    labels: Sequence[str] | None = None,
    seed: int = 0,
    scale: float = 25.0,
    *,
    cased: bool = False,
    problem_type: str | None = None,
) -> Path:
    """Write a tiny checkpoint with its tokenizer.

    Args:
        folder: made if it is not there.
        architecture: one of ``ARCHITECTURES``.
        task: chooses the head.
        labels: by class index; default ``LABELS[task]``.
        seed: of the weights.
        scale: factor on the head's weights; 25 gives logits with a standard deviation near 3.
        cased: keep upper case in a WordPiece tokenizer.
        problem_type: as in ``config.json``, for classification.

    Returns:
        The folder.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer(folder, architecture, cased=cased)
    names = list(labels if labels is not None else LABELS[task])
    config = _config(architecture, tokenizer)
    if names:
        config.id2label = dict(enumerate(names))
        config.label2id = {name: index for index, name in enumerate(names)}
    config.problem_type = problem_type
    if task is Task.SUMMARIZATION:
        config.tuneserve_task = task.value  # what training writes: transformers has no such class
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _auto_class(task).from_config(config)
        if names:
            _scale_head(model, scale)
    model.eval()
    model.save_pretrained(folder)
    return folder


def tiny_tokenizer(folder: Path, architecture: str, *, cased: bool = False) -> Tokenizer:
    """Write ``tokenizer.json`` and ``tokenizer_config.json`` in the architecture's own style."""
    folder.mkdir(parents=True, exist_ok=True)
    if architecture in WORD_PIECE:
        tokenizer, names = _word_piece(sentencepiece_names=architecture == "mpnet", cased=cased)
    elif architecture in BYTE_LEVEL:
        tokenizer, names = _byte_level(roberta=architecture == "roberta")
    else:
        tokenizer, names = _unigram(xlmr=architecture == "xlm-roberta")
    tokenizer.save(str(folder / "tokenizer.json"))
    types = architecture in ("bert", "electra", "albert", "deberta-v2")
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": MAX_TOKENS,
        "model_input_names": inputs if types else ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **names,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
    return tokenizer


def _auto_class(task: Task) -> Any:
    import transformers

    return {
        Task.TEXT_CLASSIFICATION: transformers.AutoModelForSequenceClassification,
        Task.TOKEN_CLASSIFICATION: transformers.AutoModelForTokenClassification,
        Task.QUESTION_ANSWERING: transformers.AutoModelForQuestionAnswering,
        Task.SUMMARIZATION: transformers.AutoModelForTokenClassification,
        Task.FEATURE_EXTRACTION: transformers.AutoModel,
        Task.FILL_MASK: transformers.AutoModelForMaskedLM,
    }[task]


def _config(architecture: str, tokenizer: Tokenizer) -> Any:
    from transformers import AutoConfig

    padding = tokenizer.token_to_id("[PAD]")
    if padding is None:
        padding = tokenizer.token_to_id("<pad>")
    first = next(
        index for index in map(tokenizer.token_to_id, ("[CLS]", "<s>")) if index is not None
    )
    last = next(
        index for index in map(tokenizer.token_to_id, ("[SEP]", "</s>")) if index is not None
    )
    common: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "pad_token_id": padding,
        "bos_token_id": first,
        "eos_token_id": last,
        "initializer_range": 0.2,
        "max_position_embeddings": MAX_TOKENS + PAD_FIRST.get(architecture, -1) + 1,
    }
    if architecture == "distilbert":
        return AutoConfig.for_model(
            architecture, dim=32, n_layers=2, n_heads=2, hidden_dim=64, **common
        )
    common |= {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    own: dict[str, dict[str, Any]] = {
        "roberta": {"type_vocab_size": 1},
        "xlm-roberta": {"type_vocab_size": 1},
        "electra": {"embedding_size": 16},
        "albert": {"embedding_size": 16, "classifier_dropout_prob": 0.0},
        "deberta-v2": {
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_buckets": 32,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "pooler_hidden_size": 32,
        },
        "modernbert": {
            "cls_token_id": first,
            "sep_token_id": last,
            "global_attn_every_n_layers": 2,
            "local_attention": 16,
        },
    }
    return AutoConfig.for_model(architecture, **common, **own.get(architecture, {}))


def _scale_head(model: Any, scale: float) -> None:
    """Draw the last linear layer anew, so that logits spread alike in every architecture."""
    import torch

    for name in ("classifier", "qa_outputs", "score"):
        head = getattr(model, name, None)
        if head is not None:
            break
    else:
        raise ValueError(f"{type(model).__name__} has no head that is known here")
    layer = [module for module in head.modules() if isinstance(module, torch.nn.Linear)][-1]
    torch.nn.init.normal_(layer.weight, std=0.02 * scale)
    torch.nn.init.normal_(layer.bias, std=0.02 * scale)


def _words() -> Counter[str]:
    pre = pre_tokenizers.BertPreTokenizer()
    return Counter(word for word, _ in pre.pre_tokenize_str(CORPUS))


def _alphabet() -> list[str]:
    latin = [chr(code) for code in range(33, 127)]
    return sorted(set(latin) | set(CORPUS) - set(" \n"))


def _word_piece(*, sentencepiece_names: bool, cased: bool) -> tuple[Tokenizer, dict[str, str]]:
    """Words of the corpus and their beginnings and endings, so that most other words are split."""
    cls, sep, pad, mask = (
        ("<s>", "</s>", "<pad>", "<mask>")
        if sentencepiece_names
        else ("[CLS]", "[SEP]", "[PAD]", "[MASK]")
    )
    special = (
        [cls, pad, sep, "[UNK]", mask] if sentencepiece_names else [pad, "[UNK]", cls, sep, mask]
    )
    normalizer = normalizers.BertNormalizer(lowercase=not cased)
    pieces: dict[str, None] = dict.fromkeys(special)
    letters = sorted({c for a in _alphabet() for c in normalizer.normalize_str(a).strip()})
    pieces.update(dict.fromkeys(letters))
    pieces.update(dict.fromkeys("##" + letter for letter in letters if letter.isalnum()))
    words = [normalizer.normalize_str(word) for word in _words()]
    pieces.update(dict.fromkeys(word for word in words[::2] if len(word) < 8))
    pieces.update(dict.fromkeys(word[:4] for word in words if len(word) >= 8))
    pieces.update(dict.fromkeys("##" + word[-3:] for word in words if len(word) >= 6))
    vocab = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    pair = (
        f"{cls} $A {sep} {sep} $B {sep}"
        if sentencepiece_names
        else (f"{cls} $A {sep} $B:1 {sep}:1")
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=pair,
        special_tokens=[(name, vocab[name]) for name in (cls, sep)],
    )
    tokenizer.add_special_tokens(special)
    return tokenizer, _names(cls, sep, pad, "[UNK]", mask)


def _byte_level(*, roberta: bool) -> tuple[Tokenizer, dict[str, str]]:
    special = (
        ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        if roberta
        else ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS.splitlines(), trainer)
    if roberta:
        tokenizer.post_processor = processors.RobertaProcessing(
            ("</s>", special.index("</s>")),
            ("<s>", special.index("<s>")),
            trim_offsets=True,
            add_prefix_space=False,
        )
        return tokenizer, _names("<s>", "</s>", "<pad>", "<unk>", "<mask>")
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer, _names("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")


def _unigram(*, xlmr: bool) -> tuple[Tokenizer, dict[str, str]]:
    cls, sep, pad, unk, mask = (
        ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
        if xlmr
        else ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")
    )
    special = [cls, pad, sep, unk] if xlmr else [pad, cls, sep, unk]
    counts: Counter[str] = Counter()
    for word, count in _words().items():
        counts["▁" + word] += 2 * count if len(word) < 8 else 0
        for length in (2, 3, 4):
            counts[word[:length]] += count
            counts["▁" + word[:length]] += count
            counts[word[-length:]] += count
    for letter in [*_alphabet(), "▁"]:
        counts[letter] += 1
    pieces = [piece for piece, count in counts.most_common(700) if count]
    pieces += [letter for letter in [*_alphabet(), "▁"] if letter not in set(pieces)]
    total = sum(counts.values())
    vocab = [(name, 0.0) for name in special]
    vocab += [
        # A price per letter, so that long pieces win over their letters.
        (piece, math.log(max(counts[piece], 1) / total))
        for piece in pieces
    ]
    tokenizer = Tokenizer(models.Unigram([*vocab, (mask, 0.0)], unk_id=special.index(unk)))
    steps: list[Any] = [normalizers.NFKC()]
    if not xlmr:
        steps += [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    tokenizer.normalizer = normalizers.Sequence(steps)
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
        if xlmr
        else metaspace
    )
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    pair = f"{cls} $A {sep} {sep} $B {sep}" if xlmr else f"{cls} $A {sep} $B:1 {sep}:1"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=pair,
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in (cls, sep)],
    )
    tokenizer.add_special_tokens([*special, mask])
    return tokenizer, _names(cls, sep, pad, unk, mask)


def _names(cls: str, sep: str, pad: str, unk: str, mask: str) -> dict[str, str]:
    return {
        "cls_token": cls,
        "bos_token": cls,
        "sep_token": sep,
        "eos_token": sep,
        "pad_token": pad,
        "unk_token": unk,
        "mask_token": mask,
    }
