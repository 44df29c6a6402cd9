# SPDX-License-Identifier: Apache-2.0
"""`kilonova completion`: the script that a shell needs to complete commands and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    bash: put `eval "$(kilonova completion bash)"` into ~/.bashrc; zsh likewise into ~/.zshrc;
    fish: `kilonova completion fish > ~/.config/fish/completions/kilonova.fish`.
    """
    found = get_completion_class(shell)
    if found is None:  # click's own list and ours have come apart
        raise click.BadParameter(f"no completion for {shell}")
    root = ctx.find_root().command
    click.echo(found(root, {}, "kilonova", "_KILONOVA_COMPLETE").source())
