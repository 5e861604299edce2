"""InfoGAN: a GAN that keeps a part of its input recoverable from what it makes.

The generator's input is noise e ~ N(0, I) and a code c ~ p(c), y = G(z) with z = (e, c); c holds labels and numbers,

    c = (one-hot k_1, ..., one-hot k_C, u_1, ..., u_m),      k_i uniform on its K_i values,    u_j ~ U(-1, 1).

Nothing in a GAN keeps G from ignoring c. InfoGAN asks for mutual information of c and y, by its lower bound

    I(c; y) >= L = E [log q(c | y) - log p(c)] = E log q(c | y) + H(c),    H(c) = sum_i log K_i + m log 2    (nats),

with equality for q = p(c | y) (`losses.mutual_information`). q is a head on the discriminator's features: softmaxes for
the labels, normals of learned mean and scale for the numbers. Both players raise L, G by making c visible, D's features
and q by reading it (Chen et al. 2016, eq. 6):

    discriminator, q:    E d(D(x), D(y)) - weight L            generator:    E g(D(x), D(y)) - weight L

The bound of the labels never exceeds its part of H(c). That of the numbers has no ceiling, since y is a function of
z and may tell u without error: scales of q are kept above `smallest_scale`, and the weight of the numbers is apart.

Reference:
    X. Chen et al., "InfoGAN: interpretable representation learning by information maximizing generative adversarial
    nets", arXiv:1606.03657 (2016), eq. 3 to 6; sizes for MNIST: appendix C.1.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import random
from keras_gen.layers.shapes import as_shape
from keras_gen.models import inputs
from keras_gen.models.adversarial.checks import check_positive
from keras_gen.models.adversarial.features import FeatureGAN
from keras_gen.models.adversarial.gan import truncated


@keras.saving.register_keras_serializable(package="keras_gen")
class InfoGAN(FeatureGAN):
    """A GAN with a code of labels and numbers that can be read off its samples. Its latents are z = (e, c).

    Args:
        event_shape: shape of one example.
        noise_dim: dimension of the noise e, default 62, the paper's for MNIST.
        categorical: number of values of each label of the code, default (10,); () for none.
        continuous: number m of its numbers, default 2; 0 for none.
        information_weight: weight of L's part of the labels, default 1, the paper's.
        continuous_weight: weight of L's part of the numbers, default 0.1, the paper's for MNIST.
        smallest_scale: of q's normals, default 0.05.
        **kwargs: as of `GAN`, without a condition. A discriminator of your own needs `features` and `output_map`.

    Logs: `information`, the bound L in nats, and `code_accuracy`, the share of labels recovered from fakes.

    Raises:
        ValueError: an empty code, labels of fewer than two values, a condition; see also `GAN`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import InfoGAN
        >>> model = InfoGAN((2,), noise_dim=2, categorical=(3,), continuous=1, seed=0)
        >>> model.compile("adam")
        >>> history = model.fit(np.ones((32, 2)), verbose=0)
        >>> code = model.make_code(4, labels=[2], numbers=[0.5])
        >>> code.shape, model.sample_code(code, seed=0).shape, model.traverse(3, label=0, seed=0).shape
        ((4, 4), (4, 2), (3, 3, 2))

    Reference:
        Chen et al. 2016, arXiv:1606.03657, eq. 6.
    """

    def __init__(
        self, event_shape, noise_dim=62, *, categorical=(10,), continuous=2, information_weight=1.0,
        continuous_weight=0.1, smallest_scale=0.05, **kwargs,
    ):  # fmt: skip
        if "latent_dim" in kwargs:
            raise ValueError("Expected `noise_dim`, of the noise alone: z = (noise, code). Received: `latent_dim`.")
        refused = sorted({"num_classes", "condition_shape"} & set(kwargs))
        if refused:
            raise ValueError(f"Expected no condition: the code is found without labels. Received: {refused}.")
        self.categorical, self.continuous = _check_code(categorical, continuous)
        weights = {"information_weight": information_weight, "continuous_weight": continuous_weight}
        for name, value in {**weights, "smallest_scale": smallest_scale}.items():
            setattr(self, name, check_positive(value, name))
        self.noise_dim = inputs.check_count(noise_dim, "noise_dim")
        super().__init__(event_shape, self.noise_dim + self.code_dim, **kwargs)
        outputs = sum(self.categorical) + 2 * self.continuous
        self.recognition = keras.layers.Dense(outputs, dtype=self.dtype_policy, name="recognition")

    @property
    def code_dim(self):
        """Dimension of c."""
        return sum(self.categorical) + self.continuous

    @property
    def code_entropy(self):
        """H(c) in nats, the numbers' part the differential entropy."""
        return sum(math.log(k) for k in self.categorical) + self.continuous * math.log(2.0)

    @property
    def players(self):
        return {"generator": self.generator, "discriminator": [self.discriminator, self.recognition]}

    # The code.

    def draw(self, n, noise=None):
        """z = (e, c), `(n, latent_dim)`."""
        noise = noise or self.noise
        parts = [ops.cast(noise.normal((n, self.noise_dim), dtype="float32"), self.real_dtype)]
        parts += [ops.one_hot(noise.integers((n,), 0, k), k, dtype=self.real_dtype) for k in self.categorical]
        if self.continuous:
            u = noise.uniform((n, self.continuous), -1.0, 1.0, dtype="float32")
            parts.append(ops.cast(u, self.real_dtype))
        return ops.concatenate(parts, axis=-1)

    def read(self, features):
        """q(c | y): the log-probabilities of each label, and the means and scales of the numbers."""
        h = ops.cast(self.recognition(features), self.real_dtype)
        ends = np.cumsum(self.categorical).astype(int).tolist()
        labels = [ops.log_softmax(h[:, e - k : e], axis=-1) for k, e in zip(self.categorical, ends, strict=True)]
        mean, raw = ops.split(h[:, sum(self.categorical) :], 2, axis=-1) if self.continuous else (None, None)
        return labels, mean, None if raw is None else self.smallest_scale + ops.softplus(raw)

    def information(self, code, features):
        """L's parts, of the labels and of the numbers, and the share of labels that are recovered: each `(batch,)`."""
        labels, mean, scale = self.read(features)
        found = correct = numbers = ops.zeros_like(code[:, 0])
        start = 0
        for log_q, k in zip(labels, self.categorical, strict=True):
            c = code[:, start : start + k]
            found = found + ops.sum(c * log_q, axis=-1) + math.log(k)
            hit = ops.equal(ops.argmax(log_q, axis=-1), ops.argmax(c, axis=-1))
            correct = correct + ops.cast(hit, found.dtype) / len(labels)
            start += k
        if self.continuous:
            e = (code[:, start:] - mean) / scale
            log_q = -0.5 * ops.square(e) - ops.log(scale) - 0.5 * math.log(2.0 * math.pi)
            numbers = ops.sum(log_q, axis=-1) + self.continuous * math.log(2.0)
        return found, numbers, correct

    def extra_terms(self, z, condition, features, real_condition=None, real_features=None):
        labels, numbers, correct = self.information(z[:, self.noise_dim :], features)
        loss = -self.information_weight * labels - self.continuous_weight * numbers
        return {"loss": loss, "information": labels + numbers, "code_accuracy": correct}

    # Samples.

    def codes(self, keys):
        """c ~ p(c), one for each key: `(n, code_dim)`."""
        *keys_k, key_u = random.split(keys, len(self.categorical) + 1)
        labels = [random.integers(key, (), 0, k) for key, k in zip(keys_k, self.categorical, strict=True)]
        parts = [ops.one_hot(c, k, dtype=self.real_dtype) for c, k in zip(labels, self.categorical, strict=True)]
        if self.continuous:
            parts.append(ops.cast(random.uniform(key_u, (self.continuous,), -1.0, 1.0), self.real_dtype))
        return ops.concatenate(parts, axis=-1)

    def latents(self, keys, temperature=1.0, truncation=None):
        """z = (e, c) of the random `keys`; temperature and truncation are of the noise: `(n, latent_dim)`."""
        return self._latents(keys, self.codes(random.split(keys, 2)[1]), temperature, truncation)

    def _latents(self, keys, code, temperature=1.0, truncation=None):
        """The same with given codes."""
        e = random.normal(random.split(keys, 2)[0], (self.noise_dim,))
        e = temperature * (e if truncation is None else truncated(e, truncation))
        return ops.concatenate([ops.cast(part, self.real_dtype) for part in (e, code)], axis=-1)

    def make_code(self, n, labels=None, numbers=None):
        """n codes as numpy `(n, code_dim)`.

        Args:
            n: number of codes.
            labels: `(C,)` or `(n, C)`, integers, each below its number of values; default zeros.
            numbers: `(m,)` or `(n, m)`; default zeros. The data were seen for numbers in [-1, 1].

        Raises:
            ValueError: labels out of range, another shape.
        """
        n, count = inputs.check_count(n, "n"), len(self.categorical)
        labels = _rows(labels, n, count, "labels")
        numbers = _rows(numbers, n, self.continuous, "numbers")
        inputs.check_finite(numbers, "numbers")
        if ((labels < 0) | (labels >= np.array(self.categorical)) | (labels != np.floor(labels))).any():
            raise ValueError(f"Expected labels as integers below {self.categorical}. Received: {labels.tolist()}.")
        hot = [np.eye(k)[labels[:, i].astype(int)] for i, k in enumerate(self.categorical)]
        return np.concatenate([*hot, numbers], axis=1).astype("float32")

    def sample_code(self, code, *, seed=None, noise=None, batch_size=None, verbose="auto"):
        """Samples of given codes: numpy `(n, *event_shape)`.

        Args:
            code: `(n, code_dim)`, as `make_code` gives.
            seed, batch_size, verbose: as of `sample`.
            noise: `(n,)` integers >= 0: sample i has the noise e of sample `noise[i]` of `sample`. Default 0, 1, ....

        Raises:
            ValueError: a code of another shape or not finite, a noise that is no index or not one a code.
        """
        code = inputs.to_numpy(code, "code").astype("float32")
        inputs.check_shape(code.shape, (self.code_dim,), "code")
        inputs.check_finite(code, "code")
        rows = np.arange(len(code)) if noise is None else np.asarray(noise)
        if rows.shape != (len(code),) or rows.dtype.kind not in "iu" or (rows < 0).any():
            raise ValueError(f"Expected `noise` as {len(code)} integers >= 0, one a code. Received: {noise!r}.")
        keys = ops.convert_to_numpy(random.keys(inputs.check_seed(seed), int(rows.max()) + 1))[rows]
        run = self._compiled("sample_code", lambda keys, code: self.decoded(self._latents(keys, code)))
        return self._in_batches(run, {"keys": keys, "code": code}, {}, batch_size, verbose)

    def traverse(self, rows, *, label=None, number=None, steps=8, span=(-2.0, 2.0), seed=None):
        """One part of the code varied along each row, noise and the rest of the code of a row kept.

        Args:
            rows: number of rows; the noise and the code of row i are those of sample i of `sample(rows, seed=seed)`.
            label: index of the label to be varied over all of its values, or
            number: index of the number to be varied, in `steps` values over `span`.
            steps: of a number, default 8.
            span: of a number, default (-2, 2), that of the paper's figure 2.
            seed: as of `sample`.

        Returns:
            numpy `(rows, steps, *event_shape)`.

        Raises:
            ValueError: neither or both of `label` and `number`, an index that is not there.
        """
        self._check_traversed(label, number)
        rows, seed = inputs.check_count(rows, "rows"), inputs.check_seed(seed)
        values = np.eye(self.categorical[label]) if number is None else np.linspace(*span, steps)[:, None]
        start = sum(self.categorical[:label]) if number is None else sum(self.categorical) + number
        keys = random.keys(seed, rows)
        codes = np.repeat(ops.convert_to_numpy(self.codes(random.split(keys, 2)[1]))[:, None], len(values), axis=1)
        codes[:, :, start : start + values.shape[1]] = values
        noise = np.repeat(np.arange(rows), len(values))
        x = self.sample_code(codes.reshape(len(noise), self.code_dim), seed=seed, noise=noise)
        return x.reshape(rows, len(values), *self.event_shape)

    def _check_traversed(self, label, number):
        sizes = {"label": len(self.categorical), "number": self.continuous}
        given = {name: i for name, i in (("label", label), ("number", number)) if i is not None}
        if len(given) != 1 or not all(0 <= i < sizes[name] for name, i in given.items()):
            raise ValueError(f"Expected either `label` or `number`, an index below {sizes}. Received: {given}.")

    def get_config(self):
        own = ("categorical", "continuous", "information_weight", "continuous_weight", "smallest_scale")
        config = {name: value for name, value in super().get_config().items() if name != "latent_dim"}
        return {**config, "noise_dim": self.noise_dim, **{name: getattr(self, name) for name in own}}


def _check_code(categorical, continuous):
    """Both as sizes, of which one is there."""
    categorical = as_shape(categorical, "categorical") if categorical else ()
    if isinstance(continuous, bool) or not isinstance(continuous, int) or continuous < 0:
        raise ValueError(f"Expected `continuous` as an integer >= 0. Received: continuous={continuous!r}.")
    if any(k < 2 for k in categorical) or not (categorical or continuous):
        raise ValueError(
            "Expected a code: `categorical` of 2 values at least each, or `continuous` of 1 at least. "
            f"Received: categorical={categorical}, continuous={continuous}."
        )
    return categorical, continuous


def _rows(values, n, width, name):
    """`(n, width)`, of one row for all or of n rows."""
    values = np.zeros(width) if values is None else np.asarray(values, "float64")
    if values.shape not in ((width,), (n, width)):
        raise ValueError(f"Expected `{name}` of shape ({width},) or ({n}, {width}). Received: {values.shape}.")
    return np.broadcast_to(values, (n, width))
