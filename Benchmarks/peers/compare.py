"""Compare text-to-image in Fewstep with PyTorch and diffusers, on this machine, in one run.

    python3 Benchmarks/peers/compare.py [--rounds 3] [--python PYTHON] [--bench BENCH]

Each round runs both, one after the other, and the one that goes first changes every round. Both generate with the bundled
model, float32 in PyTorch, and report batch sizes 1 and 8.

Without --python, a virtual environment is made in Benchmarks/peers/.venv from requirements.txt. Where pip does
not find the +cpu build of PyTorch, name the index that has it in PIP_EXTRA_INDEX_URL.
Without --bench, `bench` is built by `swift build -c release`.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
MODEL = REPOSITORY / "Sources/Glyphs/Resources/glyphs"
TARGETS = {1: 2.5, 8: 1.5}


def output(*command, **options):
    """What a command prints to standard output. Its errors go to the terminal, and a failure stops the comparison."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout.strip()


def version(*command):
    """The first line that a command prints, or `unknown`: a released archive has no git, and --bench needs no compiler."""
    try:
        result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    except FileNotFoundError:
        return "unknown"
    return result.stdout.splitlines()[0] if result.returncode == 0 and result.stdout else "unknown"


def private_python():
    """The interpreter of the private environment, which is made or brought up to date first."""
    environment = HERE / ".venv"
    python = environment / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True)
    return python


def built_bench():
    """The release build of the `bench` executable."""
    build = ["swift", "build", "-c", "release", "--product", "bench"]
    subprocess.run(build, cwd=REPOSITORY, check=True, stdout=sys.stderr)
    return Path(output(*build, "--show-bin-path", cwd=REPOSITORY)) / "bench"


def run_pytorch(python, model):
    return json.loads(output(python, HERE / "diffusers_generate.py", model).splitlines()[-1])


def run_fewstep(bench):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.json"
        subprocess.run([bench, "--only", "generation", "--json", file], check=True, stdout=subprocess.DEVNULL)
        return json.loads(file.read_text())


def processor():
    """The processor's name and how many cores this process may use."""
    name = platform.processor() or platform.machine()
    if sys.platform == "darwin":
        name = output("sysctl", "-n", "machdep.cpu.brand_string")
    elif (cpuinfo := Path("/proc/cpuinfo")).exists():
        names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = names[0] if names else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def select(report, batch, job=None):
    """The entry of a report for a batch size, which must be the same job."""
    for entry in report["generation"]:
        if entry["batch"] == batch and all(entry[key] == job[key] for key in ("steps", "guidance", "solver") if job):
            return entry
    sys.exit(f"no entry of batch {batch} for the job {job} in {report['generation']}")


def table(reports):
    """One line for each batch size. A ratio is PyTorch's time over Fewstep's; the target is judged at the minima.

    Other programs slow the contestants down, and perhaps not equally: on two cores at a load average of 3, PyTorch has
    taken more than ten times as long as on the same machine when it was quiet. The minima over the rounds are the least
    disturbed, and medians far above them say that the machine was not quiet.
    """
    lines = [f"{'':5}  {'PyTorch ms':>17}  {'Fewstep ms':>17}  {'ratio':>13}",
             f"batch  {'min':>8} {'median':>8}  {'min':>8} {'median':>8}  {'min':>6} {'median':>6}  target"]
    for batch, target in TARGETS.items():
        entries = [select(report, batch) for report in reports["PyTorch"]]
        theirs = [entry["milliseconds"] for entry in entries]
        ours = [select(report, batch, entries[0])["milliseconds"] for report in reports["Fewstep"]]
        ratio, middle = min(theirs) / min(ours), median(theirs) / median(ours)
        lines.append(f"{batch:5}  {min(theirs):8.1f} {median(theirs):8.1f}  {min(ours):8.1f} {median(ours):8.1f}"
                     f"  {ratio:6.2f} {middle:6.2f}  {target:6.1f}{'' if ratio >= target else '  missed'}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="Compare text-to-image in Fewstep with PyTorch and diffusers.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", type=Path, help="an interpreter that has the requirements")
    parser.add_argument("--bench", type=Path, help="a release build of the bench executable")
    parser.add_argument("--model", type=Path, default=MODEL, help="the folder that PyTorch reads, the bundled model")
    arguments = parser.parse_args()

    python = arguments.python or private_python()
    bench = (arguments.bench or built_bench()).absolute()
    contestants = [("PyTorch", lambda: run_pytorch(python, arguments.model)), ("Fewstep", lambda: run_fewstep(bench))]
    reports = {"PyTorch": [], "Fewstep": []}
    load = os.getloadavg()[0]                                   # after a build it is the build's: then wait a minute
    if load > 0.5:
        print(f"load average {load:.2f}: the machine is busy, and the ratios mean nothing", file=sys.stderr)
    for index in range(arguments.rounds):
        for name, run in contestants[::-1] if index % 2 else contestants:
            print(f"round {index + 1} of {arguments.rounds}: {name}", file=sys.stderr)
            reports[name].append(run())

    theirs = reports["PyTorch"][0]
    job = select(theirs, 1)
    print(f"{processor()}; {theirs['threads']} threads for PyTorch; load average {load:.2f} at the start")
    print(f"torch {theirs['torch']}, diffusers {theirs['diffusers']}, transformers {theirs['transformers']}")
    print(f"Fewstep {version('git', 'describe', '--always', '--dirty')}, {version('swift', '--version')}")
    print(f"{job['solver']}, {job['steps']} steps, guidance {job['guidance']}, prompt to picture, {arguments.rounds} rounds")
    print()
    print(table(reports))


if __name__ == "__main__":
    main()
