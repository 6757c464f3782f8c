"""Run the local cloud in the foreground until Ctrl-C: `python -m localcloud`."""

from __future__ import annotations

import shlex
import signal
import sys

from localcloud.cloud import PARTNER_PASSWORD, PARTNER_USERNAME, LocalCloud


def main() -> int:
    """Print the environment that makes Pulumi use this cloud; return the exit code."""
    with LocalCloud() as cloud:
        print("# The local cloud runs until Ctrl-C. In another shell:")
        for name, value in cloud.env.items():
            print(f"export {name}={shlex.quote(value)}")
        print(f"# open source registry:         {cloud.hub_url}")
        print(f"# source that asks who you are: {cloud.partner_url} ({PARTNER_USERNAME} / {PARTNER_PASSWORD})")
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("# ended; instances, Harbors and images are gone")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
