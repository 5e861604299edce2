"""Autoregressive models by name: which network, for which elements.

    CausalCNN          causal convolutions; real numbers, quantised ones, or tokens
    WaveNet            gated dilated convolutions with skips; mu-law levels, or a mixture of discretised logistics
    CharRNN            LSTM or GRU; tokens
    CausalTransformer  attention to the past; tokens, or numbers

Each is an `AutoregressiveModel` and takes its arguments.

Reference:
    van den Oord et al. 2016, arXiv:1609.03499; mixtures for 16 bits: van den Oord et al., "Parallel WaveNet",
    arXiv:1711.10433 (2017), section 2; A. Karpathy, char-rnn (2015); Radford et al. 2019, for Transformers.
"""

import keras

from keras_gen import layers, networks
from keras_gen.models import inputs
from keras_gen.models.autoregressive.base import AutoregressiveModel

DOUBLING = tuple(2**i for i in range(10))
"""Dilations 1, 2, 4, ..., 512: the row of the WaveNet paper."""


class _Recipe(AutoregressiveModel):
    """Base of the recipes: a configuration of a recipe's own arguments instead of a network."""

    def __init__(self, event_shape, network, own, **kwargs):
        self._own = own
        super().__init__(event_shape, network, **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["network"]
        return {**config, **self._own}


@keras.saving.register_keras_serializable(package="keras_gen")
class CausalCNN(_Recipe):
    """p(x_t given x_(<t)) by causal convolutions: a regression on the past, or a softmax over levels or tokens.

    Args:
        event_shape: `(T, channels)`, or `(T,)` for tokens.
        filters: channels of each layer, default 32.
        dilations: one a layer, default (1, 2, 4, 8, 16).
        kernel_size: default 2.
        head: of real numbers, default "normal": mean and scale depend on the past, so that `model(x)` is a regression.
        **kwargs: as of `AutoregressiveModel`, such as `quantizer` or `vocabulary_size`, `num_classes`.

    Raises:
        ValueError: as `AutoregressiveModel`.

    Example:
        >>> from keras_gen.models import CausalCNN
        >>> model = CausalCNN((20, 1), filters=8, dilations=(1, 2))
        >>> model.sample(3, seed=0).shape, model.network.receptive_field
        ((3, 20, 1), 4)

    Reference:
        van den Oord et al. 2016, arXiv:1609.03499, section 2.1.
    """

    def __init__(self, event_shape, *, filters=32, dilations=(1, 2, 4, 8, 16), kernel_size=2, **kwargs):
        own = {"filters": filters, "dilations": dilations, "kernel_size": kernel_size}
        kwargs.setdefault("embedding_size", filters)
        network = networks.CausalConvolutions(**own, dtype=kwargs.get("dtype"), name="network")
        super().__init__(event_shape, network, own, **kwargs)


@keras.saving.register_keras_serializable(package="keras_gen")
class WaveNet(_Recipe):
    """p(x_t given x_(<t)) by gated dilated convolutions: sound, sample by sample.

    Args:
        event_shape: `(T, channels)`, sound in [-1, 1]; `(T, 1)` for one channel.
        channels: R of the residual blocks, default 32; the paper does not state its own.
        skip_channels: of the skips, default 128.
        dilations: one a block, default `DOUBLING` twice: 20 blocks, a receptive field of 2047 samples.
        kernel_size: default 2, the paper's.
        quantizer: "mu_law" (default): a softmax over 256 levels of the mu-law, 8 bits, as in the paper; a layer such as
            `MuLawQuantizer(1024)`; or None for a `head`.
        head: with `quantizer=None`, of real numbers: "discretized_logistic_mixture", say, 16 bits by ten components;
            or a head.
        **kwargs: as of `AutoregressiveModel`: `num_classes` or `condition_shape=(features,)` is a global condition, a
            speaker's; `condition_shape=(S, features)` a local one, as of phonemes, upsampled by `upsampling`.

    Raises:
        ValueError: a quantiser and a head, or neither; a `vocabulary_size`; as `AutoregressiveModel`.

    Example:
        >>> from keras_gen.models import WaveNet
        >>> model = WaveNet((64, 1), channels=8, skip_channels=16, dilations=(1, 2, 4), num_classes=10)
        >>> model.sample(2, condition=7, seed=0).shape, model.network.receptive_field
        ((2, 64, 1), 8)

    Reference:
        van den Oord et al. 2016, arXiv:1609.03499, sections 2.1 to 2.5; mixtures: arXiv:1711.10433, section 2.
    """

    def __init__(
        self, event_shape, *, channels=32, skip_channels=128, dilations=2 * DOUBLING, kernel_size=2,
        quantizer="mu_law", head=None, **kwargs,
    ):  # fmt: skip
        own = {"channels": channels, "skip_channels": skip_channels, "dilations": dilations, "kernel_size": kernel_size}
        if kwargs.get("vocabulary_size") is not None:
            raise ValueError(
                "WaveNet models sound: expected no `vocabulary_size`. Received: "
                f"vocabulary_size={kwargs['vocabulary_size']}. For tokens take CausalCNN, or AutoregressiveModel with "
                "`networks.GatedConvolutions`, which is WaveNet's network."
            )
        if (quantizer is None) == (head is None):
            raise ValueError(
                f"Expected a `quantizer`, or a `head` with quantizer=None. Received: quantizer={quantizer!r}, "
                f"head={head!r}."
            )
        if head == "discretized_logistic_mixture":
            options = {"components": 10, "low": -1.0, "high": 1.0, "bins": 2**16, "dtype": kwargs.get("dtype")}
            head = layers.DiscretizedLogisticMixtureHead(inputs.check_sizes(event_shape, "event_shape")[1:], **options)
        quantizer = layers.MuLawQuantizer(dtype=kwargs.get("dtype")) if quantizer == "mu_law" else quantizer
        kwargs.setdefault("embedding_size", channels)
        network = networks.GatedConvolutions(**own, dtype=kwargs.get("dtype"), name="network")
        super().__init__(event_shape, network, own, quantizer=quantizer, head=head, **kwargs)


@keras.saving.register_keras_serializable(package="keras_gen")
class CharRNN(_Recipe):
    """p(x_t given x_(<t)) by recurrent cells: text, character by character.

    Args:
        event_shape: `(T,)`, tokens; samples may be of any length.
        vocabulary_size: number of characters.
        units: of each recurrent layer, default (256,).
        cell: "lstm" (default) or "gru".
        dropout: between layers, default 0.
        **kwargs: as of `AutoregressiveModel`, such as `stop_token`, `embedding_size`, `num_classes`.

    Raises:
        ValueError: as `AutoregressiveModel`.

    Example:
        >>> from keras_gen.models import CharRNN
        >>> model = CharRNN((20,), vocabulary_size=5, units=(8,))
        >>> model.sample(3, seed=0, length=30).shape
        (3, 30)

    Reference:
        Graves 2013, arXiv:1308.0850, sections 2 and 3.
    """

    def __init__(self, event_shape, vocabulary_size=None, *, units=(256,), cell="lstm", dropout=0.0, **kwargs):
        own = {"units": units, "cell": cell, "dropout": dropout}
        network = networks.Recurrent(**own, dtype=kwargs.get("dtype"), name="network")
        super().__init__(event_shape, network, own, vocabulary_size=vocabulary_size, **kwargs)


@keras.saving.register_keras_serializable(package="keras_gen")
class CausalTransformer(_Recipe):
    """p(x_t given x_(<t)) by attention to the past: a small GPT.

    Args:
        event_shape: `(T,)` for tokens, `(T, channels)` for numbers.
        vocabulary_size: number of tokens, or None for numbers.
        width: channels, default 128.
        depth: blocks, default 4.
        heads: of the attention, default 4.
        positions: "rotary" (default), by which samples may be longer than T, or "learned", one vector for each of T.
        dropout: default 0.
        **kwargs: as of `AutoregressiveModel`, such as `stop_token`, `quantizer`, `num_classes`.

    Raises:
        ValueError: as `AutoregressiveModel`.

    Example:
        >>> from keras_gen.models import CausalTransformer
        >>> model = CausalTransformer((20,), vocabulary_size=5, width=16, depth=1, heads=2)
        >>> model.sample(3, seed=0, prime=[1, 2]).shape
        (3, 20)

    Reference:
        Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2019, section 2.
    """

    def __init__(
        self, event_shape, vocabulary_size=None, *, width=128, depth=4, heads=4, positions="rotary", dropout=0.0,
        **kwargs,
    ):  # fmt: skip
        own = {"width": width, "depth": depth, "heads": heads, "positions": positions, "dropout": dropout}
        if kwargs.setdefault("embedding_size", width) != width:
            raise ValueError(f"Expected no `embedding_size` but width={width}. Received: {kwargs['embedding_size']}.")
        longest = inputs.check_sizes(event_shape, "event_shape")[0] if positions == "learned" else None
        network = networks.Transformer(**own, max_length=longest, dtype=kwargs.get("dtype"), name="network")
        super().__init__(event_shape, network, own, vocabulary_size=vocabulary_size, **kwargs)
