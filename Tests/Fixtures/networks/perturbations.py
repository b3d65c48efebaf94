"""Write unet-sd/perturbed.safetensors: the outputs of unet-sd with some of its layers disturbed, for io's inputs.

    pip install -r requirements.txt && python make.py && python perturbations.py
"""
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0, PAGIdentitySelfAttnProcessor2_0
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent / "unet-sd"
LAYERS = ["mid_block.attentions.0", "up_blocks.1.attentions.1", "down_blocks.0.attentions.0"]
model = UNet2DConditionModel.from_pretrained(HERE).double().eval()
io = load_file(HERE / "io.safetensors")
inputs = [io[f"in.{name}"].double() for name in ("sample", "timestep", "encoder_hidden_states")]
sides = {"mid_block.attentions.0": (3, 2), "up_blocks.1.attentions.1": (6, 4), "down_blocks.0.attentions.0": (24, 16)}


class Blurred(torch.nn.Module):
    """A query projection and a blur after it."""

    def __init__(self, linear, size, sigma):
        super().__init__()
        self.linear, self.size, self.sigma = linear, size, sigma

    def forward(self, hidden):
        query = self.linear(hidden)
        if math.isinf(self.sigma):
            return query.mean(1, keepdim=True).expand_as(query)
        batch, _, width = query.shape
        planes = query.transpose(1, 2).reshape(batch * width, 1, *self.size)
        for axis, count in enumerate(self.size):
            radius = min(math.ceil(3 * self.sigma), count - 1)
            kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1).double() / self.sigma) ** 2)
            shape, padding = ((-1, 1), (0, 0, radius, radius)) if axis == 0 else ((1, -1), (radius, radius, 0, 0))
            kernel = (kernel / kernel.sum()).reshape(1, 1, *shape)
            planes = F.conv2d(F.pad(planes, padding, mode="reflect"), kernel)
        return planes.reshape(batch, width, -1).transpose(1, 2)


@torch.no_grad()
def main():
    outputs = {}
    attentions = {name: model.get_submodule(f"{name}.transformer_blocks.0.attn1") for name in LAYERS}
    for attention in attentions.values():
        attention.set_processor(PAGIdentitySelfAttnProcessor2_0())
    # The processor disturbs the second half of the batch.
    outputs["out.identity"] = model(*[torch.cat([tensor] * 2) for tensor in inputs]).sample.chunk(2)[1]
    for attention in attentions.values():
        attention.set_processor(AttnProcessor2_0())
    for case, sigma in (("out.mean", math.inf), ("out.blurred", 0.8)):
        plain = {name: attention.to_q for name, attention in attentions.items()}
        for name, attention in attentions.items():
            attention.to_q = Blurred(plain[name], sides[name], sigma)
        outputs[case] = model(*inputs).sample
        for name, attention in attentions.items():
            attention.to_q = plain[name]
    for name in LAYERS:
        model.get_submodule(name).forward = lambda hidden, *_, **__: (hidden,)
    outputs["out.skipped"] = model(*inputs).sample
    save_file({key: value.float().contiguous() for key, value in outputs.items()}, HERE / "perturbed.safetensors")


main()
