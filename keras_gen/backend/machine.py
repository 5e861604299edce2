"""What the last bits of a result depend on, beside the program: versions, cores, threads, the kind of device."""

import os
import sys

import keras

_PACKAGES = {"tensorflow": "tensorflow", "jax": "jaxlib", "torch": "torch"}
_DEVICES = ("cuda", "gpu", "tpu", "mps", "cpu")


def machine(variables):
    """A dict of plain values; the device is that of the first of `variables`."""
    device = str(getattr(variables[0].value, "device", "")) if variables else ""
    package = _PACKAGES[keras.config.backend()]
    return {
        "keras": keras.__version__,
        package: str(sys.modules[package].__version__),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "device": next((kind for kind in _DEVICES if kind in device.lower()), device),
    }
