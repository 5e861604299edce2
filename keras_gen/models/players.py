"""Players: what each optimizer of a model moves.

`model.players` maps a player's name to a layer, or to a list of layers and variables. Here these become the list of
trainable variables that the player's optimizer is bound to, and the optimizers given by the user become a group.
"""

import keras

from keras_gen.backend import OptimizerGroup


def player_items(moved):
    """What a player moves, as a list."""
    return list(moved) if isinstance(moved, (list, tuple)) else [moved]


def player_layers(moved):
    """The layers among what a player moves."""
    return [item for item in player_items(moved) if isinstance(item, keras.layers.Layer)]


def player_variables(player, moved):
    """The trainable variables of `player`, each once.

    Raises:
        ValueError: a layer that is not built, or no trainable variable.
    """
    unbuilt = [layer.name for layer in player_layers(moved) if not layer.built]
    if unbuilt:
        raise ValueError(
            f"Expected the networks of player {player!r} to be built in the constructor. "
            f"Received: {unbuilt} are not. Give them an Input, or call `network.build(shape)`."
        )
    variables = []
    for item in player_items(moved):
        variables += item.trainable_variables if isinstance(item, keras.layers.Layer) else [item]
    if not variables:
        raise ValueError(
            f"Expected player {player!r} to have trainable variables. Received none. "
            "Return the layers it moves from `players`, and check `trainable`."
        )
    return list({id(v): v for v in variables}.values())


def optimizer_group(optimizer, players, dtype_policy):
    """The user's `optimizer` (one, or a dict with one a player) as an `OptimizerGroup` for `players`.

    Under `mixed_float16` each player's optimizer gets a loss scale of its own.

    Raises:
        ValueError: an unknown or a missing player.
    """
    group = optimizer if isinstance(optimizer, OptimizerGroup) else None
    if group is None and not isinstance(optimizer, dict):
        optimizer = _one_each(optimizer, players)
    given = set(optimizer if group is None else group.players)
    if unknown := sorted(given - set(players)):
        raise ValueError(f"Expected optimizers for the players {players}. Received an unknown player: {unknown}.")
    if missing := sorted(set(players) - given):
        raise ValueError(f"Expected an optimizer for each of the players {players}. Missing: {missing}.")
    if group is not None:
        return group
    optimizer = {player: keras.optimizers.get(o) for player, o in optimizer.items()}
    if dtype_policy.name == "mixed_float16":
        optimizer = {player: _loss_scaled(o) for player, o in optimizer.items()}
    return OptimizerGroup(optimizer)


def _one_each(optimizer, players):
    """`optimizer` for one player, or a copy of its configuration for each of several."""
    optimizer = keras.optimizers.get(optimizer)
    if len(players) == 1:
        return {players[0]: optimizer}
    return {player: type(optimizer).from_config(optimizer.get_config()) for player in players}


def _loss_scaled(optimizer):
    wrapped = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    return optimizer if wrapped else keras.optimizers.LossScaleOptimizer(optimizer)
