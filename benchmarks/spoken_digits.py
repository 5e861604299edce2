"""WaveNet on the Free Spoken Digits: held-out bits a sample beside linear prediction and coders, and what is heard.

Bits are of the mu-law levels (8 bits) of the 300 recordings numbered 0 to 4, which no method is fitted on, each level
given those before it in its recording; WaveNet is told digit, speaker and duration too (`applications.speech.voices`).
It learns the beginnings of the training recordings, 4608 samples, by time: the rate is constant, and falls to 0 in the
last 40 % of `--minutes` of the processor, or of `--deadline` minutes of the clock if these are over before. It may
begin with the weights of another WaveNet, `--initial`, where names and shapes are the same.

Generated digits are judged by a network that has learned the same training recordings
(`benchmarks.spoken_digits_classifier`), its accuracy on the test recordings beside it.

    KERAS_GEN_DATA=... KERAS_BACKEND=jax OMP_NUM_THREADS=1 python -m benchmarks.spoken_digits \
        --model runs/spoken_digits.keras --output docs/benchmarks/spoken_digits.json --picture spoken_digits.png
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

from applications.speech.recordings import Part
from applications.speech.voices import FRAME, Voices, upsampling
from applications.speech.windows import beginnings, bits
from benchmarks import spoken_digits_classifier as judge
from benchmarks import spoken_digits_peers as peers
from benchmarks.step_overhead import machine
from keras_gen import datasets, models, plots

LENGTH, RATE, FALL, EPOCH, BATCH = 4608, 2e-3, 0.4, 50, 2
NETWORK = {"channels": 32, "skip_channels": 64, "kernel_size": 3, "dilations": tuple(3**i for i in range(7))}


def load():
    """The training and the test recordings, and the voices."""
    sets = datasets.spoken_digits.load_data()
    parts = [Part(list(x), [str(k) for k in d], [str(v) for v in s]) for x, d, s in sets]
    return *parts, Voices.of(parts[0], datasets.spoken_digits.sample_rate)


class Clock(keras.callbacks.Callback):
    """The rate, which warms up for three epochs and falls at the end of the time; and a log."""

    def __init__(self, minutes, deadline):
        super().__init__()
        self.log, self.most = [], (60 * minutes, 60 * deadline)
        self.begun = time.process_time(), time.time()

    def spent(self):
        return [now - then for now, then in zip((time.process_time(), time.time()), self.begun, strict=True)]

    def share(self):
        return max(s / m for s, m in zip(self.spent(), self.most, strict=True))

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = RATE * min(1.0, (epoch + 1) / 3, max(0.02, (1 - self.share()) / FALL))

    def on_epoch_end(self, epoch, logs=None):
        nats = float(logs["loss"]) / LENGTH
        row = {"steps": EPOCH * (epoch + 1), "bits": round(nats / float(np.log(2)), 4)}
        self.log.append({**row, "processor_seconds": round(self.spent()[0])})
        print(self.log[-1], flush=True)
        self.model.stop_training = self.share() >= 1


def train(part, voices, options):
    """A WaveNet, and a log of its training, in bits a sample of beginnings and the silence after them."""
    keras.utils.set_random_seed(options.seed)
    shape = (LENGTH // FRAME, voices.size)
    model = models.WaveNet((LENGTH, 1), condition_shape=shape, upsampling=upsampling(), **NETWORK)
    if options.initial is not None:
        begin(model, keras.saving.load_model(options.initial, compile=False))
    model.compile(keras.optimizers.Adam(RATE))
    clock = Clock(options.minutes, options.deadline)
    model.fit(
        beginnings(part.x, LENGTH), voices.beginnings(part, LENGTH), batch_size=BATCH, epochs=100_000,
        steps_per_epoch=EPOCH, verbose=0, callbacks=[clock], seed=options.seed,
    )  # fmt: skip
    return model, clock.log


def begin(model, other):
    """Take the weights of the same names and shapes."""
    found = {w.path.split("/", 1)[1]: w for w in other.weights}
    for weight in model.weights:
        initial = found.get(weight.path.split("/", 1)[1])
        if initial is not None and initial.shape == weight.shape:
            weight.assign(initial)


def spoken(model, voices, options, temperature):
    """Generated digits of the usual durations, their labels and speakers: each digit by each speaker in turn."""
    labels = [voices.labels[i % 10] for i in range(options.samples)]
    speakers = [voices.speakers[i // 10 % len(voices.speakers)] for i in range(options.samples)]
    seconds = [voices.seconds(*each) for each in zip(labels, speakers, strict=True)]
    sizes = [min(LENGTH, round(v * voices.rate)) for v in seconds]
    told = [voices.frames(*each, 0, LENGTH) for each in zip(labels, speakers, sizes, strict=True)]
    x = model.sample(
        len(labels), np.stack(told), seed=options.seed, temperature=temperature, batch_size=len(labels), verbose=0
    )
    return [row[:size, 0] for row, size in zip(x, sizes, strict=True)], labels, speakers


def by_speaker(found, part, voices):
    """Bits a sample of the recordings of each speaker."""
    rows = {name: [i for i, v in enumerate(part.speakers) if v == name] for name in voices.speakers}
    return {name: float(found[i].sum() / sum(len(part.x[k]) for k in i)) for name, i in rows.items()}


def likeliest(model, part, voices):
    """The share of recordings whose digit is the one of the ten under which they take the fewest bits."""
    found = [bits(model, Part(part.x, [k] * len(part), part.speakers), voices) for k in voices.labels]
    return float((np.argmin(found, axis=0) == indices(part.labels, voices.labels)).mean())


def indices(names, known):
    return np.array([known.index(name) for name in names])


def numbers(part):
    """The numbers of the levels of recordings."""
    return [peers.values(peers.levels_of(x), "sample")[0] for x in part.x]


def heard(model, train_part, test, voices, options):
    """Rows of what the judge hears, of test recordings and of generated ones; and the generated ones."""
    digit, speaker = indices(train_part.labels, voices.labels), indices(train_part.speakers, voices.speakers)
    ears = judge.trained(numbers(train_part), digit, speaker, options.seed)
    sets = {"test recordings": (numbers(test), test.labels, test.speakers)}
    for temperature in options.temperatures:
        sets[f"generated, temperature {temperature:g}"] = spoken(model, voices, options, temperature)
    rows = {name: _row(ears, *one, voices) for name, one in sets.items()}
    x, labels, speakers = next(reversed(sets.values()))
    rows["white noise of these durations"] = _row(ears, noise(x, options.seed), labels, speakers, voices)
    return rows, sets


def noise(x, seed):
    """White noise of the lengths of x: what the judge hears from durations alone."""
    rng = np.random.default_rng(seed)
    return [0.05 * rng.normal(size=len(one)) for one in x]


def _row(ears, x, labels, speakers, voices):
    digit, speaker = judge.judged(ears, list(x))
    right = digit == indices(labels, voices.labels)
    row = {
        "recordings": len(x),
        "digit": float(right.mean()),
        "speaker": float((speaker == indices(speakers, voices.speakers)).mean()),
        "digit_by_label": {k: float(right[[v == k for v in labels]].mean()) for k in voices.labels},
        "loudness": float(np.mean([np.sqrt(np.mean(np.square(v))) for v in x])),
    }
    print(row, flush=True)
    return row


def picture(sets, voices, file):
    """Spectrograms of each digit by the first speaker: a test recording, and a generated one of each temperature."""
    rows = []
    for x, labels, speakers in sets.values():
        both = list(zip(labels, speakers, strict=True))
        rows += [x[both.index((k, voices.speakers[0]))] for k in voices.labels]
    images = judge.heard(rows)[:, :, ::-1, 0].transpose(0, 2, 1)
    names = [name.replace(", ", ",\n") for name in sets]
    plots.image_grid(images, file, columns=10, row_labels=names, column_labels=voices.labels)


def others(train_part, test):
    """The rows of the other methods."""
    first, held_out = ([peers.levels_of(x) for x in part.x] for part in (train_part, test))
    return {
        "histogram of levels": peers.histogram_bits(first, held_out),
        "coders": peers.coder_rows(held_out, test.x),
        "linear": peers.linear_rows(first, held_out),
    }


def table(result):
    """The figures as lines of Markdown."""
    lines = ["| of the 8 bits of a level | bits a sample |", "|---|---|"]
    rows = {"WaveNet": result["wavenet"]["bits"], "histogram of levels": result["others"]["histogram of levels"]}
    for row in result["others"]["linear"]:
        rows[f"linear, order {row['order']}, {row['predicts']}, {row['law']}, {row['scale']}"] = row["bits"]
    rows |= {name: value for name, value in result["others"]["coders"].items() if "16 bit" not in name}
    lines += [f"| {name} | {value:.3f} |" for name, value in sorted(rows.items(), key=lambda row: row[1])]
    lines += ["", "| heard | recordings | digit | speaker |", "|---|---|---|---|"]
    for name, row in result["heard"].items():
        lines.append(f"| {name} | {row['recordings']} | {row['digit']:.1%} | {row['speaker']:.1%} |")
    return "\n".join(lines)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a .keras file; one that is there is not trained")
    parser.add_argument("--initial", type=Path, help="a .keras file to begin with")
    parser.add_argument("--minutes", type=float, default=25.0, help="of the processor (default %(default)s)")
    parser.add_argument("--deadline", type=float, default=120.0, help="minutes of the clock (default %(default)s)")
    parser.add_argument("--samples", type=int, default=120, help="generated digits (default %(default)s)")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 0.9])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="a JSON file; what it holds of others is kept")
    parser.add_argument("--picture", type=Path, required=True)
    return parser.parse_args()


def main():
    options = parse()
    first, test, voices = load()
    result = json.loads(options.output.read_text()) if options.output.exists() else {}
    result |= {"what": __doc__.splitlines()[0], "machine": machine(), "seed": options.seed}
    if not options.model.exists():
        model, log = train(first, voices, options)
        model.save(options.model)
        result["training"] = log
    model = keras.saving.load_model(options.model, compile=False)
    found = bits(model, test, voices)
    result["wavenet"] = {
        "bits": found.sum() / test.samples, "samples": test.samples, "weights": model.count_params(),
        "receptive_field": model.network.receptive_field, "network": NETWORK,
        "bits_by_speaker": by_speaker(found, test, voices),
        "likeliest_digit_is_right": likeliest(model, test.of(range(0, len(test), 5)), voices),
    }  # fmt: skip
    print(result["wavenet"], flush=True)
    if "others" not in result:
        result["others"] = others(first, test)
    result["heard"], sets = heard(model, first, test, voices, options)
    picture(sets, voices, options.picture)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
