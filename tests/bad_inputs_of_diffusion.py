"""The rows of diffusion models in the table of what a user may get wrong: see `bad_inputs`."""

import numpy as np

from keras_gen import diffusion
from keras_gen.models import DDPM, DiffusionModel, FlowMatching, RectifiedFlow, Reflow
from keras_gen.networks import DenoisingMLP

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
LABELS = np.arange(6) % 3
KNOWN = np.array([True, False, False, True])


def network(**kwargs):
    return DenoisingMLP((4,), hidden=(4,), features=4, **kwargs)


def make(model=DiffusionModel, **kwargs):
    return lambda m: model((4,), network(), **kwargs)


def models():
    """The models that the calls receive."""
    chain = diffusion.LinearBeta(10, 0.01, 0.9)
    return {
        "diffusion": DiffusionModel((4,), network(), steps=4, seed=0),
        "diffusion of labels": DiffusionModel((4,), network(), num_classes=3, steps=4, seed=0),
        "always conditioned": DiffusionModel((4,), network(), num_classes=3, unconditional=0, seed=0),
        "chain": DDPM((4,), network(), schedule=chain, seed=0),
        "rectified flow": RectifiedFlow((4,), network(), seed=0),
    }


def call(name, /, *args, model="diffusion", **kwargs):
    return lambda m: getattr(m[model], name)(*args, **kwargs)


SHORT = [diffusion.DPMSolverPlusPlus(3), diffusion.AdamsBashforth(4, "rectified")]

CASES = [
    # Constructors.
    ("an unknown schedule", make(schedule="linear"), "`schedule` as.*cosine.*'linear'"),
    ("an unknown parametrisation", make(parametrisation="noise"), "`parametrisation`.*epsilon.*'noise'"),
    ("an unknown weighting", make(weighting="p2"), "`weighting`.*min_snr.*'p2'"),
    ("an unknown sampler", make(sampler="plms"), "`sampler`.*ddim.*'plms'"),
    ("an unknown grid", make(grid="linear"), "`grid`.*karras.*'linear'"),
    ("a grid of one number", make(grid=0.5), "times in.*fall"),
    ("a grid that rises", make(grid=[0.1, 0.5]), "times in.*fall"),
    ("no steps of sampling", make(steps=0), "`steps` as a positive integer.*0"),
    ("a range of nothing", make(data_range=(1, 1)), r"`data_range`.*\(1, 1\)"),
    ("a range of three", make(data_range=(0, 1, 2)), r"`data_range`.*two finite.*\(0, 1, 2\)"),
    ("a range as an array", make(data_range=X[:, 0]), "`data_range`.*two finite"),
    ("a range as text", make(data_range="unit"), "`data_range`.*'unit'"),
    ("levels without a range", make(levels=4), "`levels`.*`data_range`"),
    ("one level", make(levels=1, data_range=(0, 1)), "`levels` >= 2"),
    ("no scale of data", make(data_scale=0.0), "`data_scale`.*0.0"),
    ("condition always left out", make(num_classes=3, unconditional=1.0), r"`unconditional`.*\[0, 1\).*1.0"),
    ("unconditional as text", make(num_classes=3, unconditional="often"), "`unconditional`.*often"),
    ("an average above one", make(average=1.0), "`average`.*1.0"),
    ("a bound of negative weight", make(bound_weight=-1.0), "`bound_weight`.*-1"),
    ("noise where no signal is", make(parametrisation="epsilon"), "without any signal.*'epsilon'"),
    ("variances in continuous time", make(learned_variance=True), "discrete times.*Discrete"),
    ("a chain whose betas rise beyond one", make(DDPM, schedule="cosine"), "without any signal"),
    ("an unknown coupling", make(FlowMatching, coupling="ot"), "`coupling`.*optimal.*'ot'"),
    ("coupled by condition", make(FlowMatching, coupling="optimal", condition_shape=(2,)), "independent.*no label"),
    ("reflow of a model without paths", lambda m: Reflow(m["diffusion"]), "`flow` as a `FlowMatching`"),
    ("sigma_min of one", make(FlowMatching, sigma_min=1.0), "`sigma_min`.*1.0"),
    ("sigma_min of another", make(FlowMatching, sigma_min=0.1, schedule="cosine"), "without a `schedule`"),
    # Samples.
    ("sample by an unknown sampler", call("sample", 2, sampler="plms"), "`sampler`.*'plms'"),
    ("sample on an unknown grid", call("sample", 2, grid="linear"), "`grid`.*'linear'"),
    ("times that rise", call("sample", 2, grid=[0.1, 0.5, 1.0]), "times in.*fall"),
    ("times beyond one", call("sample", 2, grid=[1.5, 0.5]), "times in"),
    ("steps beside times", call("sample", 2, steps=3, grid=[1.0, 0.5]), "no `steps`.*2"),
    ("no steps", call("sample", 2, steps=0), "`steps` as a positive integer.*0"),
    ("steps as a float", call("sample", 2, steps=4.0), "`steps` as a positive integer"),
    ("more steps than times", call("sample", 2, steps=11, model="chain"), "at most 10 steps.*11"),
    *((f"fewer steps than the order of {s!r}", call("sample", 2, sampler=s, steps=2), "at least") for s in SHORT),
    ("slopes at infinity", call("sample", 2, sampler=diffusion.Heun()), 'variable="rectified"'),
    ("guidance without a condition", call("sample", 2, guidance=2.0), "no `guidance`.*unconditional"),
    ("guidance never learned", call("sample", 2, 1, guidance=2.0, model="always conditioned"), "not trained without"),
    ("guidance nan", call("sample", 2, 1, guidance=float("nan"), model="diffusion of labels"), "`guidance`.*nan"),
    ("guidance as text", call("sample", 2, 1, guidance="2", model="diffusion of labels"), "`guidance`.*'2'"),
    ("guidance bool", call("sample", 2, 1, guidance=True, model="diffusion of labels"), "`guidance`.*True"),
    ("no label to sample", call("sample", 2, model="diffusion of labels"), "Expected y"),
    ("a label too large to sample", call("sample", 2, 3, model="diffusion of labels"), r"\[0, 3\)"),
    ("a negative temperature", call("sample", 2, temperature=-1.0), "`temperature`.*-1"),
    ("variances never learned", call("sample", 2, sampler=diffusion.Ancestral("learned")), "learns no variances"),
    ("one frame", call("trajectory", 2, frames=1), "`frames` from 2 to 5"),
    ("more frames than turns", call("trajectory", 2, frames=6), "`frames` from 2 to 5.*6"),
    ("frames without turns", call("trajectory", 2, sampler=diffusion.ProbabilityFlow()), "`Sampler` with turns"),
    # In-painting and images from images.
    ("a mask of another shape", call("inpaint", X, KNOWN[:3]), r"`known`.*\(6, 4\).*\(3,\)"),
    ("a mask of numbers for a hole", call("inpaint", X, KNOWN.astype("float32")), "booleans.*float32"),
    ("a sampler that remembers", call("inpaint", X, KNOWN, sampler="dpm_solver_plus_plus"), "remembers nothing"),
    ("no resamples", call("inpaint", X, KNOWN, resamples=0), "`resamples`.*0"),
    ("holes in other events", call("inpaint", X[:, :3], KNOWN[:3]), r"\(batch, 4\)"),
    ("a hole of NaN", call("inpaint", np.full_like(X, np.nan), KNOWN), "finite x"),
    ("strength zero", call("image_to_image", X, strength=0.0), r"`strength` in \(0, 1\].*0.0"),
    ("strength above one", call("image_to_image", X, strength=1.5), "`strength`.*1.5"),
    ("strength as text", call("image_to_image", X, strength="weak"), "`strength`.*weak"),
    ("strength below all times", call("image_to_image", X, strength=1e-6), "times up to strength"),
    ("no steps from an image", call("image_to_image", X, steps=0), "`steps`.*0"),
    # Densities.
    ("an unknown method", call("log_prob", X, method="exact"), "`method`.*'exact'"),
    ("an unknown trace", call("log_prob", X, method="flow", trace="skilling"), "`trace`.*'skilling'"),
    ("no tolerance", call("log_prob", X, method="flow", rtol=0.0), "`rtol`.*0"),
    ("a bound of no steps", call("log_prob", X, steps=0), "`steps`.*0"),
    ("no draws", call("log_prob", X, num_samples=0), "`num_samples`.*0"),
    ("no draws of the flow", call("log_prob", X, method="flow", num_samples=0), "`num_samples`.*0"),
    ("terms of a longer chain", call("bound_terms", X, steps=11, model="chain"), "at most 10 steps.*11"),
    # Pairs.
    ("pairs by chance", call("pairs", 2, sampler="ancestral", model="rectified flow"), "without noise.*Ancestral"),
    ("no pairs", call("pairs", 0, model="rectified flow"), "`n` as a positive integer"),
]
