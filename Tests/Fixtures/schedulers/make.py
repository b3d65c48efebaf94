"""Write the scheduler fixtures: what diffusers' schedulers make of a model that is a formula.

    pip install -r ../networks/requirements.txt
    python make.py

Writes one JSON file per family next to this file. The fields and the conventions behind them are in README.md.
"""
import inspect
import json
import math
import sys
from pathlib import Path
from unittest.mock import patch

import diffusers
import numpy as np
import torch

HERE = Path(__file__).parent
STABLE_DIFFUSION = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, num_train_timesteps=1000)
LINEAR = dict(beta_schedule="linear", beta_start=0.0001, beta_end=0.02, num_train_timesteps=1000)
COSINE = dict(beta_schedule="squaredcos_cap_v2", num_train_timesteps=1000)
SAMPLE, VELOCITY = dict(prediction_type="sample"), dict(prediction_type="v_prediction")
LEADING, TRAILING, LINSPACE = (dict(timestep_spacing=name) for name in ("leading", "trailing", "linspace"))
KARRAS = dict(use_karras_sigmas=True)


def model(x, t):
    """The network, whatever its output is taken for."""
    return 0.6 * torch.cos(1.3 * x + 0.001 * t) + 0.2 * torch.tanh(x) * (1 - t / 2000)


def initial():
    """The starting noise before it is scaled, as a batch of one."""
    return 1.8 * torch.sin(2.1 * torch.arange(8, dtype=torch.float64) + 0.4)[None]


def noise(step):
    """The noise of one step."""
    return 1.4 * torch.cos(1.9 * torch.arange(8, dtype=torch.float64) + 0.7 * step + 0.2)[None]


class Widened:
    """A module that answers float64 when asked for float32."""
    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        return getattr(self.module, "float64" if name == "float32" else name)


def trajectory(scheduler, schedule, step):
    """Sample once, as a pipeline does, and record what the scheduler and the model said."""
    scheduler.set_timesteps(**schedule)
    x = initial() * scheduler.init_noise_sigma if hasattr(scheduler, "init_noise_sigma") else initial()
    times, latents = [], []
    for index, t in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        output = model(scaled, t.double())
        times.append(t.item())
        arguments = step | ({"variance_noise": noise(index)} if "eta" in step else {})
        with patch("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *shape, **options: noise(index)):
            x = scheduler.step(output, t, x, **arguments).prev_sample
        latents.append(x[0].tolist())
    return {"timesteps": scheduler.timesteps.tolist(),
            "sigmas": scheduler.sigmas.tolist() if hasattr(scheduler, "sigmas") else None,
            "init_noise_sigma": float(getattr(scheduler, "init_noise_sigma", 1)),
            "model_times": times, "latents": latents}


def case(name, kind, steps, step={}, sigmas=None, **config):
    """Run one scheduler twice, as diffusers ships it and with each float32 in its source read as float64."""
    schedule = {"sigmas": sigmas} if sigmas else {"num_inference_steps": steps}
    as_shipped = kind(**config)
    given = {key: value for key, value in as_shipped.config.items() if not key.startswith("_")}
    shipped = trajectory(as_shipped, schedule, step)
    source = sys.modules[kind.__module__]
    with patch.object(source, "torch", Widened(torch)), patch.object(source, "np", Widened(np)):
        double = trajectory(kind(**config), schedule, step)
    difference = np.abs(np.array(shipped["latents"]) - np.array(double["latents"])).max()
    largest = np.abs(double["latents"]).max()
    print(f"{name}: {len(shipped['latents'])} evaluations, up to {largest:.1f}, float32 moved it by {difference:.0e}")
    stochastic = kind is diffusers.DDPMScheduler or "eta" in step
    return {"name": name, "scheduler": kind.__name__,
            "config": {key: str(value) if value == -math.inf else value for key, value in given.items()},
            "prediction_type": given.get("prediction_type", "flow"), "steps": steps,
            "set_timesteps": schedule, "step": step, "orders": getattr(as_shipped, "order_list", None),
            "rounds_state_to_float32": "sample.to(torch.float32)" in inspect.getsource(kind.step),
            "evaluations": len(shipped["latents"]), "initial": initial()[0].tolist(),
            "noise": [noise(index)[0].tolist() for index in range(steps)] if stochastic else None,
            "shipped": shipped, "double": double}


def ddim():
    def run(name, steps, step={}, **config):
        config = STABLE_DIFFUSION | dict(clip_sample=False, set_alpha_to_one=False, steps_offset=1) | config
        return case(f"ddim-{name}", diffusers.DDIMScheduler, steps, step, **config)
    for steps in (7, 20):
        yield run(f"leading-{steps}", steps, **LEADING)
        yield run(f"trailing-{steps}", steps, **TRAILING)
        yield run(f"linspace-{steps}", steps, **LINSPACE)
    yield run("alpha-one-leading-20", 20, set_alpha_to_one=True)
    yield run("alpha-one-trailing-7", 7, set_alpha_to_one=True, **TRAILING)
    yield run("no-offset-10", 10, steps_offset=0)
    yield run("clip-20", 20, clip_sample=True)
    yield run("clip-sample-7", 7, clip_sample=True, clip_sample_range=0.4, **SAMPLE)
    yield run("sample-7", 7, **SAMPLE)
    yield run("velocity-20", 20, **VELOCITY)
    yield run("linear-10", 10, **LINEAR)
    yield run("cosine-velocity-trailing-10", 10, **COSINE, **VELOCITY, **TRAILING)
    yield run("eta-half-10", 10, step={"eta": 0.5})
    yield run("eta-one-10", 10, step={"eta": 1.0})
    yield run("eta-one-clip-velocity-7", 7, step={"eta": 1.0}, clip_sample=True, **VELOCITY)


def ddpm():
    def run(name, steps, **config):
        return case(f"ddpm-{name}", diffusers.DDPMScheduler, steps, **STABLE_DIFFUSION | dict(clip_sample=False) | config)
    yield run("small-10", 10)
    yield run("small-50", 50)
    yield run("large-10", 10, variance_type="fixed_large")
    yield run("small-offset-10", 10, steps_offset=1)
    yield run("large-offset-10", 10, steps_offset=1, variance_type="fixed_large")
    yield run("small-trailing-7", 7, **TRAILING)
    yield run("sample-10", 10, **SAMPLE)
    yield run("velocity-10", 10, **VELOCITY)
    yield run("linear-clip-10", 10, **LINEAR | dict(clip_sample=True))
    yield run("cosine-velocity-large-linspace-10", 10, variance_type="fixed_large", **COSINE, **VELOCITY, **LINSPACE)


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


def flow():
    even = np.linspace(1, 1 / 8, 8).tolist()
    for name, kind in (("euler", diffusers.FlowMatchEulerDiscreteScheduler), ("heun", diffusers.FlowMatchHeunDiscreteScheduler)):
        yield case(f"flow-{name}-8", kind, 8)
        yield case(f"flow-{name}-shift-8", kind, 8, shift=3.0)
    yield case("flow-euler-even-8", diffusers.FlowMatchEulerDiscreteScheduler, 8, sigmas=even)
    yield case("flow-euler-even-shift-8", diffusers.FlowMatchEulerDiscreteScheduler, 8, sigmas=even, shift=3.0)


def main():
    diffusers.utils.logging.set_verbosity_error()
    for family in (ddim, ddpm, dpm_multistep, dpm_singlestep, euler, heun, flow):
        lines = ",\n".join(json.dumps(record, allow_nan=False) for record in family())
        (HERE / f"{family.__name__}.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
