"""One table of what a user may get wrong: id, call, words that the message must hold.

`call` receives the models by name, built and compiled once (`models()`); it must raise `ValueError` before any
compute. A new family adds its models to `models()` and its rows to `CASES`.
"""

import keras
import numpy as np

from keras_gen import backend
from keras_gen.models import GAN, PCA, VAE, Autoencoder, ConditionalVAE, GenerativeModel, LinearDynamicalSystem
from keras_gen.networks import MLP, DenseGenerator
from tests import bad_inputs_of_diffusion, bad_inputs_of_flows
from tests.wgan_gp import WGANGP

X = (np.arange(24).reshape(6, 4) % 2).astype("float32")
LABELS = np.arange(6) % 3
VECTORS = np.linspace(0.0, 1.0, 12, dtype="float32").reshape(6, 2)


def changed(array, value, index=(0, 0)):
    array = np.array(array)
    array[index] = value
    return array


def models():
    """The models that the calls receive."""
    built = {
        "vae": VAE((4,), seed=0),
        "labelled": ConditionalVAE((4,), num_classes=3, seed=0),
        "conditioned": ConditionalVAE((4,), condition_shape=(2,), seed=0),
        "logistic": VAE((4,), likelihood="normal", seed=0),
        "autoencoder": Autoencoder((4,), reconstruction="cross_entropy"),
        "game": WGANGP((4,), units=4),
        "gan": gan(discriminator_steps=3),
        **bad_inputs_of_flows.models(),
        **bad_inputs_of_diffusion.models(),
    }
    for model in built.values():
        model.compile("sgd")
    built["uncompiled"] = VAE((4,), seed=0)
    return built


def gan(**kwargs):
    pair = {"generator": DenseGenerator((4,), (4,)), "discriminator": MLP((4,), output_units=1)}
    return GAN((4,), 2, **{**pair, "seed": 0, **kwargs})


class Nothing(keras.utils.PyDataset):
    """No batch."""

    def __len__(self):
        return 0


class Stream(keras.utils.PyDataset):
    """A stream of one batch."""

    def __init__(self, *batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


def fit(name, *args, **kwargs):
    return lambda m: m[name].fit(*args, verbose=0, **kwargs)


def compile(name, *args, **kwargs):
    return lambda m: m[name].compile(*args, **kwargs)


def sample(name, *args, **kwargs):
    return lambda m: m[name].sample(*args, **kwargs)


def sgd():
    return keras.optimizers.SGD()


def one_for_two(models):
    optimizer = sgd()
    models["game"].compile({"generator": optimizer, "critic": optimizer})


def wrong_group():
    return backend.OptimizerGroup({"judge": sgd()})


CASES = [
    ("unknown player in a group", lambda m: m["vae"].compile(wrong_group()), "unknown player.*judge"),
    ("a condition for an autoencoder", lambda m: Autoencoder((4,), num_classes=3), "no condition.*num_classes"),
    ("a condition for PCA", lambda m: PCA((4,), condition_shape=(2,)), "no condition.*condition_shape"),
    ("NaN in train_on_batch", lambda m: m["vae"].train_on_batch(changed(X, np.nan)), "finite x"),
    ("NaN in test_on_batch", lambda m: m["vae"].test_on_batch(changed(X, np.nan)), "finite x"),
    ("class_weight in train_on_batch", lambda m: m["vae"].train_on_batch(X, class_weight={0: 2.0}), "class_weight"),
    ("one-hot labels in a stream", fit("labelled", Stream(X, np.eye(3, dtype="float32")[LABELS])), r"\(batch,\)"),
    ("a stream for log_prob", lambda m: m["vae"].log_prob(Stream(X)), "x as an array.*Stream"),
    ("evaluate before compile", lambda m: m["uncompiled"].evaluate(X, verbose=0), "compile"),
    # Data.
    ("no data", fit("vae"), "Expected x.*None"),
    ("rank", fit("vae", X[:, :, None]), r"\(batch, 4\).*\(6, 4, 1\)"),
    ("rank too low", fit("vae", X[0]), r"\(batch, 4\).*\(4,\)"),
    ("event shape", fit("vae", X[:, :3]), r"\(batch, 4\).*\(6, 3\)"),
    ("event shape of a stream", fit("vae", Stream(X[:, :3])), r"\(batch, 4\).*3\)"),
    ("text", fit("vae", X.astype("U3")), "numeric dtype.*<U3"),
    ("objects", fit("vae", X.astype(object)), "numeric dtype.*object"),
    ("complex", fit("vae", X.astype("complex64")), "real numeric dtype.*complex64"),
    ("nan", fit("vae", changed(X, np.nan)), "finite x.*1 of 24"),
    ("inf", fit("logistic", changed(X, -np.inf)), "finite x.*1 of 24"),
    ("empty", fit("vae", X[:0]), "at least one example"),
    ("tuple as x", lambda m: m["vae"].fit((X,), verbose=0), r"fit\(x, y\)"),
    ("dict as x", lambda m: m["vae"].fit({"x": X}, verbose=0), r"fit\(x, y\)"),
    ("no steps an epoch", lambda m: m["vae"].fit(X, steps_per_epoch=0, verbose=0), "steps_per_epoch"),
    ("steps as a float", lambda m: m["vae"].fit(X, steps_per_epoch=1.5, verbose=0), "steps_per_epoch"),
    ("y beside a dataset", lambda m: m["vae"].fit(Stream(X), LABELS, verbose=0), "within the batches of a Stream"),
    ("an empty dataset", lambda m: m["vae"].fit(Nothing(), verbose=0), "Nothing, which is empty"),
    ("negative batch size", lambda m: m["vae"].fit(X, batch_size=-5, verbose=0), "batch_size"),
    ("batch size as a float", lambda m: m["vae"].fit(X, batch_size=8.0, verbose=0), "batch_size"),
    ("empty evaluate", lambda m: m["vae"].evaluate(X[:0], verbose=0), "at least one example"),
    ("above the support", fit("vae", changed(X, 1.5)), r"0.*1.*1\.5"),
    ("below the support", fit("vae", changed(X, -0.5)), r"0.*1.*-0\.5"),
    ("cross-entropy", fit("autoencoder", changed(X, 2.0)), r"\[0, 1\].*2\.0"),
    ("log_prob outside", lambda m: m["vae"].log_prob(changed(X, 1.5)), r"0.*1.*1\.5"),
    ("log_prob shape", lambda m: m["vae"].log_prob(X[:, :3]), r"\(batch, 4\)"),
    ("predict shape", lambda m: m["vae"].predict(X[:, :3], verbose=0), r"\(batch, 4\)"),
    ("predict nan", lambda m: m["vae"].predict(changed(X, np.nan), verbose=0), "finite x"),
    ("evaluate shape", lambda m: m["vae"].evaluate(X[:, :3], verbose=0), r"\(batch, 4\)"),
    ("validation shape", fit("vae", X, validation_data=X[:, :3]), r"\(batch, 4\)"),
    ("validation nan", fit("vae", X, validation_data=(changed(X, np.nan),)), "finite x"),
    ("validation without y", fit("labelled", X, LABELS, validation_data=X), "Expected y"),
    ("weights too many", fit("vae", X, sample_weight=np.ones(7)), "6 sample weights.*7"),
    ("weights rank", fit("vae", X, sample_weight=np.ones((6, 2))), "sample_weight of shape"),
    ("weights nan", fit("vae", X, sample_weight=np.full(6, np.nan)), "finite sample_weight"),
    # Conditions.
    ("missing y", fit("labelled", X), r"Expected y.*\[0, 3\)"),
    ("missing y in a stream", fit("labelled", Stream(X)), "Expected y"),
    ("missing y in log_prob", lambda m: m["labelled"].log_prob(X), "Expected y"),
    ("missing y in sample", sample("labelled", 2), "Expected y"),
    ("superfluous y", fit("vae", X, LABELS), "Expected no y.*VAE"),
    ("superfluous y in a stream", fit("vae", Stream(X, LABELS)), "Expected no y"),
    ("superfluous y in sample", sample("vae", 2, np.zeros(2)), "Expected no y"),
    ("label too large", fit("labelled", X, LABELS + 1), r"\[0, 3\).*between 1 and 3"),
    ("label negative", fit("labelled", X, LABELS - 1), r"\[0, 3\).*between -1 and 1"),
    ("label no integer", fit("labelled", X, LABELS + 0.5), r"\[0, 3\).*0\.5"),
    ("label nan", fit("labelled", X, changed(LABELS.astype(float), np.nan, 0)), "finite y"),
    ("label huge", fit("labelled", X, LABELS * 1e30), r"\[0, 3\)"),
    ("labels one-hot", fit("labelled", X, np.eye(3)[LABELS]), "integer labels"),
    ("too few labels", fit("labelled", X, LABELS[:5]), "5 conditions, 6 examples"),
    ("label in sample", sample("labelled", 2, 3), r"\[0, 3\)"),
    ("conditions in sample", sample("labelled", 2, np.array([0, 1, 2])), "3 conditions, 2 examples"),
    ("condition shape", fit("conditioned", X, VECTORS[:, :1]), r"\(batch, 2\).*\(6, 1\)"),
    ("condition nan", fit("conditioned", X, changed(VECTORS, np.nan)), "finite y"),
    # Sampling.
    ("n zero", sample("vae", 0), "`n` as a positive integer.*n=0"),
    ("n negative", sample("vae", -1), "`n` as a positive integer"),
    ("n float", sample("vae", 2.0), "`n` as a positive integer"),
    ("n bool", sample("vae", True), "`n` as a positive integer"),
    ("temperature negative", sample("vae", 2, temperature=-0.1), "`temperature`.*-0.1"),
    ("temperature nan", sample("vae", 2, temperature=float("nan")), "`temperature`.*nan"),
    ("temperature text", sample("vae", 2, temperature="hot"), "`temperature`.*hot"),
    ("seed float", sample("vae", 2, seed=1.5), "`seed`.*1.5"),
    ("seed text", sample("vae", 2, seed="1"), "`seed`.*'1'"),
    ("seed negative", sample("vae", 2, seed=-1), "`seed`.*-1"),
    ("seed bool", sample("vae", 2, seed=True), "`seed`.*True"),
    ("batch size", sample("vae", 2, batch_size=0), "`batch_size` as a positive integer"),
    ("batch size in log_prob", lambda m: m["vae"].log_prob(X, batch_size=0), "`batch_size` as a positive integer"),
    ("batch size in encode", lambda m: m["vae"].encode(X, batch_size=-1), "`batch_size` as a positive integer"),
    ("seed in log_prob", lambda m: m["vae"].log_prob(X, seed=1.5), "`seed`.*1.5"),
    ("samples in log_prob", lambda m: m["vae"].log_prob(X, num_samples=0), "`num_samples`.*0"),
    # Compile.
    ("loss", compile("vae", "sgd", loss="mse"), "no `loss`.*objective"),
    ("loss_weights", compile("vae", "sgd", loss_weights=[1.0]), "no `loss_weights`"),
    ("weighted_metrics", compile("vae", "sgd", weighted_metrics=["mae"]), "no `weighted_metrics`.*metrics"),
    ("class_weight", fit("vae", X, class_weight={0: 1.0}), "no `class_weight`.*sample_weight"),
    ("unknown optimizer", compile("vae", "sgdd"), "sgdd"),
    ("unknown player", compile("game", {"generator": "sgd", "critic": "sgd", "judge": "sgd"}), "unknown.*judge"),
    ("missing player", compile("game", {"generator": "sgd"}), "Missing.*critic"),
    ("one optimizer for two", one_for_two, "one instance for several"),
    # Constructors.
    ("event_shape zero", lambda m: VAE((0,)), "`event_shape`.*positive"),
    ("event_shape text", lambda m: VAE("four"), "`event_shape`.*four"),
    ("event_shape open", lambda m: VAE((None, 4)), "`event_shape`.*None"),
    ("event_shape empty", lambda m: GenerativeModel(()), "`event_shape`"),
    ("num_classes zero", lambda m: ConditionalVAE((4,), num_classes=0), "`num_classes`.*0"),
    ("two conditions", lambda m: ConditionalVAE((4,), num_classes=3, condition_shape=(2,)), "num_classes"),
    ("no condition", lambda m: ConditionalVAE((4,)), "num_classes"),
    ("latent_dim zero", lambda m: VAE((4,), latent_dim=0), "`latent_dim`.*0"),
    ("beta negative", lambda m: VAE((4,), beta=-1.0), "`beta`.*-1"),
    ("unknown likelihood", lambda m: VAE((4,), likelihood="bernouli"), "bernouli"),
    # Games.
    ("a player that is not there", compile("gan", dict.fromkeys(["generator", "critic"], "sgd")), "unknown.*critic"),
    ("no optimizer for a player", compile("gan", {"generator": "sgd"}), "Missing.*discriminator"),
    ("K of 0", lambda m: gan(discriminator_steps=0), "`discriminator_steps` as a positive integer.*0"),
    ("data too few for K", fit("gan", X[:2]), "at least 3 examples in each batch.*a batch of 2"),
    ("batches too small for K", fit("gan", X, batch_size=2), "at least 3 examples in each batch.*a batch of 2"),
    ("a remainder too small for K", fit("gan", X, batch_size=4), "at least 3 examples in each batch.*a batch of 2"),
    ("another generator", lambda m: gan(generator=DenseGenerator((5,))), r"generator with output.*\(4,\).*5"),
    ("another discriminator", lambda m: gan(discriminator=MLP((4,))), r"discriminator with output \(batch, 1\).*4"),
    ("no penalty", lambda m: gan(penalties=None), "`penalties` as.*None"),
    ("a penalty by name", lambda m: gan(penalties="r1"), "`penalties` as.*r1"),
    ("unknown adversarial loss", lambda m: gan(loss="wgan"), "`loss` as one of.*wasserstein.*wgan"),
    ("clip of 0", lambda m: gan(clip=0.0), "`clip` as a positive number.*0.0"),
    ("average above 1", lambda m: gan(average=1.5), "`average` as a number between 0 and 1.*1.5"),
    ("a condition for a GAN without", fit("gan", X, LABELS), "Expected no y.*GAN"),
    ("truncation 0", sample("gan", 2, truncation=0.0), "`truncation` as a positive number.*0.0"),
    ("truncation nan", sample("gan", 2, truncation=float("nan")), "`truncation`.*nan"),
    ("truncation text", sample("gan", 2, truncation="1"), "`truncation`.*'1'"),
    ("n with truncation", sample("gan", 0, truncation=1.0), "`n` as a positive integer.*n=0"),
    ("z of another size", lambda m: m["gan"].decode(np.zeros((2, 3))), r"z of shape \(batch, 2\)"),
    ("project another shape", lambda m: m["gan"].project(X[:, :3]), r"\(batch, 4\)"),
    ("project in 0 steps", lambda m: m["gan"].project(X, steps=0), "`steps` as a positive integer.*0"),
    ("project from 0 draws", lambda m: m["gan"].project(X, starts=0), "`starts` as a positive integer.*0"),
    ("project at rate 0", lambda m: m["gan"].project(X, learning_rate=0.0), "`learning_rate` as a positive.*0.0"),
    *bad_inputs_of_flows.CASES,
    *bad_inputs_of_diffusion.CASES,
    # State space. More in test_state_space.py.
    ("state_dim zero", lambda m: LinearDynamicalSystem((5, 2), 0), "`state_dim` as a positive integer.*0"),
    ("one step", lambda m: LinearDynamicalSystem((1, 2), 3), r"T >= 2.*\(1, 2\)"),
    ("an event that is no sequence", lambda m: LinearDynamicalSystem((4,), 3), r"\(T, channels\).*\(4,\)"),
    ("matrices in part", lambda m: LinearDynamicalSystem((5, 2), 3, matrices={"A": np.eye(3)}), "A, C, Q, R.*'A'"),
    ("forecast of no step", lambda m: LinearDynamicalSystem((3, 2), 2).forecast(X.reshape(4, 3, 2), 0), "`steps`.*0"),
]
