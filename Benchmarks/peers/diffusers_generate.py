"""Time text-to-image with PyTorch and diffusers on the CPU, in float32.

    python diffusers_generate.py FOLDER [--batch 1 8] [--steps 20] [--guidance 7.5] [--runs 5]

FOLDER is a Stable Diffusion model as diffusers stores it. One run is everything from the prompt to the picture: tokenizer,
text encoder, a UNet call on 2 x batch samples for each step, DPM-Solver++ 2M with the folder's noise schedule, decoder,
8-bit RGB. It is written out rather than left to StableDiffusionPipeline, so that nothing but the model is timed. Prints
one line of JSON; times are medians over the runs, in milliseconds, after one run that does not count.
"""
import argparse
import json
import time
from pathlib import Path
from statistics import median

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from environment import cores


class Generator:
    """The parts of one model, and how long the UNet took in the last run."""
    def __init__(self, folder, channels_last):
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.text = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()
        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).eval()
        self.vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).eval()
        config = DPMSolverMultistepScheduler.load_config(folder / "scheduler")
        self.scheduler = DPMSolverMultistepScheduler.from_config(config, algorithm_type="dpmsolver++", solver_order=2)
        if channels_last:
            self.unet.to(memory_format=torch.channels_last)
            self.vae.to(memory_format=torch.channels_last)

    def embed(self, prompts):
        ids = self.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return self.text(ids).last_hidden_state

    @torch.inference_mode()
    def run(self, prompts, steps, guidance, seed):
        """Pictures as bytes, [batch, height, width, 3]."""
        context = self.embed([""] * len(prompts) + prompts)
        side, channels = self.unet.config.sample_size, self.unet.config.in_channels
        latents = torch.randn(len(prompts), channels, side, side, generator=torch.Generator().manual_seed(seed))
        self.scheduler.set_timesteps(steps)
        latents = latents * self.scheduler.init_noise_sigma
        self.unet_seconds = 0
        for t in self.scheduler.timesteps:
            both = self.scheduler.scale_model_input(torch.cat([latents, latents]), t)
            start = time.perf_counter()
            unconditional, conditional = self.unet(both, t, context).sample.chunk(2)
            self.unet_seconds += time.perf_counter() - start
            output = unconditional + guidance * (conditional - unconditional)
            latents = self.scheduler.step(output, t, latents).prev_sample
        pictures = self.vae.decode(latents / self.vae.config.scaling_factor).sample
        return ((pictures + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()


def measure(generator, batch, arguments):
    """Times of one batch size."""
    totals, calls = [], []
    for seed in range(arguments.runs + 1):
        start = time.perf_counter()
        generator.run([arguments.prompt] * batch, arguments.steps, arguments.guidance, seed)
        totals.append(1000 * (time.perf_counter() - start))
        calls.append(1000 * generator.unet_seconds / arguments.steps)
    totals, calls = totals[1:], calls[1:]
    return {"batch": batch, "steps": arguments.steps, "guidance": arguments.guidance, "solver": "dpm++2m",
            "milliseconds": median(totals), "best_milliseconds": min(totals), "unet_milliseconds": median(calls)}


def main():
    parser = argparse.ArgumentParser(description="Time text-to-image with PyTorch and diffusers on the CPU.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--channels-last", action="store_true", help="store activations and kernels as NHWC")
    parser.add_argument("--prompt", default="a bold red letter A on a white background, serif")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    generator = Generator(arguments.folder, arguments.channels_last)
    print(json.dumps({
        "generation": [measure(generator, batch, arguments) for batch in arguments.batch],
        "threads": arguments.threads, "channels_last": arguments.channels_last, "torch": torch.__version__,
        "diffusers": diffusers.__version__, "transformers": transformers.__version__}))


if __name__ == "__main__":
    main()
