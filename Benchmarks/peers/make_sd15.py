"""Make a model of Stable Diffusion 1.5's shapes with random weights, and the inputs that its networks are timed on.

    python make_sd15.py [FOLDER] [--dtype float32|float16] [--small] [--seed 0]

FOLDER (Benchmarks/peers/.models/sd15) becomes a model as diffusers stores it: UNet, autoencoder, CLIP's text encoder,
scheduler and tokenizer. The weights are PyTorch's own initialisation from the seed, which keeps activations near one.
The tokenizer is the smallest that is valid: CLIP's bytes with no merges, a token for each letter, since the real one is
not to be had without a network. --small makes the same structure with few channels, to try the scripts with.

FOLDER/inputs has seeded noise for the UNet's and the decoder's forward pass: unet-1, unet-2, vae-1.
"""
import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

HERE = Path(__file__).resolve().parent
DEFAULT = HERE / ".models/sd15"

UNET = dict(
    sample_size=64, in_channels=4, out_channels=4, block_out_channels=(320, 640, 1280, 1280), layers_per_block=2,
    cross_attention_dim=768, attention_head_dim=8,
    down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"))
VAE = dict(
    sample_size=512, in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(128, 256, 512, 512),
    layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    scaling_factor=0.18215)
TEXT = dict(
    vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
    max_position_embeddings=77, hidden_act="quick_gelu", projection_dim=768, bos_token_id=49406, eos_token_id=49407)
SCHEDULER = dict(
    beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, num_train_timesteps=1000, skip_prk_steps=True,
    steps_offset=1, set_alpha_to_one=False)
PARAMETERS = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}

# What --small changes.
SMALL_UNET = dict(sample_size=16, block_out_channels=(32, 64, 96, 96), cross_attention_dim=64)
SMALL_VAE = dict(sample_size=128, block_out_channels=(32, 32, 64, 64))
SMALL_TEXT = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, projection_dim=64)


def networks(small):
    """The networks by the names of their folders, each made where PyTorch's default device is."""
    def merged(config, changes):
        return {**config, **(changes if small else {})}
    return {
        "unet": UNet2DConditionModel(**merged(UNET, SMALL_UNET)),
        "vae": AutoencoderKL(**merged(VAE, SMALL_VAE)),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**merged(TEXT, SMALL_TEXT)))}


def check_parameters(models):
    """Stops where the shapes are not Stable Diffusion 1.5's."""
    for name, expected in PARAMETERS.items():
        found = sum(parameter.numel() for parameter in models[name].parameters())
        if found != expected:
            raise SystemExit(f"{name} has {found} parameters, expected {expected}")


def byte_alphabet():
    """CLIP's characters for the 256 bytes, in the order of its vocabulary: printable ones first, then the others."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def write_tokenizer(folder):
    folder.mkdir(exist_ok=True)
    characters = byte_alphabet()
    tokens = characters + [character + "</w>" for character in characters]
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocabulary = {token: index for index, token in enumerate(tokens)} | {start: 49406, end: 49407}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {"bos_token": start, "eos_token": end, "pad_token": end, "unk_token": end}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {**special, "model_max_length": 77, "do_lower_case": True, "tokenizer_class": "CLIPTokenizer"}, indent=2) + "\n")


def write_index(folder):
    index = {
        "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None], "safety_checker": [None, None], "requires_safety_checker": False,
        "scheduler": ["diffusers", "PNDMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"]}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def write_inputs(folder, unet, vae, seed):
    """Standard normal latents and prompts; the images of a batch have times of their own."""
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    side = unet.config.sample_size
    for batch in (1, 2):
        save_file({
            "sample": torch.randn(batch, unet.config.in_channels, side, side, generator=generator),
            "timestep": torch.tensor([601.0, 201.0][:batch]),
            "encoder_hidden_states": torch.randn(batch, 77, unet.config.cross_attention_dim, generator=generator),
        }, folder / f"unet-{batch}.safetensors")
    latents = torch.randn(1, vae.config.latent_channels, side, side, generator=generator)
    save_file({"sample": latents}, folder / "vae-1.safetensors")


def forget_derived(folder):
    """Removes what the comparison made of another model in this folder."""
    (folder / "model_index.json").unlink(missing_ok=True)
    (folder / "reference-unet-1.safetensors").unlink(missing_ok=True)
    shutil.rmtree(folder / "openvino", ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT)
    parser.add_argument("--dtype", choices=["float32", "float16"], default="float32", help="of the files")
    parser.add_argument("--small", action="store_true", help="few channels and small pictures")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    models = networks(arguments.small)
    if not arguments.small:
        check_parameters(models)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    forget_derived(arguments.folder)
    write_inputs(arguments.folder / "inputs", models["unet"], models["vae"], arguments.seed)
    for name, model in models.items():
        model.to(getattr(torch, arguments.dtype)).save_pretrained(arguments.folder / name)
    PNDMScheduler(**SCHEDULER).save_pretrained(arguments.folder / "scheduler")
    write_tokenizer(arguments.folder / "tokenizer")
    write_index(arguments.folder)                       # last: a folder without it is not finished


if __name__ == "__main__":
    main()
