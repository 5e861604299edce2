"""Samplers: one compiled loop that runs the rows of a table.

A sampler asks the denoiser at the times of a grid and combines what it has heard. All that do so by fixed rules have
one form. Let y be a point that is kept, p_0 what the denoiser says now and p_1, p_2, ... what it said before, z ~
N(0, I); a *turn* is one evaluation and one step,

    x  <-  a x + b y + sum_j c_j p_j + d z,                                                                     (1)

whose numbers depend on the schedule and the grid alone. They are computed in float64 before anything runs: a table
with a row for each turn. So the loop holds the network once; it is compiled once for any number of steps and any
sampler with as many p's; a step costs the network and one pass over x; and a new solver is a function that fills in a
table. p is the estimate of x_0, or the slope of x in one of two pairs of coordinates (s, u), in which the probability
flow is

    d (x / s) / du = (x / s - D(x)) / u,      ratio:      s = alpha,          u = sigma / alpha
                                              rectified:  s = alpha + sigma,  u = sigma / (alpha + sigma).       (2)

(With x / s = x_0 + u eps in the first and (1 - u) x_0 + u eps in the second, where u stays within [0, 1] when the
signal ends: both slopes are equation 1 of `keras_gen.diffusion.denoisers`.)

The last turn of every sampler gives the estimate of x_0 at the grid's last time, without noise.

Noise is a function of the key of a sample and of the turn. So sample i depends on (seed, i) alone.

Reference:
    T. Karras et al., arXiv:2206.00364 (2022), equation 4, for the ratio; X. Liu et al., arXiv:2209.03003 (2023), for
    the other.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_gen import backend, random
from keras_gen.diffusion.schedules import LARGEST_LOG_SNR, Level

LONGEST = 1024
"""Rows of a table, filled up: so that 5 steps and 1000 are one compiled program."""

VARIABLES = ("ratio", "rectified")


class Turn(NamedTuple):
    """One row: where the denoiser is asked, and the numbers of equation (1).

    Args:
        t: the time of the evaluation.
        x, base, predictions, noise: a, b, c_0, c_1, ..., and d. Predictions may be fewer than the sampler remembers.
        keep: whether x, before the step, becomes y.
        after: the time that is reached; None after the last turn: clean data.
        extra: further numbers, by name, of samplers with a `step` of their own.
    """

    t: float
    x: float
    predictions: tuple
    base: float = 0.0
    noise: float = 0.0
    keep: bool = False
    after: Any = None
    extra: dict = {}


class Sampler:
    """Base of samplers: `turns(schedule, times)` fills in the table.

    A subclass sets `order`, the order of its error in the step (None where steps are random), `memory`, how many
    earlier predictions a turn uses, and `remembers`, what they are: "clean", or "slope" with `variable` "ratio" or
    "rectified".
    """

    order, memory, remembers, variable = 1, 0, "clean", "ratio"
    names = ()
    """Names of the extra numbers of a row."""

    default_grid = "uniform"
    """The grid of a model that names none."""

    @property
    def least_steps(self):
        """Times that a grid must have."""
        return self.memory + 1

    def turns(self, schedule, times):
        """The `Turn`s of a grid of times that fall, the last of which gives the estimate of x_0."""
        raise NotImplementedError

    def evaluations(self, steps):
        """How often the network is asked on a grid of `steps` times."""
        return steps

    @property
    def is_chain(self):
        """Whether a turn is a step, and takes the estimate of x_0 that it hears alone."""
        return self.memory == 0 and self.remembers == "clean" and self.evaluations(3) == 3

    @property
    def program(self):
        """What the compiled loop depends on: samplers that agree in it differ in their tables alone."""
        loop = ("step", "remembered", "begin", "advance", "_turn")
        if all(getattr(type(self), name) is getattr(Sampler, name) for name in loop):
            return f"{self.memory} {self.remembers} {self.variable} {self.names}"
        return f"{type(self).__name__} {self!r}"

    def step(self, state, prediction, row, noise, level, after):
        """Equation (1): the new x. `row` holds the numbers by name; `level` and `after` are those of the two times."""
        x = row["x"] * state["x"] + row["base"] * state["base"] + row["noise"] * noise
        heard = [self.remembered(state["x"], prediction, level), *state["earlier"]]
        return x + sum(row[f"p{j}"] * p for j, p in enumerate(heard))

    def remembered(self, x, prediction, level):
        """p_0 of a prediction."""
        if self.remembers == "clean":
            return prediction.clean
        s, u = coordinates(level, self.variable)
        return (x / s - prediction.clean) / u

    # The table.

    def table(self, schedule, times, longest=LONGEST):
        """Dict of float32 columns of at least `longest` rows, and the number of turns.

        Raises:
            ValueError: fewer times than the sampler's order asks for.
        """
        if len(times) < self.least_steps:
            raise ValueError(
                f"Expected at least {self.least_steps} steps: {self!r} uses {self.memory} earlier predictions. "
                f"Received: {len(times)}. Take more steps, or a lower order."
            )
        turns = self.turns(schedule, np.asarray(times, "float64"))
        rows = [self._row(schedule, turn) for turn in turns]
        fill = rows[-1:] * max(longest - len(rows), 0)
        return {k: np.array([r[k] for r in rows + fill], "float32") for k in rows[0]}, len(rows)

    def _row(self, schedule, turn):
        level = schedule.level(np.float64(turn.t))
        after = Level(0.0, 1.0, 0.0, 2 * LARGEST_LOG_SNR, 0.0, 0.0)
        after = after if turn.after is None else schedule.level(np.float64(turn.after))
        row = {f"at_{k}": v for k, v in level._asdict().items()} | {f"after_{k}": v for k, v in after._asdict().items()}
        row |= {"x": turn.x, "base": turn.base, "noise": turn.noise, "keep": float(turn.keep)}
        numbers = (*turn.predictions, *[0.0] * (self.memory + 1 - len(turn.predictions)))
        return row | {f"p{j}": c for j, c in enumerate(numbers)} | {k: turn.extra.get(k, 0.0) for k in self.names}

    # The loop.

    def begin(self, x):
        """What the loop carries: x, y, and earlier predictions."""
        return {"x": x, "base": x, "earlier": [ops.zeros_like(x) for _ in range(self.memory)]}

    def advance(self, denoiser, state, keys, table, first, count, condition=None, temperature=1.0, constrain=None):
        """The state after `count` turns from row `first` on.

        Args:
            denoiser: what the sampler asks.
            state: of `begin`, or of an earlier `advance`.
            keys: `(n, 2)`, see `keras_gen.random.keys`.
            table: columns, as tensors.
            first, count: integers, or integer tensors.
            condition: `(n, ...)`, or None.
            temperature: by which noise is multiplied.
            constrain: None, or a function of (x, level reached, keys of the turn) that gives x, after each turn.
        """

        def turn(i, state):
            row = {name: backend.entry(column, first + i) for name, column in table.items()}
            return self._turn(denoiser, state, row, random.fold_in(keys, first + i), condition, temperature, constrain)

        return backend.loop(count, turn, state)

    def _turn(self, denoiser, state, row, keys, condition, temperature, constrain):
        x = state["x"]
        state = {**state, "base": ops.where(row["keep"] > 0.5, x, state["base"])}
        level, after = (_level(row, name, x) for name in ("at", "after"))
        prediction = denoiser.predict(x, level, condition)
        draw, more = random.split(keys, 2)
        noise = temperature * ops.cast(random.normal(draw, tuple(x.shape[1:])), x.dtype)
        new = self.step(state, prediction, row, noise, level.over(x), after.over(x))
        new = new if constrain is None else constrain(new, after, more)
        heard = [self.remembered(x, prediction, level.over(x)), *state["earlier"]][: self.memory]
        return {"x": ops.cast(ops.reshape(new, ops.shape(x)), x.dtype), "base": state["base"], "earlier": heard}

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_config().items())})"


def coordinates(level, variable="ratio"):
    """(s, u) of equation (2)."""
    s = level.alpha if variable == "ratio" else level.alpha + level.sigma
    return s, level.sigma / s


def levels(schedule, times):
    """The levels of a grid, in float64."""
    return [schedule.level(np.float64(t)) for t in times]


def last_turn(t):
    """The turn that gives the estimate of x_0."""
    return Turn(t, 0.0, (1.0,))


def get_sampler(sampler):
    """A `Sampler` from itself, from its name, or from what `keras.saving.serialize_keras_object` made of it."""
    from keras_gen.diffusion.samplers import NAMES

    if isinstance(sampler, str) and sampler in NAMES:
        sampler = NAMES[sampler]()
    if isinstance(sampler, dict):
        sampler = keras.saving.deserialize_keras_object(sampler)
    if not isinstance(sampler, Sampler):
        raise ValueError(f"Expected `sampler` as a `Sampler`, or one of {sorted(NAMES)}. Received: {sampler!r}.")
    return sampler


def check_variable(variable):
    """`variable`, if it names coordinates of slopes; ValueError for another."""
    if variable not in VARIABLES:
        raise ValueError(f"Expected `variable` as one of {VARIABLES}. Received: {variable!r}.")
    return variable


def _level(row, name, x):
    """The level of a row, each entry `(batch,)`."""
    ones = ops.ones((ops.shape(x)[0],), x.dtype)
    return Level(*(ops.cast(row[f"{name}_{field}"], x.dtype) * ones for field in Level._fields))
