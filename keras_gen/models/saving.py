"""What a model leaves behind: `.keras` files with every seed, its configuration, and exports for serving."""

import keras
from keras import ops


class Saving:
    """Mixin of `GenerativeModel`: saving, loading, exporting."""

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs):
        """Write `model(x)` for serving, as `keras.Model.export`; the signature is known from the event's shape."""
        if input_signature is None:
            input_signature = [keras.InputSpec(shape=(None, *self.event_shape), dtype=self.event_dtype)]
            if self.conditional:
                dtype = "int32" if self.num_classes is not None else "float32"
                input_signature.append(keras.InputSpec(shape=(None, *self.condition_shape), dtype=dtype))
        return super().export(filepath, format, verbose, input_signature=input_signature, **kwargs)

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
