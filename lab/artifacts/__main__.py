"""`python -m lab.artifacts [LAB_DIR]`: makes the lab's artifacts, by default in .lab."""

import sys
from pathlib import Path

from lab.artifacts.make import build
from lab.artifacts.native import MissingProgramError
from lab.artifacts.python import UnknownPythonError

if __name__ == "__main__":
    try:
        build(Path(sys.argv[1] if len(sys.argv) > 1 else ".lab"), lambda line: print(line, flush=True))
    except (MissingProgramError, UnknownPythonError) as problem:
        sys.exit(f"artifacts: {problem}")
