"""Tiny seeded sequence-to-sequence checkpoints of every architecture that is served."""

from pathlib import Path
from typing import Any

from model_store.copying import copy_checkpoint
from model_store.export import sample_inputs
from model_store.files import read_json
from model_store.generating import encoder_config
from model_store.manifest import Artifact, Manifest, Precision
from model_store.seq2seq_compress import compress_seq2seq
from model_store.seq2seq_export import export_seq2seq
from model_store.sources import open_plain
from model_store.store import Store
from model_store.version import ModelVersion
from tests.models import tiny_tokenizer

ARCHITECTURES = (
    "bart",
    "mbart",
    "pegasus",
    "marian",
    "t5",
    "mt5",
    "bert2bert",
    "distilbert2roberta",
)
"""``mt5`` is gated and has its own head; the last has an encoder that is narrower than its
decoder."""

MAX_TOKENS = 128
INT8_SUFFIXES: dict[Precision, str] = {"fp32": "", "int8": "_int8"}
BART_LIKE = ("bart", "mbart", "pegasus", "marian")


def tiny_seq2seq(folder: Path, architecture: str, *, seed: int = 0, scale: float = 12.0) -> Path:
    """Write a tiny checkpoint with its tokenizer.

    Args:
        folder: made if it is not there.
        architecture: one of ``ARCHITECTURES``.
        seed: of the weights.
        scale: factor on logits, so that they are well apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tiny_tokenizer(folder, "bert" if "2" in architecture else "roberta")
    tiny_seq2seq_model(architecture, tokenizer.get_vocab_size(), seed, scale).save_pretrained(
        folder
    )
    return folder


def publish_with_int8(folder: Path, store: Path, name: str) -> ModelVersion:
    """Publish a plain checkpoint with fp32 and int8 graphs, unverified, calibrated by random ids.

    Args:
        folder: the checkpoint.
        store: the root of a store.
        name: of the model.
    """
    plain = open_plain(name, folder, cache_root=store / ".cache")

    def build(target: Path) -> Manifest:
        manifest = copy_checkpoint(plain, target)
        export_seq2seq(target, target / "onnx")
        config = read_json(target / "config.json")
        vocabulary = int(encoder_config(config)["vocab_size"])
        tokens = min(128, manifest.max_tokens)
        texts = [sample_inputs(vocabulary, 1, tokens, pad_id=1, seed=seed) for seed in range(20)]
        compress_seq2seq(target / "onnx", texts)
        graphs = [
            Artifact(
                format="onnx",
                precision=precision,
                path=f"onnx/decoder{suffix}.onnx",
                encoder=f"onnx/encoder{suffix}.onnx",
            )
            for precision, suffix in INT8_SUFFIXES.items()
        ]
        return manifest.model_copy(update={"artifacts": [*manifest.artifacts, *graphs]})

    return Store(store).publish(name, build)


def tiny_seq2seq_model(
    architecture: str, vocabulary: int = 300, seed: int = 0, scale: float = 12.0
) -> Any:
    """A model in evaluation mode: 0 starts the decoder, 1 pads, 2 ends."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _model(architecture, vocabulary)
        _stir(model, scale)
    return model.eval()


def _stir(model: Any, scale: float) -> None:
    """Let everything count that starts at zero or tiny, and draw a head of its own."""
    import torch

    for name, parameter in model.named_parameters():
        if "relative_attention_bias" in name:
            torch.nn.init.normal_(parameter, std=2.0)
        elif ("position" in name or name.endswith("bias")) and parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3 if "position" in name else 0.05)
        elif any(mark in name for mark in ("encoder_attn", "EncDec", "crossattention")):
            # The answer shall follow the source.
            torch.nn.init.normal_(parameter, std=0.4 if parameter.ndim > 1 else 1.0)
    for name, buffer in model.named_buffers():
        if name.endswith("final_logits_bias"):
            buffer.normal_()
    head = model.get_output_embeddings()
    width = head.weight.shape[1]
    if isinstance(model.config.to_dict().get("decoder"), dict):
        # Tied, behind a transformation of its own and, as input, in front of a normalisation.
        torch.nn.init.normal_(head.weight, std=scale / 2 / width**0.5)
        return
    # T5 divides by the root of the width where the head was once tied.
    tied = getattr(model.config, "scale_decoder_outputs", False)
    std = scale / 2 * (1.0 if tied else width**-0.5)
    # Out of the tie with the input embeddings, which would otherwise repeat the last token.
    head.weight = torch.nn.Parameter(torch.randn_like(head.weight) * std)
    model.config.tie_word_embeddings = False


def _model(architecture: str, vocabulary: int) -> Any:
    import transformers as hf

    special = {
        "vocab_size": vocabulary,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "decoder_start_token_id": 0,
    }
    if architecture in BART_LIKE:
        config = hf.AutoConfig.for_model(
            architecture,
            d_model=32,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=2,
            encoder_ffn_dim=48,
            decoder_ffn_dim=48,
            max_position_embeddings=MAX_TOKENS,
            forced_eos_token_id=None,
            scale_embedding=architecture != "bart",
            init_std=0.2,
            tie_word_embeddings=False,
            **special,
        )
    elif architecture in ("t5", "mt5"):
        config = hf.AutoConfig.for_model(
            architecture,
            d_model=32,
            d_kv=8,
            d_ff=48,
            num_layers=3,
            num_decoder_layers=2,
            num_heads=4,
            relative_attention_num_buckets=8,
            relative_attention_max_distance=20,
            feed_forward_proj="gated-gelu" if architecture == "mt5" else "relu",
            **special,
        )
    else:
        first, second = architecture.split("2")
        model = hf.EncoderDecoderModel(
            config=hf.EncoderDecoderConfig.from_encoder_decoder_configs(
                _half(first, 32, vocabulary),
                _half(second, 48 if first != second else 32, vocabulary),
            )
        )
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
            setattr(model.config, name, special[name])
            setattr(model.generation_config, name, special[name])
        return model
    return hf.AutoModelForSeq2SeqLM.from_config(config)


def _half(name: str, width: int, vocabulary: int) -> Any:
    import transformers as hf

    common = {"vocab_size": vocabulary, "pad_token_id": 1, "initializer_range": 0.2}
    if name == "distilbert":
        return hf.DistilBertConfig(
            dim=width,
            n_layers=2,
            n_heads=4,
            hidden_dim=48,
            max_position_embeddings=MAX_TOKENS,
            **common,
        )
    return hf.AutoConfig.for_model(
        name,
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=MAX_TOKENS + 2,
        **common,
    )
