"""Stage `acceptance`: fit the acceptance model.

Run as `python -m training.acceptance PORTFOLIO`.
"""

import sys

from finntelligence.portfolio import Capability
from training.stages import run_stage
from training.train import train

if __name__ == "__main__":
    run_stage(train, Capability.ACCEPTANCE, sys.argv[1])
