"""JAX's compilation made quick: a program of a test runs a few times, so that its optimization does not pay.

Half of the processor's time of JAX's tests is XLA's compiler. Without most of its optimizations and without its newer
emitters of fused loops it takes half as long.
"""

import importlib.util
import mmap
from pathlib import Path

FLAGS = {"xla_cpu_use_fusion_emitters": "false", "xla_cpu_parallel_codegen_split_count": "1"}


def quick_compilation(environment):
    """Set it in `environment`, for this process if JAX is not yet loaded, and for those that it starts."""
    environment.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    given = environment.get("XLA_FLAGS", "")
    own = [f"--{name}={value}" for name, value in known(FLAGS).items() if name not in given]
    environment["XLA_FLAGS"] = " ".join([given, *own]).strip()


def known(flags):
    """Those that the installed XLA has: one that it does not know ends the process."""
    package = importlib.util.find_spec("jaxlib")
    library = Path(package.origin).with_name("libjax_common.so") if package else Path()
    if not library.is_file():
        return {}
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return {name: value for name, value in flags.items() if text.find(name.encode()) >= 0}
