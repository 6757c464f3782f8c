"""The program: loads the stack's configuration, creates the mirror that it declares, and exports its outputs."""

import os
import signal
from pathlib import Path

import pulumi
from pulumi.runtime import config

from components import Mirror
from harbor_mirror.config.faults import ConfigurationError
from harbor_mirror.plan.validation import resolve_stack

# Restore the default SIGINT action: the engine interrupts the program after rejecting a plan, and KeyboardInterrupt
# would print a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)
# The SDK sends the engine debug messages for each resource and waits for each of them (docs/adr/0180).
if "HARBOR_MIRROR_DEBUG" not in os.environ:
    pulumi.log.debug = lambda *_args, **_options: None
stack = pulumi.get_stack()
# Everything at once: pulumi.Config answers only for the keys it is asked for, so a misspelled key would go unnoticed.
settings = {**config.get_config_env(), **config.CONFIG.get()}
try:
    plan = resolve_stack(settings, pulumi.get_project(), Path.cwd(), stack).require()
except ConfigurationError as error:
    raise pulumi.RunError(str(error)) from None
outputs = Mirror(plan, stack=stack).outputs
for name, value in outputs.items():
    pulumi.export(name, value)


async def wait() -> None:
    """Wait until the outputs are known: the SDK's own wait takes quadratic time in what is pending (docs/adr/0180)."""
    await pulumi.Output.from_input(outputs).future()


pulumi.run(wait)
