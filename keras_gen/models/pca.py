"""Principal components, plain and probabilistic: closed forms, through `fit`.

Let S = 1/n sum (x - mu)(x - mu)^T, with eigenvectors u_1, u_2, ... by falling eigenvalues lambda_1 >= lambda_2 >= ...

PCA keeps U = (u_1 ... u_q): z = U^T (x - mu), x' = U z + mu. Among all linear codes of dimension q it has the least
squared error, sum_(j > q) lambda_j. New data are x = U z + mu with z ~ N(0, diag(lambda_1 .. lambda_q)).

Probabilistic PCA is the model z ~ N(0, I), x = W z + mu + sigma eps, so x ~ N(mu, C), C = W W^T + sigma^2 I, whose
maximum of the likelihood is (Tipping and Bishop 1999, eq. 7 and 8, with R = I)

    sigma^2 = 1/(d - q) sum_(j > q) lambda_j,          W = U (Lambda_q - sigma^2 I)^(1/2),

and whose posterior is z given x ~ N(M^-1 W^T (x - mu), sigma^2 M^-1), M = W^T W + sigma^2 I. Since
W^T W = Lambda_q - sigma^2 I is diagonal, M = Lambda_q, and in the coordinates y = U^T (x - mu)

    log p(x) = -1/2 [ d log 2 pi + sum_(j <= q) (log lambda_j + y_j^2 / lambda_j)
                      + (d - q) log sigma^2 + (|x - mu|^2 - |y|^2) / sigma^2 ].

The moments are gathered batch by batch with the pairwise update of Chan et al. (n, mean, n S), whose sums are of
deviations, so nothing cancels; at the end of the epoch one eigendecomposition in float64 gives the parameters.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import random
from keras_gen.models.latent import LatentModel, flatten, refuse_condition


@keras.saving.register_keras_serializable(package="keras_gen")
class PCA(LatentModel):
    """Principal component analysis; `fit` with one epoch computes it exactly, from data that may stream.

    Args:
        event_shape: shape of one example, of d elements.
        latent_dim: number of components q, 1 <= q < d; default 2.
        name, dtype: as in `keras.Model`.

    Returns of the contract: `model(x)` and `predict` give the reconstruction; `evaluate` the `loss`, the squared error.
    There is no optimizer: `compile()` may be left out.

    Raises:
        ValueError: `latent_dim` >= d, or fewer than two examples in an epoch.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import PCA
        >>> x = np.random.default_rng(0).normal(size=(500, 3)) * np.array([3.0, 1.0, 0.1])
        >>> model = PCA((3,), latent_dim=2)
        >>> history = model.fit(x, verbose=0)
        >>> model.encode(x).shape, bool(model.evaluate(x, verbose=0) < 0.02)
        ((500, 2), True)

    Reference:
        Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", eq. 2.1 (the pairwise update).
    """

    def __init__(self, event_shape, latent_dim=2, **kwargs):
        refuse_condition(type(self).__name__, kwargs)
        super().__init__(event_shape, latent_dim, **kwargs)
        d = self.dim = math.prod(self.event_shape)
        if self.latent_dim >= d:
            raise ValueError(f"Expected `latent_dim` below the {d} dimensions of x. Received: {self.latent_dim}.")
        self.location = self._state((d,), "location")
        self.components = self._state((d, self.latent_dim), "components")
        self.eigenvalues = self._state((self.latent_dim,), "eigenvalues")
        self.count = self._state((), "count")
        self.examples = self._state((), "examples")
        self.running_mean = self._state((d,), "running_mean")
        self.scatter = self._state((d, d), "scatter")

    def _state(self, shape, name):
        return self.add_weight(
            shape=shape, initializer="zeros", dtype=self.real_dtype, trainable=False, autocast=False, name=name
        )

    @property
    def players(self):
        return {}

    def update(self, batch):
        """Merge the batch's moments into those of the epoch; logs the variance of x, summed over the event.

        Sample weights count as repetitions, so n is their sum; a batch of weights 0 leaves the moments alone.
        """
        x = flatten(batch.x)
        weight = ops.ones_like(x[:, 0]) if batch.sample_weight is None else ops.cast(batch.sample_weight, x.dtype)
        n = ops.sum(weight)
        mean = ops.divide_no_nan(ops.sum(weight[:, None] * x, axis=0), n)
        centred = x - mean
        total = self.count + n
        delta = mean - self.running_mean
        within = ops.matmul(ops.transpose(centred * weight[:, None]), centred)
        part = ops.divide_no_nan(n, total)
        self.scatter.assign(self.scatter + within + delta[:, None] * delta[None, :] * (self.count * part))
        self.running_mean.assign(self.running_mean + delta * part)
        self.count.assign(total)
        self.examples.assign(self.examples + ops.sum(ops.cast(weight > 0, self.real_dtype)))
        return {"total_variance": ops.sum(ops.square(x - self.running_mean), axis=-1)}

    def begin_epoch(self):
        """No moments yet: an epoch that was interrupted leaves none to the next."""
        for variable in (self.count, self.running_mean, self.scatter):
            variable.assign(ops.zeros(variable.shape, variable.dtype))

    def end_epoch(self):
        """Parameters from the moments of the epoch, which then start anew."""
        count, examples = (float(ops.convert_to_numpy(v.value)) for v in (self.count, self.examples))
        if examples < 2:
            raise ValueError(f"Expected at least 2 examples of positive weight in an epoch. Received: {examples:g}.")
        covariance = ops.convert_to_numpy(self.scatter.value).astype("float64") / count
        eigenvalues, vectors = np.linalg.eigh(covariance)
        self.location.assign(ops.copy(self.running_mean.value))
        self._solve(eigenvalues[::-1], _with_signs(vectors[:, ::-1]))
        for variable in (self.count, self.examples, self.running_mean, self.scatter):
            variable.assign(ops.zeros(variable.shape, variable.dtype))

    def _solve(self, eigenvalues, vectors):
        q = self.latent_dim
        self.components.assign(vectors[:, :q].astype(self.real_dtype))
        self.eigenvalues.assign(np.maximum(eigenvalues[:q], 0.0).astype(self.real_dtype))

    def _coordinates(self, x):
        """y = U^T (x - mu), `(batch, q)`."""
        return ops.matmul(flatten(x) - self.location, self.components)

    def _event_of(self, y):
        x = ops.matmul(y, ops.transpose(self.components)) + self.location
        return ops.reshape(x, (-1, *self.event_shape))

    def code(self, x, condition=None):
        return self._coordinates(x)

    def decoded(self, z, condition=None):
        return self._event_of(ops.cast(z, self.real_dtype))

    def objective(self, x, condition=None, training=False):
        return {"loss": ops.sum(ops.square(flatten(x - self.decoded(self.code(x)))), axis=-1)}

    def generate(self, keys, condition=None, temperature=1.0):
        z = random.normal(keys, (self.latent_dim,), self.real_dtype) * ops.cast(temperature, self.real_dtype)
        return self._event_of(z * ops.sqrt(self.eigenvalues))


@keras.saving.register_keras_serializable(package="keras_gen")
class ProbabilisticPCA(PCA):
    """Probabilistic PCA: x = W z + mu + sigma eps, fitted in closed form, with an exact likelihood.

    Args:
        event_shape: shape of one example, of d elements.
        latent_dim: dimension q of z, 1 <= q < d; default 2.
        minimum_variance: floor of sigma^2 and of the eigenvalues, default 1e-6, so that constant elements (the border
            of an image) leave the density finite.
        name, dtype: as in `keras.Model`.

    Returns of the contract: `model(x)` and `predict` give W E[z given x] + mu; `encode` E[z given x]; `sample` draws x,
    its noise included; `log_prob` is exact; `evaluate` gives `loss` = `nll` and `bits_per_dim`.

    Raises:
        ValueError: as `PCA`; `minimum_variance` not positive.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import ProbabilisticPCA
        >>> x = np.random.default_rng(0).normal(size=(500, 3)) * np.array([3.0, 1.0, 0.1])
        >>> model = ProbabilisticPCA((3,), latent_dim=1)
        >>> history = model.fit(x, verbose=0)
        >>> model.log_prob(x).shape, model.sample(4, seed=0).shape
        ((500,), (4, 3))

    Reference:
        Tipping, Bishop 1999, "Probabilistic principal component analysis", eq. 6 to 8.
    """

    likelihood = "exact"

    def __init__(self, event_shape, latent_dim=2, *, minimum_variance=1e-6, **kwargs):
        if not 0 < minimum_variance < float("inf"):
            raise ValueError(f"Expected `minimum_variance` > 0. Received: {minimum_variance}.")
        self.minimum_variance = float(minimum_variance)
        super().__init__(event_shape, latent_dim, **kwargs)
        self.variance = self._state((), "variance")
        self.variance.assign(1.0)
        self.eigenvalues.assign(np.ones((self.latent_dim,)))

    def _solve(self, eigenvalues, vectors):
        eigenvalues = np.maximum(eigenvalues, self.minimum_variance)
        super()._solve(eigenvalues, vectors)
        self.variance.assign(eigenvalues[self.latent_dim :].mean())

    def _loading(self):
        """Diagonal of (Lambda_q - sigma^2 I)^(1/2)."""
        return ops.sqrt(ops.maximum(self.eigenvalues - self.variance, 0.0))

    def code(self, x, condition=None):
        return self._coordinates(x) * self._loading() / self.eigenvalues

    def decoded(self, z, condition=None):
        return self._event_of(ops.cast(z, self.real_dtype) * self._loading())

    def generate(self, keys, condition=None, temperature=1.0):
        keys_z, keys_x = random.split(keys, 2)
        temperature = ops.cast(temperature, self.real_dtype)
        x = self.decoded(random.normal(keys_z, (self.latent_dim,), self.real_dtype) * temperature)
        return x + ops.sqrt(self.variance) * temperature * random.normal(keys_x, self.event_shape, self.real_dtype)

    def log_density(self, x, condition=None):
        y = self._coordinates(x)
        inside = ops.sum(ops.log(self.eigenvalues) + ops.square(y) / self.eigenvalues, axis=-1)
        rest = ops.sum(ops.square(flatten(x) - self.location - ops.matmul(y, ops.transpose(self.components))), axis=-1)
        outside = (self.dim - self.latent_dim) * ops.log(self.variance) + rest / self.variance
        return -0.5 * (self.dim * math.log(2.0 * math.pi) + inside + outside)

    def objective(self, x, condition=None, training=False):
        nll = -self.log_density(x)
        return {"loss": nll, "nll": nll}

    def get_config(self):
        return {**super().get_config(), "minimum_variance": self.minimum_variance}


def _with_signs(vectors):
    """Eigenvectors with their largest element positive: the sign is free, so it is fixed."""
    largest = np.argmax(np.abs(vectors), axis=0)
    return vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
