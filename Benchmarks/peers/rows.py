"""The rows of the comparison: what each is about, which jobs it needs, and what its target is."""
from dataclasses import dataclass, field

import tensors
from jobs import FEWSTEP, OPENVINO, PYTORCH, SHORT, Failure, Job

COLUMNS = ["Fewstep", "PyTorch fp32", "PyTorch bf16", "OpenVINO fp32", "OpenVINO bf16", "OpenVINO int8"]


@dataclass
class Line:
    """One printed line: figures by column, then what they come to, the target, and the verdict."""
    label: str
    cells: dict
    outcome: str = ""
    target: str = ""
    verdict: str = ""


@dataclass
class Results:
    """The reports of every job, one for each round, and the float64 output of the UNet."""
    reports: dict = field(default_factory=dict)
    reference: object = None

    def add(self, job, report):
        self.reports.setdefault(job, []).append(report)

    def good(self, job):
        return [report for report in self.reports.get(job, []) if not isinstance(report, Failure)]

    def milliseconds(self, job):
        """The least of all rounds; None where there is none."""
        return min((time for report in self.good(job) for time in report["milliseconds"]), default=None)


def column(job):
    return FEWSTEP if job.contestant == FEWSTEP else job.column


@dataclass
class Speed:
    """How many times as fast as the fastest of its rivals Fewstep is."""
    key: str
    label: str
    own: Job
    rivals: list
    target: float
    # Rivals that are shown and judged on a line of their own: label and target.
    extra: list = field(default_factory=list)

    @property
    def jobs(self):
        return [self.own, *self.rivals, *(rival for _, rivals, _ in self.extra for rival in rivals)]

    def lines(self, results):
        cells = {column(job): cell(results.milliseconds(job)) for job in self.jobs}
        yield Line(self.label, cells, *self.judge(results, self.rivals, self.target))
        for label, rivals, target in self.extra:
            yield Line(f"  {label}", {}, *self.judge(results, rivals, target))

    def judge(self, results, rivals, target):
        own, theirs = results.milliseconds(self.own), [results.milliseconds(job) for job in rivals]
        known = [time for time in theirs if time is not None]
        wanted = f"{target:g}x"
        if own is None or not known:
            return "-", wanted, "missed: no result"
        ratio = min(known) / own
        if ratio < target:
            return f"{ratio:.2f}x", wanted, "missed"
        return f"{ratio:.2f}x", wanted, "" if len(known) == len(theirs) else "not shown: a rival failed"


@dataclass
class Memory:
    """What Fewstep's process takes at its peak beyond the bytes of the weights."""
    key: str
    label: str
    own: Job
    target: float

    @property
    def jobs(self):
        return [self.own]

    def lines(self, results):
        peaks = [(report["peakBytes"] - report["weightBytes"]) / 1e6
                 for report in results.good(self.own) if report.get("peakBytes") is not None]
        peak, limit = max(peaks, default=None), f"{self.target:g} MB"
        verdict = "missed: no result" if peak is None else "" if peak <= self.target else "missed"
        yield Line(self.label, {FEWSTEP: "-" if peak is None else f"{peak:.0f} MB"}, "", limit, verdict)


@dataclass
class Accuracy:
    """The relative rms of the output's distance to PyTorch's in float64, for Fewstep and, to compare, the others."""
    key: str
    label: str
    own: Job
    rivals: list
    target: float | None

    @property
    def jobs(self):
        return [self.own, *self.rivals]

    def lines(self, results):
        errors = {}
        for job in self.jobs:
            if (good := results.good(job)) and results.reference is not None:
                errors[column(job)] = tensors.relative_rms(tensors.read(good[-1]["output"]), results.reference)
        error, verdict = errors.get(FEWSTEP), ""
        if error is None:
            verdict = "missed: no result"
        elif self.target is not None and not error <= self.target:
            verdict = "missed"
        cells = {column(job): f"{errors[column(job)]:.1e}" if column(job) in errors else "-" for job in self.jobs}
        yield Line(self.label, cells, "", "-" if self.target is None else f"{self.target:.0e}", verdict)


def cell(milliseconds):
    return "-" if milliseconds is None else f"{milliseconds:.1f}"


def rivals(component, precisions, batch=1):
    return [Job(contestant, component, precision, batch) for precision in precisions for contestant in (PYTORCH, OPENVINO)]


def all_rows():
    rows = []
    for precision, target in [("float32", 1.8), ("bfloat16", 1.2)]:
        for batch in (1, 2):
            rows.append(Speed(
                f"unet-{SHORT[precision]}-{batch}", f"UNet {SHORT[precision]}, batch {batch}, ms",
                Job(FEWSTEP, "unet", precision, batch), rivals("unet", [precision], batch), target))
    for batch in (1, 2):
        rows.append(Speed(
            f"unet-int8-{batch}", f"UNet int8, batch {batch}, ms", Job(FEWSTEP, "unet", "int8", batch),
            rivals("unet", ["float32", "bfloat16"], batch), 1.5,
            extra=[("and ahead of OpenVINO int8", [Job(OPENVINO, "unet", "int8", batch)], 1.0)]))
    rows.append(Speed(
        "vae-fp32", "VAE decode fp32, ms", Job(FEWSTEP, "vae"), rivals("vae", ["float32"]), 3.0,
        extra=[("and faster than bf16", rivals("vae", ["bfloat16"]), 1.0)]))
    for batch, target in [(1, 5.0), (8, 3.0)]:
        rows.append(Speed(
            f"generation-{batch}", f"bundled model, 20 steps, batch {batch}, ms",
            Job(FEWSTEP, "generation", batch=batch), [Job(PYTORCH, "generation", batch=batch)], target))
    rows.append(Memory("memory-vae", "peak above weights, VAE fp32", Job(FEWSTEP, "vae"), 640))
    rows.append(Memory("memory-unet", "peak above weights, UNet bf16", Job(FEWSTEP, "unet", "bfloat16"), 300))
    for precision, target in [("float32", 2e-5), ("bfloat16", 1e-2), ("int8", None)]:
        own = Job(FEWSTEP, "unet", precision)
        others = rivals("unet", [precision]) if precision != "int8" else [Job(OPENVINO, "unet", "int8")]
        rows.append(Accuracy(
            f"accuracy-{SHORT[precision]}", f"UNet error to float64, {SHORT[precision]}", own, others, target))
    return rows


def table(rows, results):
    """All lines under one heading."""
    lines = [line for row in rows for line in row.lines(results)]
    width = max(len(line.label) for line in lines)
    head = " ".join(f"{name:>13}" for name in COLUMNS)
    text = [f"{'':{width}} {head}    ratio   target"]
    for line in lines:
        cells = " ".join(f"{line.cells.get(name, ''):>13}" for name in COLUMNS)
        text.append(f"{line.label:{width}} {cells} {line.outcome:>8} {line.target:>8}  {line.verdict}".rstrip())
    return "\n".join(text)
