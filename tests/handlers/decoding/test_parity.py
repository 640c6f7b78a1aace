"""Every strategy gives the tokens of transformers' ``generate``, all in one running batch."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    T5Config,
    T5ForConditionalGeneration,
)

from handlers.decoding.scheduler import Generation, Scheduler
from handlers.decoding.settings import resolve
from handlers.detokenizer import Detokenizer
from handlers.stop_strings import StopStrings
from handlers.tokenization import Row
from model_store.backends.seq2seq.torch import TorchSeq2Seq

VOCABULARY, PAD, START, END = 200, 1, 2, 3
SOURCES = 3
DEFAULTS = {"decoder_start_token_id": START, "eos_token_id": END, "pad_token_id": PAD}
SPECIAL = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": START}

CASES: list[dict[str, Any]] = [
    {},
    {"num_beams": 4},
    {"num_beams": 4, "length_penalty": 2.0},
    {"num_beams": 4, "length_penalty": -1.0},
    {"num_beams": 3, "early_stopping": True},
    {"num_beams": 3, "early_stopping": "never", "length_penalty": 0.5},
    {"num_beams": 2, "repetition_penalty": 1.3, "min_new_tokens": 6},
    {"num_beams": 4, "no_repeat_ngram_size": 3},
    {"no_repeat_ngram_size": 2},
    {"encoder_no_repeat_ngram_size": 1},
    {"repetition_penalty": 1.5},
    {"min_length": 10},
    {"forced_bos_token_id": 17},
    {"num_beams": 3, "forced_bos_token_id": 17, "forced_eos_token_id": END},
    {"suppress_tokens": [5, 6, 7, 8, 9], "begin_suppress_tokens": [3]},
    {"bad_words_ids": [[20], [30, 31]], "encoder_repetition_penalty": 1.4},
    {"do_sample": True, "seed": 7},
    {"do_sample": True, "seed": 8, "temperature": 0.7, "top_k": 10},
    {"do_sample": True, "seed": 9, "top_p": 0.8},
    {"do_sample": True, "seed": 10, "typical_p": 0.7},
    {"do_sample": True, "seed": 11, "min_p": 0.1, "top_k": 0},
    {"do_sample": True, "seed": 12, "repetition_penalty": 1.2, "temperature": 1.4},
    {"do_sample": True, "seed": 13, "num_beams": 3},
    {"do_sample": True, "seed": 14, "num_beams": 3, "top_p": 0.9, "temperature": 1.5},
]
OURS_ONLY = ("suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "forced_eos_token_id")
"""Come from the checkpoint's generation config; a request cannot give them."""


@cache
def model(name: str) -> Any:
    """A random model whose logits are far enough apart that no rounding changes a choice."""
    torch.manual_seed(3)
    ids = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": START}
    made: Any
    if name == "bart":
        made = BartForConditionalGeneration(
            BartConfig(
                vocab_size=VOCABULARY,
                d_model=32,
                encoder_layers=2,
                decoder_layers=2,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=64,
                decoder_ffn_dim=64,
                max_position_embeddings=128,
                forced_eos_token_id=None,
                bos_token_id=0,
                **ids,
            )
        )
    elif name == "t5":
        made = T5ForConditionalGeneration(
            T5Config(
                vocab_size=VOCABULARY,
                d_model=32,
                d_kv=16,
                d_ff=64,
                num_layers=2,
                num_heads=2,
                relative_attention_num_buckets=8,
                relative_attention_max_distance=16,
                **ids,
            )
        )
    else:
        side = BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
        )
        made = EncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(side, side))
        for key, value in ids.items():
            setattr(made.config, key, value)
            setattr(made.generation_config, key, value)
    made.eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.mul_(1.5 if name == "t5" else 6)
    return made


def source(number: int) -> list[int]:
    random = np.random.default_rng(number)
    return [int(id) for id in random.integers(5, VOCABULARY, random.integers(3, 30))]


def theirs(name: str, ids: list[int], case: dict[str, Any]) -> list[int]:
    given = {"num_beams": 1, "do_sample": False} | case
    torch.manual_seed(given.pop("seed", 0))
    with torch.inference_mode():
        answer = model(name).generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=24,
            **SPECIAL,
            **given,
        )
    found = answer[0, 1:].tolist()
    return found[: found.index(END) + 1] if END in found else found


def decoding(case: dict[str, Any]) -> Any:
    given = {"max_new_tokens": 24} | {k: v for k, v in case.items() if k not in OURS_ONLY}
    return resolve(given, DEFAULTS | {k: v for k, v in case.items() if k in OURS_ONLY})


@pytest.mark.parametrize("name", ["bart", "t5", "encoder-decoder"])
def test_all_strategies_at_once_give_the_tokens_of_generate(name: str) -> None:
    queue = Scheduler(
        TorchSeq2Seq(model(name), "fp32", "cpu"),
        max_source_tokens=64,
        pad_id=PAD,
        max_kv_tokens=3000,
    )
    work = [(number, at) for number in range(SOURCES) for at in range(len(CASES))]
    for number, at in work:
        ids = source(number)
        queue.submit(Generation(Row(ids, [0] * len(ids)), decoding(CASES[at]), None, (number, at)))
    found = {}
    most = 0
    while queue:
        for one in queue.step():
            assert one.search is not None
            if one.search.ended is not None:
                found[one.place] = one.search.ended.ids
        most = max(most, queue.running_rows)
    assert most > 20
    different = {
        (number, str(CASES[at])): (found[number, at], expected)
        for number, at in work
        if found[number, at] != (expected := theirs(name, source(number), CASES[at]))
    }
    assert not different
    assert len({tuple(ids) for ids in found.values()}) > len(CASES)


def alphabet() -> Any:
    """A tokenizer for the random models: each id is a letter, or two of them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [f"{a}{b}" for a in letters[:12] for b in letters[:12]][: VOCABULARY - 60]
    names = ["<s>", "<pad>", "<start>", "<end>", *letters[:56], *pieces][:VOCABULARY]
    raw = Tokenizer(models.BPE({name: index for index, name in enumerate(names)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(["<s>", "<pad>", "<start>", "<end>"])
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<end>")


@pytest.mark.parametrize("given", [{}, {"num_beams": 3}, {"do_sample": True, "seed": 5}])
def test_stop_strings_end_an_answer_where_generate_ends_it(given: dict[str, Any]) -> None:
    tokenizer = alphabet()
    detokenizer = Detokenizer(tokenizer.backend_tokenizer)
    backend = TorchSeq2Seq(model("bart"), "fp32", "cpu")
    changed = 0
    for number in range(12):
        ids = source(number)
        free = theirs("bart", ids, given)
        text = tokenizer.decode(free, skip_special_tokens=True)
        # Strings that stand there, some across two tokens, and one that does not.
        stop = [text[4:6], text[9:12], "never"] if len(text) > 12 else ["never"]
        queue = Scheduler(backend, max_source_tokens=64, pad_id=PAD, max_kv_tokens=3000)
        stops = StopStrings(stop, detokenizer).complete
        one = Generation(Row(ids, [0] * len(ids)), decoding(given | {"stop": stop}), stops, None)
        queue.submit(one)
        while queue:
            queue.step()
        assert one.search is not None
        assert one.search.ended is not None
        expected = theirs("bart", ids, given | {"stop_strings": stop, "tokenizer": tokenizer})
        assert one.search.ended.ids == expected
        changed += expected != free
    assert changed > 3
