"""Callbacks beside training: pictures that change nothing, and annealing of any scalar variable."""

import keras
import numpy as np
import pytest

from keras_gen.callbacks import Anneal, SampleGrid
from keras_gen.models import VAE, ConditionalVAE, ProbabilisticPCA
from keras_gen.networks import MLP
from tests.cases import images

PNG = b"\x89PNG\r\n\x1a\n"


def small(model=VAE, **kwargs):
    keras.utils.set_random_seed(0)
    model = model((8, 8, 1), latent_dim=2, encoder=MLP((8,)), decoder=MLP((8,)), seed=0, **kwargs)
    model.compile()
    return model


def fit(model, callbacks=(), epochs=3, condition=False):
    x, y = images(64)
    arguments = (x, y) if condition else (x,)
    return model.fit(*arguments, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks)).history


def weights(model):
    return [keras.ops.convert_to_numpy(v.value) for v in model.variables + model.optimizer.variables]


# SampleGrid.


def test_a_picture_every_so_many_epochs(tmp_path):
    """PNG files, named by their epoch, in a folder that is made when needed."""
    fit(small(), [SampleGrid(tmp_path / "a" / "b", n=4, every=2)], epochs=5)
    files = sorted((tmp_path / "a" / "b").iterdir())
    assert [f.name for f in files] == ["epoch_0002.png", "epoch_0004.png"]
    assert all(f.read_bytes().startswith(PNG) for f in files)


def test_pictures_do_not_change_training(tmp_path):
    """Weights, seeds and optimizer end the same, to the bit, with and without the callback."""
    runs = []
    for callbacks in ([], [SampleGrid(tmp_path, n=4, seed=None)]):
        model = small()
        fit(model, callbacks)
        runs.append(weights(model))
    for a, b in zip(*runs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_picture_shows_the_same_seed_and_condition(tmp_path):
    """`draw` receives the samples of `model.sample(n, condition, seed, temperature)` after the epoch."""
    seen = []
    grid = SampleGrid(tmp_path, n=3, condition=[1, 2, 3], seed=4, temperature=0.5, draw=lambda s, f: seen.append(s))
    model = small(ConditionalVAE, num_classes=10)
    fit(model, [grid], epochs=2, condition=True)
    assert len(seen) == 2 and np.abs(seen[0] - seen[1]).max() > 0
    np.testing.assert_allclose(seen[1], model.sample(3, [1, 2, 3], seed=4, temperature=0.5), rtol=0, atol=1e-6)


def test_a_model_in_closed_form_is_drawn_after_its_parameters_are_there(tmp_path):
    """The end of the epoch solves PCA before the callback draws."""
    seen = []
    model = ProbabilisticPCA((8, 8, 1))
    fit(model, [SampleGrid(tmp_path, n=2, draw=lambda s, f: seen.append(s))], epochs=1)
    np.testing.assert_allclose(seen[0], model.sample(2, seed=0), rtol=0, atol=1e-6)


def test_tensorboard_receives_the_picture(tmp_path):
    """One event an epoch holds the encoded image; no backend writes it."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(small(), [SampleGrid(log_dir=tmp_path, n=4)], epochs=2)
    events = EventAccumulator(str(tmp_path)).Reload().Images("samples")
    assert [e.step for e in events] == [1, 2] and events[0].encoded_image_string.startswith(PNG)


@pytest.mark.parametrize("arguments, message", [({"directory": "x", "every": 0}, "every"), ({}, "neither")])
def test_sample_grid_refuses(arguments, message):
    """Arguments are checked when the callback is made."""
    with pytest.raises(ValueError, match=message):
        SampleGrid(**arguments)


# Anneal.


def test_anneal_by_epoch_is_a_ramp_that_stays():
    """From start to end in `over` epochs, then constant; the value is logged under the target's name."""
    model = small(beta=0.0)
    history = fit(model, [Anneal("beta", (0.0, 2.0), over=2)], epochs=4)
    assert history["beta"] == [0.0, 1.0, 2.0, 2.0] and float(model.beta) == 2.0


def test_anneal_by_step_counts_on_through_epochs():
    """Two steps an epoch: the schedule sees 0, 1, 2, 3, and the log the last value of each epoch."""
    seen = []

    def schedule(step):
        seen.append(step)
        return 0.1 * step

    history = fit(small(), [Anneal("beta", schedule, per="step")], epochs=2)
    assert seen == [0, 1, 2, 3]
    np.testing.assert_allclose(history["beta"], [0.1, 0.3], rtol=1e-5)


def test_anneal_acts_within_the_epoch():
    """A step's loss is that of the step's own beta, on backends that keep their state elsewhere in an epoch too."""
    model, x = small(beta=0.0), np.tile(images(32)[0], (2, 1, 1, 1))
    model.compile(keras.optimizers.SGD(0.0))  # both steps see the same KL
    steps = Anneal("beta", lambda step: 10.0 * step, per="step")
    history = model.fit(x, batch_size=32, shuffle=False, verbose=0, callbacks=[steps]).history
    weight = (history["loss"][0] - history["reconstruction"][0]) / history["kl"][0]
    assert weight == pytest.approx(5.0, abs=1e-3)  # the mean of 0 and 10


@pytest.mark.parametrize("path", ["optimizer.learning_rate", "optimizer.model.learning_rate"])
def test_anneal_any_scalar_variable(path):
    """The path may lead into the optimizer, by player too; without `log` the logs are as they were."""
    model = small()
    history = fit(model, [Anneal(path, lambda epoch: 0.5**epoch, log=False)], epochs=3)
    assert float(model.optimizer["model"].learning_rate) == 0.25
    assert not any("learning_rate" in name for name in history)


@pytest.mark.parametrize("target", ["nothing", "seed", "posterior_head"])
def test_anneal_refuses_what_is_no_variable(target):
    """A plain attribute would be compiled into the step and never change."""
    with pytest.raises(ValueError, match="scalar variable of VAE"):
        fit(small(), [Anneal(target, (0.0, 1.0), over=1)])


@pytest.mark.parametrize(
    "arguments, message",
    [({"schedule": (0.0, 1.0)}, "over"), ({"schedule": (0.0, 1.0), "over": 0}, "over"),
     ({"schedule": float, "per": "day"}, "per")],
)  # fmt: skip
def test_anneal_refuses(arguments, message):
    """Arguments are checked when the callback is made."""
    with pytest.raises(ValueError, match=message):
        Anneal("beta", **arguments)
