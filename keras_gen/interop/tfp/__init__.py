"""TensorFlow Probability: its bijectors and distributions as ours, and ours as its own. Needs the TensorFlow backend.

**Direction.** Our forward is their forward, our inverse their inverse, and the log-determinants have the same sign:

    ours                                theirs, n the rank of an event x, m that of z
    forward_and_log_det(x)      =       forward(x),  forward_log_det_jacobian(x, event_ndims=n)
    inverse_and_log_det(z)      =       inverse(z),  inverse_log_det_jacobian(z, event_ndims=m)

A bijection maps data to latents here. `tfp.distributions.TransformedDistribution(base, g)` wants g from latents to
data: give it `tfp.bijectors.Invert(as_tfp_bijector(f))`; and a g made for it becomes
`layers.Inverse(from_tfp_bijector(g))`.

**Shapes.** Events of theirs may have any number of batch axes, those of ours have one. All of an event belongs to our
log-determinant, so `forward_min_event_ndims` is the rank n: 0 only for a bijection that was built for single numbers,
by `build((None,))`.

**Memory.** TFP keeps what an event was mapped to, as long as the result is kept, and gives it again when asked for the
same tensor, even if weights have changed in between. That holds for `as_tfp_bijector` too, as for every bijector of
theirs; it makes the density of a sample cheap. What is made by `from_tfp_bijector` never gives what is remembered.

**Random numbers.** One row of our keys is one of their seeds, two 32-bit integers:

    from_tfp_distribution(d).generate(keys)[i]      =  d.sample(seed=keys[i])
    as_tfp_distribution(flow).sample(n, seed=s)     =  flow.sample(n, seed=s)               s an integer
    as_tfp_distribution(flow).sample(n, seed=k)[i]  =  flow.generate(fold_in(k, i))[0]      k a pair of them, or None

No global seed plays a part where a seed is given, and sample i depends on the seed and on i alone, as everywhere here.
The bits of `from_tfp_distribution` are TensorFlow's own.

Reference:
    J. Dillon et al., "TensorFlow Distributions", arXiv:1711.10604 (2017), sections 3 and 4.
"""

from importlib.util import find_spec

import keras

__all__ = ["as_tfp_bijector", "as_tfp_distribution", "from_tfp_bijector", "from_tfp_distribution"]

# TFP 0.25 asks for distutils, which Python 3.12 has no more: setuptools brings it.
_PACKAGES = {"tensorflow_probability": "tensorflow-probability", "tf_keras": "tf-keras", "distutils": "setuptools"}


def as_tfp_bijector(bijection, condition=None):
    """Our bijection as a `tfp.bijectors.Bijector`, whose forward is ours: data to latents.

    Its `trainable_variables` are the bijection's. It is run as at inference. Where the bijection takes a condition, it
    is given here, or in a call: `forward(x, condition=c)`, and `bijector_kwargs={"condition": c}` of a
    `TransformedDistribution`.

    Args:
        bijection: a `layers.Bijection` that is built for events of a known shape.
        condition: tensor `(*batch, *shape)` whose batch broadcasts against that of the events, or None.

    Returns:
        A `tfp.bijectors.Bijector` on events of the rank of the bijection's.

    Raises:
        ValueError: no bijection, one that is not built, a condition that it does not take; on another backend.
        ImportError: without TensorFlow Probability.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from keras_gen.interop.tfp import as_tfp_bijector
        >>> from keras_gen.layers import Exp, Inverse
        >>> log = Inverse(Exp())
        >>> log.build((None, 2))
        >>> bijector = tfp.bijectors.Invert(as_tfp_bijector(log))  # from latents to data
        >>> normal = tfp.distributions.MultivariateNormalDiag([0.0, 0.0])
        >>> p = tfp.distributions.TransformedDistribution(normal, bijector)  # log-normal
        >>> round(float(p.log_prob([1.0, 1.0])), 4)
        -1.8379

    Reference:
        Dillon et al. 2017, arXiv:1711.10604, section 4.
    """
    _require("as_tfp_bijector")
    from keras_gen.interop.tfp.outward import BijectionBijector, check_bijection

    check_bijection(bijection, condition)
    return BijectionBijector(bijection, condition)


def as_tfp_distribution(flow, condition=None):
    """Our normalizing flow as a `tfp.distributions.Distribution`: `sample`, `log_prob`, the two in one pass.

    Args:
        flow: a `models.NormalizingFlow` of continuous data; or a `distributions.Distribution` without a batch, such as
            `Transformed`.
        condition: of a conditional flow, `(*batch, *condition_shape)`: `batch` is the `batch_shape` then.

    Returns:
        A `tfp.distributions.Distribution` whose `trainable_variables` are the flow's.

    Raises:
        ValueError: what has no exact density of one event; a condition missing, or not taken; on another backend.
        ImportError: without TensorFlow Probability.

    Example:
        >>> import numpy as np
        >>> from keras_gen.interop.tfp import as_tfp_distribution
        >>> from keras_gen.layers import AffineCoupling
        >>> from keras_gen.models import NormalizingFlow
        >>> flow = NormalizingFlow((2,), [AffineCoupling((8,))])
        >>> p = as_tfp_distribution(flow)
        >>> p.event_shape, p.log_prob(p.sample((3, 4))).shape
        (TensorShape([2]), TensorShape([3, 4]))
        >>> bool(np.allclose(p.sample(5, seed=1), flow.sample(5, seed=1)))
        True

    Reference:
        Dillon et al. 2017, arXiv:1711.10604, section 3.
    """
    _require("as_tfp_distribution")
    from keras_gen.interop.tfp.outward import FlowDistribution, check_flow

    check_flow(flow, condition)
    return FlowDistribution(flow, condition)


def from_tfp_bijector(bijector, condition_name=None, networks=(), **kwargs):
    """Their bijector as one of our bijections, for a `layers.Chain`, a `models.NormalizingFlow`. Their forward is ours.

    Its variables are those of the bijector itself, not copies: what is trained here has changed there. It cannot be
    saved as a whole, since no configuration can hold their object: keep the code that makes it, and `save_weights`.
    Make one of a bijector, not two: an optimizer would move its variables twice.

    Args:
        bijector: a `tfp.bijectors.Bijector`, injective, of single tensors, without a batch of its own.
        condition_name: the argument of its forward that takes a condition, such as "conditional_input" of
            `tfb.MaskedAutoregressiveFlow`; None (default): it takes none.
        networks: Keras 3 layers that the bijector calls and that TFP does not see, to be trained with it. What TFP
            sees (tf.Variable, `tf.Module`, tf_keras layers) is found without.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Returns:
        A `layers.Bijection`. A bijector made by `as_tfp_bijector` without a condition gives its bijection back.

    Raises:
        ValueError: what is no such bijector, or has a batch; on another backend; at saving.
        ImportError: without TensorFlow Probability.

    Example:
        >>> import tensorflow as tf
        >>> import tensorflow_probability as tfp
        >>> from keras_gen.interop.tfp import from_tfp_bijector
        >>> from keras_gen.layers import AffineCoupling
        >>> from keras_gen.models import NormalizingFlow
        >>> scale = tf.Variable([2.0, 2.0])
        >>> flow = NormalizingFlow((2,), [from_tfp_bijector(tfp.bijectors.Scale(scale)), AffineCoupling((8,))])
        >>> flow.trainable_variables[0].shape, tuple(flow.sample(3, seed=0).shape)
        (TensorShape([2]), (3, 2))

    Reference:
        Dillon et al. 2017, arXiv:1711.10604, section 4.
    """
    _require("from_tfp_bijector")
    from keras_gen.interop.tfp.inward import bijection_of

    return bijection_of(bijector, condition_name, networks, **kwargs)


def from_tfp_distribution(distribution, **kwargs):
    """Their distribution as a base of a flow or a prior: a layer with `generate` and `log_density`.

    A draw is theirs with one row of our keys as the seed, `d.sample(seed=keys[i])`, one after another in a compiled
    loop. A temperature t multiplies the deviation from their mean, `m + t (x - m)`, which is the scale of a normal, a
    Student t, a uniform, and of everything that has a location and a scale.

    Args:
        distribution: a `tfp.distributions.Distribution` of real numbers without a batch; `tfd.Independent` makes an
            event of a batch.
        **kwargs: `name`, `dtype` and so on of `keras.layers.Layer`.

    Returns:
        A `keras.layers.Layer`, which tracks the distribution's own variables. It cannot be saved as a whole, as
        `from_tfp_bijector`. One made by `as_tfp_distribution` without a condition gives its flow back.

    Raises:
        ValueError: what is no such distribution, or has a batch; on another backend; at saving. When drawing: a
            temperature other than 1 where the mean is not known.
        ImportError: without TensorFlow Probability.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from keras_gen.interop.tfp import from_tfp_distribution
        >>> from keras_gen.layers import AffineCoupling
        >>> from keras_gen.models import NormalizingFlow
        >>> base = from_tfp_distribution(tfp.distributions.MultivariateNormalTriL([0.0, 1.0]))
        >>> flow = NormalizingFlow((2,), [AffineCoupling((8,))], base)
        >>> flow.sample(3, seed=0).shape, flow.log_prob([[0.0, 1.0]]).shape
        ((3, 2), (1,))

    Reference:
        Dillon et al. 2017, arXiv:1711.10604, section 3.
    """
    _require("from_tfp_distribution")
    from keras_gen.interop.tfp.inward import base_of

    return base_of(distribution, **kwargs)


def _require(name):
    """Raise unless TensorFlow Probability can be used here."""
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"`keras_gen.interop.tfp.{name}` expects the TensorFlow backend, with which TensorFlow Probability "
            f"computes. Received: the backend {backend!r}. Set KERAS_BACKEND=tensorflow before Keras is imported."
        )
    missing = [package for module, package in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise ImportError(
            f"`keras_gen.interop.tfp.{name}` expects TensorFlow Probability. Missing: {', '.join(missing)}. Install it "
            "by `pip install 'keras_gen[tfp]'`. Beside tensorflow-cpu, which tf-keras would overwrite by the package "
            "`tensorflow`: `pip install --no-deps tensorflow-probability tf-keras`, then `pip install decorator "
            "dm-tree setuptools`."
        )
