"""When numbers stop being finite: training stops, the culprit is named, the last finite state comes back.

Player p has in training step s the loss l_p(s), unscaled, and the gradient g_p(s). A step is *bad* for p if l_p(s) or,
where gradients are watched, |g_p(s)| is NaN or infinite. The step decides nothing: it appends what it saw to a record
of R rows that travels with the state of training, as one small vector,

    record <- (record[1:], r(s)),    r(s) = (l_1, ..., l_P [, |g_1|, ..., |g_P|]),

and the host reads it between steps, once in `check_every` <= R of them and at the end of each epoch. So the first bad
step, its player and its value are known exactly, though they are read later; the step has no branch, and nobody waits
inside of it. A player that steps several times in s enters its first bad loss, or its last one.

A finite loss can have a gradient that is not. Then the weights are spoilt in step s and the loss of step s + 1 tells;
or the weights do, which are read at the end of each epoch. Watched gradients tell in step s itself.

The state (weights, statistics, seeds, optimizers) is copied to the host at the beginning of `fit` and then when
`keep_every` steps are over, if the record is clean and weights and moments are finite. After a divergence it returns.

With `skip` a bad step of p changes nothing of p:  theta_p(s + 1) = theta_p(s) if bad else theta_p(s) - step_p(g_p), by
a branch, and statistics that the step moved (batch normalisation) are as before. Under loss scaling the gradient of the
*scaled* loss overflows in normal training, is skipped and halves the scale c: no divergence. A gradient that is never
finite shows as c <= 2^-30 of where it began.
"""

import keras

from keras_gen.models.inputs import check_count


class DivergenceError(FloatingPointError):
    """Training met a NaN or an infinity and stopped.

    An error, and no quiet end of `fit`: what would follow an end (`on_train_end` of other callbacks, which may remove
    a backup, or a script's `model.save`) must not follow a divergence.

    Attributes:
        player: name of the player; `"model"` where there is one.
        step: the training step, counted from 1 as `optimizer.iterations` counts them.
        quantity: `"loss"`, `"gradient norm"`, `"loss scale"`, or the path of the weight or moment that is not finite;
            of such a one the step is the last before it was found.
        value: NaN or an infinity; of a loss scale, how small it is.
        restored: the model is as it was after this many steps; None: no state was kept, and the model is not restored.

    Example:
        >>> from keras_gen.models import DivergenceError
        >>> error = DivergenceError("critic", 12, "loss", float("nan"), restored=10)
        >>> print(error)
        Training diverged in step 12: the loss of player 'critic' is nan. The state after step 10 is restored.
    """

    def __init__(self, player, step, quantity, value, restored=None, hint=""):
        self.player, self.step, self.quantity, self.value = player, step, quantity, value
        self.restored = restored
        if restored is None:
            state = "No earlier state was kept: load a checkpoint."
        else:
            state = f"The state after step {restored} is restored."
        message = f"Training diverged in step {step}: the {quantity} of player {player!r} is {value}. {state} {hint}"
        super().__init__(message.rstrip())


@keras.saving.register_keras_serializable(package="keras_gen")
class Divergence:
    """What to do about NaN and infinity in training: `model.compile(divergence=Divergence(...))`.

    Losses are always watched and the first bad one stops training; this says what else.

    Args:
        gradients: also watch the global norm sqrt(sum_i |g_i|^2) of each player's gradient, default False. It is logged
            as `gradient_norm` (with several players `{player}_gradient_norm`); beyond 1.8e19 it is infinite in float32.
            Under loss scaling a gradient that overflowed counts as 0.
        skip: bad steps in a row that a player may leave out, default 0: the first one stops training. An epoch logs
            how many were left out as `skipped` (`{player}_skipped`), and they do not enter its means. Not under
            a `tf.distribute` strategy.
        rate_factor: each skipped step multiplies its player's learning rate by this, in (0, 1], default 1. The epoch's
            last rate is logged as `learning_rate` (`{player}_learning_rate`).
        check_every: steps between looks at the record, default 100. A look waits for the step before it.
        keep_every: steps between copies of the state on the host, default 1000; made at looks. None keeps none.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen.models import VAE, Divergence, DivergenceError
        >>> model = VAE((2,), latent_dim=1, likelihood="normal", seed=0)
        >>> model.compile(keras.optimizers.SGD(1e30), divergence=Divergence(gradients=True))
        >>> try:
        ...     history = model.fit(np.ones((64, 2)), verbose=0)
        ... except DivergenceError as error:
        ...     print(error.player, error.restored, bool(np.isfinite(error.value)))
        model 0 False
    """

    def __init__(self, *, gradients=False, skip=0, rate_factor=1.0, check_every=100, keep_every=1000):
        self.gradients, self.rate_factor = bool(gradients), float(rate_factor)
        self.skip = check_count(skip, "skip") if skip else 0
        self.check_every = check_count(check_every, "check_every")
        self.keep_every = None if keep_every is None else check_count(keep_every, "keep_every")
        if not 0.0 < self.rate_factor <= 1.0:
            raise ValueError(f"Expected `rate_factor` in (0, 1]. Received: rate_factor={rate_factor}.")
        if self.rate_factor < 1.0 and not self.skip:
            raise ValueError(
                "Expected `skip` > 0 with a `rate_factor`: the rate falls when a step is skipped. "
                f"Received: skip=0, rate_factor={rate_factor}. Pass skip=10, for example."
            )

    def get_config(self):
        names = ("gradients", "skip", "rate_factor", "check_every", "keep_every")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def check_options(options):
    """`options` as a `Divergence`; None is the default one."""
    if options is None:
        return Divergence()
    if not isinstance(options, Divergence):
        raise ValueError(f"Expected `divergence` as a `keras_gen.models.Divergence`. Received: {options!r}.")
    return options
