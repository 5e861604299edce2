"""Bijections that differ in training: dropout, moments of a batch, an estimated trace; in both directions."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import layers

GIVEN = ops.ones((6, 2))


def numbers(*tensors):
    return [ops.convert_to_numpy(t) for t in tensors]


def network():
    """Half of its units are dropped in training."""
    return keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.5, seed=1)])


MAPS = {
    "coupling": lambda: layers.AffineCoupling(network(), conditional=True),
    "elementwise": lambda: layers.ElementwiseAffine(network()),
    "planar": lambda: layers.Planar(network()),
    "radial": lambda: layers.Radial(network()),
    "inverse": lambda: layers.Inverse(layers.AffineCoupling(network(), conditional=True)),
    "chain": lambda: layers.Chain([layers.Planar(network()), layers.Inverse(layers.Radial(network()))]),
}


@pytest.mark.parametrize("name", MAPS)
def test_dropout_acts_in_both_directions_of_training_and_in_none_of_evaluation(name):
    """Two calls in training differ, as events and volumes do; two in evaluation do not."""
    bijection, x = MAPS[name](), ops.convert_to_tensor(np.linspace(-1, 1, 18, dtype="float32").reshape(6, 3))
    bijection.forward_and_log_det(x, GIVEN)
    for v in bijection.trainable_variables:
        v.assign(np.linspace(-0.5, 0.7, int(np.prod(v.shape))).reshape(v.shape))
    for direction in (bijection.forward_and_log_det, bijection.inverse_and_log_det):
        for training in (True, False):
            one, two = (numbers(*direction(x, GIVEN, training)) for _ in range(2))
            moved = [np.abs(a - b).max() > 1e-4 for a, b in zip(one, two, strict=True)]
            assert moved == [training, training]
    one, two = numbers(bijection.inverse(x, GIVEN, True), bijection.inverse(x, GIVEN, True))
    assert np.abs(one - two).max() > 1e-4


def test_batch_normalization_backwards_keeps_to_its_moments():
    """The inverse has the moving moments in training too and does not move them, so forward and back agree there."""
    layer, x = layers.FlowBatchNormalization(), ops.convert_to_tensor(np.arange(12.0, dtype="float32").reshape(6, 2))
    layer.forward_and_log_det(x, training=True)
    before = numbers(layer.moving_mean, layer.moving_variance)
    back, log_det = layer.inverse_and_log_det(x, training=True)
    np.testing.assert_array_equal(before, numbers(layer.moving_mean, layer.moving_variance))
    z, other = layer.forward_and_log_det(back)
    np.testing.assert_allclose(*numbers(z, x), atol=1e-4)
    np.testing.assert_allclose(*numbers(log_det, -other), atol=1e-5)


def test_the_trace_of_training_is_that_of_training_backwards_too():
    """Hutchinson's estimate, one product a step instead of D, where samples are trained; the exact trace elsewhere."""
    flow = layers.ContinuousFlow((8,), trace="hutchinson", solver="euler", steps=2, seed=0)
    z = ops.ones((4, 3))
    flow.build((None, 3))
    for v in flow.trainable_variables:
        v.assign(np.linspace(-1.0, 1.3, int(np.prod(v.shape))).reshape(v.shape))
    for direction in (flow.forward_and_log_det, flow.inverse_and_log_det):
        exact, same, estimate, other = (numbers(direction(z, None, t)[1])[0] for t in (False, False, True, True))
        np.testing.assert_array_equal(exact, same)
        assert np.abs(estimate - exact).max() > 1e-3 and np.abs(estimate - other).max() > 1e-3
