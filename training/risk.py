"""Stage `risk`: fit the risk model.

Run as `python -m training.risk PORTFOLIO`.
"""

import sys

from finntelligence.portfolio import Capability
from training.stages import run_stage
from training.train import train

if __name__ == "__main__":
    run_stage(train, Capability.RISK, sys.argv[1])
