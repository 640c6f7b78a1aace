"""The model that generation starts from: a sequence-to-sequence checkpoint, or two encoders joined.

Two encoders become an EncoderDecoder (Rothe et al. 2020): the second one is made causal and gets
cross-attention, which is new, and a head over its own embeddings. transformers keeps one table of
embeddings for the encoder and one for decoder and head.
"""

from typing import Any

from contracts.errors import CheckpointError
from model_store.mixed import LAYER
from train.base_model import cannot_load, config_entries, find_base, new_names, quiet_transformers
from train.freezing import freeze
from train.new_weights import mark_new
from train.recipe_model import Model


def load_seq2seq(model: Model, settings: dict[str, Any]) -> Any:
    """The model before the first step, in float32, with the ids that its decoding needs.

    Args:
        model: the recipe's section.
        settings: entries of the configuration.

    Raises:
        CheckpointError: base or decoder cannot be loaded, do not fit together, or have a decoder
            that is not served.
    """
    from model_store.backends.seq2seq.steps import DecoderShape

    with quiet_transformers():
        try:
            loaded = _plain(model) if model.decoder is None else _joined(model)
        except (OSError, ValueError) as error:
            named = model.base if model.decoder is None else f"{model.base} and {model.decoder}"
            raise cannot_load(named, error) from error
    for name, value in settings.items():
        setattr(loaded.config, name, value)
    DecoderShape(loaded)  # what cannot be served is not trained
    freeze(loaded, model.freeze)
    return loaded


def untrained_seq2seq(model: Model, settings: dict[str, Any]) -> Any:
    """The model's shape: ``load_seq2seq`` without reading a weight.

    Raises:
        CheckpointError: a configuration cannot be loaded, or they do not fit together.
    """
    import transformers

    with quiet_transformers():
        try:
            if model.decoder is None:
                config = transformers.AutoConfig.from_pretrained(find_base(model.base))
            else:
                first, second = _configs(model)
                join = transformers.EncoderDecoderConfig.from_encoder_decoder_configs
                config = join(first, second)
                _name_ids(config, *_special_ids(model.base))
            for name, value in settings.items():
                setattr(config, name, value)
            return transformers.AutoModelForSeq2SeqLM.from_config(config)
        except (OSError, ValueError) as error:
            raise cannot_load(model.base, error) from error


def _plain(model: Model) -> Any:
    import transformers

    base = find_base(model.base)
    config = transformers.AutoConfig.from_pretrained(base)
    for name, value in config_entries(model, config, {}).items():
        setattr(config, name, value)
    loaded, info = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        base, config=config, dtype="float32", output_loading_info=True
    )
    mark_new(loaded, new_names(info))
    return loaded


def _joined(model: Model) -> Any:
    import transformers

    first, second = _configs(model)
    encoder = transformers.AutoModel.from_pretrained(
        find_base(model.base), config=first, dtype="float32"
    )
    decoder, new = _decoder(str(model.decoder), second)
    loaded = transformers.EncoderDecoderModel(encoder=encoder, decoder=decoder)
    mark_new(loaded, {f"decoder.{name}" for name in new} | _projection(loaded))
    ids = _special_ids(model.base)
    _name_ids(loaded.config, *ids)
    loaded.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=ids[0], eos_token_id=ids[1], pad_token_id=ids[2]
    )
    return loaded


def _configs(model: Model) -> tuple[Any, Any]:
    """Of encoder and decoder, with the recipe's dropout.

    Raises:
        CheckpointError: their vocabularies differ, or the decoder has fewer layers than wished.
    """
    import transformers

    first = transformers.AutoConfig.from_pretrained(find_base(model.base))
    second = transformers.AutoConfig.from_pretrained(find_base(str(model.decoder)))
    if first.vocab_size != second.vocab_size:
        raise CheckpointError(
            f'model.decoder: "{model.decoder}" has {second.vocab_size} tokens and "{model.base}" '
            f"has {first.vocab_size}; join two encoders that share their tokenizer."
        )
    layers = second.num_hidden_layers
    if (model.decoder_layers or 1) > layers:
        raise CheckpointError(
            f'model.decoder_layers: "{model.decoder}" has {layers} layers, '
            f"not {model.decoder_layers}."
        )
    for config in (first, second):
        for name, value in config_entries(model, config, {}).items():
            setattr(config, name, value)
    second.is_decoder = True
    second.add_cross_attention = True
    second.num_hidden_layers = model.decoder_layers or layers
    return first, second


def _decoder(base: str, config: Any) -> tuple[Any, set[str]]:
    """An encoder as a decoder of so many of its layers, and the names of its new weights."""
    import copy

    import transformers

    whole = copy.deepcopy(config)
    whole.num_hidden_layers = transformers.AutoConfig.from_pretrained(
        find_base(base)
    ).num_hidden_layers
    full, info = transformers.AutoModelForCausalLM.from_pretrained(
        find_base(base), config=whole, dtype="float32", output_loading_info=True
    )
    chosen = spread(whole.num_hidden_layers, config.num_hidden_layers)
    place = {layer: str(number) for number, layer in enumerate(chosen)}

    def renamed(name: str) -> str | None:
        found = LAYER.search(name)
        if not found:
            return name
        number = place.get(int(found[1]))
        return number and name[: found.start(1)] + number + name[found.end(1) :]

    new = {other for name in new_names(info) if (other := renamed(name))}
    if len(chosen) == whole.num_hidden_layers:
        return full, new
    decoder = transformers.AutoModelForCausalLM.from_config(config, dtype=full.dtype)
    kept = {renamed(name): value for name, value in full.state_dict().items()}
    decoder.load_state_dict({name: value for name, value in kept.items() if name})
    return decoder, new


def spread(layers: int, wanted: int) -> list[int]:
    """Layers to keep, from the first to the last: 3 of 6 are 0, 2 and 5."""
    if wanted == 1:
        return [0]
    return [index * (layers - 1) // (wanted - 1) for index in range(wanted)]


def _projection(model: Any) -> set[str]:
    """Between encoder and decoder of different widths."""
    return {name for name, _ in model.named_parameters() if name.startswith("enc_to_dec_proj.")}


def _special_ids(base: str) -> tuple[int, int, int]:
    """With which token an answer begins and ends, and what fills a row.

    Raises:
        CheckpointError: the tokenizer has none of them.
    """
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(find_base(base), use_fast=True)
    first = [
        tokenizer.bos_token_id if tokenizer.cls_token_id is None else tokenizer.cls_token_id,
        tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id,
        tokenizer.pad_token_id,
    ]
    if any(one is None for one in first):
        raise CheckpointError(
            f'The tokenizer of "{base}" has no tokens for begin, end and padding; '
            "an answer needs them."
        )
    start, end, pad = first
    return int(start), int(end), int(pad)


def _name_ids(config: Any, start: int, end: int, pad: int) -> None:
    config.decoder_start_token_id = start
    config.eos_token_id = end
    config.pad_token_id = pad
    config.vocab_size = config.decoder.vocab_size
