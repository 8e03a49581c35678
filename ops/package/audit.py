"""Known vulnerabilities in what ships: `make audit`. Says so where it cannot know of them."""

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[2] / "src" / "requirements.txt"


def main(pip_audit: str) -> int:
    """Runs the pip-audit at this path on the lock; 1 if it knows of a vulnerability."""
    options = ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    result = subprocess.run(  # noqa: S603 - the one that the Makefile installs
        [pip_audit, *options, "--requirement", LOCK], capture_output=True, check=False, text=True
    )
    try:
        packages = json.loads(result.stdout)["dependencies"]
    except ValueError:
        packages = []
    known = [package for package in packages if "vulns" in package]
    if not known:  # refused, no connection, or a mirror that holds packages only
        print("SKIPPED: the database of known vulnerabilities cannot be reached.")
        return 0
    found = 0
    for package in known:
        for one in package["vulns"]:
            found += 1
            fixed = ", ".join(one["fix_versions"]) or "no version yet"
            print(f"{package['name']} {package['version']}: {one['id']}, mended in {fixed}")
    print(f"{len(known)} of {len(packages)} packages audited, {found} known vulnerabilities.")
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
