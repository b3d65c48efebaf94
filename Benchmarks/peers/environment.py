"""What the comparisons need of the machine: the private Python environment, the `bench` executable, and versions."""
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent


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


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor():
    """The processor's name and how many cores this process may use."""
    name = platform.processor() or platform.machine()
    if sys.platform == "darwin":
        name = output("sysctl", "-n", "machdep.cpu.brand_string")
    elif (cpuinfo := Path("/proc/cpuinfo")).exists():
        names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {cores()} cores"
