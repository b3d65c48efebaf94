"""Compare Fewstep with PyTorch and OpenVINO on this machine, in one run: speed, memory and accuracy, as one table.

    python3 Benchmarks/peers/compare.py [--rounds 3] [--passes 2] [--only ROW ...] [--small] [--python PYTHON] [--bench BENCH]

The networks of Stable Diffusion 1.5 run with random weights, which make_sd15.py writes to Benchmarks/peers/.models, and the
bundled model from prompt to picture. Every figure is of this run. Each job is a process of its own; each round runs all
of them, the contestants of a job one after the other, and the one that goes first changes every round. A figure is the
least of all rounds. `missed` means that a target is missed. What OpenVINO's conversion and NNCF make, and the output in
float64, are kept beside the model: some 10 GB on the disk. The UNet's 3.4 GB of weights are held several times over while
these are made. --small shows that all parts work; its figures mean nothing.

--only takes the key of a row or its beginning, such as unet-fp32 or accuracy; --list prints the keys.

Without --python, a virtual environment is made in Benchmarks/peers/.venv from requirements.txt. Where pip does
not find the +cpu build of PyTorch, name the index that has it in PIP_EXTRA_INDEX_URL.
Without --bench, `bench` is built by `swift build -c release`.
"""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import tensors
from environment import HERE, built_bench, private_python, processor, version
from jobs import OPENVINO, Failure, Runner
from rows import Accuracy, Results, all_rows, table


def say(text):
    print(text, file=sys.stderr, flush=True)


def chosen_rows(only):
    """The rows that `only` names, all of them without it."""
    rows = all_rows()
    for name in only or []:
        if not any(row.key == name or row.key.startswith(name + "-") for row in rows):
            sys.exit(f"--only {name}: there are {', '.join(row.key for row in rows)}")
    return [row for row in rows
            if not only or any(row.key == name or row.key.startswith(name + "-") for name in only)]


def model_folder(arguments, python):
    """The model with random weights, which is made where it is not there."""
    folder = arguments.model or HERE / ".models" / ("sd15-small" if arguments.small else "sd15")
    if not (folder / "model_index.json").exists():
        say(f"making {folder.name}")
        options = ["--small"] if arguments.small else []
        subprocess.run([python, HERE / "make_sd15.py", folder, *options], check=True, stdout=sys.stderr)
    return folder


def reference_output(runner):
    """The UNet's output in float64, from the model's folder or from PyTorch."""
    file = runner.model / "reference-unet-1.safetensors"
    if not file.exists():
        say("reference: PyTorch float64")
        partial = file.with_name("partial.safetensors")
        report = runner.run_script(
            "forward_pytorch.py", runner.model, "--precision", "float64", "--rounds", "0", "--input",
            runner.model / "inputs/unet-1.safetensors", "--output", partial)
        if isinstance(report, Failure):
            return None
        partial.replace(file)
    return tensors.read(file)


def distinct_jobs(rows):
    """The jobs of all rows, each once, those on the same network and inputs together."""
    jobs = list(dict.fromkeys(job for row in rows for job in row.jobs))
    order = list(dict.fromkeys((job.component, job.precision, job.batch) for job in jobs))
    return [[job for job in jobs if (job.component, job.precision, job.batch) == key] for key in order]


def measure(rows, runner, rounds, passes):
    results = Results()
    needed = [job for row in rows for job in row.jobs]
    if any(isinstance(row, Accuracy) for row in rows):
        results.reference = reference_output(runner)
    groups = distinct_jobs(rows)
    for component, precision in dict.fromkeys((job.component, job.precision) for job in needed
                                              if job.contestant == OPENVINO):
        job = next(job for job in needed if (job.contestant, job.component, job.precision)
                   == (OPENVINO, component, precision))
        say(f"converting: {job}")                           # so that no timed process does it
        runner.run(job, passes=0)
    for index in range(rounds):
        for group in groups:
            for job in group[::-1] if index % 2 else group:
                say(f"round {index + 1} of {rounds}: {job}")
                results.add(job, runner.run(job, passes))
    return results


def spread(results):
    """How far the rounds lie apart: the worst median over minimum."""
    worst = max(((median(times) / min(times), job) for job in results.reports
                 if (times := [min(report["milliseconds"]) for report in results.good(job)])),
                key=lambda pair: pair[0], default=None)
    return f"medians over minima: at worst {worst[0]:.2f}, {worst[1]}" if worst else "no results"


def versions(results):
    found = {}
    for job in results.reports:
        for report in results.good(job):
            found |= report.get("versions", {})
    return ", ".join(f"{name} {number}" for name, number in sorted(found.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=2, help="timed forward passes of a job in a round")
    parser.add_argument("--only", action="append", metavar="ROW", help="only this row; may be repeated")
    parser.add_argument("--list", action="store_true", help="print the keys of the rows")
    parser.add_argument("--small", action="store_true", help="a model of few channels: the figures mean nothing")
    parser.add_argument("--model", type=Path, help="the folder that make_sd15.py wrote, or where it shall write")
    parser.add_argument("--python", type=Path, help="an interpreter that has the requirements")
    parser.add_argument("--bench", type=Path, help="a release build of the bench executable")
    arguments = parser.parse_args()
    rows = chosen_rows(arguments.only)
    if arguments.list:
        return print("\n".join(row.key for row in rows))
    if min(arguments.rounds, arguments.passes) < 1:
        parser.error("--rounds and --passes: expected 1 or more")

    python = arguments.python or private_python()
    bench = (arguments.bench or built_bench()).absolute()
    folder = model_folder(arguments, python)
    load = os.getloadavg()[0]                                   # after a build it is the build's: then wait a minute
    if load > 0.5:
        say(f"load average {load:.2f}: the machine is busy, and the ratios mean nothing")
    with tempfile.TemporaryDirectory() as scratch:
        runner = Runner(python, bench, folder, scratch)
        results = measure(rows, runner, arguments.rounds, arguments.passes)
        text = table(rows, results)
    print(f"{processor()}; {runner.threads} threads for each; load average {load:.2f} at the start")
    print(versions(results))
    print(f"Fewstep {version('git', 'describe', '--always', '--dirty')}, {version('swift', '--version')}")
    print(f"least of {arguments.rounds} rounds of {arguments.passes} passes; {spread(results)}")
    if arguments.small:
        print("a model of few channels: the figures mean nothing")
    print()
    print(text)
    failures = {str(job): report.reason for job, reports in results.reports.items()
                for report in reports if isinstance(report, Failure)}
    for job, reason in failures.items():
        print(f"\nfailed: {job}: {reason}")


if __name__ == "__main__":
    main()
