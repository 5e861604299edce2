"""Recipes: the diffusion models of the literature, by their choices.

| | schedule | predicts | weights | sampler |
|---|---|---|---|---|
| `DDPM` | 1000 linear betas | epsilon | simple | ancestral, large variance, all times |
| `ImprovedDDPM` | 1000 cosine | epsilon, variances | simple, and the bound | ancestral, learned variance |
| `ScoreSDE` | VP, sub-VP or VE | score | likelihood's simple form | predictor and corrector |
| `EDM` | Karras et al.'s sigma | edm | edm | Heun, 18 times |
"""

import keras

from keras_gen import diffusion
from keras_gen.models.diffusion.base import DiffusionModel


@keras.saving.register_keras_serializable(package="keras_gen")
class DDPM(DiffusionModel):
    """Ho et al.'s model: a chain of 1000 linear betas, the mean square of epsilon, every time in sampling.

    Args:
        event_shape, network: as in `DiffusionModel`.
        schedule: default `LinearBeta()`; for a chain of T other than 1000, betas 1000 / T times as large.
        sampler: default `Ancestral("large")`.
        steps: times of `sample`, default all of the chain.
        **kwargs: as in `DiffusionModel`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen import diffusion
        >>> from keras_gen.models import DDPM
        >>> from keras_gen.networks import DenoisingMLP
        >>> chain = diffusion.LinearBeta(10, 0.01, 0.9)
        >>> model = DDPM((2,), DenoisingMLP((2,), hidden=(16,)), schedule=chain, seed=0)
        >>> model.compile(keras.optimizers.Adam(1e-3))
        >>> history = model.fit(np.zeros((64, 2)), verbose=0)
        >>> model.sample(4, seed=0).shape
        (4, 2)

    Reference:
        Ho, Jain, Abbeel 2020, arXiv:2006.11239, sections 3 and 4; their average decays by 0.9999.
    """

    def __init__(
        self, event_shape, network=None, *, schedule="linear_beta", parametrisation="epsilon", weighting="simple",
        sampler=None, steps=None, **kwargs,
    ):  # fmt: skip
        schedule = diffusion.get_schedule(schedule)
        super().__init__(
            event_shape, network, schedule=schedule, parametrisation=parametrisation, weighting=weighting,
            sampler=sampler or diffusion.Ancestral("large"), steps=steps or schedule.steps or 1000, **kwargs,
        )  # fmt: skip


@keras.saving.register_keras_serializable(package="keras_gen")
class ImprovedDDPM(DiffusionModel):
    """Nichol and Dhariwal's model: a chain of the cosine schedule, epsilon and the variances learned, few steps.

    Args:
        event_shape, network: as in `DiffusionModel`; a network of one's own gives twice the channels.
        schedule: default `Discrete(Cosine(), 1000)`.
        sampler: default `Ancestral("learned")`.
        steps: times of `sample`, default 100.
        **kwargs: as in `DiffusionModel`.

    Example:
        >>> from keras_gen.models import ImprovedDDPM
        >>> from keras_gen.networks import DenoisingMLP
        >>> model = ImprovedDDPM((2,), DenoisingMLP((2,), hidden=(16,), out_channels=4), steps=5, seed=0)
        >>> model.sample(4, seed=0).shape
        (4, 2)

    Reference:
        Nichol, Dhariwal 2021, arXiv:2102.09672, equations 15 to 17. Times are drawn uniformly: their L_hybrid.
    """

    def __init__(
        self, event_shape, network=None, *, schedule=None, parametrisation="epsilon", weighting="simple", sampler=None,
        steps=100, learned_variance=True, **kwargs,
    ):  # fmt: skip
        super().__init__(
            event_shape, network, schedule=schedule or diffusion.Discrete(diffusion.Cosine(), 1000),
            parametrisation=parametrisation, weighting=weighting, sampler=sampler or diffusion.Ancestral("learned"),
            steps=steps, learned_variance=learned_variance, **kwargs,
        )  # fmt: skip


@keras.saving.register_keras_serializable(package="keras_gen")
class ScoreSDE(DiffusionModel):
    """Song et al.'s model: the score in continuous time, sampled by predictor and corrector.

    Args:
        event_shape, network: as in `DiffusionModel`.
        schedule: "variance_preserving" (default), "sub_variance_preserving", "variance_exploding", or a schedule.
        sampler: default `PredictorCorrector()`.
        steps: times of `sample`, default 500, each one a step of the predictor and one of the corrector.
        **kwargs: as in `DiffusionModel`.

    Example:
        >>> from keras_gen.models import ScoreSDE
        >>> from keras_gen.networks import DenoisingMLP
        >>> model = ScoreSDE((2,), DenoisingMLP((2,), hidden=(16,)), schedule="variance_exploding", steps=5, seed=0)
        >>> model.sample(4, seed=0).shape, model.log_prob([[0.0, 1.0]], method="flow", rtol=1e-2, atol=1e-2).shape
        ((4, 2), (1,))

    Reference:
        Song et al. 2021, arXiv:2011.13456, equations 7, 29 to 33, algorithm 1. Weighted so that the errors of sigma
        times the score count alike, as there.
    """

    def __init__(
        self, event_shape, network=None, *, schedule="variance_preserving", parametrisation="score", weighting="simple",
        sampler="predictor_corrector", steps=500, **kwargs,
    ):  # fmt: skip
        super().__init__(
            event_shape, network, schedule=schedule, parametrisation=parametrisation, weighting=weighting,
            sampler=sampler, steps=steps, **kwargs,
        )  # fmt: skip


@keras.saving.register_keras_serializable(package="keras_gen")
class EDM(DiffusionModel):
    """Karras et al.'s model: preconditioned, noise levels log-normal in training, Heun's method.

    Args:
        event_shape, network: as in `DiffusionModel`.
        schedule: default `EDMSigma()`.
        weighting: default "edm", `EDMLogNormal()` with the model's `data_scale`.
        sampler: default `Heun()`.
        steps: times of `sample`, default 18: 35 evaluations.
        **kwargs: as in `DiffusionModel`.

    Example:
        >>> from keras_gen.models import EDM
        >>> from keras_gen.networks import DenoisingMLP
        >>> model = EDM((2,), DenoisingMLP((2,), hidden=(16,)), seed=0)
        >>> model.sample(4, seed=0).shape
        (4, 2)

    Reference:
        Karras et al. 2022, arXiv:2206.00364, table 1, column "Ours", algorithm 1.
    """

    def __init__(
        self, event_shape, network=None, *, schedule="edm", parametrisation="edm", weighting="edm", sampler="heun",
        steps=18, **kwargs,
    ):  # fmt: skip
        super().__init__(
            event_shape, network, schedule=schedule, parametrisation=parametrisation, weighting=weighting,
            sampler=sampler, steps=steps, **kwargs,
        )  # fmt: skip
