"""Compare what a sampler's step costs in Fewstep and in diffusers, the model excluded, on this machine, in one run.

    python3 Benchmarks/peers/steps.py [--python PYTHON] [--bench BENCH]

Each round runs both, one after the other; the medians of the rounds are compared: of Fewstep's steps without the estimate
of the error that most solvers give, which diffusers' do not, beside those with it. Options as in compare.py.
"""
import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

from environment import HERE, built_bench, output, private_python

TARGET = 20
ROUNDS = 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, help="an interpreter with the packages of requirements.txt")
    parser.add_argument("--bench", type=Path, help="a release build of the bench executable")
    arguments = parser.parse_args()
    python, bench = arguments.python or private_python(), arguments.bench or built_bench()
    own, estimating, theirs, versions = {}, {}, {}, {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            figures = Path(folder) / "steps.json"
            output(bench, "step", "--json", figures)
            for row in json.loads(figures.read_text())["steps"]:
                own.setdefault(row["solver"], []).append(row["microsecondsWithoutEstimates"])
                estimating.setdefault(row["solver"], []).append(row["microsecondsPerStep"])
        result = json.loads(output(python, HERE / "diffusers_steps.py").splitlines()[-1])
        versions = result["versions"]
        for name, microseconds in result["microseconds_per_step"].items():
            theirs.setdefault(name, []).append(microseconds)
    print(f"Microseconds per step on a latent of 4 x 64 x 64, one thread each; PyTorch {versions['torch']}, "
          f"diffusers {versions['diffusers']}, medians of {ROUNDS} rounds")
    print(f"{'solver':<12}{'Fewstep':>10}{'diffusers':>12}{'ratio':>9}{'with estimates':>18}{'ratio':>9}")
    for name, values in theirs.items():
        if name in own:
            ours, full, other = median(own[name]), median(estimating[name]), median(values)
            verdict = "" if other / ours >= TARGET else f"   below {TARGET}"
            print(f"{name:<12}{ours:>10.1f}{other:>12.1f}{other / ours:>8.1f}x{full:>18.1f}{other / full:>8.1f}x{verdict}")


if __name__ == "__main__":
    main()
