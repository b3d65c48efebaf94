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
    for steps in (1, 50):
        yield cut(run(f"leading-{steps}", steps, **LEADING), 1)
    yield cut(run("log-linear-10", 10, interpolation_type="log_linear", **LEADING), 2)
    yield cut(run("continuous-10", 10, **VELOCITY, **CONTINUOUS, **LEADING), 2)
    yield cut(run("continuous-karras-25", 25, sigma_min=0.002, sigma_max=700.0, **VELOCITY, **CONTINUOUS, **KARRAS, **LEADING), 2)


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
    for steps in (1, 50):
        yield cut(run(f"leading-{steps}", steps, **LEADING), 1)


def kdpm2():
    def run(name, steps, **config):
        config = STABLE_DIFFUSION | dict(steps_offset=1) | config
        return case(f"kdpm2-{name}", diffusers.KDPM2DiscreteScheduler, steps, **config)
    for steps in (2, 7):
        yield run(f"leading-{steps}", steps, **LEADING)
    yield run("linspace-20", 20, **LINSPACE)
    yield run("trailing-7", 7, **TRAILING)
    yield run("karras-linspace-10", 10, **KARRAS, **LINSPACE)
    yield run("velocity-7", 7, **VELOCITY, **LEADING)
    yield run("linear-7", 7, **LINEAR, **LINSPACE)
    for steps in (1, 50):
        yield cut(run(f"linspace-{steps}", steps, **LINSPACE), 1)


def lms():
    def run(name, steps, step={}, **config):
        config = STABLE_DIFFUSION | dict(steps_offset=1) | config
        return case(f"lms-{name}", diffusers.LMSDiscreteScheduler, steps, step, **config)
    for steps in (1, 2, 3, 10, 50):
        yield run(f"linspace-{steps}", steps, **LINSPACE)
    for order in (1, 2, 3):
        yield run(f"order-{order}-10", 10, dict(order=order), **LINSPACE)
    yield run("leading-10", 10, **LEADING)
    yield run("trailing-7", 7, **TRAILING)
    yield run("karras-linspace-10", 10, **KARRAS, **LINSPACE)
    yield run("sample-7", 7, **SAMPLE, **LEADING)
    yield run("velocity-7", 7, **VELOCITY, **LEADING)
    yield run("linear-10", 10, **LINEAR, **LINSPACE)


def edm_euler():
    """Preconditioned: the model sees x / sqrt(sigma^2 + sigma_data^2) at time log(sigma) / 4. With `final_sigmas_type` sigma_min
    the class ends with a step from sigma_min to itself, which is left out here."""
    def run(name, steps, **config):
        return case(f"edm-euler-{name}", diffusers.EDMEulerScheduler, steps, **config)
    for steps in (1, 10, 30):
        yield run(f"karras-{steps}", steps)
    yield cut(run("karras-50", 50), 1)
    yield run("exponential-10", 10, sigma_schedule="exponential")
    yield run("velocity-10", 10, **VELOCITY)


FAMILIES = [euler, heun, kdpm2, lms, edm_euler]
