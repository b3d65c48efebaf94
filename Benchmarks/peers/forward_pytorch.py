"""Time a network's forward pass in PyTorch and diffusers on the CPU.

    python forward_pytorch.py FOLDER --component unet|vae --precision float32|bfloat16 --input FILE [--output FILE]

Weights and activations are of the precision; attention is PyTorch's scaled_dot_product_attention. Both memory layouts
are tried, contiguous and channels_last, and the faster one's times are reported. float64 is the reference that outputs
are judged by. Options and report: forward.py.
"""
import torch

import forward


def main():
    arguments = forward.parse(__doc__, ["float32", "bfloat16", "float64"])
    torch.set_num_threads(arguments.threads)
    dtype = getattr(torch, arguments.precision)
    tensors = {name: tensor if name == "timestep" else tensor.to(dtype)
               for name, tensor in forward.inputs(arguments).items()}
    model = forward.network(arguments, dtype)
    attempts = {}
    # One is enough where nothing is timed.
    for layout in ("contiguous_format", "channels_last")[:2 if arguments.rounds else 1]:
        memory_format = getattr(torch, layout)
        model.to(memory_format=memory_format)
        own = {name: tensor.contiguous(memory_format=memory_format) if tensor.dim() == 4 else tensor
               for name, tensor in tensors.items()}
        with torch.inference_mode():
            attempts[layout] = forward.timed(lambda: model(**own), arguments.rounds)
    layout = min(attempts, key=lambda name: min(attempts[name][1], default=0))
    result, times = attempts[layout]
    if arguments.precision != "float64":
        result = result.float()
    forward.report(arguments, result, times, ["torch", "diffusers"], layout=layout)


if __name__ == "__main__":
    main()
