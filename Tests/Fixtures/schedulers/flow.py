"""Solvers on the straight path."""
import diffusers
import numpy as np

from recording import *


def flow():
    even = np.linspace(1, 1 / 8, 8).tolist()
    for name, kind in (("euler", diffusers.FlowMatchEulerDiscreteScheduler), ("heun", diffusers.FlowMatchHeunDiscreteScheduler)):
        yield case(f"flow-{name}-8", kind, 8)
        yield case(f"flow-{name}-shift-8", kind, 8, shift=3.0)
        for steps in (1, 50):
            yield cut(case(f"flow-{name}-{steps}", kind, steps), 1)
    yield cut(case("flow-euler-inverted-20", diffusers.FlowMatchEulerDiscreteScheduler, 20, shift=3.0, invert_sigmas=True), 2)
    yield case("flow-euler-even-8", diffusers.FlowMatchEulerDiscreteScheduler, 8, sigmas=even)
    yield case("flow-euler-even-shift-8", diffusers.FlowMatchEulerDiscreteScheduler, 8, sigmas=even, shift=3.0)


FAMILIES = [flow]
