"""Ordinary differential equations, for continuous flows and for diffusion: solvers with given and with chosen steps.

`solve_fixed` takes a grid of times and a method; `solve_adaptive` chooses the steps of each example by its error. Both
take states that are structures of tensors `(batch, ...)`, run forwards and backwards in time, are one compiled loop,
and have gradients.
"""

from keras_gen.integrate.adaptive import Solution, solve_adaptive
from keras_gen.integrate.fixed import solve_fixed
from keras_gen.integrate.tableaus import METHODS, Tableau

__all__ = ["METHODS", "Solution", "Tableau", "solve_adaptive", "solve_fixed"]
