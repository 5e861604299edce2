"""Penalties that keep a discriminator smooth, from its gradient in the data.

With g(x) = grad_x D(x), data x, fakes y and t ~ U(0, 1) an example,

    GradientPenalty    (|g(x_t)| - 1)^2,        x_t = y + t (x - y)                                   (Gulrajani, eq. 3)
    DRAGAN             (|g(x + n)| - 1)^2,      n = t u s / 2, u ~ U(-1, 1) a coordinate, s the standard deviation of x
    R1                 |g(x)|^2 / 2                                                                   (Mescheder, eq. 9)
    R2                 |g(y)|^2 / 2                                                                  (Mescheder, eq. 10)

each times a weight. Between the two sides of an optimal Wasserstein game |g| = 1 almost everywhere; R1 makes the game
converge locally, where fakes are data and D = 0 on them. A gradient has the unit of 1 / x: for data scaled by a, the
weight that does the same is a^2 times that of R1 and R2, while the 1 of the others is 1 / a. So penalties are stated
for data of about unit size.

`every=k` takes a penalty in each k-th step of the discriminator, with k times its weight: the same in the mean at about
1/k of the cost (Karras et al. 2020, appendix B, k = 16).

Reference:
    I. Gulrajani et al., "Improved training of Wasserstein GANs", arXiv:1704.00028 (2017).
    N. Kodali, J. Abernethy, J. Hays, Z. Kira, "On convergence and stability of GANs", arXiv:1705.07215 (2017); sigma of
        the batch as in their program, whose u ~ U(0, 1) would lead to one side of the data only.
    L. Mescheder, A. Geiger, S. Nowozin, "Which training methods for GANs do actually converge?", arXiv:1801.04406
        (2018).
    T. Karras et al., "Analyzing and improving the image quality of StyleGAN", arXiv:1912.04958 (2020).
"""

import numbers

import keras
from keras import ops

from keras_gen import backend
from keras_gen.losses.batches import batch_mean

_TINY = 1e-12  # below the root: its derivative at a zero gradient is finite


def squared_gradient(score, x):
    """|grad_x score(x)|^2 of each example, `(batch,)`; it can be differentiated in the weights of `score`.

    Args:
        score: function, `(batch, ...)` to `(batch,)`.
        x: `(batch, ...)`.
    """
    g = backend.grad(lambda x: ops.sum(score(x)), x)
    return ops.sum(ops.square(g), axis=tuple(range(1, len(g.shape))))


class Penalty:
    """A penalty on a discriminator; a subclass gives `value(score, real, fake, noise)`, `(batch,)`.

    Args:
        weight: number >= 0, or a function of the number of training steps, such as a Keras learning-rate schedule.
        every: steps of the discriminator from one time to the next, default 1.

    Raises:
        ValueError: a weight or a number of steps out of its range.
    """

    def __init__(self, weight, every=1):
        number = isinstance(weight, numbers.Real) and not isinstance(weight, bool) and 0 <= weight < float("inf")
        if not number and not callable(weight):
            raise ValueError(f"Expected `weight` as a number >= 0 or a schedule. Received: weight={weight!r}.")
        if not isinstance(every, int) or isinstance(every, bool) or every < 1:
            raise ValueError(f"Expected `every` as a positive integer. Received: every={every!r}.")
        self.weight, self.every = weight, every

    def value(self, score, real, fake, noise):
        """The penalty of each example, `(batch,)`, without its weight.

        Args:
            score: function, `(batch, ...)` to `(batch,)`, in training mode.
            real, fake: `(batch, ...)`.
            noise: a `keras_gen.random.Noise`.
        """
        raise NotImplementedError

    def get_config(self):
        number = isinstance(self.weight, numbers.Real)
        weight = self.weight if number else keras.saving.serialize_keras_object(self.weight)
        return {"weight": weight, "every": self.every}

    @classmethod
    def from_config(cls, config):
        if isinstance(config["weight"], dict):
            config = {**config, "weight": keras.saving.deserialize_keras_object(config["weight"])}
        return cls(**config)


def _per_example(noise, x):
    """t ~ U(0, 1), one for each example, broadcast against x."""
    t = noise.uniform((ops.shape(x)[0], *[1] * (len(x.shape) - 1)))
    return ops.cast(t, x.dtype)


@keras.saving.register_keras_serializable(package="keras_gen")
class GradientPenalty(Penalty):
    """(|g(x_t)| - target)^2 between data and fakes, weight 10 (Gulrajani et al. 2017, eq. 3).

    Args:
        weight, every: as of `Penalty`; default 10.
        target: of the norm, default 1.
        one_sided: penalise norms above the target alone, default False (the paper's).
    """

    def __init__(self, weight=10.0, every=1, target=1.0, one_sided=False):
        super().__init__(weight, every)
        if isinstance(target, bool) or not isinstance(target, numbers.Real) or not 0 <= target < float("inf"):
            raise ValueError(f"Expected `target` as a number >= 0. Received: target={target!r}.")
        if not isinstance(one_sided, bool):
            raise ValueError(f"Expected `one_sided` as True or False. Received: one_sided={one_sided!r}.")
        self.target, self.one_sided = target, one_sided

    def value(self, score, real, fake, noise):
        return self.of_norm(score, fake + _per_example(noise, real) * (real - fake))

    def of_norm(self, score, x):
        excess = ops.sqrt(squared_gradient(score, x) + _TINY) - self.target
        return ops.square(ops.relu(excess) if self.one_sided else excess)

    def get_config(self):
        return {**super().get_config(), "target": self.target, "one_sided": self.one_sided}


@keras.saving.register_keras_serializable(package="keras_gen")
class DRAGAN(GradientPenalty):
    """(|g(x + n)| - target)^2 around the data, weight 10 (Kodali et al. 2017)."""

    def value(self, score, real, fake, noise):
        u = ops.cast(noise.uniform(ops.shape(real), -1.0, 1.0), real.dtype)
        s = ops.sqrt(batch_mean(ops.square(real - batch_mean(real))))
        return self.of_norm(score, real + 0.5 * s * _per_example(noise, real) * u)


@keras.saving.register_keras_serializable(package="keras_gen")
class R1(Penalty):
    """|g(x)|^2 / 2 at data (Mescheder et al. 2018, eq. 9); default weight 10, theirs for images."""

    def __init__(self, weight=10.0, every=1):
        super().__init__(weight, every)

    def value(self, score, real, fake, noise):
        return 0.5 * squared_gradient(score, real)


@keras.saving.register_keras_serializable(package="keras_gen")
class R2(R1):
    """|g(y)|^2 / 2 at fakes (Mescheder et al. 2018, eq. 10)."""

    def value(self, score, real, fake, noise):
        return 0.5 * squared_gradient(score, fake)
