"""Classical solvers in the noise level."""
import diffusers

from recording import *


def euler():
    def run(name, steps, **config):
        config = STABLE_DIFFUSION | dict(steps_offset=1) | config
        return case(f"euler-{name}", diffusers.EulerDiscreteScheduler, steps, **config)
    for steps in (7, 20):
        yield run(f"leading-{steps}", steps, **LEADING)
        yield run(f"linspace-{steps}", steps, **LINSPACE)
        yield run(f"trailing-{steps}", steps, **TRAILING)
        yield run(f"karras-linspace-{steps}", steps, **KARRAS, **LINSPACE)
    yield run("karras-leading-10", 10, **KARRAS, **LEADING)
    yield run("sigma-min-leading-10", 10, final_sigmas_type="sigma_min", **LEADING)
    yield run("sample-10", 10, **SAMPLE, **LEADING)
    yield run("velocity-10", 10, **VELOCITY, **LEADING)
    yield run("linear-10", 10, **LINEAR, **LINSPACE)
    yield run("cosine-10", 10, **COSINE, **LEADING)


def heun():
    def run(name, steps, **config):
        config = STABLE_DIFFUSION | dict(steps_offset=1) | config
        return case(f"heun-{name}", diffusers.HeunDiscreteScheduler, steps, **config)
    yield run("leading-10", 10, **LEADING)
    yield run("linspace-7", 7, **LINSPACE)
    yield run("trailing-7", 7, **TRAILING)
    yield run("karras-linspace-10", 10, **KARRAS, **LINSPACE)
    yield run("sample-7", 7, **SAMPLE, **LEADING)
    yield run("velocity-7", 7, **VELOCITY, **LEADING)
    yield run("linear-7", 7, **LINEAR, **LINSPACE)




FAMILIES = [euler, heun]
