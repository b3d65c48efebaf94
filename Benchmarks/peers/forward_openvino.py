"""Time a network's forward pass in OpenVINO on the CPU.

    python forward_openvino.py FOLDER --component unet|vae --precision float32|bfloat16|int8 --input FILE [--output FILE]

The network is converted from diffusers once and kept in FOLDER/openvino. Shapes are fixed to those of the inputs, the
hint is for latency on one stream, and INFERENCE_PRECISION_HINT says what is computed in. int8 is NNCF's post-training
quantization for transformers, calibrated on seeded noise, of which the random network's inputs consist too; what it
leaves in floating point runs in bfloat16. Options and report: forward.py.
"""
import nncf
import openvino
import torch

import forward

HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}
CALIBRATION_SAMPLES = 8


def converted(arguments, tensors):
    """The network in single precision, from the cache or from diffusers."""
    file = arguments.folder / "openvino" / f"{arguments.component}.xml"
    if not file.exists():
        with torch.inference_mode():
            model = openvino.convert_model(forward.network(arguments, torch.float32), example_input=tensors)
        save(model, file)
    return file


def save(model, file):
    """The weights first under another name: what is in the cache is whole."""
    file.parent.mkdir(exist_ok=True)
    partial = file.with_name(f"partial-{file.name}")
    openvino.save_model(model, partial, compress_to_fp16=False)
    partial.with_suffix(".bin").replace(file.with_suffix(".bin"))
    partial.replace(file)


def fixed(model, tensors):
    model.reshape({name: list(tensor.shape) for name, tensor in tensors.items()})
    return model


def calibration(tensors):
    """Inputs of one image: noise like that of the inputs, at times all over the range."""
    generator = torch.Generator().manual_seed(1)
    for index in range(CALIBRATION_SAMPLES):
        sample = {name: torch.randn(1, *tensor.shape[1:], generator=generator) for name, tensor in tensors.items()}
        if "timestep" in sample:
            sample["timestep"] = torch.tensor([999.0 * (index + 0.5) / CALIBRATION_SAMPLES])
        yield {name: tensor.numpy() for name, tensor in sample.items()}


def quantized(core, arguments, tensors):
    """The network with 8-bit weights and activations, from the cache or from NNCF."""
    file = arguments.folder / "openvino" / f"{arguments.component}-int8.xml"
    if not file.exists():
        one = {name: tensor[:1] for name, tensor in tensors.items()}
        model = fixed(core.read_model(converted(arguments, tensors)), one)
        samples = list(calibration(tensors))
        model = nncf.quantize(
            model, nncf.Dataset(samples), subset_size=len(samples), model_type=nncf.ModelType.TRANSFORMER)
        save(model, file)
    return file


def main():
    arguments = forward.parse(__doc__, list(HINTS))
    tensors = forward.inputs(arguments)
    core = openvino.Core()
    make = quantized if arguments.precision == "int8" else lambda core, *rest: converted(*rest)
    model = fixed(core.read_model(make(core, arguments, tensors)), tensors)
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_PRECISION_HINT": HINTS[arguments.precision], "INFERENCE_NUM_THREADS": arguments.threads,
        "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1})
    request = compiled.create_infer_request()
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    result, times = forward.timed(lambda: request.infer(arrays)[0], arguments.rounds)
    forward.report(arguments, torch.from_numpy(result).float(), times, ["openvino", "nncf"],
                   hint=HINTS[arguments.precision])


if __name__ == "__main__":
    main()
