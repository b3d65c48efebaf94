"""Schedulers that visit the timesteps a model was trained on."""
import diffusers

from recording import *


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




FAMILIES = [ddim, ddpm]
