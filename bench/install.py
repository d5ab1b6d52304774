"""What an installation weighs: the bare client and the platform, each in an environment of its own, over an empty one.

    python bench/install.py [bare|platform]

Bars: bare at most 20 MB and 14 packages, platform at most 550 MB and 60 packages; both with compiled bytecode and with
Millrace itself. Needs the package index, or its cache.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BARS = {"bare": ("client.txt", 20.0, 14), "platform": ("platform.txt", 550.0, 60)}


def installed(folder: Path, requirements: Path) -> Path:
    """An environment with these requirements and Millrace's own files; its site-packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-input"]
    if shutil.which("uv"):
        command = ["uv", "pip", "install", "--quiet", "--no-config", "--compile-bytecode", "--python", str(python)]
    subprocess.run([*command, "--require-hashes", "--requirement", str(requirements)], check=True)
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip())
    wheel = shutil.ignore_patterns("__pycache__", "testing")
    shutil.copytree(ROOT / "millrace", site / "millrace", ignore=wheel)
    subprocess.run([python, "-m", "compileall", "-q", str(site / "millrace")], check=True)
    return site


def weigh(site: Path) -> tuple[float, int]:
    """(MB, number of packages) of what lies in site-packages; Millrace counts as one."""
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file() and not path.is_symlink())
    return size / 1e6, 1 + len(list(site.glob("*.dist-info")))


def main() -> None:
    for name in sys.argv[1:] or BARS:
        requirements, size_bar, count_bar = BARS[name]
        with tempfile.TemporaryDirectory() as place:
            site = installed(Path(place) / "venv", ROOT / "requirements" / requirements)
            size, count = weigh(site)
            own = sum(path.stat().st_size for path in (site / "millrace").rglob("*") if path.is_file()) / 1e6
            heaviest = sorted(
                ((sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 1e6, path.name)
                 for path in site.iterdir() if path.is_dir()), reverse=True,
            )[:6]  # fmt: skip
        print(f"{name}: {size:.1f} MB, bar {size_bar:g} {told(size <= size_bar)}; "
              f"{count} packages, bar {count_bar} {told(count <= count_bar)}")  # fmt: skip
        print(f"  Millrace itself {own:.1f} MB; heaviest: " + ", ".join(f"{n} {s:.0f}" for s, n in heaviest))


def told(holds: bool) -> str:
    return "met" if holds else "MISSED"


if __name__ == "__main__":
    main()
