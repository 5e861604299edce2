"""Numbers of zuko and nflows, with the weights that gave them, for `tests/golden/flows.npz`.

    python -m benchmarks.golden_flows tests/golden/flows.npz

In an environment with torch, zuko (1.6) and nflows (0.14); what it writes is committed, the tests need neither.
"""

import sys

import numpy as np
import torch


def arrays(prefix, **tensors):
    return {f"{prefix}_{name}": np.asarray(t.detach().numpy()) for name, t in tensors.items()}


def spread(module):
    """Weights away from where they begin."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn(p.shape))
    return module


def maf():
    """One masked autoregressive affine map of zuko, of 3 numbers and a condition of 2."""
    import zuko

    x, c = torch.randn(6, 3), torch.randn(6, 2)
    flow = spread(zuko.flows.MAF(3, context=2, transforms=1, hidden_features=(6, 9)))
    lazy = flow.transform.transforms[0]
    z, log_det = lazy(c).call_and_ladj(x)
    layers = [layer for layer in lazy.hyper if hasattr(layer, "mask")]
    masked = {}
    for i, layer in enumerate(layers):
        masked |= {f"weight_{i}": layer.weight * layer.mask, f"mask_{i}": layer.mask, f"bias_{i}": layer.bias}
    return arrays("maf", x=x, condition=c, z=z, log_det=log_det, **masked)


def spline():
    """nflows's rational-quadratic spline with linear tails, inside and outside of the bound."""
    from nflows.transforms.splines import unconstrained_rational_quadratic_spline as rq

    x, bins = 2.0 * torch.randn(40), 5
    raw = [2.0 * torch.randn(40, n) for n in (bins, bins, bins - 1)]
    z, log_slope = rq(x, *raw, tails="linear", tail_bound=3.0)
    back, _ = rq(z, *raw, inverse=True, tails="linear", tail_bound=3.0)
    assert (back - x).abs().max() < 1e-3
    return arrays("spline", x=x, raw=torch.cat(raw, -1), z=z, log_slope=log_slope)


def coupling():
    """nflows's affine coupling, scale sigmoid(a + 2) + 1e-3, of 5 numbers."""
    from nflows.transforms import AffineCouplingTransform

    from benchmarks.flows_torch import Dense

    mask = torch.tensor([0, 0, 0, 1, 1])  # 1: changed
    layer = spread(AffineCouplingTransform(mask, lambda n, m: Dense(n, (7,), m)))
    x = torch.randn(6, 5)
    z, log_det = layer(x)
    first, last = layer.transform_net[0], layer.transform_net[2]
    weights = {"weight_0": first.weight, "bias_0": first.bias, "weight_1": last.weight, "bias_1": last.bias}
    return arrays("coupling", x=x, z=z, log_det=log_det, **weights)


def convolution():
    """nflows's 1 x 1 convolution, channels first there."""
    from nflows.transforms import OneByOneConvolution

    layer, x = spread(OneByOneConvolution(4)), torch.randn(3, 4, 2, 3)
    z, log_det = layer(x)
    order = layer.permutation._permutation
    weight = layer.weight()[:, torch.argsort(order)]
    last = lambda t: t.permute(0, 2, 3, 1)  # noqa: E731
    return arrays("convolution", x=last(x), z=last(z), log_det=log_det, weight=weight, bias=layer.bias)


if __name__ == "__main__":
    torch.manual_seed(0)
    np.savez_compressed(sys.argv[1], **maf(), **spline(), **coupling(), **convolution())
