#!/bin/sh
# The id of a release of the simulated Macs, from its locks below .lab/artifacts; in the repository's folder.
exec .venv/bin/python -c "import sys; from pathlib import Path; from fleet.release import read_release
print(read_release(Path('.lab/artifacts', sys.argv[1])).id)" "${1:-locks}"
