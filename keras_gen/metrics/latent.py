"""How much of a latent space is used.

A posterior q(z given x) that ignores x in dimension j has KL_j = E_x KL(q(z_j given x) || p(z_j)) near 0, and a mean
m_j(x) that does not move with x. Burda et al. call a unit active when

    A_j = Var_x( E_q[z_j] ) > 0.01.

Both are streamed here: KL_j as a mean, A_j from the sums of m_j and m_j^2.
"""

import keras
import numpy as np
from keras import ops

from keras_gen.metrics.sets import rows
from keras_gen.metrics.sums import SumMetric


def active_units(means, threshold=0.01):
    """Number of latent dimensions whose posterior mean moves with x: Var_x(E_q[z_j]) > threshold.

    Args:
        means: posterior means of the examples, `(n, latent_dim)`.
        threshold: variance above which a unit is active, default 0.01 (Burda et al.).

    Returns:
        int.

    Raises:
        ValueError: another shape, no examples, NaN or infinity.

    Example:
        >>> from keras_gen.metrics import active_units
        >>> active_units([[-1.0, 0.0], [1.0, 0.0]])
        1

    Reference:
        Burda, Grosse, Salakhutdinov 2016, arXiv:1509.00519, section 5.2.
    """
    return int(np.sum(np.var(rows(means, "means", least=1).astype("float64"), axis=0) > threshold))


@keras.saving.register_keras_serializable(package="keras_gen")
class LatentUse(SumMetric):
    """Active units and KL per latent dimension over the examples seen since the last reset.

    Args:
        latent_dim: number of latent dimensions.
        per_dimension: also report `kl_0`, `kl_1`, ...; default False.
        threshold: variance above which a unit is active, default 0.01 (Burda et al.).

    Example:
        >>> import numpy as np
        >>> from keras_gen.metrics import LatentUse
        >>> metric = LatentUse(2)
        >>> metric.update_state(np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([[0.8, 0.0], [0.6, 0.0]]))
        >>> {name: round(float(value), 3) for name, value in metric.result().items()}
        {'active_units': 1.0}
        >>> [round(float(k), 3) for k in metric.kl_per_dimension()]
        [0.7, 0.0]

    Reference:
        Burda, Grosse, Salakhutdinov 2016, arXiv:1509.00519, section 5.2.
    """

    def __init__(self, latent_dim, per_dimension=False, threshold=0.01, name="latent_use", dtype="float32"):
        super().__init__(name=name, dtype=dtype)
        self.latent_dim, self.per_dimension, self.threshold = latent_dim, per_dimension, threshold
        self.sums = self.add_variable((3, latent_dim), initializer="zeros", dtype=self.dtype, name="sums")
        self.count = self.add_variable((), initializer="zeros", dtype=self.dtype, name="count")

    def update_state(self, mean, kl=None):
        """Add posterior means `(batch, latent_dim)` and KLs per dimension, of the same shape.

        Without a KL that is known per dimension, None: units are counted, and `kl_per_dimension` gives NaN.
        """
        mean = ops.cast(mean, self.dtype)
        kl = ops.full_like(mean, float("nan")) if kl is None else ops.cast(kl, self.dtype)
        self.sums.assign(self.sums + ops.stack([ops.sum(v, axis=0) for v in (mean, mean * mean, kl)]))
        self.count.assign(self.count + ops.cast(ops.shape(mean)[0], self.dtype))

    def _moments(self):
        return self.sums.value / ops.maximum(self.count.value, 1.0)

    def kl_per_dimension(self):
        """KL_j, `(latent_dim,)`, nats."""
        return self._moments()[2]

    def result(self):
        """Dict: `active_units`, and `kl_j` for each dimension if `per_dimension`."""
        mean, square, kl = ops.unstack(self._moments(), 3)
        logs = {"active_units": ops.sum(ops.cast(square - mean * mean > self.threshold, self.dtype))}
        if self.per_dimension:
            logs.update({f"kl_{j}": kl[j] for j in range(self.latent_dim)})
        return logs

    def get_config(self):
        config = {"latent_dim": self.latent_dim, "per_dimension": self.per_dimension, "threshold": self.threshold}
        return {**super().get_config(), **config}
