"""Exponential integrators of the probability-flow ODE."""
import math

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
    for steps in (1, 50):
        yield cut(run(f"++3-{steps}", steps, 3), 1)
        yield cut(run(f"3-heun-{steps}", steps, 3, solver_type="heun", **noise_prediction), 1)


SIGMA_MIN = dict(final_sigmas_type="sigma_min")
FLOW = dict(prediction_type="flow_prediction", use_flow_sigmas=True)


def short(record, count=2):
    """The first elements alone, up to where diffusers comes out with NaN."""
    latents = cut(record, count)["double"]["latents"]
    record["double"]["latents"] = [state for state in latents if all(map(math.isfinite, state))]
    return record


def double_case(*arguments, **options):
    """For the classes whose source names no float32: they take torch's default."""
    torch.set_default_dtype(torch.float64)
    try:
        return case(*arguments, **options)
    finally:
        torch.set_default_dtype(torch.float32)


def unipc():
    def run(name, steps, order, kind="bh2", **config):
        config = STABLE_DIFFUSION | dict(steps_offset=1, solver_order=order, solver_type=kind) | LEADING | config
        return short(case(f"unipc-{name}", diffusers.UniPCMultistepScheduler, steps, **config))
    epsilon = SIGMA_MIN | dict(predict_x0=False)
    for order in (1, 2, 3, 4):
        for kind in ("bh1", "bh2"):
            yield run(f"{order}-{kind}-7", 7, order, kind, **(SIGMA_MIN if kind == "bh1" else {}))
            yield run(f"{order}-{kind}-epsilon-7", 7, order, kind, **epsilon)
    for steps in (1, 2, 3, 4, 50):
        yield run(f"2-{steps}", steps, 2)
        yield run(f"3-epsilon-{steps}", steps, 3, **epsilon)
    yield run("2-linspace-20", 20, 2, **LINSPACE)
    yield run("3-trailing-20", 20, 3, **TRAILING)
    yield run("3-karras-10", 10, 3, **KARRAS)
    yield run("2-sigma-min-10", 10, 2, **SIGMA_MIN)
    yield run("2-bh1-nan-5", 5, 2, "bh1")
    yield run("2-full-order-nan-5", 5, 2, lower_order_final=False)
    yield run("3-full-order-sigma-min-10", 10, 3, lower_order_final=False, **SIGMA_MIN)
    yield run("2-uncorrected-10", 10, 2, disable_corrector=[0, 1, 5])
    yield run("3-predictor-10", 10, 3, disable_corrector=list(range(10)))
    yield run("2-sample-10", 10, 2, **SAMPLE)
    yield run("2-velocity-10", 10, 2, **VELOCITY)
    yield run("2-sample-epsilon-10", 10, 2, **SAMPLE, **epsilon)
    yield run("3-velocity-epsilon-10", 10, 3, **VELOCITY, **epsilon)
    yield run("2-cosine-10", 10, 2, **COSINE)
    for steps in (1, 2, 10):
        yield run(f"2-flow-{steps}", steps, 2, **FLOW)
    yield run("3-flow-shift-10", 10, 3, flow_shift=3.0, **FLOW)
    yield run("2-flow-bh1-sigma-min-10", 10, 2, "bh1", **FLOW, **SIGMA_MIN)


def deis():
    def run(name, steps, order, **config):
        config = STABLE_DIFFUSION | dict(steps_offset=1, solver_order=order) | LEADING | config
        return short(case(f"deis-{name}", diffusers.DEISMultistepScheduler, steps, **config))
    for order in (1, 2, 3):
        for steps in (1, 2, 3, 10, 20):
            yield run(f"{order}-{steps}", steps, order)
    yield run("3-50", 50, 3)
    yield run("2-linspace-10", 10, 2, **LINSPACE)
    yield run("3-trailing-20", 20, 3, **TRAILING)
    yield run("3-karras-10", 10, 3, **KARRAS)
    yield run("3-full-order-10", 10, 3, lower_order_final=False)
    yield run("2-sample-10", 10, 2, **SAMPLE)
    yield run("3-velocity-10", 10, 3, **VELOCITY)
    yield run("2-cosine-10", 10, 2, **COSINE)
    yield run("3-flow-10", 10, 3, **FLOW)
    yield run("2-flow-shift-20", 20, 2, flow_shift=3.0, **FLOW)


def ipndm():
    for steps in (1, 2, 3, 4, 5, 10, 50):
        yield short(double_case(f"ipndm-{steps}", diffusers.IPNDMScheduler, steps))


def dpm_multistep_more():
    def run(name, steps, order, **config):
        config = STABLE_DIFFUSION | dict(steps_offset=1, solver_order=order) | LEADING | config
        return short(case(f"multistep-{name}", diffusers.DPMSolverMultistepScheduler, steps, **config))
    noise_prediction = SIGMA_MIN | dict(algorithm_type="dpmsolver")
    for order in (1, 2, 3):
        for kind in ("midpoint", "heun"):
            for steps in (1, 2, 3, 5):
                yield run(f"++{order}-{kind}-{steps}", steps, order, solver_type=kind)
            yield run(f"{order}-{kind}-4", 4, order, solver_type=kind, **noise_prediction)
    yield run("++3-50", 50, 3)
    yield run("2-heun-50", 50, 2, solver_type="heun", **noise_prediction)
    for steps in (1, 2, 3, 10):
        yield run(f"++3-euler-at-final-{steps}", steps, 3, euler_at_final=True, lower_order_final=False, **SIGMA_MIN)
    yield run("++3-euler-at-final-lowered-10", 10, 3, euler_at_final=True, **SIGMA_MIN)
    yield run("3-euler-at-final-20", 20, 3, euler_at_final=True, **noise_prediction)
    for steps in (1, 2, 10, 20):
        yield run(f"++2-flow-{steps}", steps, 2, **FLOW)
    yield run("++3-flow-shift-10", 10, 3, flow_shift=3.0, **FLOW)


def edm_dpm_multistep():
    def run(name, steps, order, **config):
        kind = diffusers.EDMDPMSolverMultistepScheduler
        return short(double_case(f"edm-{name}", kind, steps, solver_order=order, **config))
    for order in (1, 2, 3):
        for steps in (1, 2, 3, 10):
            yield run(f"++{order}-{steps}", steps, order)
    yield run("++2-50", 50, 2)
    yield run("++2-heun-10", 10, 2, solver_type="heun")
    yield run("++3-exponential-20", 20, 3, sigma_schedule="exponential")
    yield run("++2-velocity-10", 10, 2, **VELOCITY)
    yield run("++3-euler-at-final-sigma-min-20", 20, 3, euler_at_final=True, **SIGMA_MIN)


FAMILIES = [dpm_multistep, dpm_singlestep, dpm_multistep_more, edm_dpm_multistep, unipc, deis, ipndm]
