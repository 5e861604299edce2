"""Laws of differentiable augmentation: its mean, its shifts, its squares, its gradients, its noise."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_gen import backend
from keras_gen.layers import DifferentiableAugmentation

rng = np.random.default_rng(0)
X = rng.uniform(size=(5, 8, 12, 3)).astype("float32")
POLICIES = ["color", "translation", "cutout"]


def numbers(x):
    return np.array(ops.convert_to_numpy(x.value if isinstance(x, keras.Variable) else x))


def augmented(policy, x=X, seed=0, **kwargs):
    return numbers(DifferentiableAugmentation(policy, seed=seed, **kwargs)(ops.convert_to_tensor(x), training=True))


def many(policy, image, n, **kwargs):
    """n augmentations of one image."""
    return augmented(policy, np.repeat(image[None], n, axis=0), **kwargs)


@pytest.mark.parametrize("policy", [*POLICIES, POLICIES])
def test_outside_of_training_it_is_the_identity(policy):
    """And in training it changes every image, each in its own way."""
    np.testing.assert_array_equal(numbers(DifferentiableAugmentation(policy, seed=0)(X)), X)
    alike = many(policy, X[0], 4)
    assert np.abs(alike - X[0]).max(axis=(1, 2, 3)).min() > 0 if policy != "translation" else True
    assert all(np.abs(alike[i] - alike[j]).max() > 0 for i in range(4) for j in range(i))


def test_color_preserves_the_mean_of_each_pixel():
    """E T(x) = x, within five standard errors of 4000 draws, by brightness, saturation and contrast together."""
    draws = many("color", X[0], 4000)
    error = draws.std(axis=0) / np.sqrt(4000)
    assert (np.abs(draws.mean(axis=0) - X[0]) < 5 * error).all() and error.max() < 0.01


def test_color_is_its_formula():
    """Of a grey image of one channel saturation does nothing: T(x) - mean T(x) = c (x - mean x), c in [1/2, 3/2]."""
    x = X[:1, :, :, :1]
    draws = many("color", x[0], 500)
    centred, by = x - x.mean(), draws.mean(axis=(1, 2, 3), keepdims=True)
    c = ((draws - by) * centred).sum((1, 2, 3)) / (centred**2).sum()
    np.testing.assert_allclose(draws - by, c[:, None, None, None] * centred, atol=1e-6)
    shift = by.ravel() - x.mean()
    assert 0.5 <= c.min() < 0.55 and 1.45 < c.max() <= 1.5
    assert -0.2501 < shift.min() < -0.23 and 0.23 < shift.max() < 0.2501
    flat = many("color", X[0], 20, brightness=0.0).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(flat, X[0].mean(), atol=1e-6)


def test_translation_shifts_by_integers_and_lets_zeros_in():
    """Each result is one of the (2 m + 1)(2 k + 1) shifts of the zero-padded image, and each shift occurs."""
    image = X[0] + 0.5
    m, k = 2, 3  # a quarter of 8 and of 12
    padded = np.pad(image, [(m, m), (k, k), (0, 0)])
    shifts = np.array([padded[i : i + 8, j : j + 12] for i in range(2 * m + 1) for j in range(2 * k + 1)])
    draws = many("translation", image, 1000, translation=0.25)
    which = [[np.array_equal(draw, shift) for shift in shifts].index(True) for draw in draws]
    counts = np.bincount(which, minlength=len(shifts))
    assert counts.min() > 0 and np.abs(counts - 1000 / len(shifts)).max() < 5 * np.sqrt(1000 / len(shifts))


def test_cutout_clears_a_square_around_any_pixel():
    """Zeros within one rectangle of half the sides, cut by the border; elsewhere x. Each pixel may be the centre."""
    image = X[0] + 0.5
    draws = many("cutout", image, 600)
    kept = (draws == image).all(axis=-1)
    assert (kept | (draws == 0).all(axis=-1)).all()
    rows, columns = (~kept).any(axis=2), (~kept).any(axis=1)
    assert rows.sum(1).max() == 4 and columns.sum(1).max() == 6
    np.testing.assert_array_equal(~kept, rows[:, :, None] & columns[:, None, :])
    assert (~kept).any(axis=0).all() and rows.sum(1).min() == 2


def test_gradients_pass_through():
    """The gradient of the mean of T(x) is finite, also of a flat image, and equals the difference quotient."""
    direction = rng.normal(size=X.shape).astype("float32")
    weights = ops.convert_to_tensor(rng.normal(size=X.shape).astype("float32"))

    def value(x):
        return ops.sum(weights * DifferentiableAugmentation(POLICIES, seed=3)(x, training=True))

    assert np.isfinite(numbers(backend.grad(value, ops.ones(X.shape)))).all()
    slope = np.sum(numbers(backend.grad(value, ops.convert_to_tensor(X))) * direction)
    quotient = (numbers(value(ops.convert_to_tensor(X + direction))) - numbers(value(ops.convert_to_tensor(X)))) / 1.0
    assert slope == pytest.approx(float(quotient), rel=1e-4) and abs(slope) > 0.1  # T is linear in x


def test_a_seed_gives_its_draws_and_its_state_moves():
    """Equal seeds, equal results; the next use differs; a copy by configuration begins again."""
    layer = DifferentiableAugmentation(POLICIES, brightness=0.1, translation=0.2, cutout=0.3, seed=4)
    again = DifferentiableAugmentation.from_config(layer.get_config())
    one, two = numbers(layer(X, training=True)), numbers(layer(X, training=True))
    np.testing.assert_array_equal(one, numbers(again(X, training=True)))
    assert np.abs(one - two).max() > 0.01 and layer.get_config() == again.get_config()


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_it_computes_in_the_dtype_of_its_input(dtype):
    """A policy of half precision does not round the data that a game keeps in float32."""
    np.testing.assert_array_equal(augmented(POLICIES, dtype=dtype), augmented(POLICIES))


BAD = {
    "unknown": (lambda: DifferentiableAugmentation(("rotation",)), "`policy` as some of.*rotation"),
    "none": (lambda: DifferentiableAugmentation(()), r"`policy` as some of.*\(\)"),
    "cutout": (lambda: DifferentiableAugmentation(cutout=1.5), "`cutout` as a number in.*1.5"),
    "translation": (lambda: DifferentiableAugmentation(translation=-0.1), "`translation` as a number in.*-0.1"),
    "brightness": (lambda: DifferentiableAugmentation(brightness="much"), "`brightness` as a number in.*much"),
    "vectors": (lambda: DifferentiableAugmentation().build((None, 4)), r"images.*\(None, 4\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    call, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        call()
