"""The two graphs compute what the model computes, whenever a row joined."""

import copy

import numpy as np
import pytest
import torch

from contracts.errors import CheckpointError
from model_store.backends.seq2seq.steps import EncoderGraph, StepGraph
from tests.seq2seq_models import ARCHITECTURES, tiny_seq2seq_model

STEPS = 24
JOINED = torch.tensor([0, 2, 5])
"""The step at which each row starts: those that come later have masked columns in front."""


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.inference_mode()
def test_rows_that_join_at_any_step_get_the_logits_of_the_whole_model(architecture: str) -> None:
    model = tiny_seq2seq_model(architecture)
    encoder, step = EncoderGraph(model), StepGraph(model)
    random = torch.Generator().manual_seed(1)
    source = torch.randint(3, 300, (3, 11), generator=random)
    source_mask = (torch.arange(11) < torch.tensor([[11], [7], [4]])).long()
    source[source_mask == 0] = 1
    target = torch.randint(3, 300, (3, STEPS), generator=random)
    target[:, 0] = 0
    expected = model(
        input_ids=source,
        attention_mask=source_mask,
        decoder_input_ids=target,
        decoder_attention_mask=torch.ones_like(target),
    ).logits
    cross = encoder(source, source_mask)
    shape = step.shape
    past = [torch.zeros(3, shape.heads, 0, shape.dim)] * (2 * shape.layers)
    rows = torch.arange(3)
    for number in range(STEPS):
        position = (number - JOINED).clamp(min=0)
        logits, *new = step(
            target[rows, position][:, None],
            (torch.arange(number) >= JOINED[:, None]).long(),
            source_mask,
            past,
            cross,
            position if shape.has_positions else None,
        )
        past = [torch.cat(pair, dim=2) for pair in zip(past, new, strict=True)]
        live = number >= JOINED
        assert torch.isfinite(logits).all()
        np.testing.assert_allclose(
            logits[live], expected[rows, position][live], rtol=1e-5, atol=3e-4
        )
    assert expected.std() > 1


def test_a_step_leaves_the_model_as_it_was() -> None:
    model = tiny_seq2seq_model("bart")
    before = copy.deepcopy(model.config.to_dict())
    implementation = model.config._attn_implementation
    names = set(vars(model.get_decoder().embed_positions))
    step, nothing = StepGraph(model), torch.zeros(1, 0, dtype=torch.long)
    past = [torch.zeros(1, 2, 0, 16)] * 4
    one = torch.ones(1, 1, dtype=torch.long)
    step(one, nothing, one, past, [torch.zeros(1, 2, 1, 16)] * 4, torch.zeros(1, dtype=torch.long))
    assert model.config._attn_implementation == implementation != "tuneserve_two_parts"
    assert model.config.to_dict() == before
    assert set(vars(model.get_decoder().embed_positions)) == names


def test_a_decoder_that_is_not_known_is_refused() -> None:
    from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel, GPT2Config

    encoder = BertConfig(vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    decoder = GPT2Config(vocab_size=60, n_embd=16, n_layer=1, n_head=2, bos_token_id=0)
    decoder.eos_token_id = 1
    joined = EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    with pytest.raises(CheckpointError, match="GPT2LMHeadModel"):
        StepGraph(EncoderDecoderModel(joined))
