"""The flows of `benchmarks.flows` as a torch user has them: zuko's MAF, nflows's spline couplings, a plain loop.

Both are in no extra of this project: `pip install zuko nflows`, or a folder on PYTHONPATH that holds them.
"""

import torch


def couplings(size, steps, units, bins, bound):
    """nflows's rational-quadratic couplings with linear tails; each network is dense, of the same layers."""
    from nflows.distributions.normal import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import CompositeTransform, PiecewiseRationalQuadraticCouplingTransform

    transforms = [
        PiecewiseRationalQuadraticCouplingTransform(
            mask=((torch.arange(size) + i) % 2), transform_net_create_fn=lambda n, m: Dense(n, units, m), num_bins=bins,
            tails="linear", tail_bound=bound,
        )
        for i in range(steps)
    ]  # fmt: skip
    return Flow(CompositeTransform(transforms), StandardNormal([size]))


class Dense(torch.nn.Sequential):
    """A dense network that takes nflows's arguments."""

    def __init__(self, inputs, units, outputs):
        sizes = [inputs, *units]
        pairs = zip(sizes[:-1], sizes[1:], strict=True)
        hidden = [f for n, m in pairs for f in (torch.nn.Linear(n, m), torch.nn.ReLU())]
        super().__init__(*hidden, torch.nn.Linear(sizes[-1], outputs))

    def forward(self, x, context=None):
        return super().forward(x)


def make(family, size, settings, seed=0):
    """The flow: an object with `log_prob(x)` and `sample`."""
    torch.manual_seed(seed)
    steps, units = settings["steps"], settings["units"]
    if family == "maf":
        import zuko

        return zuko.flows.MAF(size, transforms=steps, hidden_features=units)
    return couplings(size, steps, units, settings["bins"], settings["bound"])


def tasks(family, size, settings, x):
    """`{"train", "density", "sample"}` -> a function of a number of batches that does them."""
    flow = make(family, size, settings)
    optimizer = torch.optim.Adam(flow.parameters(), settings["rate"])
    batches = torch.from_numpy(x).reshape(-1, settings["batch_size"], size)
    of_zuko = family == "maf"

    def log_prob(x):
        return flow().log_prob(x) if of_zuko else flow.log_prob(x)

    def train(count):
        for x in batches[:count]:
            optimizer.zero_grad(set_to_none=True)
            loss = -log_prob(x).mean()
            loss.backward()
            optimizer.step()

    @torch.no_grad()
    def density(count):
        for x in batches[:count]:
            log_prob(x)

    @torch.no_grad()
    def sample(count):
        for _ in range(count):
            flow().sample((settings["batch_size"],)) if of_zuko else flow.sample(settings["batch_size"])

    return {"train": train, "density": density, "sample": sample}
