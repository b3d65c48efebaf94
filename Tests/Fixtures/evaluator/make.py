"""What the evaluator's PyTorch program reads from the reference pictures, and a Fréchet distance by scipy.

    python make.py      -> evaluator.json

Versions: torch 2.13.0, numpy 2.4.6, scipy 1.17.1, safetensors 0.8.0.
"""
import json
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parents[2] / "Benchmarks/GlyphEvaluation/Evaluator/evaluator.safetensors"
HEADS = ["char", "fg", "bg", "bold", "italic", "serif", "degraded"]
RUNS = ["ddim20", "dpmpp10", "flow8", "flow8_default"]


def read(pixels, w):
    """Features and labels of one picture, float CHW before clamping, in double precision."""
    x = pixels.double().clamp(-1, 1)[None]
    for n in range(1, 5):
        x = F.relu(F.conv2d(x, w[f"conv{n}.weight"], w[f"conv{n}.bias"], stride=2, padding=1))
    f = F.relu(F.linear(x.flatten(1), w["features.weight"], w["features.bias"]))
    labels = {h: F.linear(f, w[f"head.{h}.weight"], w[f"head.{h}.bias"]).argmax().item() for h in HEADS}
    return f[0].tolist(), labels


def frechet():
    """Two normal distributions in six dimensions that do not commute, and their distance."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(6, 6)), rng.normal(size=(6, 6))
    first, second = a @ a.T, b @ b.T
    means = rng.normal(size=(2, 6))
    root = scipy.linalg.sqrtm(first @ second).real
    distance = ((means[0] - means[1]) ** 2).sum() + np.trace(first + second - 2 * root)
    return dict(means=means.tolist(), covariances=[first.ravel().tolist(), second.ravel().tolist()], distance=distance)


def main():
    w = {k: v.double() for k, v in load_file(WEIGHTS).items()}
    pictures = []
    for case in range(1, 5):
        record = load_file(HERE.parent / f"reference/case{case}.safetensors")
        for run in RUNS:
            features, labels = read(record[f"{run}.pixels"], w)
            pictures.append(dict(case=case, run=run, features=features, labels=labels))
    (HERE / "evaluator.json").write_text(json.dumps(dict(pictures=pictures, frechet=frechet())))


if __name__ == "__main__":
    main()
