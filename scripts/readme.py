"""Runs the commands that README shows for the demo, against a demo that runs: `readme.py WARMKEY`.

Those are the shell blocks behind a line `<!-- runs against the demo -->`. Each must end with 0 and say something.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
MARK = re.compile(r"<!-- runs against the demo -->\n+```sh\n(.*?)```", re.DOTALL)


def commands(block: str) -> list[str]:
    """Each command of a block, with its continuation lines."""
    return [line for line in re.split(r"(?<!\\)\n", block) if line.strip()]


def main() -> None:
    warmkey = str(pathlib.Path(sys.argv[1]).resolve())
    blocks = MARK.findall((ROOT / "README.md").read_text())
    if not blocks:
        sys.exit("README shows no command for the demo any more; did its mark change?")
    for command in (command for block in blocks for command in commands(block)):
        shell = command.replace("target/release/warmkey", warmkey)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", shell], capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
        )
        if done.returncode != 0 or not done.stdout.strip():
            sys.exit(f"README's command failed with {done.returncode}:\n{command}\n{done.stdout}{done.stderr}")
        print(f"ok: {command.splitlines()[0]}")


if __name__ == "__main__":
    main()
