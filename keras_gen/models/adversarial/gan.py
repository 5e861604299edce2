"""Generative adversarial networks: any pair of networks, any objective, any penalties.

A generator G turns noise z ~ N(0, I) into fakes y = G(z); a discriminator D scores data x and fakes. The players
minimise in turn (Goodfellow et al. 2014, algorithm 1; `keras_gen.losses` has the losses d and g and the penalties P)

    discriminator, K times:    E d(D(x), D(y)) + sum_i weight_i E P_i(D; x, y)
    generator:                 E g(D(x), D(y))

each step on fresh data: a batch of `fit` is cut into K parts, one a step of the discriminator; the generator makes as
many fakes as the last part has examples. With a condition c both networks see it, and fakes get the conditions of the
batch, draws from p(c).

A discriminator may score patches, an image of scores D_p(x): then E is also over the patches p, of the losses d and g
of each (the least squares of a mean are not the mean of least squares), while penalties, logs and `model(x)` take the
mean score of an example.

Samples come from the average generator (`averaging`), or from the last one. Truncated at t, each z_j is a normal number
given |z_j| <= t: z' = sqrt(2) erfinv(erf(t / sqrt(2)) erf(z / sqrt(2))) of the z that is drawn, so that z' -> z as t
grows. Samples vary less, and look better where those far from the mean do not (Brock et al. 2019).
"""

import math

import keras
import numpy as np
from keras import ops

from keras_gen import backend, layers, losses, networks, random
from keras_gen.models import inputs
from keras_gen.models.adversarial.checks import (
    as_scores,
    check_network,
    check_parts,
    check_penalties,
    check_positive,
    per_example,
    warn_of_bounded_scores,
    warn_of_normalised_gradients,
    warn_of_range,
    warn_of_unheld_critic,
)
from keras_gen.models.adversarial.projection import descend, nearest_draw, squared_distance
from keras_gen.models.averaging import average_network, check_average, step_counter, update_average
from keras_gen.models.base import GenerativeModel
from keras_gen.models.latent import LatentModel, apply_network
from keras_gen.models.players import player_variables


@keras.saving.register_keras_serializable(package="keras_gen")
class GAN(GenerativeModel):
    """A generator and a discriminator, trained against each other by any objective.

    `compile` takes an optimizer for both or one a player, `{"generator": ..., "discriminator": ...}`. `model(x)` is the
    discriminator's score, `(batch,)`. There is no likelihood.

    Args:
        event_shape: shape of one example.
        latent_dim: dimension of z, default 64.
        generator: network z -> x, `(batch, latent_dim)` to `(batch, *event_shape)`; default by the shape of the data:
            that of DCGAN for images, dense layers for vectors.
        discriminator: network x -> score, `(batch, 1)` or `(batch,)`, or `(batch, h, w, 1)` of patches, without a
            sigmoid; default likewise.
        loss: name of a `losses.ADVERSARIAL_LOSSES`, or an `AdversarialLoss`. Default "non_saturating".
        penalties: a `losses.Penalty` or a list of them. Default none.
        discriminator_steps: K, default 1.
        clip: weights of the discriminator are clipped to [-clip, clip] after each of its steps (WGAN). Default None.
        average: decay of the average generator, default 0.999; None: samples come from the generator itself. Weights
            of half precision cannot hold one.
        augment: a layer that augments data and fakes before the discriminator sees them, differentiable. Default None.
        num_classes, condition_shape: a condition, as in `GenerativeModel`.
        seed: of the training noise.

    Raises:
        ValueError: networks whose shapes do not fit, an unknown loss, `discriminator_steps` < 1; in `fit`, a batch of
            fewer examples than `discriminator_steps`.

    Warns:
        UserWarning: a discriminator that ends in a sigmoid, or the like, under a loss that reads logits; one with batch
            normalisation beside a penalty; one that nothing holds 1-Lipschitz under the Wasserstein loss; in `fit`,
            arrays beyond the bounds of the generator's last activation.

    Example:
        >>> import numpy as np
        >>> from keras_gen.models import GAN
        >>> model = GAN((2,), latent_dim=2, loss="hinge", seed=0)
        >>> model.compile("adam")
        >>> history = model.fit(np.ones((32, 2)), verbose=0)
        >>> sorted(history.history)
        ['discriminator_loss', 'fake_score', 'generator_loss', 'real_score']
        >>> model.sample(3, seed=0).shape
        (3, 2)

    Reference:
        Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1; the average: Yazici et al. 2019, arXiv:1806.04498;
        truncation: Brock et al. 2019, arXiv:1809.11096, section 3.1.
    """

    def __init__(
        self,
        event_shape,
        latent_dim=64,
        *,
        generator=None,
        discriminator=None,
        loss="non_saturating",
        penalties=(),
        discriminator_steps=1,
        clip=None,
        average=0.999,
        augment=None,
        num_classes=None,
        condition_shape=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(event_shape, num_classes=num_classes, condition_shape=condition_shape, **kwargs)
        self.latent_dim = inputs.check_count(latent_dim, "latent_dim")
        self.penalties = check_penalties(penalties)
        self.generator = check_network(generator, "generator") or self.default_generator()
        self.discriminator = check_network(discriminator, "discriminator") or self.default_discriminator()
        self.loss_name, self.game = loss, losses.get_adversarial_loss(loss)
        warn_of_bounded_scores(self.discriminator, self.game)
        warn_of_normalised_gradients(self.discriminator, self.penalties)
        self.discriminator_steps = inputs.check_count(discriminator_steps, "discriminator_steps")
        self.clip = None if clip is None else check_positive(clip, "clip")
        warn_of_unheld_critic(self.discriminator, self.game, self.penalties, self.clip)
        self.average = check_average(average, self.variable_dtype)
        self.augment, self.seed = check_network(augment, "augment"), seed
        if self.conditional:
            self.condition_encoder = layers.ConditionEncoder(
                num_classes, condition_shape, flatten=False, dtype=self.dtype_policy
            )
        self.noise, self.test_noise = random.Noise(seed), random.Noise(seed)
        self.average_generator, self._turn = None, None
        self.steps = step_counter(self)

    def default_generator(self):
        """The generator where none is given."""
        return networks.default_generator(self.event_shape, dtype=self.dtype_policy)

    def default_discriminator(self):
        """The discriminator where none is given: beside a penalty without batch normalisation."""
        options = {"normalization": None} if self.penalties else {}
        return networks.default_discriminator(self.event_shape, dtype=self.dtype_policy, **options)

    def build(self, input_shape=None):
        if self.built:
            return
        if self.augment is not None and not self.augment.built:
            self.augment.build((None, *self.event_shape))
        super().build(input_shape)
        if self.average is not None:
            self.average_generator = average_network(self.generator, name="average_generator")

    # The two networks as functions of tensors.

    @property
    def players(self):
        return {"generator": self.generator, "discriminator": self.discriminator}

    def fake(self, z, condition=None, training=False, network=None):
        """G(z), or G(z, condition), in float32 at least: `(batch, *event_shape)`."""
        encoded = None if condition is None else self.condition_encoder(condition)
        y = apply_network(network or self.generator, z, encoded, training)
        if tuple(y.shape)[1:] != self.event_shape:
            raise ValueError(
                f"Expected a generator with output (batch, *{self.event_shape}). Received: {tuple(y.shape)}."
            )
        return ops.cast(y, self.real_dtype)

    def score(self, x, condition=None, training=False):
        """D(x), or D(x, condition), in float32 at least: `(batch,)`, or `(batch, patches)` where it scores patches."""
        encoded = None if condition is None else self.condition_encoder(condition)
        scores = apply_network(self.discriminator, x, encoded, training)
        return as_scores(scores, self.real_dtype, patches=True)

    def call(self, x, condition=None, training=False):
        """The discriminator's score, `(batch,)`."""
        return per_example(self.score(self._event(x), condition, training))

    def draw(self, n, noise=None):
        """z ~ N(0, I), `(n, latent_dim)`, from the training noise."""
        z = (noise or self.noise).normal((n, self.latent_dim), dtype="float32")
        return ops.cast(z, self.real_dtype)

    def seen(self, x):
        """What the discriminator sees of `x`: augmented, in training."""
        return x if self.augment is None else self.augment(x, training=True)

    # Training.

    def check_support(self, x):
        """Warn of data that the generator cannot make: beyond the bounds of its last activation."""
        warn_of_range(x, self.generator)

    def begin_epoch(self):
        """A batch of data without K examples is refused before the first step."""
        source = getattr(self._run.stream, "source", None)
        size, batch_size = getattr(source, "size", None), getattr(source, "batch_size", None)
        if size and batch_size and self._run.stream.steps >= source.length:
            check_parts(min(size, batch_size, size % batch_size or batch_size), self.discriminator_steps)

    def discriminator_terms(self, batch):
        """Dict of the discriminator's loss and what is logged with it, each `(batch,)`."""
        real, condition = self.seen(batch.x), batch.condition
        n = ops.shape(batch.x)[0]
        fake = self.seen(backend.no_grad(lambda: self.fake(self.draw(n), condition, training=True)))
        scores = [self.score(x, condition, training=True) for x in (real, fake)]
        return self.discriminator_losses(scores, real, fake, condition)

    def discriminator_losses(self, scores, real, fake, condition):
        """The objective of the `scores`, of data and of fakes, and the penalties: a dict of `(batch,)`."""
        loss = per_example(self.game.discriminator(*scores))
        terms = {"real_score": per_example(scores[0]), "fake_score": per_example(scores[1])}
        for i, penalty in enumerate(self.penalties):
            terms[_penalty_name(i, self.penalties)] = value = self._penalty(i, penalty, real, fake, condition, loss)
            loss = loss + value
        return {"loss": loss, **terms}

    def _penalty(self, i, penalty, real, fake, condition, like):
        """Its weight times its value; a lazy one is zero but in each `every`-th step, `every` times as large then."""
        turn = self.steps * self.discriminator_steps if self._turn is None else self._turn
        weight = penalty.weight(turn // self.discriminator_steps) if callable(penalty.weight) else penalty.weight
        weight = ops.cast(weight, like.dtype) * penalty.every

        def value():
            score = lambda x: per_example(self.score(x, condition, training=True))  # noqa: E731
            return weight * penalty.value(score, real, fake, self.noise)

        if penalty.every == 1:
            return value()
        return backend.when(turn % penalty.every == penalty.every - 1, value, ops.zeros_like(like))

    def generator_terms(self, batch):
        """Dict of the generator's loss, `(batch,)`."""
        n = ops.shape(batch.x)[0]
        fake = self.seen(self.fake(self.draw(n), batch.condition, training=True))
        scores = self.score(fake, batch.condition, training=True)
        real = None
        if self.game.needs_real:
            real = self.score(self.seen(batch.x), batch.condition, training=True)
        return {"loss": per_example(self.game.generator(real, scores))}

    def update(self, batch):
        return self.turns(batch, {"generator": self.generator_terms})

    def turns(self, batch, terms):
        """K turns of the discriminator, then one of each player of `terms`, a dict, player -> function of a batch.

        The discriminator's logs are the means of its K turns. Steps are counted by the model and not by an optimizer:
        a new `compile` goes on with the average, the schedules of penalties and the growth where they are.
        """
        logs = []
        for k, part in enumerate(self.split(batch, self.discriminator_steps)):
            self._turn = self.steps * self.discriminator_steps + k
            logs.append(self.minimize(lambda part=part: self.discriminator_terms(part), "discriminator", part))
            self._clip_weights()
        logs = {name: sum(log[name] for log in logs) / len(logs) for name in logs[0]}
        for player, fn in terms.items():
            logs |= self.minimize(lambda fn=fn: fn(part), player, part)
        self.end_step()
        return logs

    def end_step(self):
        """The average generator follows the generator, and the step is counted."""
        if self.average_generator is not None:
            update_average(self.average_generator, self.generator, self.average, self.steps)
        self.steps.assign(self.steps + 1)
        self._turn = None

    def _clip_weights(self):
        if self.clip is not None:
            for v in player_variables("discriminator", self.players["discriminator"]):
                v.assign(ops.clip(v.value, -self.clip, self.clip))

    def objective(self, x, condition=None, training=False):
        """Losses of both players as they are, for `evaluate`: `loss` is the discriminator's, without penalties."""
        n = ops.shape(x)[0]
        fake = self.fake(self.draw(n, self.test_noise), condition)
        scores = self.score(x, condition), self.score(fake, condition)
        d, g = (per_example(loss(*scores)) for loss in (self.game.discriminator, self.game.generator))
        logs = {"real_score": per_example(scores[0]), "fake_score": per_example(scores[1])}
        return {"loss": d, "discriminator_loss": d, "generator_loss": g, **logs}

    # Samples.

    def latents(self, keys, temperature=1.0, truncation=None):
        """z of the random `keys` `(n, 2)`, truncated at `truncation` and then scaled: `(n, latent_dim)`."""
        z = random.normal(keys, (self.latent_dim,))
        z = z if truncation is None else truncated(z, truncation)
        return ops.cast(temperature * z, self.real_dtype)

    def generate(self, keys, condition=None, temperature=1.0, truncation=None):
        return self.decoded(self.latents(keys, temperature, truncation), condition)

    def decoded(self, z, condition=None):
        """Samples of latents, by the average generator if there is one: `(batch, *event_shape)`."""
        return self.fake(z, condition, network=self.average_generator)

    decode, latent_shape = LatentModel.decode, LatentModel.latent_shape

    def sample(
        self, n, condition=None, *, truncation=None, seed=None, temperature=1.0, batch_size=None, verbose="auto"
    ):
        """Samples from the generator; arguments and result as in `GenerativeModel.sample`.

        Args:
            truncation: number > 0 that no |z_j| exceeds, default None: no bound. Less variety for better samples.

        Raises:
            ValueError: as there, and a truncation that is no positive number.
        """
        own = {"temperature": temperature, "batch_size": batch_size, "verbose": verbose}
        if truncation is None:
            return super().sample(n, condition, seed=seed, **own)
        check_positive(truncation, "truncation")
        keys = ops.convert_to_numpy(random.keys(inputs.check_seed(seed), inputs.check_count(n, "n")))
        condition = inputs.check_condition(self, self._repeat(condition, n), n)
        numbers = {"temperature": inputs.check_temperature(temperature), "truncation": truncation}
        extra = {name: np.float32(number) for name, number in numbers.items()}
        run = self._compiled("sample_truncated", self.generate)
        return self._in_batches(run, {"keys": keys, "condition": condition}, extra, batch_size, verbose)

    def project(
        self, x, condition=None, *, steps=300, distance=None, learning_rate=0.1, starts=64, seed=0, batch_size=None,
        verbose="auto",
    ):  # fmt: skip
        """Latents whose images are nearest to given ones: z* = argmin_z d(G(z), x), and G(z*). See `projection`.

        Args:
            x: images `(n, *event_shape)`.
            condition: `(n, ...)` for a conditional model.
            steps: of the descent, default 300.
            distance: function d of two tensors `(batch, *event_shape)` to `(batch,)`; default the mean square of the
                difference. Features of a network make it a perceptual one.
            learning_rate: of the first step, default 0.1; latents are of unit size.
            starts: draws among which the descent begins at the nearest, default 64. The minimum that it finds is one
                near there, not always the least.
            seed: of the draws.
            batch_size, verbose: as in `sample`.

        Returns:
            z `(n, latent_dim)` and G(z) `(n, *event_shape)`, numpy arrays. Those of an image depend on it and on its
            place alone.

        Raises:
            ValueError: images of another shape, numbers out of their range.
        """
        x, condition, _ = inputs.check_arrays(self, x, condition, stream=False)
        steps, starts = inputs.check_count(steps, "steps"), inputs.check_count(starts, "starts")
        check_positive(learning_rate, "learning_rate")
        keys = ops.convert_to_numpy(random.keys(inputs.check_seed(seed), len(x)))

        def nearest(x, keys, rate, condition=None):
            of = lambda z: (distance or squared_distance)(self.decoded(z, condition), self._event(x))  # noqa: E731
            start = nearest_draw(lambda k: self.latents(random.fold_in(keys, k)), of, starts)
            return descend(of, *start, steps, rate)

        run = self._compiled(("project", steps, starts, distance), nearest)
        arrays = {"x": x, "condition": condition, "keys": keys}
        z = self._in_batches(run, arrays, {"rate": np.float32(learning_rate)}, batch_size, verbose)
        return z, self.decode(z, condition, batch_size=batch_size, verbose=verbose)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        own = ("latent_dim", "discriminator_steps", "clip", "average", "seed")
        parts = {"generator": self.generator, "discriminator": self.discriminator, "augment": self.augment}
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in own},
            **{name: None if part is None else serialize(part) for name, part in parts.items()},
            "loss": self.loss_name if isinstance(self.loss_name, str) else serialize(self.loss_name),
            "penalties": [serialize(penalty) for penalty in self.penalties],
        }


def truncated(z, t):
    """Standard normal numbers z as normal numbers given |z| <= t."""
    root = math.sqrt(2.0)
    inside = root * ops.erfinv(ops.erf(z / root) * ops.erf(t / root))
    return ops.clip(ops.where(ops.abs(z) > 5.0, z, inside), -t, t)  # beyond 5 erf is 1 but for rounding


def _penalty_name(i, penalties):
    name = type(penalties[i]).__name__
    name = {"GradientPenalty": "gradient_penalty", "DRAGAN": "dragan"}.get(name, name.lower())
    repeated = sum(type(p) is type(penalties[i]) for p in penalties) > 1
    return f"{name}_{i}" if repeated else name
