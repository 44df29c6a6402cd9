# SPDX-License-Identifier: Apache-2.0
"""The state of a TPM comes from another host: what cannot be one is not written anywhere."""

import base64
import json

import pytest

pytest.importorskip("libvirt")

from common.errors import HypervisorError
from services.compute.virt.libvirt import tpm_states


class Guest:
    """A domain with a TPM, or without, on a libvirt that must not be asked for anything."""

    def __init__(self, version="2.0"):
        self._version = version

    def XMLDesc(self, _flags):
        tpm = f"<tpm><backend type='emulator' version='{self._version}'/></tpm>"
        return f"<domain><devices>{tpm if self._version else ''}</devices></domain>"


def state(files, version="2.0"):
    encoded = {name: base64.b64encode(content).decode() for name, content in files.items()}
    return json.dumps({"version": version, "files": encoded})


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        state({"../../../etc/cron.d/evil": b"x"}),
        state({"": b"x"}),
        state({".hidden": b"x"}),
        state({"a/b": b"x"}),
        state({"large": bytes(5 << 20)}),
    ],
    ids=["damaged", "elsewhere", "nameless", "hidden", "deeper", "large"],
)
def test_what_cannot_be_the_state_of_a_tpm_is_refused(tmp_path, text):
    file = tmp_path / "tpm.json"
    file.write_text(text)

    with pytest.raises(HypervisorError, match="the state of a TPM"):
        tpm_states.give_back(Guest(), file)


def test_a_guest_without_a_tpm_keeps_and_gets_nothing(tmp_path):
    file = tmp_path / "tpm.json"
    tpm_states.keep(Guest(version=""), file)
    assert not file.exists()

    file.write_text(state({"tpm2-00.permall": b"x"}))
    tpm_states.give_back(Guest(version=""), file)

    assert not file.exists()


def test_a_state_of_another_version_is_not_used(tmp_path):
    file = tmp_path / "tpm.json"
    file.write_text(state({"tpm-00.permall": b"x"}, version="1.2"))

    tpm_states.give_back(Guest(), file)

    assert not file.exists()
