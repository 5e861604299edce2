"""What a model leaves behind: `.keras` files with every seed, its configuration, and exports for serving."""

import keras
from keras import ops

from keras_gen.models.archive import check_archive
from keras_gen.models.exporting import export


class Saving:
    """Mixin of `GenerativeModel`: saving, loading, exporting."""

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None, *, what="call", **kwargs):
        """Write a method of the model as a program for another runtime, the batch free.

        Args:
            filepath: a folder for "tf_saved_model", else a file ending in .onnx, .tflite, .pt2 or .xml.
            format: `"tf_saved_model"` (default), `"onnx"`, `"litert"`, `"torch"` or `"openvino"`; not every backend
                writes every format.
            verbose: as in `keras.Model.export`.
            input_signature: `keras.InputSpec`s of the inputs; default those named below.
            what: the method. `"call"` (default), `"encode"` and `"log_prob"` (of an exact likelihood) take x;
                `"decode"` takes z; `"sample"` takes `keys`, int32 `(n, 2)`, and `temperature`, a float32 scalar. A
                conditional model takes the condition after the first input.
            **kwargs: options of Keras's exporter.

        `keras_gen.random.keys(seed, n)` are the keys with which the other runtime gives the samples of
        `model.sample(n, seed=seed)`, to 1e-5.

        Raises:
            ValueError: before any work: a method that the model has not, a format that this backend, or this method in
                it, cannot be written in (it says what to use instead), a package that is missing, a wrong suffix.
        """
        export(self, filepath, format, what, verbose, input_signature, **kwargs)

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """As `keras.Model.load_weights`; a damaged or hostile file is refused first (`check_archive`).

        Raises:
            ValueError: the file is damaged, or declares more than it holds.
        """
        if str(filepath).endswith((".keras", ".weights.h5")):
            check_archive(filepath)
        return super().load_weights(filepath, skip_mismatch, **kwargs)

    def save_own_variables(self, store):
        """Keras saves no seeds and would reset them on load; here each generator's state is kept."""
        super().save_own_variables(store)
        for i, variable in enumerate(self._seed_states()):
            store[f"seed_{i}"] = ops.convert_to_numpy(variable.value)

    def load_own_variables(self, store):
        keys = list(store.keys())
        super().load_own_variables({k: store[k] for k in keys if not k.startswith("seed_")})
        for i, variable in enumerate(self._seed_states()):
            if f"seed_{i}" in keys:
                variable.assign(store[f"seed_{i}"])

    def _seed_states(self):
        return [v for v in self.variables if v.name == "seed_generator_state"]

    def __dir__(self):
        """Keras saves what it finds by `dir`; `players` only names again what is there, the model itself included."""
        return [name for name in super().__dir__() if name != "players"]

    def get_build_config(self):
        return {"event_shape": self.event_shape}

    def build_from_config(self, config):
        """Nothing to do: the constructor built it."""

    def get_config(self):
        config = {"name": self.name, "dtype": keras.dtype_policies.serialize(self.dtype_policy)}
        config["event_shape"] = self.event_shape
        if self.num_classes is not None:
            config["num_classes"] = self.num_classes
        elif self.conditional:
            config["condition_shape"] = self.condition_shape
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        restore = keras.saving.deserialize_keras_object
        return cls(**{k: restore(v, custom_objects=custom_objects) for k, v in config.items()})
