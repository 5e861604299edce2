"""Flow matching: couplings of data and noise, straight paths, reflow. Laws of every model are in `test_models.py`."""

import keras
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from keras import ops

from keras_gen import diffusion, networks
from keras_gen.models import DiffusionModel, FlowMatching, RectifiedFlow, Reflow
from keras_gen.models.diffusion.flow_matching import assignment
from tests.test_diffusion_models import mlp, perturbed
from tests.test_models import numbers


def rough(model=RectifiedFlow, **kwargs):
    return perturbed(model((2,), mlp(), seed=0, **kwargs))


def cost(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n)).astype("float32")


# Couplings.


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_the_assignment_is_one_and_nearly_the_cheapest(n):
    """Each column once; its sum is within n epsilon, in units of the largest difference of costs, of SciPy's."""
    c = cost(n)
    columns = numbers(assignment(ops.convert_to_tensor(c)))
    assert columns.dtype == np.int32 and sorted(columns) == list(range(n))
    rows, best = scipy.optimize.linear_sum_assignment(c)
    assert c[rows, columns].sum() <= c[rows, best].sum() + n * 1e-3 * max(np.ptp(c), 1e-6) + 1e-5


def test_equal_costs_and_few_turns_give_a_permutation_all_the_same():
    for c, options in ((np.zeros((9, 9), "float32"), {}), (cost(20), {"longest": 1})):
        assert sorted(numbers(assignment(ops.convert_to_tensor(c), **options))) == list(range(len(c)))


def test_within_groups_the_assignment_is_the_cheapest_of_each():
    c, groups = cost(30), np.arange(30) % 3
    columns = numbers(assignment(ops.convert_to_tensor(c), ops.convert_to_tensor(groups)))
    assert sorted(columns) == list(range(30)) and (groups[columns] == groups).all()
    for g in range(3):
        own = np.flatnonzero(groups == g)
        rows, best = scipy.optimize.linear_sum_assignment(c[np.ix_(own, own)])
        assert c[own, columns[own]].sum() <= c[own[rows], own[best]].sum() + 30 * 1e-3 * np.ptp(c)


def test_optimal_pairs_are_the_same_noise_at_shorter_distances():
    model = FlowMatching((2,), mlp(), coupling="optimal", seed=0)
    x, eps = (ops.convert_to_tensor(cost(60, s)[:, :2]) for s in (1, 2))
    paired = numbers(model.paired(x, eps))
    np.testing.assert_array_equal(np.sort(paired, axis=0), np.sort(numbers(eps), axis=0))
    before, after = (((numbers(x) - e) ** 2).sum(axis=1).mean() for e in (numbers(eps), paired))
    assert after < 0.5 * before
    assert model.paired(x, eps) is not eps and FlowMatching((2,), mlp()).paired(x, eps) is eps


def test_given_a_label_the_noise_stays_normal():
    """Data that their label tells: were noise exchanged between labels, that of label 1 would lie at the right."""
    model = FlowMatching((2,), mlp(), coupling="optimal", num_classes=2, seed=0)
    labels = np.arange(160) % 2
    x = np.where(labels[:, None] == 1, 5.0, -5.0) + cost(160, 1)[:, :2]
    eps = cost(160, 2)[:, :2]
    paired = numbers(model.paired(*map(ops.convert_to_tensor, (x.astype("float32"), eps, labels.astype("int32")))))
    assert scipy.stats.kstest(paired[labels == 1, 0], "norm").pvalue > 1e-3
    np.testing.assert_array_equal(np.sort(paired[labels == 1, 0]), np.sort(eps[labels == 1, 0]))


def test_the_coupling_reaches_the_loss_in_training():
    """In a compiled step too, and a last batch of another size: the loss of a network of zeros is the mean square of
    eps - x_0, least of all pairs."""
    x = cost(70, 1)[:, :2]
    losses = {}
    for coupling in ("independent", "optimal"):
        model = FlowMatching((2,), mlp(), coupling=coupling, seed=0)
        model.compile(keras.optimizers.SGD(0.0))
        losses[coupling] = model.fit(x, batch_size=64, epochs=3, verbose=0).history["loss"][-1]
    assert losses["independent"] == pytest.approx(2.0, abs=0.7)
    assert losses["optimal"] < 0.3 * losses["independent"]


# The straight line.


def test_flow_matching_is_diffusion_along_the_straight_line():
    """Of the same network: loss, samples and densities are those of `DiffusionModel` with its choices."""
    choices = {"schedule": "rectified", "parametrisation": "velocity", "steps": 16}
    twin = perturbed(DiffusionModel((2,), mlp(), sampler=diffusion.Heun(variable="rectified"), seed=0, **choices))
    model = rough(FlowMatching)
    twin.set_weights(model.get_weights())
    x = ops.convert_to_tensor(cost(32)[:, :2])
    np.testing.assert_allclose(*(numbers(m.objective(x)["loss"]) for m in (model, twin)), rtol=1e-5)
    np.testing.assert_allclose(*(m.sample(4, seed=0) for m in (model, twin)), atol=1e-5)


def test_the_loss_is_that_of_the_velocity():
    """|| F(x_t, t) - (eps - x_0) ||^2 / D, written out."""
    model, x_0, eps = rough(), cost(8, 1)[:, :2], cost(8, 2)[:, :2]
    t = np.linspace(0.1, 0.9, 8, dtype="float32")
    level = model.schedule.level(ops.convert_to_tensor(t))
    loss, output, _ = model.regression(model.denoiser, *map(ops.convert_to_tensor, (x_0, eps)), level, None, False)
    np.testing.assert_allclose(numbers(loss), ((numbers(output) - (eps - x_0)) ** 2).mean(axis=1), rtol=1e-4)
    x_t = (1 - t[:, None]) * x_0 + t[:, None] * eps
    clean = numbers(model.denoiser(ops.convert_to_tensor(x_t), ops.convert_to_tensor(t)))
    np.testing.assert_allclose(clean, x_t - t[:, None] * numbers(output), atol=1e-5)


def test_sigma_min_is_left_at_the_end():
    model = FlowMatching((2,), mlp(), sigma_min=0.1, seed=0)
    alpha, sigma = model.schedule.alpha_sigma(0.0)
    assert (alpha, sigma) == (1.0, 0.1)
    assert FlowMatching.from_config(model.get_config()).schedule.sigma_min == 0.1


# Reflow.


def test_pairs_are_samples_and_the_noise_of_which():
    """From the noise of a pair the sampler's last step gives the data; the noise is normal."""
    model = rough()
    pairs = model.pairs(2000, seed=3, steps=4)
    assert pairs.shape == (2000, 2, 2)
    np.testing.assert_allclose(pairs[:, 0], model.sample(2000, seed=3, steps=4), atol=1e-6)
    assert scipy.stats.kstest(pairs[:, 1].ravel(), "norm").pvalue > 1e-3
    line = model.trajectory(5, frames=2, seed=3, steps=4)
    np.testing.assert_allclose(line[:, 0], pairs[:5, 1], atol=1e-5)
    cold = model.pairs(50, seed=3, steps=4, temperature=0.5)
    np.testing.assert_allclose(cold[:, 1], 0.5 * pairs[:50, 1], atol=1e-5)


@pytest.mark.parametrize("schedule", ["variance_preserving", "variance_exploding"])
def test_pairs_of_another_schedule_lie_on_its_paths(schedule):
    """x_1 = alpha x_0 + sigma eps is what was begun with, where some signal is left too."""
    model = rough(schedule=diffusion.get_schedule(schedule), sampler="ddim")
    pairs, (alpha, sigma) = model.pairs(6, seed=3, steps=4), model.schedule.alpha_sigma(1.0)
    first = model.trajectory(6, frames=2, seed=3, steps=4)[:, 0] * np.hypot(alpha, sigma)
    np.testing.assert_allclose(alpha * pairs[:, 0] + sigma * pairs[:, 1], first, rtol=1e-4, atol=1e-4)


def test_reflow_trains_the_flow_and_its_average():
    model = rough()
    pairs = model.pairs(64, seed=0, steps=4)
    trained, before = Reflow(model), model.sample(4, seed=0, steps=1, sampler="ddim")
    trained.compile(keras.optimizers.Adam(1e-2))
    assert trained.fit(pairs, epochs=3, verbose=0).history["loss"][-1] >= 0
    assert np.abs(model.sample(4, seed=0, steps=1, sampler="ddim") - before).max() > 1e-3
    assert int(numbers(model.steps)) == 6
    assert set(trained.evaluate(pairs, verbose=0, return_dict=True)) == {"loss"}


def test_one_step_of_a_straightened_flow_is_nearly_all_of_its_steps():
    """Data of four corners: after training on its pairs, one step comes nearer to what many steps give."""
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    x = generator.choice([-1.0, 1.0], (2000, 2)) + 0.1 * generator.normal(size=(2000, 2))
    model = RectifiedFlow((2,), networks.DenoisingMLP((2,), (64, 64), features=16), average=0.99, steps=8, seed=0)
    model.compile(keras.optimizers.Adam(5e-3))
    model.fit(x.astype("float32"), batch_size=200, epochs=20, verbose=0, seed=0)
    one = {"steps": 1, "sampler": "ddim", "batch_size": 1000}

    def bend():
        many, few = (model.sample(1000, seed=1, **options) for options in ({"batch_size": 1000}, one))
        return np.mean((many - few) ** 2)

    before = bend()
    straighter = Reflow(model)
    straighter.compile(keras.optimizers.Adam(3e-3))
    pairs = model.pairs(2000, seed=2, batch_size=2000)
    straighter.fit(pairs, batch_size=200, epochs=15, verbose=0, seed=0)
    assert bend() < 0.2 * before
    made = straighter.predict(pairs[:200], verbose=0)
    assert np.mean((made - pairs[:200]) ** 2) < 0.3


def test_reflow_with_labels():
    model = perturbed(RectifiedFlow((2,), mlp(), num_classes=3, steps=4, seed=0))
    y = np.arange(30) % 3
    pairs = model.pairs(30, y, seed=0)
    trained = Reflow(model)
    trained.compile("adam")
    assert np.isfinite(trained.fit(pairs, y, verbose=0).history["loss"]).all()
    assert trained.predict((pairs, y), verbose=0).shape == (30, 2, 2)
