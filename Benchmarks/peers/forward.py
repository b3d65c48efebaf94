"""What the forward jobs have in common: their options, their inputs, their clock and their report.

A job is a process of its own: it loads one network, runs it on the inputs of a file, and prints one line of JSON with the
keys of `bench forward --json`.
"""
import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

from safetensors.torch import load_file, save_file

from environment import cores


def parse(description, precisions):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a model as diffusers stores it")
    parser.add_argument("--component", choices=["unet", "vae"], default="unet", help="the VAE is its decoder")
    parser.add_argument("--precision", choices=precisions, default="float32")
    parser.add_argument("--input", type=Path, required=True, help="sample; timestep and encoder_hidden_states")
    parser.add_argument("--rounds", type=int, default=1, help="passes that count, after one that warms up")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--output", type=Path, help="where the output goes, as safetensors")
    return parser.parse_args()


def inputs(arguments):
    """The network's inputs by name, in the order of its parameters."""
    tensors = load_file(arguments.input)
    names = ["sample", "timestep", "encoder_hidden_states"] if arguments.component == "unet" else ["sample"]
    return {name: tensors[name] for name in names}


def network(arguments, dtype):
    """The network as a module of its inputs that returns a tensor."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    class Forward(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

    class UNet(Forward):
        def forward(self, sample, timestep, encoder_hidden_states):
            return self.model(sample, timestep, encoder_hidden_states, return_dict=False)[0]

    class Decoder(Forward):
        def forward(self, sample):
            return self.model.decode(sample, return_dict=False)[0]

    kind, wrapper = (UNet2DConditionModel, UNet) if arguments.component == "unet" else (AutoencoderKL, Decoder)
    return wrapper(kind.from_pretrained(arguments.folder / arguments.component, torch_dtype=dtype).eval())


def timed(run, rounds):
    """What `run` returns, and its times in milliseconds after a run that does not count."""
    result, times = run(), []
    for _ in range(rounds):
        start = time.perf_counter()
        result = run()
        times.append(1000 * (time.perf_counter() - start))
    return result, times


def report(arguments, result, milliseconds, packages, **settings):
    """Writes the output where asked for, and prints the figures."""
    if arguments.output:
        save_file({"output": result.contiguous()}, arguments.output)
    print(json.dumps({
        "component": arguments.component, "precision": arguments.precision, "batch": result.shape[0],
        "milliseconds": milliseconds, "threads": arguments.threads, **settings,
        "versions": {name: version(name) for name in packages}}))
