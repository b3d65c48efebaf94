"""What a step of diffusers' schedulers costs, model excluded: one JSON object on the last line.

The latent is that of a 512x512 picture, float32 [1, 4, 64, 64]; 50 steps; the model's output is made beforehand. The
time is that of `scheduler.step`, with `scale_model_input` where a scheduler asks for it, over whole runs, divided by
steps.
"""
import json
import sys
import time
from statistics import median

import diffusers
import torch

STEPS = 50
COMMON = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
SCHEDULERS = {
    "ddim": lambda: diffusers.DDIMScheduler(**COMMON, clip_sample=False),
    "euler": lambda: diffusers.EulerDiscreteScheduler(**COMMON),
    "dpm++2m": lambda: diffusers.DPMSolverMultistepScheduler(**COMMON, use_karras_sigmas=True),
    "dpm++3m": lambda: diffusers.DPMSolverMultistepScheduler(**COMMON, use_karras_sigmas=True, solver_order=3),
    "unipc2": lambda: diffusers.UniPCMultistepScheduler(**COMMON, use_karras_sigmas=True),
    "heun": lambda: diffusers.HeunDiscreteScheduler(**COMMON, use_karras_sigmas=True),
    "ddpm": lambda: diffusers.DDPMScheduler(**COMMON, clip_sample=False),
}


def run(scheduler):
    scheduler.set_timesteps(STEPS)
    output = torch.randn(1, 4, 64, 64)
    x = torch.randn(1, 4, 64, 64)
    start = time.perf_counter()
    for t in scheduler.timesteps:
        scheduler.scale_model_input(x, t)
        x = scheduler.step(output, t, x).prev_sample
    return (time.perf_counter() - start) / STEPS


def main():
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    times = {}
    with torch.no_grad():
        for name, make in SCHEDULERS.items():
            scheduler = make()
            run(scheduler)
            times[name] = 1e6 * median(run(scheduler) for _ in range(15))
    versions = {"torch": torch.__version__, "diffusers": diffusers.__version__, "threads": torch.get_num_threads()}
    print(json.dumps({"versions": versions, "microseconds_per_step": times}))


if __name__ == "__main__":
    main()
