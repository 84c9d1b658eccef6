"""Stage `acceptance`: fit the acceptance model.

Run as `python -m training.acceptance PORTFOLIO`.
"""

import sys

from finntelligence.portfolio import Capability
from training.stages import start_log
from training.train import train

if __name__ == "__main__":
    start_log()
    train(Capability.ACCEPTANCE, sys.argv[1])
