"""CycleGAN: two sets of images without pairs, and a translation each way that leads back to where it began.

With images a and b of the two domains, generators B(a), which makes a b, and A(b), which makes an a, discriminators D_a
and D_b of patches, and an adversarial game (d, g) of `keras_gen.losses`,

    discriminators:    E d(D_a(a), D_a(A~)) + E d(D_b(b), D_b(B~))
    generators:        adversarial_weight (E g(D_a(A(b))) + E g(D_b(B(a))))
                       + cycle_weight [E |A(B(a)) - a| + E |B(A(b)) - b|
                                       + identity_weight (E |A(a) - a| + E |B(b) - b|)]

| | being the mean over pixels and channels and A~, B~ the fakes that `image_pool` shows. The game alone lets B map any
a to any b that looks right; the cycle, that the way back must find a, keeps what a shows. The identity term keeps
colours, where both domains have the same channels (Zhu et al. 2017, equations 2 and 3, section 5.2).

The defaults are the paper's: least squares, with adversarial_weight 2, since g is (D - 1)^2 / 2 in `losses` and
(D - 1)^2 there, cycle_weight 10, identity_weight 0.5, pools of 50 images. One player moves both generators, whose loss
is one sum, and one both discriminators, whose losses do not touch each other: for an optimizer that takes variables one
by one, as Adam does, it is the same as two.

Deviations: the discriminators' turn is first, as in all games here, and A~, B~ are made anew for it; both domains weigh
the same in the identity term, as in the authors' program; instance normalisation has a gain and a shift.

Reference:
    J. Zhu, T. Park, P. Isola, A. A. Efros, "Unpaired image-to-image translation using cycle-consistent adversarial
    networks", arXiv:1703.10593 (2017), equations 1 to 3, sections 4 and 5.2, appendix 7.1.
"""

import functools

import keras
from keras import ops

from keras_gen import backend, losses, networks, random
from keras_gen.models import inputs
from keras_gen.models.adversarial.checks import (
    as_scores,
    check_network,
    check_not_negative,
    per_example,
    warn_of_bounded_scores,
    warn_of_range,
    warn_of_unheld_critic,
)
from keras_gen.models.adversarial.image_pool import ImagePool
from keras_gen.models.adversarial.unpaired import Unpaired, batch_of, check_images
from keras_gen.models.averaging import average_network, check_average, step_counter, update_average
from keras_gen.models.base import GenerativeModel
from keras_gen.models.latent import apply_network

DIRECTIONS = ("a2b", "b2a")


@keras.saving.register_keras_serializable(package="keras_gen")
class CycleGAN(Unpaired, GenerativeModel):
    """Translations between two domains a and b, learned without pairs.

    `fit(a, b)` takes arrays of any two lengths, or `fit(datasets.UnpairedBatches(a, b, batch_size))`. `translate` takes
    images of any height and width. `sample(n, condition=b)` is `translate(b, "b2a")`, for any seed. `model(a, b)` is a
    there and back, A(B(a)), so that `metrics=["mae"]` tells how well the way back is found.

    Players: `"generators"`, `"discriminators"`.

    Args:
        event_shape: `(height, width, channels)` of the images a in training.
        condition_shape: of the images b, of the same height and width; default as of a.
        generators: `(B, A)`, the networks a2b and b2a; default two `networks.TranslationResNet`.
        discriminators: `(D_a, D_b)`, to scores `(batch, 1)` or of patches `(batch, h, w, 1)`; default two
            `networks.PatchDiscriminator`, of patches up to the size of the images.
        loss: name of a `losses.ADVERSARIAL_LOSSES`, or an `AdversarialLoss`. Default "least_squares".
        adversarial_weight: default 2.0, see above.
        cycle_weight: default 10.0.
        identity_weight: of the identity term, as a share of `cycle_weight`; default 0.5, or 0 where the channels of a
            and b differ.
        pool_size: former fakes that are kept of each domain, default 50; 0: none.
        average: decay of average generators, which then translate; default None, as in the paper.
        seed: of the pools' draws.
        name, dtype: as in `keras.Model`.

    Raises:
        ValueError: events that are no images or differ in size, labels, weights below 0, an identity term between
            domains of different channels, networks whose shapes do not fit; in `fit`, one domain only, sample weights.

    Warns:
        UserWarning: images beyond the bounds of the generators' last activation.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gen.models import CycleGAN
        >>> from keras_gen.networks import PatchDiscriminator, TranslationResNet
        >>> shape, epochs, rate = (8, 8, 1), 4, 2e-4
        >>> generators = [TranslationResNet(shape, filters=4, blocks=1) for _ in range(2)]
        >>> discriminators = [PatchDiscriminator((4,)) for _ in range(2)]
        >>> model = CycleGAN(shape, generators=generators, discriminators=discriminators, pool_size=4, seed=0)
        >>> model.compile(keras.optimizers.Adam(rate, beta_1=0.5))

        The paper's rate is constant for half of the epochs, then falls linearly:

        >>> fall = keras.callbacks.LearningRateScheduler(lambda e: rate * min(1.0, 2.0 * (epochs - e) / epochs))
        >>> a, b = np.zeros((5, 8, 8, 1)), np.ones((3, 8, 8, 1))
        >>> history = model.fit(a, b, batch_size=2, epochs=epochs, callbacks=[fall], verbose=0)
        >>> model.translate(np.zeros((2, 11, 14, 1)), "a2b").shape
        (2, 11, 14, 1)

    Reference:
        Zhu et al. 2017, arXiv:1703.10593, equation 3.
    """

    def __init__(
        self, event_shape, condition_shape=None, *, generators=None, discriminators=None, loss="least_squares",
        adversarial_weight=2.0, cycle_weight=10.0, identity_weight=None, pool_size=50, average=None, seed=None,
        **kwargs,
    ):  # fmt: skip
        if kwargs.pop("num_classes", None) is not None:
            raise ValueError("Expected images of two domains for CycleGAN. Received: num_classes, labels.")
        super().__init__(event_shape, condition_shape=condition_shape or event_shape, **kwargs)
        _check_shapes(self.event_shape, self.condition_shape)
        self.adversarial_weight = check_not_negative(adversarial_weight, "adversarial_weight")
        self.cycle_weight = check_not_negative(cycle_weight, "cycle_weight")
        self.identity_weight = _check_identity(identity_weight, self.event_shape, self.condition_shape)
        self.average = check_average(average, self.variable_dtype)
        self.generators = _check_pair(generators, "generators") or self._default_generators()
        self.discriminators = _check_pair(discriminators, "discriminators") or self._default_discriminators()
        self.loss_name, self.game = loss, losses.get_adversarial_loss(loss)
        for discriminator in self.discriminators:
            warn_of_bounded_scores(discriminator, self.game)
            warn_of_unheld_critic(discriminator, self.game, (), None)
        self.seed, self.noise = seed, random.Noise(seed)
        self.pool_size = 0 if pool_size == 0 and pool_size is not False else inputs.check_count(pool_size, "pool_size")
        self.pools = self._make_pools() if self.pool_size else []
        self.average_generators = []
        self.steps = step_counter(self)

    def _default_generators(self):
        shapes = {"a2b": self.condition_shape, "b2a": self.event_shape}
        return [networks.TranslationResNet(s, dtype=self.dtype_policy, name=name) for name, s in shapes.items()]

    def _default_discriminators(self):
        filters = networks.default_patch_filters(self.event_shape)
        names = ("discriminator_a", "discriminator_b")
        return [networks.PatchDiscriminator(filters, dtype=self.dtype_policy, name=name) for name in names]

    def _make_pools(self):
        shapes = {"pool_a": self.event_shape, "pool_b": self.condition_shape}
        return [ImagePool(self.pool_size, s, dtype=self.real_dtype, name=name) for name, s in shapes.items()]

    def build(self, input_shape=None):
        if self.built:
            return
        super().build(input_shape)
        if self.average is not None:
            names = [f"average_{d}" for d in DIRECTIONS]
            self.average_generators = [average_network(*g) for g in zip(self.generators, names, strict=True)]

    @property
    def players(self):
        return {"generators": list(self.generators), "discriminators": list(self.discriminators)}

    # The networks as functions of tensors.

    def to_b(self, a, training=False, network=None):
        """B(a), in float32 at least."""
        return self._made(network or self.generators[0], a, self.condition_shape[-1], training)

    def to_a(self, b, training=False, network=None):
        """A(b), in float32 at least."""
        return self._made(network or self.generators[1], b, self.event_shape[-1], training)

    def _made(self, network, x, channels, training):
        y = apply_network(network, x, training=training)
        expected = (*x.shape[1:3], channels)
        pairs = [(m, n) for m, n in zip(y.shape[1:], expected, strict=False) if None not in (m, n)]
        if len(y.shape) != 4 or any(m != n for m, n in pairs):
            raise ValueError(
                f"Expected a generator with output (batch, *{expected}) of images (batch, *{tuple(x.shape[1:])}). "
                f"Received: {tuple(y.shape)} from {network.name!r}."
            )
        return ops.cast(y, self.real_dtype)

    def scores(self, a, b, training=False):
        """D_a(a) and D_b(b), each `(batch,)` or `(batch, patches)`."""
        pairs = zip(self.discriminators, (a, b), strict=True)
        scores = [apply_network(network, x, training=training) for network, x in pairs]
        return [as_scores(s, self.real_dtype, patches=True) for s in scores]

    def translated(self, images, direction):
        """Tensors of one domain as of the other, by the average generators if there are any."""
        k = DIRECTIONS.index(direction)
        network = self.average_generators[k] if self.average_generators else None
        return (self.to_b, self.to_a)[k](self._event(images), network=network)

    def _translated(self, images, direction, training):
        """As `translated`, in training by the generators themselves."""
        if not training:
            return self.translated(images, direction)
        return (self.to_b, self.to_a)[DIRECTIONS.index(direction)](images, training)

    def call(self, x, condition=None, training=False):
        """a there and back, A(B(a)): `(batch, *event_shape)`."""
        return self.translated(self.translated(x, "a2b"), "b2a")

    # Training.

    def check_support(self, x):
        """Warn of images a that A cannot make."""
        warn_of_range(x, self.generators[1])

    def update(self, batch):
        a, b = batch.x, self._event(batch.condition)
        fakes = backend.no_grad(lambda: (self.to_a(b, training=True), self.to_b(a, training=True)))
        fakes = [pool.show(x, self.noise) for pool, x in zip(self.pools, fakes, strict=True)] if self.pools else fakes
        logs = self.minimize(lambda: self.discriminator_terms((a, b), fakes, training=True), "discriminators", batch)
        logs |= self.minimize(lambda: self.generator_terms((a, b), training=True), "generators", batch)
        for k, average in enumerate(self.average_generators):
            update_average(average, self.generators[k], self.average, self.steps)
        self.steps.assign(self.steps + 1)
        return logs

    def discriminator_terms(self, real, fake, training=False):
        """The discriminators' loss of pairs (a, b), and mean scores: a dict of `(batch,)`."""
        scores = self.scores(*real, training), self.scores(*fake, training)
        d = [per_example(self.game.discriminator(*pair)) for pair in zip(*scores, strict=True)]
        names = ("real_score_a", "real_score_b", "fake_score_a", "fake_score_b")
        logs = dict(zip(names, map(per_example, (*scores[0], *scores[1])), strict=True))
        return {"loss": d[0] + d[1], **logs}

    def generator_terms(self, real, training=False):
        """The generators' loss of (a, b), and its parts without weights, a dict of `(batch,)`.

        Outside of training it is that of the generators that translate, the average ones if there are any.
        """
        a, b = real
        to_b, to_a = (functools.partial(self._translated, direction=d, training=training) for d in DIRECTIONS)
        fake_a, fake_b = to_a(b), to_b(a)
        real_scores = self.scores(a, b, training) if self.game.needs_real else (None, None)
        g = map(self.game.generator, real_scores, self.scores(fake_a, fake_b, training))
        terms = dict(zip(("adversarial_a", "adversarial_b"), map(per_example, g), strict=True))
        error = losses.absolute_error
        terms["cycle"] = error(to_a(fake_b), a) + error(to_b(fake_a), b)
        loss = self.adversarial_weight * (terms["adversarial_a"] + terms["adversarial_b"])
        loss = loss + self.cycle_weight * terms["cycle"]
        if self.identity_weight:
            terms["identity"] = error(to_a(a), a) + error(to_b(b), b)
            loss = loss + self.cycle_weight * self.identity_weight * terms["identity"]
        return {"loss": loss, **terms}

    def objective(self, x, condition=None, training=False):
        """Losses of both players, of the generators that translate, for `evaluate`: `loss` is theirs; without pools."""
        real = x, self._event(condition)
        d = self.discriminator_terms(real, (self.translated(real[1], "b2a"), self.translated(x, "a2b")))
        g = self.generator_terms(real)
        own = {"loss": g["loss"], "generators_loss": g["loss"], "discriminators_loss": d["loss"]}
        return {**d, **g, **own}

    # Samples.

    def generate(self, keys, condition=None, temperature=1.0):
        """A(b): the same for all keys."""
        return self.translated(condition, "b2a")

    def translate(self, images, direction, *, batch_size=None, verbose="auto"):
        """Images of one domain as of the other.

        Args:
            images: `(n, height, width, channels)` of any height and width, floats of the range of training.
            direction: "a2b" or "b2a".
            batch_size: images computed at once; default as many as have 2^20 pixels.
            verbose: as in `sample`.

        Returns:
            numpy array `(n, height, width, channels of the other domain)`.

        Raises:
            ValueError: another direction; an array that is no such images.
        """
        if direction not in DIRECTIONS:
            raise ValueError(f"Expected `direction` as one of {DIRECTIONS}. Received: {direction!r}.")
        shape = self.event_shape if direction == "a2b" else self.condition_shape
        images = check_images(images, shape[-1]).astype(self.real_dtype)
        batch_size = batch_of(images.shape[1:]) if batch_size is None else batch_size
        run = self._compiled(direction, lambda images: self.translated(images, direction))
        return self._in_batches(run, {"images": images}, {}, batch_size, verbose)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        own = ("adversarial_weight", "cycle_weight", "identity_weight", "pool_size", "average", "seed")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in own},
            "generators": [serialize(g) for g in self.generators],
            "discriminators": [serialize(d) for d in self.discriminators],
            "loss": self.loss_name if isinstance(self.loss_name, str) else serialize(self.loss_name),
        }


def _check_shapes(a, b):
    if len(a) != 3 or len(b) != 3 or a[:2] != b[:2]:
        raise ValueError(
            "Expected `event_shape` and `condition_shape` as (height, width, channels) of one height and width, that "
            f"of training. Received: {a} and {b}. Cut or resize the images; `translate` takes any size."
        )


def _check_identity(weight, a, b):
    if weight is None:
        return 0.5 if a == b else 0.0
    if check_not_negative(weight, "identity_weight") and a != b:
        raise ValueError(
            f"Expected `identity_weight=0` between domains of {a[-1]} and {b[-1]} channels: a generator cannot take "
            f"images of its own domain. Received: {weight}."
        )
    return float(weight)


def _check_pair(pair, name):
    """None, or a list of two different networks."""
    if pair is None:
        return None
    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or pair[0] is pair[1]:
        raise ValueError(f"Expected `{name}` as two different networks, or None. Received: {pair!r}.")
    return [check_network(network, name) for network in pair]

