"""Noise paths and grids alone: what the schedulers visit, without a run."""
import sys
from contextlib import contextmanager
from unittest.mock import patch

import diffusers
import scipy.stats
import torch

from recording import *

COUNTS = (1, 2, 3, 7, 10, 31, 50)


@contextmanager
def widened(kind):
    """Each float32 in a scheduler's source is float64, and so is torch's default, which EDM's classes use."""
    source = sys.modules[kind.__module__]
    torch.set_default_dtype(torch.float64)
    with patch.object(source, "torch", Widened(torch)), patch.object(source, "np", Widened(np), create=True):
        yield
    torch.set_default_dtype(torch.float32)


def noise_paths():
    def run(name, kind, **config):
        with widened(kind):
            bars = kind(**config).alphas_cumprod
        times = [t for t in (0, 1, 2, 3, 4, 10, 100, 400, 700, 900, 990, 997, 998, 999) if t < len(bars)]
        given = {key: config.get(key) for key in ("beta_schedule", "beta_start", "beta_end", "trained_betas")}
        return {"name": name, **given, "rescales": config.get("rescale_betas_zero_snr", False),
                "timesteps": times, "alphas_cumprod": [bars[t].item() for t in times]}
    zero = dict(rescale_betas_zero_snr=True)
    ddpm, heun, euler = diffusers.DDPMScheduler, diffusers.HeunDiscreteScheduler, diffusers.EulerDiscreteScheduler
    yield run("linear", ddpm, **LINEAR)
    yield run("scaled-linear", ddpm, **STABLE_DIFFUSION)
    yield run("cosine", ddpm, **COSINE)
    yield run("sigmoid", ddpm, **LINEAR | dict(beta_schedule="sigmoid"))
    yield run("laplace", ddpm, beta_schedule="laplace")
    yield run("exp", heun, beta_schedule="exp")
    yield run("trained", ddpm, trained_betas=[0.01, 0.02, 0.05, 0.1, 0.3])
    yield run("zero-snr-linear", ddpm, **LINEAR, **zero)
    yield run("zero-snr-scaled-linear", ddpm, **STABLE_DIFFUSION, **zero)
    yield run("zero-snr-cosine", ddpm, **COSINE, **zero)
    yield run("nearly-zero-snr", euler, **STABLE_DIFFUSION, **zero)


def grids():
    def run(name, kind, mu=None, counts=COUNTS, **config):
        for steps in counts:
            with widened(kind):
                scheduler = kind(**config)
                scheduler.set_timesteps(steps, **({"mu": mu} if mu is not None else {}))
            sigmas = getattr(scheduler, "sigmas", None)
            yield {"name": f"{name}-{steps}", "grid": name, "scheduler": kind.__name__, "steps": steps, "mu": mu,
                   "timesteps": scheduler.timesteps.tolist(), "sigmas": None if sigmas is None else sigmas.tolist()}
    spacings = dict(leading=LEADING, linspace=LINSPACE, trailing=TRAILING)
    levels = dict(karras=KARRAS, exponential=dict(use_exponential_sigmas=True), beta=dict(use_beta_sigmas=True))
    base = STABLE_DIFFUSION | dict(steps_offset=1)
    for spacing, option in spacings.items():
        yield from run(f"ddim-{spacing}", diffusers.DDIMScheduler, **base, **option)
        yield from run(f"multistep-{spacing}", diffusers.DPMSolverMultistepScheduler, **base, **option)
    for level, option in levels.items():
        yield from run(f"multistep-{level}", diffusers.DPMSolverMultistepScheduler, **base, **option)
        yield from run(f"euler-{level}", diffusers.EulerDiscreteScheduler, counts=(1, 2, 7, 20), **base, **option, **LINSPACE)
    yield from run("multistep-lu", diffusers.DPMSolverMultistepScheduler, counts=(1, 2, 7, 20), use_lu_lambdas=True, **base)
    yield from run("multistep-flow", diffusers.DPMSolverMultistepScheduler, use_flow_sigmas=True, flow_shift=3.0,
                   prediction_type="flow_prediction", **base)
    yield from run("multistep-sigma-min", diffusers.DPMSolverMultistepScheduler, counts=(2, 7), final_sigmas_type="sigma_min",
                   **base, **levels["exponential"])
    yield from run("multistep-nearly-zero", diffusers.DPMSolverMultistepScheduler, counts=(2, 7, 20), rescale_betas_zero_snr=True,
                   **base, **VELOCITY, **TRAILING)
    yield from run("euler-own-levels", diffusers.EulerDiscreteScheduler, counts=(2, 7, 20), sigma_min=0.1, sigma_max=10.0,
                   **base, **KARRAS)
    euler = diffusers.EulerDiscreteScheduler
    yield from run("euler-log-linear", euler, counts=(1, 2, 7, 20), interpolation_type="log_linear", **base, **LEADING)
    yield from run("euler-continuous", euler, counts=(2, 7, 20), **base, **VELOCITY, **CONTINUOUS, **LEADING)
    yield from run("euler-continuous-karras", euler, counts=(2, 7, 20), sigma_min=0.002, sigma_max=700.0, **base, **VELOCITY,
                   **CONTINUOUS, **KARRAS, **LEADING)
    flow = diffusers.FlowMatchEulerDiscreteScheduler
    yield from run("flow-twice", flow, shift=3.0)
    yield from run("flow-inverted", flow, counts=(2, 7, 20), shift=3.0, invert_sigmas=True)
    dynamic = dict(use_dynamic_shifting=True)
    yield from run("flow-dynamic", flow, mu=0.8, **dynamic)
    yield from run("flow-dynamic-linear", flow, mu=0.8, counts=(1, 7, 20), time_shift_type="linear", **dynamic)
    yield from run("flow-terminal", flow, mu=0.8, counts=(2, 7, 20), shift_terminal=0.1, **dynamic)
    for level, option in levels.items():
        yield from run(f"flow-{level}", flow, mu=0.8, counts=(1, 2, 7, 20), **dynamic, **option)
    for kind, name in ((diffusers.EDMEulerScheduler, "edm-euler"), (diffusers.EDMDPMSolverMultistepScheduler, "edm-multistep")):
        yield from run(f"{name}-karras", kind, counts=(1, 2, 7, 20))
        yield from run(f"{name}-exponential", kind, counts=(2, 7, 20), sigma_schedule="exponential",
                       final_sigmas_type="sigma_min")


def beta_quantiles():
    for a, b in ((0.6, 0.6), (0.5, 0.7), (1, 1), (2, 5), (0.1, 3), (30, 40), (0.05, 0.05)):
        for p in (1e-12, 1e-6, 0.001, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999):
            yield {"a": a, "b": b, "p": p, "x": float(scipy.stats.beta.ppf(p, a, b))}


FAMILIES = [noise_paths, grids, beta_quantiles]
