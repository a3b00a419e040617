"""pyinfra reads this file first: before the inventory, and before it connects to any Mac."""

import click
import pyinfra_cli.cli
from pyinfra import config

from fleet.gate import check_or_exit
from macos.shell import PATH
from roles.context import remember
from roles.sources import described_or_exit

_params = click.get_current_context().params
if _fleet := check_or_exit(_params["inventory"], _params.get("data") or ()):
    remember(described_or_exit(_fleet), _params)

# A sick Mac fails alone and the others go on; the run still ends with status 1.
config.FAIL_PERCENT = None
# Without -y, pyinfra would ask at each one whether to go on, against what a roll says, and no Mac hears from this run
# while it waits for an answer.
pyinfra_cli.cli._set_fail_prompts = lambda state, config: None  # type: ignore[assignment]
# What a Mac must have belongs to root.
config.SUDO = True
# For a Mac that sets itself up; to all others @mac says it.
config.ENV = {"PATH": PATH}
