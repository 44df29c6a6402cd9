# SPDX-License-Identifier: Apache-2.0
"""A guest of 512 bytes that says `bye` on its serial port after some seconds, and switches itself
off by ACPI, as every operating system does.
"""

_TICKS = 73  # of 18.2 a second
_BYTES = 1 << 20
_WAIT = b"\xfb\xb9" + _TICKS.to_bytes(2, "little") + b"\xf4\xe2\xfd"  # sti; cx ticks of hlt
_SAY = b"\xba\xf8\x03" + b"".join(b"\xb0" + bytes((byte,)) + b"\xee" for byte in b"bye\r\n")
# "sleep now, as deep as there is" to the register where the BIOS has put it
_SWITCH_OFF = b"\xba\x04\x06" + b"\xb8\x00\x20" + b"\xef" + b"\xf4\xeb\xfd"


def image():
    """The disk that it boots from."""
    code = _WAIT + _SAY + _SWITCH_OFF
    return (code.ljust(510, b"\0") + b"\x55\xaa").ljust(_BYTES, b"\0")
