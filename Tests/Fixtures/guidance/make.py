"""Writes guiders.json: what the guiders of diffusers make of random predictions.

    pip install diffusers==0.42.1 torch==2.13.0 && python make.py

Two images of twelve elements, three evaluations each. Conversions to float32 are read as float64, so that formulas
can be compared to rounding.
"""

import json
import pathlib

import diffusers
import torch
from diffusers import guiders

assert diffusers.__version__ == "0.42.1", diffusers.__version__
torch.Tensor.float = torch.Tensor.double
torch.set_default_dtype(torch.float64)

STEPS, SHAPE = 3, (2, 3, 2, 2)

CASES = [
    ("cfg", "ClassifierFreeGuidance", {"guidance_scale": 7.5}),
    ("cfg original", "ClassifierFreeGuidance", {"guidance_scale": 2.5, "use_original_formulation": True}),
    ("cfg off", "ClassifierFreeGuidance", {"guidance_scale": 1.0}),
    ("cfg rescaled", "ClassifierFreeGuidance", {"guidance_scale": 7.5, "guidance_rescale": 0.7}),
    ("zero star", "ClassifierFreeZeroStarGuidance", {"guidance_scale": 4.0, "zero_init_steps": 1}),
    ("zero star original", "ClassifierFreeZeroStarGuidance",
     {"guidance_scale": 4.0, "zero_init_steps": 2, "use_original_formulation": True}),
    ("apg", "AdaptiveProjectedGuidance",
     {"guidance_scale": 7.5, "adaptive_projected_guidance_momentum": -0.5,
      "adaptive_projected_guidance_rescale": 2.0, "eta": 0.0}),
    ("apg original", "AdaptiveProjectedGuidance",
     {"guidance_scale": 3.0, "adaptive_projected_guidance_momentum": 0.25,
      "adaptive_projected_guidance_rescale": 15.0, "eta": 0.5, "use_original_formulation": True}),
    ("auto", "AutoGuidance", {"guidance_scale": 2.0, "auto_guidance_layers": 0, "dropout": 0.1}),
    ("skip", "SkipLayerGuidance",
     {"guidance_scale": 7.5, "skip_layer_guidance_scale": 2.8, "skip_layer_guidance_start": 0.34,
      "skip_layer_guidance_stop": 1.0, "skip_layer_guidance_layers": 0}),
    ("perturbed", "PerturbedAttentionGuidance",
     {"guidance_scale": 5.0, "perturbed_guidance_scale": 2.0, "perturbed_guidance_start": 0.34,
      "perturbed_guidance_stop": 1.0, "perturbed_guidance_layers": 0}),
    ("perturbed alone", "PerturbedAttentionGuidance",
     {"guidance_scale": 1.0, "perturbed_guidance_scale": 3.0, "perturbed_guidance_start": 0.34,
      "perturbed_guidance_stop": 1.0, "perturbed_guidance_layers": 0}),
    ("smoothed", "SmoothedEnergyGuidance",
     {"guidance_scale": 5.0, "seg_guidance_scale": 3.0, "seg_guidance_start": 0.34, "seg_guidance_stop": 1.0,
      "seg_guidance_layers": 0}),
    ("tangential", "TangentialClassifierFreeGuidance", {"guidance_scale": 7.5}),
    ("tangential original", "TangentialClassifierFreeGuidance",
     {"guidance_scale": 2.0, "use_original_formulation": True}),
    ("magnitude", "MagnitudeAwareGuidance", {"guidance_scale": 10.0, "alpha": 0.8}),
    ("magnitude original", "MagnitudeAwareGuidance",
     {"guidance_scale": 5.0, "alpha": 0.8, "use_original_formulation": True}),
]

generator = torch.Generator().manual_seed(7)


def draw():
    return (torch.randn(STEPS, *SHAPE, generator=generator) * 1000).round() / 1000


inputs = {"cond": draw()}
inputs["uncond"] = 0.7 * inputs["cond"] + 0.5 * draw()
inputs["skip"] = 0.8 * inputs["cond"] + 0.4 * draw()


def rows(tensor):
    return [[image.flatten().tolist() for image in step] for step in tensor]


outputs = {}
for name, kind, options in CASES:
    guider = getattr(guiders, kind)(**options)
    predictions = []
    for step in range(STEPS):
        guider.set_state(step=step, num_inference_steps=STEPS, timestep=torch.tensor(900 - 300 * step))
        if step == 0 and getattr(guider, "momentum_buffer", None) is None and "momentum" in str(options):
            momentum = options["adaptive_projected_guidance_momentum"]
            guider.momentum_buffer = guiders.adaptive_projected_guidance.MomentumBuffer(momentum)
        arguments = [inputs["cond"][step], inputs["uncond"][step]]
        if kind in ("SkipLayerGuidance", "PerturbedAttentionGuidance", "SmoothedEnergyGuidance"):
            arguments.append(inputs["skip"][step])
        if kind == "MagnitudeAwareGuidance":
            # Its norm over three dimensions is an error in torch: images are handed over flat.
            arguments = [argument.flatten(1) for argument in arguments]
        predictions.append(guider.forward(*arguments).pred.reshape(SHAPE))
    outputs[name] = rows(torch.stack(predictions))

result = {
    "diffusers": diffusers.__version__,
    "inputs": {name: rows(tensor) for name, tensor in inputs.items()},
    "outputs": outputs,
}
pathlib.Path(__file__).with_name("guiders.json").write_text(json.dumps(result) + "\n")
