"""GANs with heads on the features of the discriminator.

A discriminator D(x) = w f(x) + b is a linear map of features f, its last layer but one. A head h is one more map of f:
it asks something of a fake besides being real (its class, its code), and its loss r joins that of both players,

    discriminator and heads:    E d(D(x), D(y)) + penalties + E r(x, y)
    generator:                  E g(D(x), D(y)) + E r(y)

so that D's features must serve both questions, and f is evaluated once.
"""

from keras import ops

from keras_gen import backend
from keras_gen.models.adversarial.checks import as_scores, per_example
from keras_gen.models.adversarial.gan import GAN


class FeatureGAN(GAN):
    """A GAN whose heads read the discriminator's features. Abstract: a family writes `extra_terms`."""

    uses_features = True
    """Whether the discriminator must have features."""

    def build(self, input_shape=None):
        if not self.built and self.uses_features:
            self.feature_units()
        super().build(input_shape)

    def feature_units(self):
        """The number of features of the discriminator, which is built."""
        check_features(self.discriminator)
        if not self.discriminator.built:
            self.discriminator.build((None, *self.event_shape))
        return backend.first_call(self.discriminator.features, ops.zeros((1, *self.event_shape))).shape[-1]

    def judged(self, x, condition=None, training=False):
        """f(x) and D(x), the latter `(batch,)` in float32 at least."""
        features = self.discriminator.features(x, training=training)
        return features, as_scores(self.discriminator.output_map(features), self.real_dtype)

    def score(self, x, condition=None, training=False):
        return self.judged(x, condition, training)[1]

    def fake_condition(self, batch):
        """The conditions of the fakes: those of the batch."""
        return batch.condition

    def extra_terms(self, z, condition, features, real_condition=None, real_features=None):
        """What the heads ask: a dict of `(batch,)`, its `loss` r to be added to the player's, the others logged.

        Args:
            z, condition, features: of the fakes.
            real_condition, real_features: of the data, where the discriminator is trained.
        """
        raise NotImplementedError

    def discriminator_terms(self, batch):
        z, condition = self.draw(ops.shape(batch.x)[0]), self.fake_condition(batch)
        real = self.seen(batch.x)
        fake = self.seen(backend.no_grad(lambda: self.fake(z, condition, training=True)))
        real_features, real_score = self.judged(real, batch.condition, training=True)
        features, score = self.judged(fake, condition, training=True)
        terms = self.discriminator_losses((real_score, score), real, fake, batch.condition)
        return _joined(terms, self.extra_terms(z, condition, features, batch.condition, real_features))

    def generator_terms(self, batch):
        z, condition = self.draw(ops.shape(batch.x)[0]), self.fake_condition(batch)
        features, score = self.judged(self.seen(self.fake(z, condition, training=True)), condition, training=True)
        real = self.score(self.seen(batch.x), batch.condition, training=True) if self.game.needs_real else None
        extra = self.extra_terms(z, condition, features)
        return {"loss": per_example(self.game.generator(real, score)) + extra["loss"]}

    def objective(self, x, condition=None, training=False):
        """Losses of both players as they are, for `evaluate`: `loss` is the discriminator's, without penalties."""
        z = self.draw(ops.shape(x)[0], self.test_noise)
        real_features, real = self.judged(x, condition)
        features, fake = self.judged(self.fake(z, condition), condition)
        extra = self.extra_terms(z, condition, features, condition, real_features)
        terms = _joined({"loss": per_example(self.game.discriminator(real, fake))}, extra)
        g = per_example(self.game.generator(real, fake)) + self.extra_terms(z, condition, features)["loss"]
        logs = {"discriminator_loss": terms["loss"], "generator_loss": g}
        return {**terms, **logs, "real_score": per_example(real), "fake_score": per_example(fake)}


def check_features(network):
    """Raise for a discriminator without `features` and `output_map`."""
    if not (hasattr(network, "features") and hasattr(network, "output_map")):
        raise ValueError(
            "Expected a discriminator with `features(x, condition, training)`, `(batch, features)`, and `output_map`, "
            "the layer that makes the score of them, such as `networks.DCGANDiscriminator` or "
            f"`networks.DenseDiscriminator`. Received: {type(network).__name__}."
        )


def _joined(terms, extra):
    return {**terms, **extra, "loss": terms["loss"] + extra["loss"]}
