"""Solvers of the reverse SDE. Rows of `noise` belong to the calls of `step`, whether or not they draw.

Not here, because diffusers crashes: `sde-dpmsolver` of order 3 (no state comes out), SA-Solver with `corrector_order` 0.
"""
from unittest.mock import patch

import diffusers

from exponential import SIGMA_MIN
from recording import *

SCALED = STABLE_DIFFUSION | dict(steps_offset=1)


def short(record, count=2):
    """The first elements alone, with the noise of every call."""
    record["noise"] = [noise(index)[0].tolist() for index in range(record["evaluations"])]
    return cut(record, count)


def sde_multistep():
    def run(name, steps, order, **config):
        config = SCALED | dict(solver_order=order, algorithm_type="sde-dpmsolver++") | LEADING | config
        return short(case(f"sde-multistep-{name}", diffusers.DPMSolverMultistepScheduler, steps, **config))
    epsilon = SIGMA_MIN | dict(algorithm_type="sde-dpmsolver")
    for steps in (1, 2, 10):
        yield run(f"++1-{steps}", steps, 1)
        yield run(f"1-{steps}", steps, 1, **epsilon)
        for kind in ("midpoint", "heun"):
            yield run(f"++2-{kind}-{steps}", steps, 2, solver_type=kind)
            yield run(f"2-{kind}-{steps}", steps, 2, solver_type=kind, **epsilon)
    for steps in (3, 15):
        yield run(f"++3-{steps}", steps, 3)
    yield run("++2-20", 20, 2)
    yield run("++3-sigma-min-10", 10, 3, **SIGMA_MIN)
    yield run("++2-linspace-7", 7, 2, **LINSPACE)
    yield run("++2-trailing-7", 7, 2, **TRAILING)
    yield run("++2-karras-7", 7, 2, **KARRAS)
    yield run("++2-full-order-sigma-min-7", 7, 2, lower_order_final=False, **SIGMA_MIN)
    yield run("++2-sample-10", 10, 2, **SAMPLE)
    yield run("++3-velocity-10", 10, 3, **VELOCITY)
    yield run("2-sample-7", 7, 2, **SAMPLE, **epsilon)
    yield run("2-velocity-7", 7, 2, **VELOCITY, **epsilon)
    yield run("++2-linear-7", 7, 2, **LINEAR)
    yield cut(run("++1-50", 50, 1), 1)
    yield cut(run("++2-karras-50", 50, 2, **KARRAS), 1)
    yield cut(run("++3-50", 50, 3), 1)
    yield cut(run("2-heun-50", 50, 2, solver_type="heun", **epsilon), 1)
    yield cut(run("2-velocity-31", 31, 2, **VELOCITY, **epsilon), 1)


def sde_singlestep():
    def run(name, steps, order, **config):
        config = STABLE_DIFFUSION | dict(solver_order=order, lower_order_final=True, algorithm_type="sde-dpmsolver++") | config
        return short(case(f"sde-singlestep-{name}", diffusers.DPMSolverSinglestepScheduler, steps, **config))
    for steps in (6, 11):
        yield run(f"1-{steps}", steps, 1)
        for kind in ("midpoint", "heun"):
            yield run(f"2-{kind}-{steps}", steps, 2, solver_type=kind)
            yield run(f"3-{kind}-{steps}", steps, 3, solver_type=kind)
    yield run("2-midpoint-20", 20, 2)
    yield run("2-full-order-sigma-min-10", 10, 2, lower_order_final=False, **SIGMA_MIN)
    yield run("2-karras-10", 10, 2, **KARRAS)
    yield run("2-sample-10", 10, 2, **SAMPLE)
    yield run("3-velocity-10", 10, 3, **VELOCITY)
    for steps in (1, 50):
        yield cut(run(f"2-heun-{steps}", steps, 2, solver_type="heun"), 1)
        yield cut(run(f"3-{steps}", steps, 3), 1)


def euler_ancestral():
    def run(name, steps, **config):
        return short(case(f"euler-ancestral-{name}", diffusers.EulerAncestralDiscreteScheduler, steps, **SCALED | config))
    for steps in (1, 2, 7, 20):
        yield run(f"leading-{steps}", steps, **LEADING)
        yield run(f"linspace-{steps}", steps, **LINSPACE)
        yield run(f"trailing-{steps}", steps, **TRAILING)
    yield run("leading-50", 50, **LEADING)
    yield run("velocity-10", 10, **VELOCITY, **LEADING)
    yield run("linear-10", 10, **LINEAR, **LINSPACE)
    yield run("cosine-10", 10, **COSINE, **LEADING)


def kdpm2_ancestral():
    def run(name, steps, **config):
        return short(case(f"kdpm2-ancestral-{name}", diffusers.KDPM2AncestralDiscreteScheduler, steps, **SCALED | config))
    for steps in (2, 7):
        yield run(f"leading-{steps}", steps, **LEADING)
    yield run("linspace-20", 20, **LINSPACE)
    yield run("trailing-7", 7, **TRAILING)
    yield run("karras-linspace-10", 10, **KARRAS, **LINSPACE)
    yield run("velocity-7", 7, **VELOCITY, **LEADING)
    yield run("linear-7", 7, **LINEAR, **LINSPACE)
    yield cut(run("leading-50", 50, **LEADING), 1)


class Recorded:
    """Stands for a Brownian tree: the noise of one call after the other."""
    def __init__(self, *arguments):
        self.calls = 0

    def __call__(self, start, end):
        self.calls += 1
        return noise(self.calls - 1)


def dpm_sde():
    kind = diffusers.DPMSolverSDEScheduler
    def run(name, steps, **config):
        with patch.object(sys.modules[kind.__module__], "BrownianTreeNoiseSampler", Recorded):
            return short(case(f"dpm-sde-{name}", kind, steps, **SCALED | config))
    for steps in (1, 2, 7):
        yield run(f"leading-{steps}", steps, **LEADING)
    yield run("linspace-20", 20, **LINSPACE)
    yield run("trailing-7", 7, **TRAILING)
    yield run("karras-linspace-10", 10, **KARRAS, **LINSPACE)
    yield run("velocity-7", 7, **VELOCITY, **LEADING)
    yield run("linear-7", 7, **LINEAR, **LINSPACE)
    yield cut(run("leading-50", 50, **LEADING), 1)


def sa_solver():
    def run(name, steps, predictor, corrector, **config):
        config = SCALED | dict(predictor_order=predictor, corrector_order=corrector) | LEADING | config
        return short(case(f"sa-{name}", diffusers.SASolverScheduler, steps, **config))
    epsilon = dict(algorithm_type="noise_prediction")
    for predictor in (1, 2, 3):
        for corrector in (1, 2, 3):
            yield run(f"{predictor}-{corrector}-10", 10, predictor, corrector)
            yield run(f"{predictor}-{corrector}-epsilon-7", 7, predictor, corrector, **epsilon)
    for steps in (1, 2, 3, 15):
        yield run(f"2-2-{steps}", steps, 2, 2)
    yield run("3-3-epsilon-16", 16, 3, 3, **epsilon)
    yield run("3-3-full-order-10", 10, 3, 3, lower_order_final=False)
    yield run("2-2-linspace-5", 5, 2, 2, **LINSPACE)
    yield run("2-2-karras-7", 7, 2, 2, **KARRAS)
    yield run("3-3-trailing-10", 10, 3, 3, **TRAILING)
    yield run("2-2-sample-10", 10, 2, 2, **SAMPLE)
    yield run("2-2-velocity-10", 10, 2, 2, **VELOCITY)
    yield run("2-2-sample-epsilon-7", 7, 2, 2, **SAMPLE, **epsilon)
    yield run("2-2-linear-5", 5, 2, 2, **LINEAR)
    for steps in (20, 31, 50):
        yield cut(run(f"2-2-{steps}", steps, 2, 2), 1)
    yield cut(run("1-1-50", 50, 1, 1), 1)
    yield cut(run("3-3-50", 50, 3, 3), 1)
    yield cut(run("3-3-epsilon-50", 50, 3, 3, **epsilon), 1)
    yield cut(run("2-2-karras-velocity-50", 50, 2, 2, **KARRAS, **VELOCITY), 1)


def euler_churn():
    def run(name, steps, step, **config):
        return short(case(f"euler-churn-{name}", diffusers.EulerDiscreteScheduler, steps, step, **SCALED | LEADING | config))
    for steps in (2, 10):
        yield run(f"{steps}", steps, dict(s_churn=3.0))
        yield run(f"capped-{steps}", steps, dict(s_churn=40.0))
    yield run("range-10", 10, dict(s_churn=2.0, s_tmin=0.3, s_tmax=5.0, s_noise=1.007))
    yield run("sample-10", 10, dict(s_churn=2.0), **SAMPLE)
    yield run("velocity-10", 10, dict(s_churn=2.0), **VELOCITY)
    yield run("linspace-10", 10, dict(s_churn=2.0), **LINSPACE)
    for steps in (1, 50):
        yield cut(run(f"{steps}", steps, dict(s_churn=3.0)), 1)


FAMILIES = [sde_multistep, sde_singlestep, euler_ancestral, kdpm2_ancestral, dpm_sde, sa_solver, euler_churn]
