"""How a run of a scheduler is recorded. What the fields mean is in README.md."""
import inspect
import json
import math
import sys
from unittest.mock import patch

import diffusers
import numpy as np
import torch

STABLE_DIFFUSION = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, num_train_timesteps=1000)
LINEAR = dict(beta_schedule="linear", beta_start=0.0001, beta_end=0.02, num_train_timesteps=1000)
COSINE = dict(beta_schedule="squaredcos_cap_v2", num_train_timesteps=1000)
SAMPLE, VELOCITY = dict(prediction_type="sample"), dict(prediction_type="v_prediction")
LEADING, TRAILING, LINSPACE = (dict(timestep_spacing=name) for name in ("leading", "trailing", "linspace"))
KARRAS, CONTINUOUS = dict(use_karras_sigmas=True), dict(timestep_type="continuous")


def model(x, t):
    """The network, whatever its output is taken for."""
    return 0.6 * torch.cos(1.3 * x + 0.001 * t) + 0.2 * torch.tanh(x) * (1 - t / 2000)


def variance(x, t):
    """The network's second output, where it has learned the variance."""
    return torch.tanh(1.1 * x - 0.002 * t)


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
        if scheduler.config.get("variance_type") == "learned_range":
            output = torch.cat([output, variance(scaled, t.double())], dim=1)
        times.append(t.item())
        arguments = step | ({"variance_noise": noise(index)} if isinstance(scheduler, diffusers.DDIMScheduler) and "eta" in step else {})
        source = sys.modules[type(scheduler).__module__]
        with patch.object(source, "randn_tensor", lambda *shape, **options: noise(index), create=True):
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
    with patch.object(source, "torch", Widened(torch)), patch.object(source, "np", Widened(np), create=True):
        # What a class makes of integers alone is of the default type.
        torch.set_default_dtype(torch.float64)
        double = trajectory(kind(**config), schedule, step)
        torch.set_default_dtype(torch.float32)
    difference = np.abs(np.array(shipped["latents"]) - np.array(double["latents"])).max()
    largest = np.abs(double["latents"]).max()
    print(f"{name}: {len(shipped['latents'])} evaluations, up to {largest:.1f}, float32 moved it by {difference:.0e}")
    stochastic = kind.__name__ in ("DDPMScheduler", "LCMScheduler", "CMStochasticIterativeScheduler") or "eta" in step
    return {"name": name, "scheduler": kind.__name__,
            "config": {key: str(value) if value == -math.inf else value for key, value in given.items()},
            "prediction_type": given.get("prediction_type", "flow"), "steps": steps,
            "set_timesteps": schedule, "step": step, "orders": getattr(as_shipped, "order_list", None),
            "rounds_state_to_float32": "sample.to(torch.float32)" in inspect.getsource(kind.step),
            "evaluations": len(shipped["latents"]), "initial": initial()[0].tolist(),
            "noise": [noise(index)[0].tolist() for index in range(steps)] if stochastic else None,
            "double": double}


def cut(record, count):
    """The first elements alone, for the model takes each for itself."""
    record["initial"] = record["initial"][:count]
    record["noise"] = record["noise"] and [row[:count] for row in record["noise"]]
    record["double"]["latents"] = [state[:count] for state in record["double"]["latents"]]
    return record
