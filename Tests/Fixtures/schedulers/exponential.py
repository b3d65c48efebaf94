"""Exponential integrators of the probability-flow ODE."""
import diffusers

from recording import *


def dpm_multistep():
    def run(name, steps, order, **config):
        config = STABLE_DIFFUSION | dict(steps_offset=1, solver_order=order) | LEADING | config
        return case(f"multistep-{name}", diffusers.DPMSolverMultistepScheduler, steps, **config)
    sigma_min = dict(final_sigmas_type="sigma_min")
    noise_prediction = sigma_min | dict(algorithm_type="dpmsolver")
    for order in (1, 2, 3):
        yield run(f"++{order}-leading-10", 10, order)
        yield run(f"++{order}-leading-20", 20, order)
        yield run(f"++{order}-sigma-min-10", 10, order, **sigma_min)
        yield run(f"++{order}-sigma-min-20", 20, order, **sigma_min)
        yield run(f"{order}-leading-10", 10, order, **noise_prediction)
        yield run(f"{order}-leading-20", 20, order, **noise_prediction)
    yield run("++2-linspace-20", 20, 2, **LINSPACE)
    yield run("++2-trailing-20", 20, 2, **TRAILING)
    yield run("++3-trailing-7", 7, 3, **TRAILING)
    yield run("++2-karras-10", 10, 2, **KARRAS)
    yield run("++2-karras-20", 20, 2, **KARRAS)
    yield run("++3-karras-20", 20, 3, **KARRAS)
    yield run("++2-karras-sigma-min-10", 10, 2, **KARRAS, **sigma_min)
    yield run("++2-full-order-10", 10, 2, lower_order_final=False)
    yield run("++3-full-order-sigma-min-10", 10, 3, lower_order_final=False, **sigma_min)
    yield run("++2-euler-at-final-sigma-min-20", 20, 2, euler_at_final=True, **sigma_min)
    yield run("++2-heun-10", 10, 2, solver_type="heun")
    yield run("2-heun-10", 10, 2, solver_type="heun", **noise_prediction)
    yield run("++2-sample-10", 10, 2, **SAMPLE)
    yield run("++2-velocity-10", 10, 2, **VELOCITY)
    yield run("2-sample-10", 10, 2, **SAMPLE, **noise_prediction)
    yield run("3-velocity-10", 10, 3, **VELOCITY, **noise_prediction)
    yield run("++2-linear-linspace-10", 10, 2, **LINEAR, **LINSPACE)
    yield run("++2-cosine-clipped-10", 10, 2, lambda_min_clipped=-5.1, **COSINE, **LINSPACE)
    yield run("++2-cosine-velocity-10", 10, 2, **COSINE, **VELOCITY)


def dpm_singlestep():
    def run(name, steps, order, **config):
        config = STABLE_DIFFUSION | dict(solver_order=order, lower_order_final=True) | config
        return case(f"singlestep-{name}", diffusers.DPMSolverSinglestepScheduler, steps, **config)
    sigma_min = dict(final_sigmas_type="sigma_min")
    noise_prediction = sigma_min | dict(algorithm_type="dpmsolver")
    for steps in (6, 10, 11, 20):
        yield run(f"++2-{steps}", steps, 2)
        yield run(f"++3-{steps}", steps, 3)
        yield run(f"2-{steps}", steps, 2, **noise_prediction)
        yield run(f"3-{steps}", steps, 3, **noise_prediction)
    yield run("1-10", 10, 1, **noise_prediction)
    yield run("++2-full-order-10", 10, 2, lower_order_final=False, **sigma_min)
    yield run("++3-full-order-6", 6, 3, lower_order_final=False, **sigma_min)
    yield run("2-full-order-20", 20, 2, lower_order_final=False, **noise_prediction)
    yield run("3-full-order-6", 6, 3, lower_order_final=False, **noise_prediction)
    yield run("3-full-order-refused-10", 10, 3, lower_order_final=False, **noise_prediction)
    yield run("++2-full-order-refused-10", 10, 2, lower_order_final=False)
    yield run("++3-heun-11", 11, 3, solver_type="heun")
    yield run("++2-karras-10", 10, 2, **KARRAS)
    yield run("++2-sample-10", 10, 2, **SAMPLE)
    yield run("++3-velocity-10", 10, 3, **VELOCITY)
    yield run("++2-linear-10", 10, 2, **LINEAR)




FAMILIES = [dpm_multistep, dpm_singlestep]
