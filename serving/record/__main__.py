"""Bring the decision record's database to this engine's schema: `python -m serving.record`.

For a container, which has no `finnt`; FINNT_RECORD_URL names the database.
"""

import sys
from pathlib import Path

from finntelligence.errors import FinntelligenceError
from serving.record.database import migrate, opened
from serving.record.settings import RecordSettings


def main() -> None:
    """Migrate, and say what the schema is."""
    try:
        engine = opened(RecordSettings().database("simulated", Path.cwd()))
        sys.stdout.write(f"the record's schema is {migrate(engine)}\n")
    except FinntelligenceError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
