"""The two functions of a generating model, around any transformers class that is served.

An encoder turns source texts into the keys and values that the decoder's cross-attention reads; a
decoder step turns one token per row into logits. Both call the model's own code, so heads, scaling
and biases stay transformers'. What it does not know is told from outside, for the length of a
call: that each row has its own position, and that the cache is not copied.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from contracts.errors import CheckpointError

TWO_PARTS = "tuneserve_two_parts"
"""The name of our attention function in transformers' registry."""

CROSS_PROJECTIONS = {
    "encoder_attn": ("k_proj", "v_proj", "head_dim"),
    "EncDecAttention": ("k", "v", "key_value_proj_dim"),
    "crossattention": ("key", "value", "attention_head_size"),
}
"""By the attribute that holds a decoder layer's cross-attention: where its projections of keys and
values and the width of a head are. BART's relatives, T5's, and BERT's."""

Pair = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of one layer, ``(rows, heads, tokens, dim)``."""


class DecoderShape:
    """What a decoder's caches look like, and whether it counts positions."""

    def __init__(self, model: Any) -> None:
        """Read a model.

        Raises:
            CheckpointError: its decoder is none that is known here.
        """
        self.cross = list(_cross_attentions(model.get_decoder()))
        if not self.cross:
            raise CheckpointError(
                f"{type(model).__name__} has a decoder that is not served "
                f"({type(model.get_decoder()).__name__}); use a T5, BART, mBART, Pegasus or Marian "
                "checkpoint, or an EncoderDecoder with a BERT-like decoder."
            )
        self.layers = len(self.cross)
        key, _, self.dim = self.cross[0]
        self.heads = key.out_features // self.dim
        self.has_positions = not _is_relative(model)


class EncoderGraph(torch.nn.Module):
    """Source ids to the keys and values of every decoder layer's cross-attention."""

    def __init__(self, model: Any) -> None:
        """Wrap a model; its weights are shared."""
        super().__init__()
        self.model = model
        self.shape = DecoderShape(model)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Encode.

        Args:
            input_ids: ``(rows, source)``.
            attention_mask: ``(rows, source)``, 1 where a token is.

        Returns:
            ``key_0, value_0, key_1, ...``, each ``(rows, heads, source, dim)``.
        """
        encoder = self.model.get_encoder()
        states = encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        projection = getattr(self.model, "enc_to_dec_proj", None)
        if projection is not None:
            states = projection(states)
        rows, source = states.shape[:2]
        return tuple(
            project(states).view(rows, source, -1, dim).transpose(1, 2)
            for key, value, dim in self.shape.cross
            for project in (key, value)
        )


class StepGraph(torch.nn.Module):
    """One decoder step as a function of arrays: the cache goes in, its new column comes out.

    Attention is computed in two parts, over the past and over the new column, whose scores meet in
    one softmax: so no step copies the past.
    """

    def __init__(self, model: Any) -> None:
        """Wrap a model; its weights are shared."""
        super().__init__()
        self.model = model
        self.shape = DecoderShape(model)

    def forward(
        self,
        input_ids: torch.Tensor,
        past_mask: torch.Tensor,
        source_mask: torch.Tensor,
        past: Sequence[torch.Tensor],
        cross: Sequence[torch.Tensor],
        positions: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Decode one token in every row.

        Args:
            input_ids: ``(rows, 1)``.
            past_mask: ``(rows, past)``, 1 where a column belongs to the row; the newest column
                stands last.
            source_mask: ``(rows, source)``.
            past: ``key_0, value_0, key_1, ...``, each ``(rows, heads, past, dim)``.
            cross: what the encoder gave, for these rows.
            positions: tokens decoded before this one, ``(rows,)``; None where the model counts no
                positions.

        Returns:
            Logits ``(rows, vocabulary)``, then the new ``key_0, value_0, ...``, each ``(rows,
            heads, 1, dim)``.
        """
        layers = [PastLayer(*pair) for pair in zip(past[::2], past[1::2], strict=True)]
        with two_part_attention(self.model):
            logits = decode_step(
                self.model,
                input_ids,
                positions,
                additive(past_mask, past[0].dtype),
                additive(source_mask, cross[0].dtype),
                layers,
                list(zip(cross[::2], cross[1::2], strict=True)),
            )
        new = [tensor for layer in layers for tensor in (layer.new_keys, layer.new_values)]
        return (logits, *new)


def decode_step(
    model: Any,
    ids: torch.Tensor,
    positions: torch.Tensor | None,
    own_mask: torch.Tensor,
    source_mask: torch.Tensor,
    own: Sequence[Any],
    cross: Sequence[Pair],
) -> torch.Tensor:
    """Run the model's own code for one token per row.

    Args:
        model: in evaluation mode.
        ids: ``(rows, 1)``.
        positions: see ``StepGraph``.
        own_mask: additive, ``(rows, 1, 1, columns)``, of what the attention gets from ``own``.
        source_mask: additive, ``(rows, 1, 1, source)``.
        own: the self-attention cache, one layer each.
        cross: keys and values of the source, one pair per decoder layer.

    Returns:
        Logits ``(rows, vocabulary)``.
    """
    # The states themselves are not read: their projections stand in the cache.
    unread = cross[0][0].new_zeros(ids.shape[0], 1, model.get_encoder().config.hidden_size)
    options: dict[str, Any] = {}
    with ExitStack() as stack:
        if positions is not None:
            embedding = getattr(model.get_decoder(), "embed_positions", None)
            if embedding is not None:
                stack.enter_context(_positions_by_row(embedding, positions))
            else:
                options["decoder_position_ids"] = _bert_positions(model.decoder, ids, positions)
        answer = model(
            decoder_input_ids=ids,
            decoder_attention_mask=own_mask,
            encoder_outputs=BaseModelOutput(last_hidden_state=unread),
            attention_mask=source_mask,
            past_key_values=StepCache(own, [PastLayer(*pair) for pair in cross]),
            use_cache=True,
            return_dict=True,
            **options,
        )
    logits: torch.Tensor = answer.logits[:, -1]
    return logits


def additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A mask of ones and zeros as what is added to scores, ``(rows, 1, 1, columns)``.

    The number for "not here" is finite, and half of the lowest, so that a bias cannot make it
    infinite: a row of which nothing is live gives no NaN.
    """
    low = torch.finfo(dtype).min / 2
    zero = torch.zeros((), dtype=dtype, device=mask.device)
    return torch.where(mask[:, None, None, :] > 0, zero, zero + low)


class Parts:
    """Keys or values of which the newest column lies apart from the past."""

    def __init__(self, past: torch.Tensor, new: torch.Tensor) -> None:
        self.past, self.new = past, new

    @property
    def shape(self) -> tuple[int, ...]:
        """Of both together, which is what T5 measures its distances by."""
        rows, heads, past, dim = self.past.shape
        return (rows, heads, past + 1, dim)


class PastLayer(CacheLayerMixin):  # type: ignore[misc]
    """A layer of a cache: the self-attention gets its two parts, the cross-attention reads them."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.new_keys = self.new_values = keys
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any) -> Any:
        """Take the new column."""
        self.new_keys, self.new_values = key_states, value_states
        return Parts(self.keys, key_states), Parts(self.values, value_states)

    def get_seq_length(self) -> int:
        """Columns before this step."""
        columns: int = self.keys.shape[2]
        return columns

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns with the new ones, and that they start at the first."""
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        """No limit."""
        return -1

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing: the tensors are there."""


class StepCache(EncoderDecoderCache):  # type: ignore[misc]
    """Both caches of one step; the cross-attention's is complete."""

    def __init__(self, own: Sequence[Any], cross: Sequence[Any]) -> None:
        super().__init__(Cache(layers=list(own)), Cache(layers=[]))
        self.cross_attention_cache = Cache(layers=list(cross))
        self.is_updated = dict.fromkeys(range(len(cross)), True)


@contextmanager
def two_part_attention(model: Any) -> Iterator[None]:
    """Let the decoder's attention be ``attend`` for the length of a call."""
    configs = {
        id(config): config
        for module in model.get_decoder().modules()
        if (config := getattr(module, "config", None)) is not None
    }
    before = {key: config._attn_implementation for key, config in configs.items()}
    for config in configs.values():
        config._attn_implementation_internal = TWO_PARTS
    try:
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation_internal = before[key]


def attend(
    module: Any,
    query: torch.Tensor,
    key: Parts | torch.Tensor,
    value: Parts | torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    position_bias: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of one query per row, over a source or over a past and a new column.

    Args:
        module: the attention layer that asks.
        query: ``(rows, heads, 1, dim)``.
        key: of the source, or in parts.
        value: as ``key``.
        attention_mask: additive; of the source, or of the past alone.
        scaling: of the scores; default ``dim ** -0.5``.
        position_bias: T5's, ``(1, heads, 1, columns)``. For a source it is always zero.

    Returns:
        ``(rows, 1, heads, dim)``, and no weights.
    """
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if isinstance(key, Parts) and isinstance(value, Parts):
        before = query @ key.past.transpose(2, 3) + attention_mask
        now = query @ key.new.transpose(2, 3)
        if position_bias is not None:
            columns = key.past.shape[2]
            before = before + position_bias[..., :columns]
            now = now + position_bias[..., columns:]
        weights = torch.cat([before, now], dim=-1).softmax(dim=-1)
        columns = key.past.shape[2]
        mixed = weights[..., :columns] @ value.past + weights[..., columns:] * value.new
    else:
        assert isinstance(key, torch.Tensor)
        assert isinstance(value, torch.Tensor)
        mixed = (query @ key.transpose(2, 3) + attention_mask).softmax(dim=-1) @ value
    return mixed.transpose(1, 2), None


ALL_ATTENTION_FUNCTIONS.register(TWO_PARTS, attend)


@contextmanager
def _positions_by_row(embedding: Any, positions: torch.Tensor) -> Iterator[None]:
    """Let a position embedding of BART's kind answer with one position per row."""
    offset = getattr(embedding, "offset", 0)

    def forward(*_: Any, **__: Any) -> torch.Tensor:
        return torch.nn.functional.embedding(positions[:, None] + offset, embedding.weight)

    embedding.forward = forward
    try:
        yield
    finally:
        del embedding.forward


def _bert_positions(decoder: Any, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """``(rows, 1)``, counted as the decoder's embeddings count when they are not told."""
    padding = getattr(decoder.base_model.embeddings, "padding_idx", None)
    if padding is None:
        return positions[:, None]
    counted = positions[:, None] + padding + 1
    return torch.where(ids == padding, torch.full_like(counted, padding), counted)


def _is_relative(model: Any) -> bool:
    return any(
        hasattr(module, "relative_attention_bias") for module in model.get_decoder().modules()
    )


def _cross_attentions(decoder: Any) -> Iterator[tuple[Any, Any, int]]:
    """Projections of keys and of values, and the width of a head, layer by layer."""
    for module in decoder.modules():
        for name, (key, value, dim) in CROSS_PROJECTIONS.items():
            attention = getattr(module, name, None)
            if attention is None:
                continue
            attention = getattr(attention, "self", attention)
            if not hasattr(attention, key):
                continue
            yield getattr(attention, key), getattr(attention, value), getattr(attention, dim)
