"""Several optimizers as one Keras optimizer.

Keras tracks one optimizer a model. A game has one a player: theta_p <- theta_p - step_p(grad L_p), each with its own
moments, schedule, weight average and loss scale. `OptimizerGroup` holds them by name and looks to Keras like a single
optimizer whose `variables` are those of all, so that saving, restoring, JAX's state passing and the callbacks work.
`keras.optimizers.MultiOptimizer` also concatenates, but cannot step one player at a time.
"""

import collections.abc

import keras


class _Optimizers(collections.abc.Sequence):
    """The optimizers in order of their players. No list: Keras saves what it finds in a list, a second time."""

    def __init__(self, optimizers):
        self._items = tuple(optimizers)

    def __len__(self):
        return len(self._items)

    def __getitem__(self, index):
        return self._items[index]


class _Members(collections.abc.Mapping):
    """Player -> optimizer, sorted by name. No dict, for the same reason."""

    def __init__(self, optimizers):
        self._items = {player: optimizers[player] for player in sorted(optimizers)}

    def __len__(self):
        return len(self._items)

    def __iter__(self):
        return iter(self._items)

    def __getitem__(self, player):
        return self._items[player]


def unwrapped(optimizer):
    """The optimizer itself, without the loss scaling around it."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _no_learning_rate():
    raise AttributeError("An OptimizerGroup has no learning rate before it is given optimizers.")


@keras.saving.register_keras_serializable(package="keras_gen")
class OptimizerGroup(keras.optimizers.Optimizer):
    """One optimizer a player, as a single Keras optimizer.

    `GenerativeModel.compile` makes it; user code reads it: `model.optimizer["critic"]` is a player's optimizer.

    Args:
        optimizers: dict, player -> `keras.optimizers.Optimizer` (or its name). Each player needs an instance
            of its own. Empty for a model in closed form, of which only the steps are counted.
        name: name of the group.

    Raises:
        ValueError: `optimizers` is no dict, or one instance serves two players.

    Example:
        >>> import keras
        >>> from keras_gen.backend import OptimizerGroup
        >>> group = OptimizerGroup({"generator": keras.optimizers.Adam(1e-4), "critic": keras.optimizers.SGD(1e-2)})
        >>> group.players
        ('critic', 'generator')
        >>> round(float(group["generator"].learning_rate), 6)
        0.0001
    """

    record = None
    """The last losses of the players, a vector; None before `keep_record`."""

    def __init__(self, optimizers, name="optimizer_group"):
        if not isinstance(optimizers, collections.abc.Mapping):
            raise ValueError(f"Expected `optimizers` as a dict, player -> optimizer. Received: {optimizers!r}.")
        super().__init__(learning_rate=_no_learning_rate, name=name)
        self._members = _Members({player: keras.optimizers.get(o) for player, o in optimizers.items()})
        if len({id(unwrapped(o)) for o in self._members.values()}) < len(self._members):
            raise ValueError(
                "Expected an optimizer of its own for each player: it keeps state for the variables it moves. "
                f"Received one instance for several of the players {list(self._members)}. Create one a player."
            )
        if len(self._members) > 1:
            for player, optimizer in self._members.items():
                unwrapped(optimizer).name = player

    @property
    def players(self):
        """Names of the players, sorted."""
        return tuple(self._members)

    def __getitem__(self, player):
        return unwrapped(self._members[player])

    @property
    def optimizers(self):
        """The players' optimizers without loss scaling, sorted by player: Keras's callbacks look here."""
        return _Optimizers(unwrapped(o) for o in self._members.values())

    def build(self, variables):
        """Bind each player to its variables. `variables`: dict, player -> list of trainable variables."""
        for player, optimizer in self._members.items():
            self._bind(player, optimizer, list(variables[player]))
        # Not by attribute: Keras would track the weights as the group's own state, save them a second time, and on
        # JAX donate each buffer twice.
        vars(self)["_trainable_variables"] = [v for player in self._members for v in variables[player]]
        self.built = True

    def _bind(self, player, optimizer, variables):
        if not optimizer.built:
            optimizer.build(variables)
        elif [id(v) for v in optimizer._trainable_variables] != [id(v) for v in variables]:
            raise ValueError(
                f"Expected an optimizer for player {player!r} that is new or was built with this player's variables. "
                f"Received {unwrapped(optimizer).name!r}, built with other variables. Create a new optimizer."
            )

    @property
    def variables(self):
        record = [] if self.record is None else [self.record]
        return [*self._variables, *record, *(v for o in self._members.values() for v in o.variables)]

    def keep_record(self, size, dtype="float32"):
        """Begin a record of `size` numbers: state of training like the rest, but in no file."""
        zeros = keras.ops.zeros((size,), dtype)
        record = keras.Variable(zeros, dtype=dtype, trainable=False, aggregation="only_first_replica", name="record")
        vars(self)["record"] = record

    def member(self, player):
        """The optimizer that steps `player`, with its loss scaling around it."""
        return self._members[player]

    def scale_loss(self, loss, player=None):
        """The loss that `player` differentiates: multiplied by its loss scale, if it has one."""
        return self._members[player if player is not None else self.players[0]].scale_loss(loss)

    def advance(self):
        """Count one training step (`iterations`), whatever number of player steps it took."""
        self._iterations.assign_add(1)

    def apply(self, grads, trainable_variables=None):
        raise NotImplementedError("An OptimizerGroup steps one player at a time: use `GenerativeModel.minimize`.")

    @property
    def learning_rate(self):
        """The first player's learning rate; setting it scales every player's by the same factor."""
        return self.optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        rates = [float(keras.ops.convert_to_numpy(o.learning_rate)) for o in self.optimizers]
        for optimizer, rate in zip(self.optimizers, rates, strict=True):
            optimizer.learning_rate = float(value) if rate == rates[0] else rate * float(value) / rates[0]

    def finalize_variable_values(self, var_list):
        """End of `fit`: players with `use_ema` take their averages, as copies.

        Keras assigns the average's own buffer, which on JAX the next `fit` would donate twice.
        """
        for optimizer in self.optimizers:
            if optimizer.use_ema:
                optimizer.finalize_variable_values(optimizer._trainable_variables)
                for variable in optimizer._trainable_variables:
                    variable.assign(keras.ops.copy(variable.value))

    def _state(self):
        """Every variable by a name that depends on its player, not on the order in which players were given."""
        state = {f"group.{i}": v for i, v in enumerate(self._variables)}
        for player, optimizer in self._members.items():
            state.update({f"{player}.{i}": v for i, v in enumerate(optimizer.variables)})
        return state

    def save_own_variables(self, store):
        for key, variable in self._state().items():
            store[key] = keras.ops.convert_to_numpy(variable.value)

    def load_own_variables(self, store):
        state = self._state()
        if set(store.keys()) != set(state):
            raise ValueError(
                f"Expected the state of the players {list(self.players)} with {len(state)} variables. "
                f"Received a file with {len(list(store.keys()))}: {sorted(store.keys())[:4]} ... "
                "Compile the model with the optimizers that it was saved with."
            )
        for key, variable in state.items():
            variable.assign(store[key])

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {"name": self.name, "optimizers": {p: serialize(o) for p, o in self._members.items()}}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        restore = keras.saving.deserialize_keras_object
        optimizers = {p: restore(o, custom_objects=custom_objects) for p, o in config["optimizers"].items()}
        return cls(optimizers, name=config["name"])
