"""The contract on torch: autograd. `keras_gen.backend` states what each name means.

`torch.autograd.grad` on one player's variables leaves no `.grad` behind, so players cannot leak into one another.
`grad` must not detach `x`: terms such as a path-length penalty differentiate through it. So `fn` is given a view of
`x` that keeps the graph, and only a leaf without a graph is made to require one.

Assignments happen in place, except those to a trainable weight v while its loss is differentiated: the graph still
needs the old values. They are kept aside as a + (v - stop(v)), the new value with v's derivative, until the gradient
is taken (`SpectralNormalization` in a critic that scores real and fake data assigns twice a loss).
"""

import warnings

import keras
import torch
from keras.src.backend.common.stateless_scope import get_stateless_scope

from keras_gen.backend.devices_torch import share, step

_tree = keras.tree


class _Scope(keras.StatelessScope):
    """Keeps what is assigned to trainable weights; lets all other assignments through."""

    def __init__(self):
        super().__init__(collect_losses=True)
        self.outer = get_stateless_scope()
        self.written = {}

    def get_current_value(self, variable):
        value = self.state_mapping.get(id(variable))
        if value is None:
            value = variable._value if self.outer is None else self.outer.get_current_value(variable)
        return value

    def add_update(self, update):
        variable, value = update
        if variable.trainable:
            v = self.get_current_value(variable)
            self.state_mapping[id(variable)] = value.detach() + (v - v.detach())
            self.written[id(variable)] = variable
        elif self.outer is not None:
            self.outer.add_update(update)
        else:
            with torch.no_grad():
                variable._value.copy_(value)

    def hand_over(self):
        """Assign what was kept."""
        for key, variable in self.written.items():
            variable.assign(self.state_mapping[key].detach())


def value_and_grad(fn, variables, has_aux=False):
    """`fn()` and its gradient in the Keras `variables`; with `has_aux`, `fn` returns `(value, aux)`."""
    references = [v.value for v in variables]
    with torch.enable_grad(), _Scope() as scope:
        output = fn()
        value = output[0] if has_aux else output
    if value.requires_grad:
        gradients = torch.autograd.grad(value, references, allow_unused=True, materialize_grads=True)
    else:
        gradients = [torch.zeros_like(r) for r in references]
    scope.hand_over()
    return output, [g.detach() for g in gradients]


def when(condition, fn, otherwise):
    """`fn()` where the scalar `condition` is true, else `otherwise`. Reading a tensor waits for the device."""
    return fn() if bool(condition) else otherwise


def _alias(x):
    """A view of `x` that keeps its graph; a constant begins a graph of its own."""
    return x.view_as(x) if x.requires_grad else x.detach().requires_grad_(True)


def _gradient(y, inputs, cotangent, keep):
    if not y.requires_grad:
        return [torch.zeros_like(i) for i in inputs]
    gradients = torch.autograd.grad(
        y, inputs, cotangent, create_graph=keep, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return gradients if keep else [g.detach() for g in gradients]


def grad(fn, x):
    """Gradient of `sum(fn(x))` in the tensor (or structure of tensors) `x`, of the same shape."""
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        x = _tree.map_structure(_alias, x)
        gradients = _gradient(fn(x).sum(), _tree.flatten(x), None, keep)
    return _tree.pack_sequence_as(x, gradients)


def vjp(fn, x, cotangent):
    """`(fn(x), cotangent^T J)`, the second of the shape of `x`."""
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        x = _alias(x)
        y = fn(x)
        cotangent = torch.as_tensor(cotangent, dtype=y.dtype, device=y.device)
        (product,) = _gradient(y, [x], cotangent, keep)
    return (y if keep else y.detach()), product


def jvp(fn, x, tangent):
    """`(fn(x), J tangent)`, the second of the shape of `fn(x)`.

    J t is the derivative in u of the linear map u -> (u^T J) t, so two reverse sweeps give it for every operation
    that can be differentiated twice, with no need of forward-mode rules.
    """
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        x = _alias(x)
        y = fn(x)
        u = torch.zeros_like(y, requires_grad=True)
        (product,) = _gradient(y, [x], u, keep=True)
        (out,) = _gradient(product, [u], torch.as_tensor(tangent, dtype=x.dtype, device=x.device), keep)
    return (y if keep else y.detach()), out


def no_grad(fn, *args):
    """`fn(*args)` as constants: nothing is recorded."""
    with torch.no_grad():
        return fn(*args)


def compile(fn, variables=None, loop=False):
    """`fn` without a tape. torch runs eagerly, as Keras's own `predict` does on it.

    What `fn` assigns stays in a stateless scope: sampling must advance no seed and move no statistic of training.
    """

    def run(*args):
        with torch.no_grad(), keras.StatelessScope():
            return fn(*args)

    return run


def first_call(fn, *args):
    """`fn(*args)`, for what it builds and for the shapes of its output."""
    return fn(*args)


def apply_gradients(optimizer, gradients, good=None):
    """One step of `optimizer` on the variables that it was built with; none where `good` is a false tensor.

    `good` is then read, which waits for the device.
    """
    if good is None or bool(good):
        with torch.no_grad():
            optimizer.apply(gradients, optimizer._trainable_variables)


def append(record, values):
    """Append the scalars `values` to the vector `record`, a Keras variable; the oldest ones fall out.

    By torch's own operations: they are called one by one in each step, and Keras's take four times as long.
    """
    old = record.value
    newest = [v.detach().to(old) if isinstance(v, torch.Tensor) else old.new_tensor(v) for v in values]
    old.copy_(torch.cat([old[len(values) :], torch.stack(newest)]))


def normalized_by_batch(x, gamma, beta, epsilon):
    """`x` (channels last) normalised over all axes but the last, scaled and shifted; and the moments, as constants.

    torch's own kernel: written in Keras's operations, the same takes a dozen passes over `x`.
    """
    y, mean, inverse = torch.native_batch_norm(x.movedim(-1, 1), gamma, beta, None, None, True, 0.0, epsilon)
    return y.movedim(1, -1), mean.detach(), (inverse.detach() ** -2.0 - epsilon).clamp(min=0.0)


def normalized_by_group(x, groups, gamma, beta, epsilon):
    """`x` (channels last) of each example normalised over groups of channels and all places, scaled and shifted.

    torch's own kernel: one pass for the moments and one for the result.
    """
    return torch.nn.functional.group_norm(x.movedim(-1, 1), groups, gamma, beta, epsilon).movedim(1, -1)


def transposed_convolution(x, kernel, bias, strides, padding):
    """The transposed convolution of `x` (channels last), `padding` cut off on each side; `kernel` as Keras has it.

    Keras computes the margins and cuts them off afterwards, which costs copies forth and back.
    """
    y = torch.nn.functional.conv_transpose2d(x.movedim(-1, 1), kernel.permute(3, 2, 0, 1), bias, strides, padding)
    return y.movedim(1, -1)


def entries(x, indices):
    """The entries of x at `indices` along its first axis."""
    return torch.index_select(x, 0, indices)


def entry(x, index, axis=0):
    """The entry `index` of x along `axis`, which falls away: a copy, since x may be written in place."""
    return torch.index_select(x, axis, _one_index(x, index)).squeeze(axis)


def put(x, index, row, axis=0):
    """x with its entry `index` along `axis` replaced by `row`: in place, but where a gradient is recorded."""
    x = x.clone() if torch.is_grad_enabled() else x
    return x.index_copy_(axis, _one_index(x, index), row.unsqueeze(axis).to(x.dtype))


def _one_index(x, index):
    return torch.as_tensor(index, dtype=torch.int64, device=x.device).reshape(1)


LEAST = 128  # steps of a loop that is worth tracing, which takes as long as a hundred of them


def loop(count, body, state):
    """`state = body(i, state)` for i = 0, ..., count - 1.

    A long loop without a tape runs the operations of one traced step, without the Python of Keras and of the model
    between them, which takes ten times as long as they do. The trace is made anew for each call: what the step closes
    over is a constant of it. A step that reads a tensor's value cannot be traced, and is run as it is.
    """
    flat, places = _tree.flatten(state), range(count)

    def step(i, *flat):
        return tuple(_tree.flatten(body(i, _tree.pack_sequence_as(state, list(flat)))))

    run = step
    if count >= LEAST and not torch.is_grad_enabled():
        places = torch.arange(count, dtype=torch.int32, device=flat[0].device).unbind()
        run = _traced(step, places[0], flat) or step
    for i in places:
        flat = run(i, *flat)
    return _tree.pack_sequence_as(state, list(flat))


def _traced(step, i, flat):
    """`step` as a program of torch's own interpreter, or None; traced on copies, since it writes in place."""
    from torch.fx.experimental.proxy_tensor import make_fx

    try:
        graph = make_fx(step)(i, *(x.clone() for x in flat))
    except RuntimeError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; torch.compile needs a compiler of C++
        program = torch.jit.trace(graph, (i, *(x.clone() for x in flat)), check_trace=False)
        return torch.jit.freeze(program.eval())


scan_has_gradient = True


def scan(step, carry, xs, steps, reverse=False):
    """The values of `carry = step(carry, [x[t] for x in xs])` after each t, stacked; the carry is a list."""
    return keras.ops.scan(lambda c, x: (step(c, x),) * 2, carry, xs, length=steps, reverse=reverse)[1]


def reproducible(model):
    """Whether a training gives the same bits each time."""
    return True


class Trainer:
    """Keras's steps on torch from `train_on`, `test_on` and `predict_on`."""

    def train_step(self, data):
        with step(_length(data)):
            return self.train_on(data)

    def test_step(self, data):
        with step(_length(data)):
            return self.test_on(data)

    def predict_step(self, data):
        return self.predict_on(data)

    def fit(self, *args, **kwargs):
        """Under `torch.distributed` all processes begin from the state of process 0."""
        share([*self.variables, *self.optimizer.variables])
        return super().fit(*args, **kwargs)

    def synchronize(self):
        """Variables always hold the current state here."""


def _length(data):
    return len(_tree.flatten(data)[0])
