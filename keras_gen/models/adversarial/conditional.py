"""Conditional GANs: samples of p(x given c), by three ways to tell the discriminator of the condition c.

The generator sees c beside z: y = G(z, c). With f the discriminator's features and D(x) = w f(x) + b its score,

    concatenation    D(x, c) sees c beside x                                   (Mirza and Osindero 2014, eq. 2)
    projection       D(x, c) = w f(x) + b + (V c) . f(x)                       (Miyato and Koyama 2018, eq. 8)
    auxiliary        D(x) sees no c, and a head C(c | x) = softmax(U f(x) + u) classifies     (Odena et al. 2017)

In the first two, c being right for x is part of being real. Projection is what the best score looks like where
p(c | x) is a softmax of features: log p/q (x, c) = log p/q (c | x) + log p/q (x), its first term linear in c. In the
third the class joins both players' losses, minus its log-likelihood: of data and of fakes for the discriminator,

    r = - weight (log C(c | x) + log C(c' | y)),    and of fakes for the generator,    r = - weight log C(c' | y),

which rewards fakes that are easy to classify: they lie farther from the borders between classes than data do.

Conditions c' of fakes must come from p(c): they are those of the batch, or labels drawn from `class_probabilities`.

Reference:
    M. Mirza, S. Osindero, "Conditional generative adversarial nets", arXiv:1411.1784 (2014).
    T. Miyato, M. Koyama, "cGANs with projection discriminator", arXiv:1802.05637 (2018).
    A. Odena, C. Olah, J. Shlens, "Conditional image synthesis with auxiliary classifier GANs", arXiv:1610.09585 (2017),
    section 3: L_S and L_C.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import losses
from keras_gen.models import inputs
from keras_gen.models.adversarial.features import FeatureGAN
from keras_gen.models.adversarial.gan import GAN

CONDITIONS = ("concatenation", "projection", "auxiliary")


@keras.saving.register_keras_serializable(package="keras_gen")
class ConditionalGAN(FeatureGAN):
    """A GAN of p(x given a label, vector or image); `model(x, y)` is the discriminator's score.

    Args:
        event_shape, latent_dim: as of `GAN`.
        condition: `"projection"` (default), `"concatenation"` or `"auxiliary"` (labels only).
        num_classes, condition_shape: the condition, one of the two; at least two classes.
        class_probabilities: p(c) from which fakes take their labels, `(num_classes,)`. Default None: the labels of the
            batch. Penalties must then be of data alone (`R1`, `DRAGAN`) where D sees the label.
        class_weight: weight of the classifier's terms under `"auxiliary"`, default 1, the paper's.
        **kwargs: as of `GAN`. Of a discriminator of your own `"projection"` and `"auxiliary"` need `features` and
            `output_map`, as `networks.DCGANDiscriminator` has them.

    Logs of `"auxiliary"`: `classification`, minus the log-likelihood of the labels of data and fakes (nats), and
    `class_accuracy`, the share of data whose label has the largest probability.

    Raises:
        ValueError: no condition, one class only (in the arguments, or in the labels of `fit`), an unknown `condition`,
            probabilities that are none; see also `GAN`.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import ConditionalGAN
        >>> model = ConditionalGAN((2,), latent_dim=2, num_classes=3, seed=0)
        >>> model.compile("adam")
        >>> history = model.fit(np.ones((30, 2)), np.arange(30) % 3, verbose=0)
        >>> model.sample(3, np.array([0, 1, 2]), seed=0).shape
        (3, 2)

    Reference:
        Mirza and Osindero 2014, arXiv:1411.1784, eq. 2; Miyato and Koyama 2018, arXiv:1802.05637, eq. 8; Odena et al.
        2017, arXiv:1610.09585, section 3.
    """

    def __init__(
        self, event_shape, latent_dim=64, *, condition="projection", num_classes=None, condition_shape=None,
        class_probabilities=None, class_weight=1.0, **kwargs,
    ):  # fmt: skip
        if condition not in CONDITIONS:
            raise ValueError(f"Expected `condition` as one of {CONDITIONS}. Received: {condition!r}.")
        _check_kind(condition, num_classes, condition_shape)
        self.condition_kind, self.class_weight = condition, _check_weight(class_weight)
        super().__init__(event_shape, latent_dim, num_classes=num_classes, condition_shape=condition_shape, **kwargs)
        self.class_probabilities = check_probabilities(class_probabilities, self.num_classes)
        if self.class_probabilities is not None and condition != "auxiliary":
            _check_penalties(self.penalties)
        self.head = self._head()

    @property
    def uses_features(self):
        return self.condition_kind != "concatenation"

    def _head(self):
        """V of the projection, U and u of the classifier."""
        if self.condition_kind == "concatenation":
            return None
        if self.condition_kind == "auxiliary":
            return keras.layers.Dense(self.num_classes, dtype=self.dtype_policy, name="classifier")
        units = self.feature_units()
        return keras.layers.Dense(units, use_bias=False, dtype=self.dtype_policy, name="condition_embedding")

    @property
    def players(self):
        heads = [] if self.head is None else [self.head]
        return {"generator": self.generator, "discriminator": [self.discriminator, *heads]}

    def judged(self, x, condition=None, training=False):
        if self.condition_kind == "concatenation":
            return None, GAN.score(self, x, condition, training)
        features, score = super().judged(x, training=training)
        if self.condition_kind == "projection":
            c = self.condition_encoder(condition)
            v = self.head(ops.reshape(c, (-1, math.prod(c.shape[1:]))))
            score = score + ops.sum(ops.cast(v, score.dtype) * ops.cast(features, score.dtype), axis=-1)
        return features, score

    def fake_condition(self, batch):
        if self.class_probabilities is None:
            return batch.condition
        u = self.noise.uniform((ops.shape(batch.x)[0], 1), dtype="float32")
        steps = np.cumsum(self.class_probabilities)[None, :-1].astype("float32")
        return ops.sum(ops.cast(ops.greater_equal(u, steps), "int32"), axis=-1)

    def extra_terms(self, z, condition, features, real_condition=None, real_features=None):
        if self.condition_kind != "auxiliary":
            return {"loss": 0.0}
        nll, _ = self._classified(features, condition)
        if real_features is None:
            return {"loss": self.class_weight * nll}
        real_nll, correct = self._classified(real_features, real_condition)
        loss = self.class_weight * (nll + real_nll)
        return {"loss": loss, "classification": nll + real_nll, "class_accuracy": correct}

    def _classified(self, features, labels):
        """-log C(c | x) in nats and whether c is the likeliest class, each `(batch,)`."""
        log_c = ops.log_softmax(ops.cast(self.head(features), self.real_dtype), axis=-1)
        nll = -ops.sum(ops.one_hot(labels, self.num_classes, dtype=log_c.dtype) * log_c, axis=-1)
        likeliest = ops.cast(ops.argmax(log_c, axis=-1), "int32")
        return nll, ops.cast(likeliest == ops.cast(labels, "int32"), log_c.dtype)

    def fit(self, x=None, y=None, *args, **kwargs):
        """As `GenerativeModel.fit`; labels must be of two classes at least."""
        if self.num_classes is not None and inputs.is_array(y) and len(np.unique(inputs.to_numpy(y, "y"))) == 1:
            raise ValueError(
                f"Expected y of two classes at least: {type(self).__name__} learns what tells them apart. "
                "Received: one class only. Use `GAN` for data of one class."
            )
        return super().fit(x, y, *args, **kwargs)

    def get_config(self):
        own = {"condition": self.condition_kind, "class_weight": self.class_weight}
        return {**super().get_config(), **own, "class_probabilities": self.class_probabilities}


def _check_kind(condition, num_classes, condition_shape):
    if num_classes is None and condition_shape is None:
        raise ValueError(
            "Expected `num_classes` (labels) or `condition_shape` (vectors, images). Received neither. "
            "Use `GAN` for data without a condition."
        )
    if num_classes == 1:
        raise ValueError("Expected `num_classes` of 2 at least. Received: one class only. Use `GAN` for such data.")
    if condition == "auxiliary" and num_classes is None:
        raise ValueError("Expected `num_classes` with condition='auxiliary', which classifies labels. Received none.")


def _check_weight(weight):
    number = isinstance(weight, (int, float, np.number)) and not isinstance(weight, bool)
    if not number or not 0 <= weight < math.inf:
        raise ValueError(f"Expected `class_weight` as a finite number >= 0. Received: {weight!r}.")
    return float(weight)


def check_probabilities(probabilities, num_classes):
    """None, or a list of `num_classes` numbers >= 0 of sum 1."""
    if probabilities is None:
        return None
    p = np.asarray(probabilities, "float64") if num_classes is not None else None
    if p is None or p.shape != (num_classes,) or not (p >= 0).all() or abs(p.sum() - 1.0) > 1e-4:
        raise ValueError(
            f"Expected `class_probabilities` as num_classes={num_classes} numbers >= 0 of sum 1. "
            f"Received: {probabilities!r}."
        )
    return [float(value) for value in p / p.sum()]


def _check_penalties(penalties):
    """Penalties at fakes would score a fake under a label of the data."""
    of_data = (losses.R1, losses.DRAGAN)
    if any(not isinstance(p, of_data) or isinstance(p, losses.R2) for p in penalties):
        raise ValueError(
            "Expected penalties of data alone, `R1` or `DRAGAN`, with `class_probabilities`: fakes have labels of "
            f"their own. Received: {[type(p).__name__ for p in penalties]}. Leave out `class_probabilities` otherwise."
        )
