"""Names the distributions of this Python whose files are not what their wheels brought.

    python raylab_verify.py [--as-options]     one name a line; or `--reinstall-package NAME …`, for uv

Exit status 0, whatever it finds.
"""

import base64
import hashlib
import sys
from importlib.metadata import Distribution, distributions


def whole(distribution: Distribution) -> bool:
    """Whether every file that the distribution recorded with a hash is there, and has it."""
    files = distribution.files
    if not files:
        return False
    for file in files:
        if not file.hash:
            continue  # byte code, and the record itself
        try:
            with open(file.locate(), "rb") as stream:
                found = hashlib.file_digest(stream, file.hash.mode).digest()
        except OSError:
            return False
        if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != file.hash.value:
            return False
    return True


def main() -> None:
    """Print them."""
    # Half a distribution may lack its metadata, and then has no name; uv sees for itself that it is missing.
    named = {found.metadata["Name"]: found for found in distributions() if found.metadata and found.metadata["Name"]}
    broken = sorted(name for name, found in named.items() if not whole(found))
    if "--as-options" in sys.argv:
        print(" ".join(f"--reinstall-package {name}" for name in broken))
    else:
        print("\n".join(broken))


if __name__ == "__main__":
    main()
