# SPDX-License-Identifier: Apache-2.0
"""Words with a guest's agent, which is the guest's: it may say nothing, or anything."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import libvirt

from common.errors import NotSupported

_NONE_THERE = (
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    libvirt.VIR_ERR_AGENT_UNSYNCED,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
)
# libvirt asked nobody, or the agent has said in due form that it did not.
_NOT_ASKED = (libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, libvirt.VIR_ERR_OPERATION_UNSUPPORTED)
_NOT_DONE = ("agent is not connected", "unable to execute QEMU agent command")
_MOST_WORDS = 200


def ask(
    domain: Any,
    question: Callable[[], object],
    patience_s: int,
    *,
    fine: Sequence[str] = (),
) -> None:
    """Have the agent do what the call of libvirt `question` asks it for.

    One that says nothing for `patience_s` is taken for one that does not answer. `fine`: words of
    refusals that mean that it is done. Raises: NotSupported, when there is no agent, or none that
    answers, or not with an answer; libvirtError.
    """
    with contextlib.suppress(libvirt.libvirtError):  # it is off
        domain.agentSetResponseTimeout(patience_s, 0)
    try:
        question()
    except (SystemError, UnicodeError) as garbled:
        # libvirt repeats what the guest has said, and its binding cannot read what is no UTF-8.
        raise NotSupported("The guest's agent answers with garbage.") from garbled
    except libvirt.libvirtError as refused:
        said = str(refused)
        if any(words in said for words in fine):
            return
        if refused.get_error_code() in _NONE_THERE:
            raise NotSupported("No QEMU guest agent answers in the guest.") from refused
        if refused.get_error_code() == libvirt.VIR_ERR_INTERNAL_ERROR:
            # libvirt repeats what the guest has said, which may be anything.
            clean = "".join(c if c.isprintable() else " " for c in said)[:_MOST_WORDS]
            raise NotSupported(f"The guest's agent does not do it: {clean}") from refused
        raise


def may_be_done(refused: NotSupported) -> bool:
    """Whether an agent may have done what `ask` was refused: it only did not say so."""
    cause = refused.__cause__
    if not isinstance(cause, libvirt.libvirtError):
        return True
    said = str(cause)
    return cause.get_error_code() not in _NOT_ASKED and not any(w in said for w in _NOT_DONE)
