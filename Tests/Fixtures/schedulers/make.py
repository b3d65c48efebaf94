"""Write the scheduler fixtures: what diffusers' schedulers make of a model that is a formula.

    pip install -r ../networks/requirements.txt
    python make.py [FAMILY ...]

Writes one JSON file per family next to this file. The fields and the conventions behind them are in README.md.
"""
import json
import sys
from pathlib import Path

import diffusers

import discrete
import exponential
import flow
import grids
import noise_level
import stochastic

HERE = Path(__file__).parent
FAMILIES = {family.__name__: family for module in (discrete, exponential, noise_level, stochastic, flow, grids) for family in module.FAMILIES}


def main():
    diffusers.utils.logging.set_verbosity_error()
    for name in sys.argv[1:] or FAMILIES:
        lines = ",\n".join(json.dumps(record, allow_nan=False) for record in FAMILIES[name]())
        (HERE / f"{name}.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
