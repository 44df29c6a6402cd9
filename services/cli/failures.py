# SPDX-License-Identifier: Apache-2.0
"""How a command ends: exit codes that scripts can trust, and one clear line for what went wrong."""

import enum


class ExitCode(enum.IntEnum):
    """Exit codes of `kilonova` (documented in docs/operators/cli.md)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNAVAILABLE = 5


class CommandError(Exception):
    """A command failed: the text is the one line that the operator reads."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code


_BY_STATUS = {
    400: ExitCode.USAGE,
    401: ExitCode.UNAVAILABLE,
    403: ExitCode.UNAVAILABLE,
    404: ExitCode.NOT_FOUND,
    409: ExitCode.CONFLICT,
}


def refused(status: int, message: str) -> CommandError:
    """The error for an HTTP answer with `status`."""
    if status >= 500:
        return CommandError(message, ExitCode.UNAVAILABLE)
    return CommandError(message, _BY_STATUS.get(status, ExitCode.FAILED))
