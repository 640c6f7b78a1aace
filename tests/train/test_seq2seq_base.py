"""What generation starts from: two encoders joined, a checkpoint, or nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, EncoderDecoderModel

from contracts.errors import CheckpointError
from contracts.tasks import Task
from model_store.derive import derive_manifest
from tests.models import tiny_checkpoint
from tests.seq2seq_models import tiny_seq2seq
from train.base_model import save_model, save_tokenizer
from train.new_weights import is_new
from train.recipe_model import Model
from train.scratch import base_checkpoint
from train.seq2seq_base import load_seq2seq, spread, untrained_seq2seq


def section(base: Path | str, **settings: Any) -> Model:
    return Model.model_validate({"name": "m", "task": "generation", "base": str(base), **settings})


def joined(folder: Path, **settings: Any) -> Any:
    base = tiny_checkpoint(folder, "bert", Task.TEXT_CLASSIFICATION)
    torch.manual_seed(0)
    return load_seq2seq(section(base, decoder=str(base), **settings), {})


def test_two_encoders_become_one_model_that_writes(tmp_path: Path) -> None:
    model = joined(tmp_path / "base")
    assert type(model) is EncoderDecoderModel
    config = model.config.decoder
    assert (config.is_decoder, config.add_cross_attention) == (True, True)
    assert (model.config.encoder.is_decoder, model.config.encoder.add_cross_attention) == (
        *(False, False),
    )
    decoder = model.decoder.bert
    first = model.encoder.encoder.layer[1].attention.self.query.weight
    assert torch.equal(first, decoder.encoder.layer[1].attention.self.query.weight)
    words = decoder.embeddings.word_embeddings.weight
    assert model.decoder.get_output_embeddings().weight is words
    assert torch.equal(words, model.encoder.embeddings.word_embeddings.weight)
    fresh = {name for name, value in model.named_parameters() if is_new(value)}
    assert {name for name in fresh if "crossattention" not in name} == {
        name for name, _ in model.named_parameters() if "cls.predictions" in name
    } - {"decoder.cls.predictions.decoder.weight"}
    assert sum("crossattention" in name for name in fresh) == 2 * 10


def test_a_joined_model_is_saved_loaded_and_generates(tmp_path: Path) -> None:
    model = joined(tmp_path / "base").eval()
    folder = tmp_path / "saved"
    save_tokenizer(section(tmp_path / "base"), folder)
    save_model(model, folder)
    again = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    with torch.inference_mode():
        written = model.generate(input_ids=ids, max_new_tokens=5)
        assert torch.equal(written, again.generate(input_ids=ids, max_new_tokens=5))
    manifest = derive_manifest(folder)
    assert manifest.generates
    raw = derive_tokens(folder)
    ids_told = {
        name: manifest.generation_defaults[name]
        for name in ("decoder_start_token_id", "eos_token_id", "pad_token_id")
    }
    assert ids_told == {
        "decoder_start_token_id": raw["[CLS]"],
        "eos_token_id": raw["[SEP]"],
        "pad_token_id": raw["[PAD]"],
    }
    assert int(written[0, 0]) == raw["[CLS]"]


def derive_tokens(folder: Path) -> dict[str, int]:
    from model_store.tokenizer import load_tokenizer

    tokenizer, _ = load_tokenizer(folder)
    return {name: int(tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]", "[PAD]")}


def test_a_decoder_may_have_fewer_layers(tmp_path: Path) -> None:
    model = joined(tmp_path / "base", decoder_layers=1)
    assert model.config.decoder.num_hidden_layers == 1
    (layer,) = model.decoder.bert.encoder.layer
    first = model.encoder.encoder.layer[0].attention.self.query.weight
    assert torch.equal(layer.attention.self.query.weight, first)
    assert layer.attention.self.layer_idx == 0
    assert sum(is_new(value) for value in layer.parameters()) == 10
    assert spread(6, 3) == [0, 2, 5]
    assert spread(6, 6) == [0, 1, 2, 3, 4, 5]
    assert spread(12, 1) == [0]
    with pytest.raises(CheckpointError, match="has 2 layers, not 3"):
        joined(tmp_path / "base", decoder_layers=3)


def test_encoders_with_other_words_are_not_joined(tmp_path: Path) -> None:
    first = tiny_checkpoint(tmp_path / "first", "bert", Task.TEXT_CLASSIFICATION)
    second = tiny_checkpoint(tmp_path / "second", "roberta", Task.TEXT_CLASSIFICATION)
    with pytest.raises(CheckpointError, match="share their tokenizer"):
        load_seq2seq(section(first, decoder=str(second)), {})


def test_what_cannot_decode_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    first = tiny_checkpoint(tmp_path / "first", "bert", Task.TEXT_CLASSIFICATION)
    second = tiny_checkpoint(tmp_path / "second", "distilbert", Task.TEXT_CLASSIFICATION)
    with pytest.raises(CheckpointError):
        load_seq2seq(section(first, decoder=str(second)), {})
    with pytest.raises(CheckpointError, match=r'The base model ".*first" cannot be loaded'):
        load_seq2seq(section(first), {})
    with pytest.raises(CheckpointError, match="there is no folder"):
        load_seq2seq(section(tmp_path / "nowhere"), {})


def test_only_the_encoder_is_frozen_by_its_name(tmp_path: Path) -> None:
    model = joined(tmp_path / "base", freeze="encoder.embeddings, encoder.0")
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert frozen
    assert all(
        name.startswith(("encoder.embeddings.", "encoder.encoder.layer.0.")) for name in frozen
    )
    t5 = tiny_seq2seq(tmp_path / "t5", "t5")
    model = load_seq2seq(section(t5, freeze="encoder.1"), {})
    frozen = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert frozen
    assert all(name.startswith("encoder.block.1.") for name in frozen)


@pytest.mark.parametrize("architecture", ["bart", "bert2bert"])
def test_a_plan_knows_the_shape_without_reading_weights(architecture: str, tmp_path: Path) -> None:
    model = section(tiny_seq2seq(tmp_path, architecture))
    loaded = load_seq2seq(model, {"tuneserve_task": "translation"})
    with torch.device("meta"):
        shape = untrained_seq2seq(model, {"tuneserve_task": "translation"})
    assert shape.config.tuneserve_task == loaded.config.tuneserve_task == "translation"
    sizes = {name: value.shape for name, value in loaded.named_parameters()}
    assert {name: value.shape for name, value in shape.named_parameters()} == sizes


def test_a_plan_knows_the_shape_of_two_encoders(tmp_path: Path) -> None:
    loaded = joined(tmp_path / "base", decoder_layers=1)
    base = str(tmp_path / "base")
    with torch.device("meta"):
        shape = untrained_seq2seq(section(base, decoder=base, decoder_layers=1), {})
    sizes = {name: value.shape for name, value in loaded.named_parameters()}
    assert {name: value.shape for name, value in shape.named_parameters()} == sizes


def test_a_small_bart_is_made_from_nothing(tmp_path: Path) -> None:
    texts = ["alpha beta beta", "beta alpha gamma gamma"]
    with base_checkpoint(section("scratch"), texts, 1) as base:
        model = load_seq2seq(base, {})
        folder = Path(base.base)
        manifest = derive_manifest(folder)
        raw = derive_tokens(folder)
        assert type(model).__name__ == "BartForConditionalGeneration"
        assert manifest.max_tokens == 512
        defaults = manifest.generation_defaults
        assert defaults["decoder_start_token_id"] == raw["[CLS]"]
        assert defaults["eos_token_id"] == raw["[SEP]"]
        assert "forced_eos_token_id" not in defaults
    with base_checkpoint(section("scratch"), texts, 1) as base:
        same = load_seq2seq(base, {}).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in model.state_dict().items())
