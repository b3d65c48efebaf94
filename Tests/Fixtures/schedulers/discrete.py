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
    yield run("clipped-output-10", 10, step={"eta": 0.0, "use_clipped_model_output": True}, clip_sample=True)
    yield run("eta-half-clipped-output-7", 7, step={"eta": 0.5, "use_clipped_model_output": True}, clip_sample=True,
              **VELOCITY)
    yield run("eta-one-clip-velocity-7", 7, step={"eta": 1.0}, clip_sample=True, **VELOCITY)
    for steps in (1, 50):
        yield cut(run(f"leading-{steps}", steps), 1)
        yield cut(run(f"eta-one-{steps}", steps, step={"eta": 1.0}), 1)


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
    yield run("learned-range-10", 10, variance_type="learned_range")
    yield run("learned-range-velocity-clip-7", 7, variance_type="learned_range", clip_sample=True, **VELOCITY)
    yield cut(run("learned-range-50", 50, variance_type="learned_range"), 1)
    yield cut(run("small-1", 1), 1)
    yield cut(run("large-velocity-50", 50, variance_type="fixed_large", **VELOCITY), 1)


def pndm():
    """Not with v_prediction: the class then takes the mean of velocities at different times for one at its own."""
    def run(name, steps, **config):
        config = STABLE_DIFFUSION | dict(skip_prk_steps=True, steps_offset=1) | config
        return case(f"pndm-{name}", diffusers.PNDMScheduler, steps, **config)
    for steps in (2, 3, 10, 50):
        yield run(f"leading-{steps}", steps)
    yield run("alpha-one-10", 10, set_alpha_to_one=True)
    yield run("trailing-20", 20, **TRAILING)
    yield run("linear-10", 10, **LINEAR)
    # Steps of an even number of timesteps: with odd ones the class steps to another middle than it evaluates at.
    for steps in (4, 10, 20):
        yield run(f"prk-{steps}", steps, skip_prk_steps=False, steps_offset=0)


def lcm():
    def run(name, steps, **config):
        return case(f"lcm-{name}", diffusers.LCMScheduler, steps, **STABLE_DIFFUSION | config)
    for steps in (1, 4, 8):
        yield run(f"{steps}", steps)
    yield run("velocity-4", 4, **VELOCITY)
    yield run("sample-4", 4, **SAMPLE)
    yield run("clip-4", 4, clip_sample=True)
    yield run("original-20-3", 3, original_inference_steps=20)
    yield cut(run("50", 50), 1)


def tcd():
    def run(name, steps, eta, **config):
        return case(f"tcd-{name}", diffusers.TCDScheduler, steps, dict(eta=eta), **STABLE_DIFFUSION | config)
    for steps in (1, 4, 8):
        yield run(f"{steps}", steps, 0.3)
    yield run("deterministic-4", 4, 0.0)
    yield run("stochastic-4", 4, 1.0)
    yield run("velocity-4", 4, 0.3, **VELOCITY)
    yield run("sample-4", 4, 0.5, **SAMPLE)
    yield cut(run("50", 50, 0.3), 1)


def consistency():
    def run(name, steps, **config):
        return case(f"consistency-{name}", diffusers.CMStochasticIterativeScheduler, steps, **config)
    for steps in (1, 2, 5):
        yield run(f"{steps}", steps)
    yield run("unclipped-4", 4, clip_denoised=False)
    yield cut(run("50", 50, num_train_timesteps=100), 1)


def ddim_inverse():
    def run(name, steps, **config):
        config = STABLE_DIFFUSION | dict(clip_sample=False, set_alpha_to_one=False, steps_offset=1) | config
        return case(f"ddim-inverse-{name}", diffusers.DDIMInverseScheduler, steps, **config)
    for steps in (5, 20):
        yield run(f"leading-{steps}", steps)
    yield run("alpha-one-10", 10, set_alpha_to_one=True)
    yield run("velocity-10", 10, **VELOCITY)
    yield run("sample-10", 10, **SAMPLE)
    for steps in (1, 50):
        yield cut(run(f"leading-{steps}", steps), 1)


def dpm_inverse():
    def run(name, steps, **config):
        config = STABLE_DIFFUSION | dict(steps_offset=1) | config
        return case(f"dpm-inverse-{name}", diffusers.DPMSolverMultistepInverseScheduler, steps, **config)
    for steps in (5, 20):
        yield run(f"leading-{steps}", steps, **LEADING)
    yield run("first-order-10", 10, solver_order=1, **LEADING)
    yield run("third-order-10", 10, solver_order=3, **LEADING)
    yield run("epsilon-10", 10, algorithm_type="dpmsolver", **LEADING)
    yield run("velocity-linspace-10", 10, **VELOCITY, **LINSPACE)
    for steps in (1, 50):
        yield cut(run(f"leading-{steps}", steps, **LEADING), 1)


FAMILIES = [ddim, ddpm, pndm, lcm, tcd, consistency, ddim_inverse, dpm_inverse]
