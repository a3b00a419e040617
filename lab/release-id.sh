#!/bin/sh
# The id of the release that the simulated Macs run, from its locks; in the repository's folder.
exec .venv/bin/python -c "from pathlib import Path; from fleet.release import read_release
print(read_release(Path('.lab/artifacts/locks')).id)"
