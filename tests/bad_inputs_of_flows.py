"""The rows of normalizing flows in the table of what a user may get wrong: see `bad_inputs`."""

import keras
import numpy as np

from keras_gen import distributions, layers
from keras_gen.models import FFJORD, MAF, NICE, VAE, NeuralSpline, NormalizingFlow, RealNVP

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
LABELS = np.arange(6) % 3


def models():
    """The models that the calls receive."""
    singular = layers.Invertible1x1Conv("full", seed=0)
    built = {
        "flow": RealNVP((4,), steps=1, units=(4,), seed=0),
        "flow of labels": RealNVP((4,), steps=1, units=(4,), num_classes=3, seed=0),
        "logit": NormalizingFlow((4,), [layers.Logit(), layers.ElementwiseAffine()]),
        "grey": NormalizingFlow((4,), [layers.ElementwiseAffine()], levels=4, seed=0),
        "singular": NormalizingFlow((4,), [singular]),
    }
    singular.linear.kernel.assign(np.ones((4, 4)))
    return built


def build(layer, *shapes):
    return lambda m: layer().build(*shapes)


def coupling(**kwargs):
    return lambda: layers.AffineCoupling((4,), **kwargs)


def used():
    layer = layers.ElementwiseAffine()
    layer.build((None, 2))
    return layer


def changed(x, column):
    return np.where(np.arange(x.shape[1]) == column, 7.0, x).astype("float32")


OPEN = {
    "ActNorm": layers.ActNorm,
    "FlowBatchNormalization": layers.FlowBatchNormalization,
    "ElementwiseAffine": layers.ElementwiseAffine,
    "Invertible1x1Conv": layers.Invertible1x1Conv,
    "OrthogonalLinear": layers.OrthogonalLinear,
    "Permutation": layers.Permutation,
    "AffineCoupling": layers.AffineCoupling,
    "ContinuousFlow": layers.ContinuousFlow,
    "Planar": layers.Planar,
    "Radial": layers.Radial,
}
NORMAL = distributions.Normal(np.zeros(4), 1.0, event_shape=(4,))

CASES = [
    *((f"open sizes of {k}", build(v, (None, None)), f"{k}.*known size.*None.*build") for k, v in OPEN.items()),
    ("an event of no axis", build(layers.ActNorm, (None,)), "ActNorm.*at least one axis"),
    ("open sizes of a condition", build(coupling(conditional=True), (None, 4), (None, None)), "conditions.*None"),
    ("open positions of an image", build(layers.ActNorm, (None, None, 4, 3)), "ActNorm.*known sizes.*None, 4, 3"),
    ("no list of bijections", lambda m: NormalizingFlow((4,), []), "at least one.*\\[\\]"),
    ("a Keras layer as a bijection", lambda m: NormalizingFlow((4,), keras.layers.Dense(4)), "layers.Bijection.*Dense"),
    ("a bijection of other events", lambda m: NormalizingFlow((4,), [used()]), r"\(batch, 2\).*\(None, 4\)"),
    ("one number", lambda m: RealNVP((1,)), r"keeps a part of the event \(1,\).*needs two dimensions.*`MAF`"),
    ("negative size", lambda m: NICE((-1,)), "`event_shape`.*positive.*-1"),
    ("size as text", lambda m: NICE("four"), "`event_shape`.*four"),
    ("open size", lambda m: MAF((None,)), "`event_shape`.*None"),
    ("images for vectors", lambda m: MAF((2, 2)), r"MAF expects vectors.*\(2, 2\).*Flatten"),
    ("no steps", lambda m: MAF((4,), steps=0), "`steps`.*0"),
    ("no units", lambda m: MAF((4,), units=()), "`units` as at least one"),
    ("units of 0", lambda m: RealNVP((4,), units=(0,)), "positive integers.*0"),
    ("an unknown normalisation", lambda m: MAF((4,), normalization="layer"), "`normalization`.*layer"),
    ("an unknown kind", lambda m: NeuralSpline((4,), kind="linear"), "`kind`.*linear"),
    ("no bins", lambda m: NeuralSpline((4,), bins=0), "`bins`.*0"),
    ("an ODE by name", lambda m: FFJORD((4,), flow="rk4"), "`flow` as a dict.*'rk4'"),
    ("an unknown solver", lambda m: FFJORD((4,), flow={"solver": "rk5"}), "`solver`.*rk5"),
    ("a tolerance of -1", lambda m: FFJORD((4,), flow={"rtol": -1.0}), "rtol.*-1"),
    ("no steps of an ODE", lambda m: FFJORD((4,), flow={"max_steps": 0}), "`max_steps`.*0"),
    ("`check` of given steps", lambda m: layers.ContinuousFlow((4,), steps=2).check(X), "chosen.*steps=2"),
    # Masks and weights.
    ("a mask of nothing", build(coupling(mask=[True] * 4), (None, 4)), "nothing would be changed"),
    ("a mask of everything", build(coupling(mask=[False] * 4), (None, 4)), "nothing would be kept"),
    ("a mask of another size", build(coupling(mask=[True, False]), (None, 4)), r"broadcast against the event \(4,\)"),
    ("a mask of numbers", build(coupling(mask=[0, 1, 2, 3]), (None, 4)), "booleans"),
    ("an unknown mask", build(coupling(mask="thirds"), (None, 4)), "`mask` as one of.*thirds"),
    ("a board of a vector", build(coupling(mask="checkerboard"), (None, 4)), "height, width, channels.*alternating"),
    ("a singular matrix", lambda m: m["singular"].sample(2, seed=0), "has an inverse.*4 channels.*plu"),
    ("the density of a singular matrix", lambda m: m["singular"].log_prob(X), "has an inverse"),
    # Data, conditions, bases.
    ("a column that does not vary", lambda m: m["flow"].fit(changed(X, 2), verbose=0), "1 of 4 elements.*first at 2"),
    ("out of the logit", lambda m: m["logit"].log_prob(X), r"Logit expects data in \[0, 1\]"),
    ("between grey levels", lambda m: m["grey"].log_prob(np.full((2, 4), 0.4)), "grey levels k / 3"),
    ("no condition", lambda m: m["flow of labels"].log_prob(X), "Expected y.*labels"),
    ("fewer conditions", lambda m: m["flow of labels"].log_prob(X, LABELS[:3]), "3 conditions, 6 examples"),
    ("a condition for none", lambda m: m["flow"].sample(2, condition=LABELS[:2]), "Expected no y"),
    ("a condition that nothing takes", lambda m: NormalizingFlow((4,), layers.ActNorm(), num_classes=3), "none takes"),
    ("a base by name", lambda m: NormalizingFlow((4,), layers.ActNorm(), "normal"), "`base` with `generate`.*normal"),
    ("a base of another shape", lambda m: NormalizingFlow((2,), layers.ActNorm(), NORMAL), r"z, \(2,\).*\(4,\)"),
    ("levels of one", lambda m: NormalizingFlow((4,), layers.ActNorm(), levels=1), "`levels`.*at least 2"),
    ("grey levels as a prior", lambda m: VAE((4,), 4, prior=m["grey"]), "`prior` as a density of continuous"),
    ("no bijection in a head", lambda m: layers.FlowHead((4,), None), "`bijection` as a `layers.Bijection`.*None"),
    ("z of another shape", lambda m: m["flow"].decode(np.zeros((2, 3))), r"z of shape \(batch, 4\)"),
]
