"""A sequence-to-sequence model that has really learnt something: to copy words, or to reverse them.

It is trained from nothing in some fifteen seconds on one core and then makes no mistake, so its
logits stand far apart: every runtime and every way of decoding must give exactly its answers.
"""

import random
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = (
    *("apple", "bread", "chair", "dance", "eagle", "flute", "grape", "house", "ivory", "jelly"),
    *("knife", "lemon", "mouse", "night", "olive", "piano", "queen", "river", "stone", "tiger"),
)
COMMANDS = ("copy", "reverse")
"""The first word of a source."""
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
"""Ids 0 to 3, as BART's."""
LONGEST = 10
"""Words of a source after its command."""
MAX_TOKENS = 64
STEPS, ROWS, RATE = 450, 64, 4e-3
"""Of training: 320 steps were enough for 512 of 512 unseen sources; half of them at a low rate."""


def draw_pair(draw: random.Random, longest: int = LONGEST) -> tuple[str, str]:
    """A source and the only right answer to it, of so many words at most; they may repeat."""
    words = [draw.choice(WORDS) for _ in range(draw.randint(1, longest))]
    command = draw.choice(COMMANDS)
    answer = words if command == "copy" else words[::-1]
    return " ".join([command, *words]), " ".join(answer)


def pairs(count: int, seed: int = 1, longest: int = LONGEST) -> list[tuple[str, str]]:
    """Sources that training did not draw, with their answers.

    Args:
        count: how many.
        seed: other than 0, which training draws with.
        longest: words of an answer, at most.
    """
    draw = random.Random(seed)
    return [draw_pair(draw, longest) for _ in range(count)]


def copy_and_reverse_tokenizer(folder: Path) -> Tokenizer:
    """Write a tokenizer whose tokens are the words; ``<s> ... </s>`` stands around a text."""
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate((*SPECIAL, *COMMANDS, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, vocabulary[token]) for token in ("<s>", "</s>")],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=MAX_TOKENS,
    ).save_pretrained(folder)
    return tokenizer


def untrained_bart(words: int) -> Any:
    """The BART that learns it, of 2 + 2 layers and 64 values, with random weights."""
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=words,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        max_position_embeddings=MAX_TOKENS,
        dropout=0.0,
        init_std=0.05,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
        tuneserve_task="text2text-generation",
    )
    model = BartForConditionalGeneration(config)
    model.generation_config.forced_eos_token_id = None
    model.generation_config.max_new_tokens = LONGEST + 2
    return model


def copy_and_reverse(folder: Path) -> Path:
    """Train the model, always the same, and write it with its tokenizer.

    ``copy apple bread`` is answered ``apple bread``, and ``reverse apple bread`` ``bread apple``.
    About 15 seconds of one core: share the folder between tests.

    Args:
        folder: made if it is not there.

    Returns:
        The folder.

    Raises:
        RuntimeError: it did not learn its task; 256 unseen sources are asked greedily.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = copy_and_reverse_tokenizer(folder)
    draw = random.Random(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = untrained_bart(tokenizer.get_vocab_size())
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS, pct_start=0.15)
    model.train()
    for _ in range(STEPS):
        sources, answers = zip(*(draw_pair(draw) for _ in range(ROWS)), strict=True)
        ids, mask = _padded(tokenizer, sources, 1)
        # The labels are the answer and </s>: what BART's decoder is given starts with </s>, too.
        labels, _ = _padded(tokenizer, answers, -100)
        loss = model(input_ids=ids, attention_mask=mask, labels=labels[:, 1:].contiguous()).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()
    asked = pairs(256, seed=2)
    ids, mask = _padded(tokenizer, [source for source, _ in asked], 1)
    found = model.generate(input_ids=ids, attention_mask=mask)
    texts = tokenizer.decode_batch(found.tolist())
    wrong = sum(text != answer for text, (_, answer) in zip(texts, asked, strict=True))
    if wrong:
        raise RuntimeError(f"{wrong} of {len(asked)} answers are wrong: it has not learnt its task")
    model.save_pretrained(folder)
    return folder


def _padded(tokenizer: Tokenizer, texts: Any, fill: int) -> tuple[Any, Any]:
    import torch

    rows = [one.ids for one in tokenizer.encode_batch(list(texts))]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [fill] * (longest - len(row)) for row in rows])
    return ids, (ids != fill).long()
