"""``base = "scratch"``: a small model without any knowledge, with the vocabulary of the texts.

A BERT, or a BART where the task is generation. For languages and fields that no encoder at hand was
trained on. Chinese and Japanese characters are tokens of their own; other words are whole if they
are common, else spelt.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from train.base_model import save_model
from train.recipe_model import Model

SCRATCH = "scratch"

LAYERS, HIDDEN, HEADS = 4, 256, 4
"""5 M parameters with 8,000 words: what some thousand examples can still teach."""
MAX_TOKENS = 512
VOCABULARY_WORDS = 8000
"""Words beside the letters, the commonest first."""
MIN_COUNT = 2
"""A word that occurs once is spelt: its own vector would learn nothing for another text."""
PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"


@contextmanager
def base_checkpoint(model: Model, texts: Iterable[str], seed: int) -> Iterator[Model]:
    """The recipe's section with a base that exists while the context lasts.

    Args:
        model: is given back as it is unless its base is ``scratch``.
        texts: of training: they give the vocabulary.
        seed: of the weights.
    """
    if model.base != SCRATCH:
        yield model
        return
    with TemporaryDirectory(prefix="tuneserve-scratch-") as name:
        write_untrained(Path(name), texts, seed, generates=model.kind is not None)
        yield model.model_copy(update={"base": name})


def write_untrained(
    folder: Path, texts: Iterable[str], seed: int, *, generates: bool = False
) -> None:
    """Write a model with random weights, and its tokenizer, in the Hugging Face layout.

    Args:
        folder: is there.
        texts: give the vocabulary.
        seed: of the weights.
        generates: an encoder and a decoder, and not an encoder alone.
    """
    import torch
    from transformers import PreTrainedTokenizerFast

    tokenizer = word_piece(texts)
    names = {
        "pad_token": PAD,
        "unk_token": UNKNOWN,
        "cls_token": CLS,
        "sep_token": SEP,
        "mask_token": MASK,
    }
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=MAX_TOKENS, **names
    ).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_model(_bart(tokenizer) if generates else _bert(tokenizer), folder)


def _bert(tokenizer: Tokenizer) -> Any:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * HIDDEN,
        max_position_embeddings=MAX_TOKENS,
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    return BertModel(config)


def _bart(tokenizer: Tokenizer) -> Any:
    """As many values and heads, with half of the layers on either side."""
    from transformers import BartConfig, BartForConditionalGeneration, GenerationConfig

    ids = {
        "decoder_start_token_id": tokenizer.token_to_id(CLS),
        "eos_token_id": tokenizer.token_to_id(SEP),
        "pad_token_id": tokenizer.token_to_id(PAD),
    }
    config = BartConfig(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=HIDDEN,
        encoder_layers=LAYERS // 2,
        decoder_layers=LAYERS // 2,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=4 * HIDDEN,
        decoder_ffn_dim=4 * HIDDEN,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.token_to_id(CLS),
        forced_eos_token_id=None,
        **ids,
    )
    model = BartForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**ids)
    return model


def word_piece(texts: Iterable[str]) -> Tokenizer:
    """A WordPiece tokenizer of the texts' characters and their commonest words.

    Equal texts give an equal vocabulary, which the trainers of ``tokenizers`` do not promise.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True)
    split = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in split.pre_tokenize_str(normalizer.normalize_str(text)))
    first = sorted({letter for word in counts for letter in word})
    inner = sorted({letter for word in counts for letter in word[1:]})
    common = sorted(
        (word for word, count in counts.items() if count >= MIN_COUNT and len(word) > 1),
        key=lambda word: (-counts[word], word),
    )
    pieces = dict.fromkeys(
        [
            *(PAD, UNKNOWN, CLS, SEP, MASK),
            *first,
            *(f"##{letter}" for letter in inner),
            *common[:VOCABULARY_WORDS],
        ]
    )
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = split
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(name, vocabulary[name]) for name in (CLS, SEP)],
    )
    return tokenizer
