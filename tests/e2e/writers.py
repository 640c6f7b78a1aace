"""Tiny models that generate, with decoders long enough to be interrupted."""

from pathlib import Path

from tests.models import tiny_tokenizer

MAX_TOKENS = 128
"""That the encoder reads."""
MOST_TOKENS = 1000
"""That an answer may have."""


def tiny_writer(folder: Path) -> Path:
    """Write a seeded BART whose answers end where they are told to: no token ends one."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    folder.mkdir(parents=True)
    tokenizer = tiny_tokenizer(folder, "roberta")
    config = BartConfig(
        vocab_size=tokenizer.get_vocab_size(),
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=MOST_TOKENS + 1,
        init_std=0.6,
        bos_token_id=tokenizer.token_to_id("<s>"),
        pad_token_id=tokenizer.token_to_id("<pad>"),
        eos_token_id=tokenizer.token_to_id("</s>"),
        decoder_start_token_id=tokenizer.token_to_id("</s>"),
        forced_eos_token_id=None,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = BartForConditionalGeneration(config)
        model.final_logits_bias[:, : len(tokenizer.get_added_tokens_decoder())] = -1e4
    model.eval().save_pretrained(folder)
    return folder
