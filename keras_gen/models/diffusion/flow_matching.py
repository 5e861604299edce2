"""Flow matching and rectified flow: the straight line from data to noise, and couplings of the two.

With x_t = (1 - t) x_0 + t eps the network learns the velocity v(x, t) = E[eps - x_0 given x_t = x],

    L = E || F(x_t, t) - (eps - x_0) ||^2,                                                                      (1)

which is diffusion with the schedule `Rectified`, the parametrisation "velocity" and the weighting "target"; dx/dt = v
carries noise to data. What is new is that x_0 and eps need not be independent. Any coupling whose marginals are the
data and N(0, I) is learned by (1) and gives the same marginals, over other paths:

    independent   pairs at random: paths cross, so that v bends them
    optimal       of each batch, the pairs whose sum of squared distances is least: straighter paths
                  (Pooladian et al. 2023; Tong et al. 2023)
    given         pairs (x_0, eps) that a model has made: `Reflow` (Liu et al. 2023). Paths become straight, and one
                  step nearly enough.

**The assignment.** Optimal pairs of n points are those of an assignment. Bertsekas's auction finds them by operations
on n x n matrices alone, on all backends: each point that has none bids for the noise that profits it most, at its
price,

    bid = price + (best profit - second profit) + epsilon,                                                      (2)

the highest bid wins, and who was there leaves. It ends with a sum within n epsilon of the least; epsilon falls in
rounds.

Reference:
    Y. Lipman et al., arXiv:2210.02747 (2023), equations 9, 22, 23; X. Liu, C. Gong, Q. Liu, arXiv:2209.03003 (2023),
    algorithm 1; A.-A. Pooladian et al., arXiv:2304.14772 (2023), section 3.2; A. Tong et al., arXiv:2302.00482
    (2023); D. Bertsekas, "The auction algorithm", Annals of Operations Research 14 (1988).
"""

import keras
import numpy as np
from keras import ops

from keras_gen import diffusion, random
from keras_gen.models import inputs
from keras_gen.models.base import GenerativeModel
from keras_gen.models.diffusion.base import DiffusionModel
from keras_gen.models.diffusion.sampling import get_sampler

COUPLINGS = ("independent", "optimal")
BIDDERS = 16  # of a turn: in most turns fewer rows have none


def assignment(cost, groups=None, epsilon=1e-3, rounds=4, longest=2000):
    """The column of each row in a nearly least assignment of a square `cost` matrix, int32 `(n,)`, by auction.

    Args:
        cost: `(n, n)`, finite.
        groups: None, or integers `(n,)`: row i may have column j only where they are of one group.
        epsilon: of the last round, as a share of the largest difference of costs; the sum is within n epsilon of least.
        rounds: each with epsilon a fifth of the last.
        longest: turns of a round; rows that have none by then take those that are left.
    """
    least = ops.min(cost)
    value = (least - cost) / ops.maximum(ops.max(cost) - least, 1e-12)
    if groups is not None:
        value = ops.where(ops.equal(groups[:, None], groups[None, :]), value, -3.0)
    price = ops.zeros_like(value[0])
    for k in range(rounds):
        owner, price = _auction(value, price, epsilon * 5.0 ** (rounds - 1 - k), longest)
    return _completed(owner)


def _auction(value, price, epsilon, longest):
    """The owner of each column, and the prices, after one round; at most `BIDDERS` rows bid in a turn."""
    place, bidder = ops.arange(ops.shape(value)[0], dtype="int32"), ops.arange(BIDDERS, dtype="int32")

    def goes_on(i, is_open, owner, price):
        return ops.logical_and(i < longest, ops.any(is_open))

    def turn(i, is_open, owner, price):
        rank = ops.where(is_open, ops.cumsum(ops.cast(is_open, "int32")), 0)
        is_row = ops.equal(rank[None, :], bidder[:, None] + 1)
        rows, bids = ops.sum(ops.where(is_row, place[None, :], 0), axis=1), ops.any(is_row, axis=1)
        profit = ops.take(value, rows, axis=0) - price[None, :]
        best, choice = ops.max(profit, axis=1), random.first_largest(profit)
        chosen = ops.equal(choice[:, None], place[None, :])
        second = ops.max(ops.where(chosen, -1e9, profit), axis=1)
        offers = ops.where(ops.logical_and(bids[:, None], chosen), (best - second + epsilon)[:, None], -1.0)
        raised, winner = ops.max(offers, axis=0), random.first_largest(ops.transpose(offers))
        sold = raised > 0.0
        won = ops.logical_and(bids, ops.equal(ops.take(winner, choice), bidder))
        leaves = ops.where(won, ops.take(owner, choice), -1)
        hit = lambda some: ops.any(ops.equal(some[:, None], place[None, :]), axis=0)  # noqa: E731
        still = ops.logical_and(is_open, ops.logical_not(hit(ops.where(won, rows, -1))))
        owner = ops.where(sold, ops.take(rows, winner), owner)
        return i + 1, ops.logical_or(still, hit(leaves)), owner, price + ops.where(sold, raised, 0.0)

    start = (ops.zeros((), "int32"), place >= 0, ops.zeros_like(place) - 1, price)
    return ops.while_loop(goes_on, turn, start)[2:]


def _completed(owner):
    """The column of each row; rows and columns that are left are paired in their order."""
    place = ops.arange(ops.shape(owner)[0], dtype="int32")
    match = ops.equal(owner[None, :], place[:, None])  # row i has column j
    free_rows = ops.cast(ops.logical_not(ops.any(match, axis=1)), "int32")
    free_columns = ops.cast(owner < 0, "int32")
    rank_rows, rank_columns = ops.cumsum(free_rows) * free_rows, ops.cumsum(free_columns) * free_columns
    rest = ops.logical_and(ops.equal(rank_rows[:, None], rank_columns[None, :]), rank_rows[:, None] > 0)
    match = ops.logical_or(match, rest)
    return ops.cast(ops.sum(ops.where(match, place[None, :], 0), axis=1), "int32")


@keras.saving.register_keras_serializable(package="keras_gen")
class FlowMatching(DiffusionModel):
    """The straight line, and its velocity: equation (1).

    Args:
        event_shape, network: as in `DiffusionModel`.
        coupling: "independent" (default) or "optimal", of each batch (on several devices: of the part of each). Of
            labels, the examples of one class change their noise among themselves alone: given the class too, it must
            be normal. With other conditions, none of which comes twice, there is nothing to change.
        sigma_min: noise that is left at t = 0, default 0.
        weighting: default "target"; "logit_normal" for times in the middle.
        sampler: default `Heun(variable="rectified")`.
        steps: times of `sample`, default 16.
        **kwargs: as in `DiffusionModel`.

    Raises:
        ValueError: an unknown coupling, "optimal" with a condition that is no label; else as `DiffusionModel`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen.models import FlowMatching
        >>> from keras_gen.networks import DenoisingMLP
        >>> model = FlowMatching((2,), DenoisingMLP((2,), hidden=(16,)), coupling="optimal", seed=0)
        >>> model.compile(keras.optimizers.Adam(1e-3))
        >>> history = model.fit(np.ones((64, 2)), verbose=0)
        >>> model.sample(4, seed=0).shape
        (4, 2)

    Reference:
        Lipman et al. 2023, arXiv:2210.02747, equation 23; couplings: Pooladian et al. 2023, arXiv:2304.14772.
    """

    def __init__(
        self, event_shape, network=None, *, coupling="independent", sigma_min=0.0, schedule=None,
        parametrisation="velocity", weighting="target", sampler=None, steps=16, **kwargs,
    ):  # fmt: skip
        if coupling not in COUPLINGS:
            raise ValueError(f"Expected `coupling` as one of {COUPLINGS}. Received: {coupling!r}.")
        if coupling == "optimal" and kwargs.get("condition_shape") is not None:
            raise ValueError(
                'Expected coupling="independent" with a condition that is no label: noise exchanged between conditions '
                f'is not normal given one of them. Received: "optimal", condition_shape={kwargs["condition_shape"]}.'
            )
        if sigma_min and schedule is not None:
            raise ValueError(
                "Expected `sigma_min` without a `schedule`: it is that of `Rectified`. Received: "
                f"sigma_min={sigma_min}, schedule={schedule!r}."
            )
        self.coupling = coupling
        super().__init__(
            event_shape, network, schedule=schedule or diffusion.Rectified(sigma_min), parametrisation=parametrisation,
            weighting=weighting, sampler=sampler or diffusion.Heun(variable="rectified"), steps=steps, **kwargs,
        )  # fmt: skip

    def paired(self, x_0, eps, condition=None):
        if self.coupling == "independent":
            return eps
        flat, noise = (ops.reshape(v, (ops.shape(x_0)[0], -1)) for v in (x_0, eps))
        cost = -ops.matmul(flat, ops.transpose(noise))  # squared distances but for terms of a row or a column
        return ops.take(eps, ops.stop_gradient(assignment(cost, condition)), axis=0)

    def get_config(self):
        return {**super().get_config(), "coupling": self.coupling}


@keras.saving.register_keras_serializable(package="keras_gen")
class RectifiedFlow(FlowMatching):
    """Flow matching that can be straightened: it makes `pairs` of data and noise, from which `Reflow` learns.

    Args:
        event_shape, network, **kwargs: as in `FlowMatching`.

    Example:
        >>> import keras
        >>> from keras_gen.models import RectifiedFlow, Reflow
        >>> from keras_gen.networks import DenoisingMLP
        >>> model = RectifiedFlow((2,), DenoisingMLP((2,), hidden=(16,)), seed=0)
        >>> pairs = model.pairs(64, seed=0)
        >>> pairs.shape
        (64, 2, 2)
        >>> straighter = Reflow(model)
        >>> straighter.compile(keras.optimizers.Adam(1e-3))
        >>> history = straighter.fit(pairs, verbose=0)
        >>> model.sample(4, seed=0, steps=1, sampler="ddim").shape
        (4, 2)

    Reference:
        Liu, Gong, Liu 2023, arXiv:2209.03003, algorithm 1, section 2.2.
    """

    def pairs(self, n, condition=None, *, seed=None, **options):
        """Data that the model makes, and the noise of which: numpy `(n, 2, *event_shape)`, data first.

        Args:
            n, condition, seed: as in `sample`.
            **options: `sampler`, which must be deterministic, `steps`, ... as in `sample`.

        Raises:
            ValueError: as `sample`; a sampler that draws noise.
        """
        seed, sampler = inputs.check_seed(seed), get_sampler(options.get("sampler") or self.sampler, self.schedule)
        ends = dict(zip(("alpha", "sigma"), self.schedule.alpha_sigma(np.float64(1.0)), strict=True))
        if not isinstance(sampler, diffusion.ProbabilityFlow):
            table, _ = self._table(sampler, options.get("steps"), options.get("grid"), longest=0)
            if table["noise"].any():
                raise ValueError(f'Expected a sampler without noise, such as "heun". Received: {sampler!r}.')
            ends = {name: table[f"at_{name}"][0] for name in ends}
        x = self.sample(n, condition, seed=seed, **options)
        run = self._compiled("starting_noise", lambda **kw: self.starting_noise(**kw))
        numbers = {name: np.float32(v) for name, v in ends.items()}
        extra = {**numbers, "temperature": np.float32(options.get("temperature", 1.0))}
        x_1 = self._in_batches(run, {"keys": ops.convert_to_numpy(random.keys(seed, n))}, extra, None, 0)
        return np.stack([x, (x_1 - numbers["alpha"] * self.scaled(x)) / numbers["sigma"]], axis=1)


@keras.saving.register_keras_serializable(package="keras_gen")
class Reflow(GenerativeModel):
    """The training of a flow on given pairs: its weights move, its samples and densities are its own.

    `fit(pairs)` or `fit(pairs, y)`, pairs `(n, 2, *event_shape)` of data and noise, such as of `RectifiedFlow.pairs`.

    Args:
        flow: a `FlowMatching` or `RectifiedFlow`, that made the pairs or another.
        name, dtype: as in `keras.Model`.

    Raises:
        ValueError: no such model.

    Example:
        >>> from keras_gen.models import RectifiedFlow, Reflow
        >>> from keras_gen.networks import DenoisingMLP
        >>> Reflow(RectifiedFlow((2,), DenoisingMLP((2,), hidden=(16,)))).event_shape
        (2, 2)

    Reference:
        Liu, Gong, Liu 2023, arXiv:2209.03003, algorithm 1.
    """

    def __init__(self, flow, **kwargs):
        if not isinstance(flow, FlowMatching):
            raise ValueError(f"Expected `flow` as a `FlowMatching` or `RectifiedFlow`. Received: {flow!r}.")
        condition = {"num_classes": flow.num_classes} if flow.num_classes else {"condition_shape": flow.condition_shape}
        super().__init__((2, *flow.event_shape), **condition, **kwargs)
        self.flow = flow

    @property
    def players(self):
        return {"model": self.flow.players["model"]}

    def objective(self, x, condition=None, training=False):
        noise = self.flow.noise if training else self.flow.test_noise
        return {"loss": self.flow.paired_loss(self.flow.scaled(x[:, 0]), x[:, 1], condition, noise, training)}

    def update(self, batch):
        logs = super().update(batch)
        self.flow.follow()
        return logs

    def call(self, x, condition=None, training=False):
        """What one step makes of each end of a pair: data of the noise, noise of the data. Of straight paths: the pair.

        The noise is told at the schedule's least time, at which the data are taken without theirs.
        """
        flow, given = self.flow, self.flow.encoded(condition)
        x = self._event(x)
        _, clean, _ = self._asked(x[:, 1], 1.0, given)
        level, at_data, x_t = self._asked(flow.scaled(x[:, 0]), flow.schedule.least_time, given)
        noise = (x_t - level.alpha * at_data) / level.sigma
        return ops.stack([flow.unscaled(clean), noise], axis=1)

    def _asked(self, end, t, given):
        """The level of t, the estimate of x_0 there, and x_t of an end of the path."""
        level = self.flow.schedule.level(ops.full((ops.shape(end)[0],), t, dtype=end.dtype))
        wide = level.over(end)
        x_t = end * (wide.sigma if t == 1.0 else wide.alpha)
        return wide, self.flow.best().predict(x_t, level, given).clean, x_t

    def get_config(self):
        config = super().get_config()
        own = {k: v for k, v in config.items() if k not in ("event_shape", "num_classes", "condition_shape")}
        return {**own, "flow": keras.saving.serialize_keras_object(self.flow)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**{**config, "flow": keras.saving.deserialize_keras_object(config["flow"])})
