"""The contestants' jobs: what is run, and the processes that run it."""
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from environment import HERE, REPOSITORY, cores

BUNDLED = REPOSITORY / "Sources/Glyphs/Resources/glyphs"
FEWSTEP, PYTORCH, OPENVINO = "Fewstep", "PyTorch", "OpenVINO"
SHORT = {"float32": "fp32", "bfloat16": "bf16", "int8": "int8"}


@dataclass(frozen=True)
class Job:
    """One network's forward pass in one contestant, or `generation`: prompt to picture with the bundled model."""
    contestant: str
    component: str
    precision: str = "float32"
    batch: int = 1

    @property
    def column(self):
        return f"{self.contestant} {SHORT[self.precision]}"

    def __str__(self):
        return f"{self.column}, {self.component}, batch {self.batch}"


@dataclass(frozen=True)
class Failure:
    """A job without a result, and the last that it said."""
    reason: str


class Runner:
    """Runs jobs, each in a process of its own, on one model folder and with one number of threads."""
    def __init__(self, python, bench, model, scratch):
        self.python, self.bench, self.model, self.scratch = python, bench, model, Path(scratch)
        self.threads = cores()

    def run(self, job, passes):
        """The report of a job with so many timed passes, which names the file of its output, or a Failure."""
        if job.component == "generation":
            return self.run_generation(job)
        result = self.scratch / f"{job.column}-{job.component}-{job.batch}.safetensors".replace(" ", "-")
        options = [
            self.model, "--component", job.component, "--precision", job.precision, "--rounds", str(passes),
            "--input", self.model / f"inputs/{job.component}-{job.batch}.safetensors", "--output", result]
        if job.contestant == FEWSTEP:
            report = self.run_bench("forward", *options)
        else:
            script = {PYTORCH: "forward_pytorch.py", OPENVINO: "forward_openvino.py"}[job.contestant]
            report = self.run_script(script, *options, "--threads", str(self.threads))
        return report if isinstance(report, Failure) else {**report, "output": result}

    def run_generation(self, job):
        """Both programs report a list; Fewstep's has batches 1 and 8."""
        if job.contestant == FEWSTEP:
            report = self.run_bench("--only", "generation")
        else:
            report = self.run_script(
                "diffusers_generate.py", BUNDLED, "--batch", str(job.batch), "--threads", str(self.threads))
        if isinstance(report, Failure):
            return report
        entries = [entry for entry in report["generation"] if entry["batch"] == job.batch]
        same = entries and entries[0]["solver"] == "dpm++2m" and entries[0]["steps"] == 20
        if not same or entries[0]["guidance"] != 7.5:
            return Failure(f"not the job asked for: {report['generation']}")
        versions = {name: report[name] for name in ("torch", "diffusers", "transformers") if name in report}
        return {"milliseconds": [entries[0]["milliseconds"]], "versions": versions}

    def run_bench(self, *arguments):
        file = self.scratch / "bench.json"
        file.unlink(missing_ok=True)
        environment = {**os.environ, "FEWSTEP_THREADS": str(self.threads)}
        failure = self.execute([self.bench, *arguments, "--json", file], env=environment)[1]
        return failure or json.loads(file.read_text())

    def run_script(self, script, *arguments):
        printed, failure = self.execute([self.python, HERE / script, *arguments])
        return failure or json.loads(printed.splitlines()[-1])

    @staticmethod
    def execute(command, **options):
        """What a command printed, and a Failure or None."""
        result = subprocess.run(command, capture_output=True, text=True, **options)
        if result.returncode == 0:
            return result.stdout, None
        lines = [line for line in result.stderr.splitlines() if line.strip()] or [f"status {result.returncode}"]
        # Swift's errors come first, a Python exception's last line says what it is.
        reason = next((line for line in lines if line.startswith(("Error: ", "*** Program crashed"))), lines[-1])
        print(f"    failed: {reason}", file=sys.stderr)
        return result.stdout, Failure(reason)
