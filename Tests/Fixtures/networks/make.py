"""Write the network fixtures: small random models as diffusers stores them, with reference inputs and outputs.

    pip install -r requirements.txt
    python make.py

Writes a folder per case next to this file, replacing the folder that is there. Every seed is fixed, so a second run
writes the same bytes. What the cases are for is in README.md.
"""
import shutil
import zlib
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

HERE = Path(__file__).parent
ATTENTION_DOWN, ATTENTION_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
DOWN, UP = "DownBlock2D", "UpBlock2D"


def generator(text):
    """A generator seeded by a name, so that adding a case does not change the others."""
    return torch.Generator().manual_seed(zlib.crc32(text.encode()))


def normal(text, *shape):
    """Standard normal float32 values that depend on the name and the shape alone."""
    return torch.randn(shape, generator=generator(text))


def stored(model, name, dtype=torch.float32, rewrite=None, **options):
    """Give every parameter a random value, save the model, and read it back in float64.

    Matrices and kernels get the variance 1 / fan-in. Biases and the scales of norms are random as well: at their
    defaults of 0 and 1 a reader that mixes them up would pass. `rewrite` changes the saved tensors before the reading.
    """
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    for key, value in model.named_parameters():
        noise = normal(f"{name} {key}", *value.shape)
        if value.ndim > 1:
            value.data = noise * value[0].numel() ** -0.5
        else:
            value.data = 0.2 * noise + (1 if key.endswith("weight") else 0)
    model.to(dtype).save_pretrained(folder, **options)
    if rewrite:
        [file] = folder.glob("*.safetensors")
        save_file(rewrite(load_file(file)), file, metadata={"format": "pt"})
    read = type(model).from_pretrained(folder)
    assert all(torch.equal(value, model.get_parameter(key).float()) for key, value in read.float().named_parameters())
    return read.double().eval()


def save_io(name, tensors, file="io"):
    """Write inputs and outputs, floating point as float32, and print how large they are."""
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, HERE / name / f"{file}.safetensors")
    for key, value in tensors.items():
        assert value.isfinite().all()
        spread = f"  deviation {value.std():.3f}" if key.startswith("out.") else ""
        print(f"{name}/{file}  {key}  {list(value.shape)}{spread}")


def unet(name, sizes, times, tokens=5, dtype=torch.float32, shard_size="1GB", **config):
    """One UNet and a file of inputs and outputs for each latent size. The batch has one sample for each time."""
    config = dict(norm_num_groups=4, sample_size=sizes[0], **config)
    model = stored(UNet2DConditionModel(**config), name, dtype, max_shard_size=shard_size)
    for height, width in sizes:
        file = "io" if (height, width) == sizes[0] else f"io-{height}x{width}"
        sample = normal(f"{name} sample", len(times), model.config.in_channels, height, width)
        context = normal(f"{name} context", len(times), tokens, model.config.cross_attention_dim)
        out = model(sample.double(), torch.tensor(times).double(), context.double()).sample
        save_io(name, {"in.sample": sample, "in.timestep": torch.tensor(times),
                       "in.encoder_hidden_states": context, "out.sample": out}, file)


def autoencoder(name, image, latents, rewrite=None, **config):
    """One autoencoder: image to moments (mean and unclamped log variance), latents to picture."""
    blocks = len(config["block_out_channels"])
    model = stored(AutoencoderKL(down_block_types=["DownEncoderBlock2D"] * blocks,
                                 up_block_types=["UpDecoderBlock2D"] * blocks,
                                 norm_num_groups=4, **config), name, rewrite=rewrite)
    image = normal(f"{name} image", 2, 3, *image).clamp(-1, 1)
    latents = normal(f"{name} latents", 2, model.config.latent_channels, *latents)
    save_io(name, {"in.image": image, "out.moments": model.encode(image.double()).latent_dist.parameters,
                   "in.latents": latents, "out.decoded": model.decode(latents.double()).sample})


def text_encoder(name, length, rewrite, **config):
    """One text encoder: ids to hidden states after the final norm. Each row starts with bos and is padded with eos."""
    config = CLIPTextConfig(pad_token_id=config["eos_token_id"], **config)
    model = stored(CLIPTextModel(config), name, rewrite=rewrite)
    ids = torch.randint(config.bos_token_id, (2, length), generator=generator(f"{name} ids"))
    ids[:, 0] = config.bos_token_id
    ids[0, 4:] = ids[1, length - 1:] = config.eos_token_id
    save_io(name, {"in.ids": ids, "out.last_hidden_state": model(ids).last_hidden_state})


def old_attention_names(tensors):
    """The names that attention had in the first diffusers releases, and has in Stable Diffusion 1.5's own file."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(key):
        for new_name, old_name in old.items():
            key = key.replace(f"attentions.0.{new_name}.", f"attentions.0.{old_name}.")
        return key
    return {rename(key): value for key, value in tensors.items()}


def with_prefix(tensors):
    """The prefix that published text encoders have; transformers 5 reads it and no longer writes it."""
    return {"text_model." + key: value for key, value in tensors.items()}


def with_position_ids(tensors):
    """Add the buffer that older transformers stored. It is no parameter, and readers ignore it."""
    tensors = with_prefix(tensors)
    positions = len(tensors["text_model.embeddings.position_embedding.weight"])
    return tensors | {"text_model.embeddings.position_ids": torch.arange(positions)[None]}


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()

    # The folder reads like a model whose components are the cases.
    (HERE / "model_index.json").write_text('{"_class_name": "Fixtures"}\n')
    unet("unet-sd", sizes=[(24, 16)], times=[981.0, 37.25], tokens=7, dtype=torch.float16,
         block_out_channels=[8, 16, 24, 24], layers_per_block=2, attention_head_dim=4, cross_attention_dim=12,
         down_block_types=[ATTENTION_DOWN, ATTENTION_DOWN, ATTENTION_DOWN, DOWN],
         up_block_types=[UP, ATTENTION_UP, ATTENTION_UP, ATTENTION_UP])
    unet("unet-sd2", sizes=[(8, 16)], times=[1.0, 500.5], shard_size="100KB",
         block_out_channels=[8, 12, 16], layers_per_block=2, attention_head_dim=[1, 3, 4], cross_attention_dim=20,
         use_linear_projection=True, upcast_attention=True,
         down_block_types=[ATTENTION_DOWN, ATTENTION_DOWN, DOWN], up_block_types=[UP, ATTENTION_UP, ATTENTION_UP])
    unet("unet-odd", sizes=[(9, 7), (12, 10), (1, 3)], times=[999.0, 0.5, 250.0], tokens=3,
         block_out_channels=[8, 16, 12], layers_per_block=[1, 2, 1], transformer_layers_per_block=[1, 2, 1],
         attention_head_dim=2, cross_attention_dim=10, in_channels=5, out_channels=3,
         flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6, center_input_sample=True, act_fn="gelu",
         down_block_types=[ATTENTION_DOWN, ATTENTION_DOWN, DOWN], up_block_types=[UP, ATTENTION_UP, ATTENTION_UP])
    unet("unet-scale-shift", sizes=[(8, 12)], times=[701.0, 12.75],
         block_out_channels=[8, 16, 12], layers_per_block=1, attention_head_dim=2, cross_attention_dim=8,
         resnet_time_scale_shift="scale_shift", mid_block_scale_factor=1.5, conv_in_kernel=1, conv_out_kernel=5,
         down_block_types=[DOWN, ATTENTION_DOWN, DOWN], up_block_types=[ATTENTION_UP, UP, UP])
    unet("unet-plain", sizes=[(8, 4)], times=[321.0, 3.5], dtype=torch.bfloat16,
         block_out_channels=[8, 12], layers_per_block=1, cross_attention_dim=8, mid_block_type=None, act_fn="mish",
         down_block_types=[DOWN, DOWN], up_block_types=[UP, UP])
    unet("unet-pad", sizes=[(13, 9)], times=[640.0], downsample_padding=0,
         block_out_channels=[8, 12, 12], layers_per_block=1, cross_attention_dim=8, mid_block_type="UNetMidBlock2D",
         down_block_types=[DOWN, DOWN, DOWN], up_block_types=[UP, UP, UP])

    autoencoder("vae-sd", image=(48, 32), latents=(6, 4), block_out_channels=[8, 8, 12, 12], layers_per_block=2,
                latent_channels=4, scaling_factor=0.18215)
    autoencoder("vae-odd", image=(40, 24), latents=(7, 5), block_out_channels=[8, 12, 16], layers_per_block=1,
                latent_channels=3, scaling_factor=1.5305, shift_factor=0.0609,
                use_quant_conv=False, use_post_quant_conv=False, mid_block_add_attention=False)
    autoencoder("vae-old", image=(16, 24), latents=(5, 3), block_out_channels=[8, 12], layers_per_block=1,
                latent_channels=4, rewrite=old_attention_names)

    text_encoder("text-quickgelu", length=16, rewrite=with_position_ids, hidden_act="quick_gelu", hidden_size=32,
                 intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=16,
                 vocab_size=90, bos_token_id=88, eos_token_id=89)
    text_encoder("text-gelu", length=13, rewrite=with_prefix, hidden_act="gelu", hidden_size=48, intermediate_size=80,
                 num_hidden_layers=3, num_attention_heads=6, max_position_embeddings=20, layer_norm_eps=1e-3,
                 vocab_size=70, bos_token_id=60, eos_token_id=61)

    total = sum(file.stat().st_size for file in HERE.rglob("*") if file.is_file())
    print(f"{total} bytes in all")


if __name__ == "__main__":
    main()
