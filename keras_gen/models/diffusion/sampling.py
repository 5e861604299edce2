"""Samples of a diffusion model: one compiled loop, for any sampler and any number of steps.

The rows of a sampler's table (`keras_gen.diffusion.samplers`) are an argument of the compiled function, filled up to
1024: so another number of steps, another grid, schedule, scale of guidance or temperature compiles nothing anew, nor
does a sampler with as many earlier predictions of the same kind.
"""

import keras
import numpy as np
from keras import ops

from keras_gen import diffusion, random
from keras_gen.diffusion.inpainting import replacement
from keras_gen.diffusion.samplers.base import LONGEST
from keras_gen.diffusion.schedules.base import ends_without_signal
from keras_gen.models import inputs

FIRST = 2**30  # the key of the noise at t = 1 is folded with this, that of turn i with i


class DiffusionSampling:
    """Mixin of `DiffusionModel`: `generate`, and its numpy twins."""

    # Tensors.

    def generate(
        self, keys, condition=None, temperature=1.0, sampler=None, steps=None, grid=None, guidance=None, clip=True,
    ):  # fmt: skip
        """Samples as a tensor `(n, *event_shape)`, one for each of the random `keys` `(n, 2)`; traces in graphs."""
        sampler = self.sampler if sampler is None else get_sampler(sampler, self.schedule)
        denoiser, given = self._guided(guidance, clip), self.encoded(condition)
        if isinstance(sampler, diffusion.ProbabilityFlow):
            return self.unscaled(sampler.sample(denoiser, self.starting_noise(keys, temperature), given))
        table, turns = self._table(sampler, steps, grid, longest=0)
        start = self.starting_noise(keys, temperature, table["at_alpha"][0], table["at_sigma"][0])
        table = {name: ops.convert_to_tensor(column) for name, column in table.items()}
        options = {"condition": given, "temperature": temperature}
        state = sampler.advance(denoiser, sampler.begin(start), keys, table, 0, turns, **options)
        return self.unscaled(state["x"])

    def starting_noise(self, keys, temperature=1.0, alpha=None, sigma=None):
        """x ~ N(0, (alpha^2 d^2 + sigma^2) I), d the scale of the data, at t = 1 or at `alpha` and `sigma`."""
        if alpha is None:
            alpha, sigma = self.schedule.alpha_sigma(np.float64(1.0))
        alpha, sigma = (ops.cast(v, self.real_dtype) for v in (alpha, sigma))
        scale = ops.sqrt(alpha**2 * self.prior_variance() + sigma**2)
        noise = random.normal(random.fold_in(keys, FIRST), self.event_shape)
        return temperature * scale * ops.cast(noise, self.real_dtype)

    def grid_of(self, sampler, grid=None):
        """The grid that is asked for, else the model's, else the sampler's."""
        grid = self.grid if grid is None else grid
        return getattr(sampler, "default_grid", "uniform") if grid is None else grid

    def _table(self, sampler, steps, grid, longest=LONGEST):
        times = diffusion.times(self.schedule, steps or self.steps_of_sampling, self.grid_of(sampler, grid))
        slopes = sampler.remembers == "slope" and sampler.variable == "ratio"
        if slopes and ends_without_signal(self.schedule, times[0]):
            raise ValueError(
                f'Expected a sampler in coordinates variable="rectified", such as Heun(variable="rectified"), with '
                f"{self.schedule!r}, which ends without signal: sigma / alpha is infinite there. Received: {sampler!r}."
            )
        if getattr(sampler, "variance", None) == "learned" and not self.denoiser.learned_variance:
            raise ValueError(
                f'Expected a sampler of variance "small" or "large": this network learns no variances. Received: '
                f"{sampler!r}."
            )
        return sampler.table(self.schedule, times, longest)

    # The numpy twins.

    def sample(
        self, n, condition=None, *, steps=None, sampler=None, grid=None, guidance=None, clip=True, seed=None,
        temperature=1.0, batch_size=None, verbose="auto",
    ):  # fmt: skip
        """Samples from the model, numpy `(n, *event_shape)`.

        Sample i depends on (seed, i) and its condition alone: not on `batch_size`, nor, to rounding, on the backend.

        Args:
            n: number of samples, at least 1.
            condition: for a conditional model, `(n, ...)`, or one condition for all.
            steps: times at which the network is asked (Heun's method: twice); default the model's.
            sampler: a `diffusion.Sampler`, its name, or a `diffusion.ProbabilityFlow`; default the model's.
            grid: see `diffusion.times`; default the model's, else the sampler's.
            guidance: scale s of classifier-free guidance, 1 being the conditional model; default None: no guidance.
            clip: whether estimates of images are held within `data_range`, default True.
            seed: non-negative integer; None draws fresh entropy. Training seeds are never advanced.
            temperature: >= 0, scale of all noise; 1 is the model itself.
            batch_size: samples computed at once, default 256, or fewer of large events.
            verbose: `"auto"` shows progress on work of more than two seconds; 0 or 1.

        Raises:
            ValueError: an argument out of its range; fewer steps than the sampler's order; guidance of a model that was
                trained without leaving out the condition; a condition missing, superfluous or of the wrong shape.
        """
        n = inputs.check_count(n, "n")
        run = self._prepared(n, condition, sampler, steps, grid, guidance, clip, seed, temperature, batch_size, verbose)
        return run()[:, -1]

    def trajectory(
        self, n, condition=None, *, frames=16, steps=None, sampler=None, grid=None, guidance=None, clip=True, seed=None,
        temperature=1.0, batch_size=None, verbose="auto",
    ):  # fmt: skip
        """The way from noise to data: numpy `(n, frames, *event_shape)`, the last frame being `sample`'s.

        Frames are x_t / sqrt(alpha_t^2 + sigma_t^2) in the units of the data, at turns equally spaced; the first is
        noise.

        Args:
            frames: at least 2, at most one more than the turns; default 16.
            n, condition, steps, sampler, grid, guidance, clip, seed, temperature, batch_size, verbose: as in `sample`.

        Raises:
            ValueError: as `sample`; more frames than turns; a `ProbabilityFlow`, which has no turns.
        """
        n, frames = inputs.check_count(n, "n"), inputs.check_count(frames, "frames")
        run = self._prepared(n, condition, sampler, steps, grid, guidance, clip, seed, temperature, batch_size, verbose)
        return run(frames=frames)

    def inpaint(
        self, x, known, condition=None, *, resamples=10, steps=None, sampler="ancestral", grid=None, guidance=None,
        clip=True, seed=None, temperature=1.0, batch_size=None, verbose="auto",
    ):  # fmt: skip
        """x with its unknown part drawn: RePaint; with `resamples=1`, replacement.

        Args:
            x: data `(n, *event_shape)`; what is unknown may hold any number.
            known: booleans of the shape of x, or of the event, or with one channel: True keeps.
            resamples: how often each step is made, default 10.
            sampler: of one evaluation a step that remembers nothing, default "ancestral".
            condition, steps, grid, guidance, clip, seed, temperature, batch_size, verbose: as in `sample`.

        Returns:
            numpy `(n, *event_shape)`, equal to x where it is known.

        Raises:
            ValueError: as `sample`; a mask of another shape or dtype; a sampler that remembers.
        """
        x = inputs.check_data(self, x)
        known = self._mask(known, len(x))
        sampler = diffusion.RePaint(diffusion.get_sampler(sampler), resamples)
        run = self._prepared(
            len(x), condition, sampler, steps, grid, guidance, clip, seed, temperature, batch_size, verbose
        )
        x = x.astype(self.real_dtype)
        return np.where(known > 0.5, x, run(given=x, known=known)[:, -1])

    def image_to_image(
        self, x, condition=None, *, strength=0.5, steps=None, sampler=None, grid=None, guidance=None, clip=True,
        seed=None, temperature=1.0, batch_size=None, verbose="auto",
    ):  # fmt: skip
        """x with noise up to the time `strength`, and drawn anew from there: what is coarse stays.

        Args:
            x: data `(n, *event_shape)`, also of another kind than the model's, such as a sketch.
            strength: time in (0, 1] at which the way back begins: 1 keeps next to nothing. Default 0.5.
            condition, steps, sampler, grid, guidance, clip, seed, temperature, batch_size, verbose: as in `sample`;
                of the grid, the times up to `strength` are gone through.

        Raises:
            ValueError: as `sample`; a strength out of its range, or below all times of the grid.

        Reference:
            C. Meng et al., "SDEdit", arXiv:2108.01073 (2022), algorithm 1.
        """
        number = isinstance(strength, (int, float, np.number)) and not isinstance(strength, bool)
        if not number or not 0.0 < strength <= 1.0:
            raise ValueError(f"Expected `strength` in (0, 1]. Received: strength={strength!r}.")
        x = inputs.check_data(self, x)
        steps = self.steps_of_sampling if steps is None else inputs.check_count(steps, "steps")
        own = self.sampler if sampler is None else get_sampler(sampler, self.schedule)
        times = diffusion.times(self.schedule, steps, self.grid_of(own, grid))
        times = times[times <= strength + 1e-9]
        if not len(times):
            raise ValueError(f"Expected a grid with times up to strength={strength}. Received: none. Take more steps.")
        run = self._prepared(
            len(x), condition, sampler, None, times, guidance, clip, seed, temperature, batch_size, verbose
        )
        return run(start=x.astype(self.real_dtype))[:, -1]

    # What they share.

    def _mask(self, known, n):
        known = np.asarray(known)
        one = (*self.event_shape[:-1], 1)
        shapes = [s for event in (self.event_shape, one) for s in (event, (n, *event))]
        if known.dtype != bool or known.shape not in shapes:
            raise ValueError(
                f"Expected `known` as booleans of shape {self.event_shape} or {(n, *self.event_shape)}, or with one "
                f"channel. Received: shape {known.shape}, dtype {known.dtype}."
            )
        return np.broadcast_to(known, (n, *self.event_shape)).astype(self.real_dtype)

    def _prepared(self, n, condition, sampler, steps, grid, guidance, clip, seed, temperature, batch_size, verbose):
        """A function of optional arrays that samples in batches: `(n, frames, *event_shape)`."""
        sampler = self.sampler if sampler is None else get_sampler(sampler, self.schedule)
        guidance, temperature = self._check_guidance(guidance), inputs.check_temperature(temperature)
        condition = inputs.check_condition(self, self._repeat(condition, n), n)
        keys = ops.convert_to_numpy(random.keys(inputs.check_seed(seed), n))
        numbers = {"temperature": np.float32(temperature)} | ({} if guidance is None else {"guidance": guidance})
        arrays = {"keys": keys, "condition": condition}
        if isinstance(sampler, diffusion.ProbabilityFlow):
            return self._flowing(sampler, arrays, numbers, clip, batch_size, verbose)
        self._check_steps(steps, self.grid_of(sampler, grid))
        return self._turning(sampler, self._table(sampler, steps, grid), arrays, numbers, clip, batch_size, verbose)

    @staticmethod
    def _check_steps(steps, grid):
        if steps is not None and inputs.check_count(steps, "steps") != len(grid) and not isinstance(grid, str):
            raise ValueError(
                f"Expected no `steps` with a `grid` that is a list of times, or their number, {len(grid)}. Received: "
                f"steps={steps}."
            )

    def _flowing(self, sampler, arrays, numbers, clip, batch_size, verbose):
        def run(**more):
            if more:
                raise ValueError(f"Expected a `Sampler` with turns. Received: {sampler!r}.")
            name = f"flow_sample_{sampler!r}_{clip}_{sorted(numbers)}"
            fn = self._compiled(name, lambda **kw: self.generate(sampler=sampler, clip=clip, **kw))
            return self._in_batches(fn, arrays, numbers, batch_size, verbose)[:, None]

        return run

    def _turning(self, sampler, table, arrays, numbers, clip, batch_size, verbose):
        columns, turns = table

        def run(start=None, given=None, known=None, frames=None):
            marks = [0, turns] if frames is None else _marks(turns, frames)
            inner = {**arrays, "start": start, "given": given, "known": known}
            run = self._stretch(sampler, columns, numbers, clip, marks, frames is not None)
            return self._in_batches(run, inner, {}, batch_size, verbose)

        return run

    def _stretch(self, sampler, columns, numbers, clip, marks, begins):
        """A function of one batch that goes from mark to mark by compiled stretches, and keeps what it passes.

        `begins` says whether it keeps the noise that it begins with.
        """
        tensors = {name: ops.convert_to_tensor(column) for name, column in columns.items()}
        numbers = {name: ops.convert_to_tensor(number) for name, number in numbers.items()}
        level = {"alpha": tensors["at_alpha"][0], "sigma": tensors["at_sigma"][0]}
        names = f"{sampler.program}_{len(next(iter(columns.values())))}_{clip}"

        def run(**arrays):
            drawn = {k: v for k, v in arrays.items() if k in ("keys", "start")}
            kept = {k: v for k, v in arrays.items() if k != "start"}
            begin = self._compiled(f"begin_{names}_{sorted(drawn)}", lambda **kw: self._begin(sampler, **kw))
            advance = self._compiled(
                f"advance_{names}_{sorted(kept)}_{sorted(numbers)}", lambda **kw: self._advance(sampler, clip, **kw),
                loop=True,
            )
            state = begin(**drawn, **level, temperature=numbers["temperature"])
            frames = [self._frame(state["x"], columns, 0)] if begins else []
            for here, there in zip(marks, marks[1:], strict=False):
                place = {"first": here, "count": there - here}
                place = {name: ops.convert_to_tensor(number, "int32") for name, number in place.items()}
                state = advance(state=state, table=tensors, **kept, **numbers, **place)
                frames.append(self._frame(state["x"], columns, there))
            return ops.stack(frames, axis=1)

        return run

    def _begin(self, sampler, keys, alpha, sigma, temperature, start=None):
        if start is None:
            return sampler.begin(self.starting_noise(keys, temperature, alpha, sigma))
        noise = ops.cast(random.normal(random.fold_in(keys, FIRST), self.event_shape), self.real_dtype)
        return sampler.begin(ops.cast(alpha, noise.dtype) * self.scaled(start) + sigma * temperature * noise)

    def _advance(
        self, sampler, clip, state, table, first, count, keys, temperature, condition=None, guidance=None, given=None,
        known=None,
    ):  # fmt: skip
        constrain = None if given is None else replacement(self.scaled(given), known)
        options = {"condition": self.encoded(condition), "temperature": temperature, "constrain": constrain}
        return sampler.advance(self._guided(guidance, clip), state, keys, table, first, count, **options)

    def _frame(self, x, columns, turn):
        """x after `turn` turns, in the units of the data."""
        if turn:
            alpha, sigma = columns["after_alpha"][turn - 1], columns["after_sigma"][turn - 1]
        else:
            alpha, sigma = columns["at_alpha"][0], columns["at_sigma"][0]
        return self.unscaled(x / float(np.hypot(alpha, sigma)))


def get_sampler(sampler, schedule):
    """A `Sampler` or a `ProbabilityFlow`, from itself, its name or its serialized form.

    A name alone is in the coordinates that `schedule` asks for: where it ends without signal, "rectified".
    """
    if isinstance(sampler, dict):
        sampler = keras.saving.deserialize_keras_object(sampler)
    if isinstance(sampler, diffusion.ProbabilityFlow):
        return sampler
    chosen = diffusion.get_sampler(sampler)
    free = isinstance(sampler, str) and "variable" in chosen.get_config()
    return type(chosen)(variable="rectified") if free and ends_without_signal(schedule) else chosen


def _marks(turns, frames):
    """Numbers of turns at which a frame is kept."""
    if not 2 <= frames <= turns + 1:
        raise ValueError(f"Expected `frames` from 2 to {turns + 1}, the turns and one. Received: frames={frames}.")
    return [int(m) for m in np.round(np.linspace(0, turns, frames))]
