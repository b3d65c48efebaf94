"""Write randn.json: what torch's CPU generator draws, and a stochastic run of diffusers with it.

    pip install -r ../networks/requirements.txt
    python make.py
"""
import json
from pathlib import Path

import diffusers
import torch

HERE = Path(__file__).parent


def draws():
    """One generator, several calls in a row; long draws by their ends, sum and sum of squares."""
    for seed in (0, 7, 123456789, 2**40 + 5):
        generator = torch.Generator().manual_seed(seed)
        calls = []
        for count in (1, 5, 15, 16, 17, 31, 32, 100, 3, 2, 1024):
            values = torch.randn(count, generator=generator)
            calls.append({"count": count, "values": values[:20].tolist() + values[20:][-5:].tolist(),
                          "sum": values.double().sum().item(), "squares": values.double().square().sum().item()})
        yield {"seed": seed, "calls": calls}


def run():
    """DDIM with eta 1 on a formula, two images from one generator, latents [2, 3, 4, 2]."""
    scheduler = diffusers.DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    scheduler.set_timesteps(6)
    generator = torch.Generator().manual_seed(7)
    x = torch.randn((2, 3, 4, 2), generator=generator)
    first = x.flatten().tolist()
    for t in scheduler.timesteps:
        output = 0.6 * torch.cos(1.3 * x + 0.001 * t) + 0.2 * torch.tanh(x) * (1 - t / 2000)
        x = scheduler.step(output, t, x, eta=1.0, generator=generator).prev_sample
    return {"seed": 7, "steps": 6, "shape": [2, 3, 4, 2], "latents": first, "result": x.flatten().tolist()}


(HERE / "randn.json").write_text(json.dumps({"draws": list(draws()), "run": run()}) + "\n")
