"""A scalar of a model as a function of training time.

KL annealing, for one, lets beta rise from 0 to 1 over the first epochs t, beta(t) = min(1, t / T), so that the decoder
learns to use z before the KL can switch it off (Bowman et al. 2016). Any scalar variable can be annealed like this.
"""

import keras
from keras import ops


class Anneal(keras.callbacks.Callback):
    """Sets a scalar variable of the model, by a schedule, at the beginning of each epoch or step.

    Args:
        target: name of the variable as an attribute path from the model: `"beta"`, `"optimizer.learning_rate"`;
            with several players, `"optimizer.critic.learning_rate"`.
        schedule: function of the epoch (or step, from 0) that returns a float; or a pair `(start, end)` with `over`.
        over: with a pair: epochs (or steps) in which the value goes linearly from `start` to `end`, to stay there.
        per: `"epoch"` (default) or `"step"`, the optimizer's count of steps. Per step costs a host call a step, and
            acts once an execution under `steps_per_execution`; a schedule inside the model
            (`VAE(beta=schedule)`) has neither fault.
        log: add the value to the epoch's logs under the target's name, default True.

    Raises:
        ValueError: the target is no variable, `per` is neither of the two, or a pair comes without `over`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.callbacks import Anneal
        >>> from keras_gen.models import VAE
        >>> model = VAE((4,), latent_dim=2, beta=0.0, seed=0)
        >>> model.compile()
        >>> warm_up = Anneal("beta", (0.0, 1.0), over=2)
        >>> history = model.fit(np.ones((32, 4)), epochs=4, verbose=0, callbacks=[warm_up])
        >>> [round(value, 2) for value in history.history["beta"]]
        [0.0, 0.5, 1.0, 1.0]

    Reference:
        Bowman et al. 2016, arXiv:1511.06349, section 3.1.
    """

    def __init__(self, target, schedule, *, over=None, per="epoch", log=True):
        super().__init__()
        if per not in ("epoch", "step"):
            raise ValueError(f"Expected `per` as 'epoch' or 'step'. Received: per={per!r}.")
        self.target, self.per, self.log = target, per, log
        self.schedule = schedule if callable(schedule) else _linear(schedule, over)

    def on_epoch_begin(self, epoch, logs=None):
        if self.per == "epoch":
            self._set(self.schedule(epoch))

    def on_train_batch_begin(self, batch, logs=None):
        if self.per == "step":
            self._set(self.schedule(int(ops.convert_to_numpy(self.model.optimizer.iterations))))

    def on_epoch_end(self, epoch, logs=None):
        if self.log and logs is not None:
            logs[self.target] = float(ops.convert_to_numpy(self._variable().value))

    def _set(self, value):
        self._variable().assign(float(value))

    def _variable(self):
        found = self.model
        for name in self.target.split("."):
            found = _child(found, name)
        if not isinstance(found, keras.Variable) or found.shape != ():
            raise ValueError(
                f"Expected `target` to name a scalar variable of {type(self.model).__name__}. "
                f"Received: target={self.target!r}, a {type(found).__name__}. A plain attribute would be compiled in."
            )
        return found


def _child(parent, name):
    """The attribute, or the optimizer of the player, that `name` names; None if there is neither."""
    if name in getattr(parent, "players", ()) and isinstance(parent, keras.optimizers.Optimizer):
        return parent[name]
    return getattr(parent, name, None)


def _linear(ends, over):
    """The straight line from the first to the second of `ends` in `over` epochs, constant after."""
    if over is None or over <= 0:
        raise ValueError(f"Expected `over` > 0, the length of the ramp, with schedule={ends!r}. Received: over={over}.")
    start, end = ends
    return lambda t: start + (end - start) * min(1.0, t / over)
