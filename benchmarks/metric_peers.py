"""What published programs give for the features in a folder; run by `benchmarks.metric_agreement`.

`python benchmarks/metric_peers.py FOLDER`, in an environment with pytorch-fid and torch-fidelity, reads each `NAME.npz`
(arrays `real` and `generated`) and writes `peers.json`: a figure, or the error, for each program, with its seconds.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


def pytorch_fid(real, generated):
    from pytorch_fid.fid_score import calculate_frechet_distance

    moments = [moment for x in (real, generated) for moment in (np.mean(x, axis=0), np.cov(x, rowvar=False))]
    return float(calculate_frechet_distance(*moments))


def torch_fidelity_fid(real, generated):
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    both = [fid_features_to_statistics(torch.from_numpy(x)) for x in (real, generated)]
    return fid_statistics_to_metric(*both, False)["frechet_inception_distance"]


def torch_fidelity_kid(real, generated):
    import torch
    from torch_fidelity.metric_kid import kid_features_to_metric

    kernel = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None,
              "kid_kernel_poly_coef0": 1.0}  # fmt: skip
    subsets = {"kid_subsets": 100, "kid_subset_size": 1000, "rng_seed": 2020, "verbose": False}
    found = kid_features_to_metric(torch.from_numpy(real), torch.from_numpy(generated), **kernel, **subsets)
    return list(found.values())


def torch_fidelity_is(real, generated):
    import torch
    from torch_fidelity.metric_isc import isc_features_to_metric

    return list(isc_features_to_metric(torch.from_numpy(generated), 10, False).values())


def torch_fidelity_precision_recall(real, generated):
    import torch
    from torch_fidelity.metric_prc import prc_features_to_metric

    arguments = {"prc_neighborhood": 3, "prc_batch_size": 10000, "save_cpu_ram": False, "verbose": False}
    found = prc_features_to_metric(torch.from_numpy(generated), torch.from_numpy(real), **arguments)
    return [found["precision"], found["recall"]]


PROGRAMS = {
    "pytorch-fid fid": pytorch_fid,
    "torch-fidelity fid": torch_fidelity_fid,
    "torch-fidelity kid": torch_fidelity_kid,
    "torch-fidelity is": torch_fidelity_is,
    "torch-fidelity precision_recall": torch_fidelity_precision_recall,
}


def run(program, real, generated):
    start = time.perf_counter()
    try:
        figure = program(real, generated)
    except (AssertionError, ValueError) as error:
        return {"error": str(error)[:200]}
    return {"figure": figure, "seconds": round(time.perf_counter() - start, 3)}


def main(folder):
    found = {}
    for file in sorted(Path(folder).glob("*.npz")):
        data = np.load(file)
        wanted = list(data["programs"]) if "programs" in data else list(PROGRAMS)
        found[file.stem] = {name: run(PROGRAMS[name], data["real"], data["generated"]) for name in wanted}
    (Path(folder) / "peers.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
