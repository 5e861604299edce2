"""Terms that join a generator's loss: features, codes and the length of steps.

    feature matching       |E_x f(x) - E_y f(y)|^2,           f the activations of a hidden layer of the discriminator
    mutual information     E [log q(c | y) - log p(c)]  <=  I(c; y),      y = G(z, c), c ~ p
    path length            E (l - a)^2,   l = |J_w^T n|,   J_w = dG/dw,   n ~ N(0, I),   a a moving average of l

The first pulls the means of the fakes' features to those of data. The second holds since

    I(c; y) = H(c) - H(c | y) = E log p(c | y) / p(c) = E log q(c | y) / p(c) + E KL(p(c | y), q(c | y)),

with equality for q = p(c | y): a generator that raises it keeps the code c recoverable from y. The third asks that a
step in w of fixed length be a step in y of fixed length, whatever w and whatever the direction: E l^2 = |J_w|_F^2.

Reference:
    T. Salimans et al., "Improved techniques for training GANs", arXiv:1606.03498 (2016), section 3.1.
    X. Chen et al., "InfoGAN", arXiv:1606.03657 (2016), eq. 4 and 5.
    T. Karras et al., "Analyzing and improving the image quality of StyleGAN", arXiv:1912.04958 (2020), eq. 4.
"""

import math

import keras
from keras import ops

from keras_gen import backend
from keras_gen.losses.batches import batch_mean


def feature_matching(real, fake):
    """|mean of f(x) - mean of f(y)|^2 over the batch, the same number for each example: `(batch,)`.

    Args:
        real, fake: features `(batch, ...)` of data and of fakes, or lists of those of several layers, which add up.
            Where the generator is trained, `real` needs no gradient.

    Returns:
        Tensor `(batch,)`, the batch that of `fake`.

    Raises:
        ValueError: lists of different length.

    Example:
        >>> import numpy as np
        >>> from keras_gen.losses import feature_matching
        >>> [float(v) for v in feature_matching(np.array([[1.0], [3.0]]), np.array([[0.0], [1.0]]))]
        [2.25, 2.25]

    Reference:
        Salimans et al. 2016, arXiv:1606.03498, section 3.1.
    """
    real, fake = keras.tree.flatten(real), keras.tree.flatten(fake)
    if len(real) != len(fake):
        raise ValueError(f"Expected as many features of fakes as of data. Received: {len(real)} and {len(fake)}.")
    distance = sum(
        ops.sum(ops.square(batch_mean(ops.convert_to_tensor(x), 0) - batch_mean(ops.convert_to_tensor(y), 0)))
        for x, y in zip(real, fake, strict=True)
    )
    return ops.broadcast_to(distance, (ops.shape(fake[0])[0],))


def mutual_information(code, posterior, prior):
    """log q(c | y) - log p(c), whose mean bounds the mutual information of c and y from below: `(batch,)`, nats.

    Args:
        code: c `(batch, ...)`, drawn from the prior, from which y was generated.
        posterior: q(c | y), a `Distribution` made of y, such as a distribution head gives.
        prior: p(c), a `Distribution`.

    Returns:
        Tensor `(batch,)`; a loss takes its negative.

    Example:
        >>> import numpy as np
        >>> from keras_gen.distributions import Normal
        >>> from keras_gen.losses import mutual_information
        >>> prior = Normal(np.zeros(1, "float32"), 1.0, event_shape=(1,))
        >>> sure = Normal(np.ones((1, 1), "float32"), 0.1)
        >>> round(float(mutual_information(np.ones((1, 1), "float32"), sure, prior)[0]), 4)
        2.8026

    Reference:
        Chen et al. 2016, arXiv:1606.03657, eq. 4; the entropy H(c) is that of the prior's density here.
    """
    return posterior.log_density(code) - prior.log_density(code)


def path_length(synthesise, w, noise):
    """l = |J_w^T n| of each example, `(batch,)`: how far y moves with w. It can be differentiated in the weights.

    For images the noise is divided by sqrt(height width), so that l does not grow with the resolution.

    Args:
        synthesise: function, w to y, `(batch, ...)` to `(batch, *event_shape)`; example i of y depends on that of w.
        w: `(batch, dim)`, or `(batch, layers, dim)`, one a layer: then l is the root of the mean square over layers.
        noise: n, standard normal of the shape of y.

    Returns:
        Tensor `(batch,)`.

    Example:
        >>> from keras import ops
        >>> from keras_gen.losses import path_length
        >>> l = path_length(lambda w: 3.0 * w, ops.ones((1, 2)), ops.convert_to_tensor([[0.6, 0.8]]))
        >>> round(float(l[0]), 4)
        3.0

    Reference:
        Karras et al. 2020, arXiv:1912.04958, eq. 4 and appendix B.
    """
    if len(noise.shape) == 4:
        noise = noise / math.sqrt(noise.shape[1] * noise.shape[2])
    _, product = backend.vjp(synthesise, w, noise)
    product = ops.cast(product, keras.backend.result_type(product.dtype, "float32"))  # squares of half precision vanish
    squares = ops.sum(ops.square(product), axis=-1)
    squares = ops.mean(squares, axis=tuple(range(1, len(squares.shape)))) if len(squares.shape) > 1 else squares
    return ops.sqrt(squares + 1e-12)
