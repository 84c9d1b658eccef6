import subprocess
import sys

SETTLED = """
import gc
from runners.heap import settle

loaded = [[number] for number in range(1000)]
settle()
assert gc.get_freeze_count() > 1000
assert not any(each is loaded for each in gc.get_objects())  # what a collection would walk
made = []
made.append(made)
del made
print(gc.collect())
"""


def test_what_is_loaded_is_looked_at_no_more_and_later_garbage_is_still_found():
    told = subprocess.run(
        [sys.executable, "-c", SETTLED], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(told.stdout) >= 1
