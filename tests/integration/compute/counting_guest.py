# SPDX-License-Identifier: Apache-2.0
"""A guest of 512 bytes that shows on its serial port whether it and its disk are what they were.

It counts its starts on its disk (`boot 02 after 17`: the second one, and how far the first one
came), then beats about twice a second (`beat 18`), and writes down each beat. A guest that was
moved alive beats on; one that was started anew boots.
"""

import re

# Machine code for address 0x7c00, beside what it does. Sector 2 of the disk is kept at 0x7e00:
# a byte with the starts, a byte with the beats.
_CODE = (
    ("fa 31c0 8ed8 8ec0 8ed0 bc007c fb fc", "ds = es = ss = 0; sp = 0x7c00; interrupts on"),
    ("8816fa7d", "keep the number of the disk that the BIOS booted from"),
    ("b402 e84600", "read the sector"),
    ("fe06007e b403 e83d00", "one start more; write the sector"),
    ("bea27c e87100 a0007e e84200", "print 'boot ' and the starts"),
    ("bea87c e86500 a0017e e83600 e85300", "print ' after ' and the beats"),
    ("b90900 f4 e2fd", "at 0x7c3b: wait for nine ticks of the clock"),
    ("fe06017e b403 51 e81200 59", "one beat more; write the sector"),
    ("beb07c e84500 a0017e e81600 e83300 ebde", "print 'beat ' and the beats; once more"),
    ("b001 bb007e b90200 b600 8a16fa7d cd13 c3", "at 0x7c5d: the BIOS reads or writes the sector"),
    ("d410 50 88e0 e80100 58", "at 0x7c6e: print a byte in two digits,"),
    ("240f 0490 27 1440 27", "each made a letter,"),
    ("50 bafd03 ec a820 74fb 58 baf803 ee c3", "which goes to COM1 when that is ready"),
    ("b00d e8ecff b00a ebe8", "at 0x7c8e: print the end of a line"),
    ("ac 84c0 7405 e8e0ff ebf6 c3", "at 0x7c97: print a text"),
    ("626f6f742000 20616674657220 00 626561742000", "'boot ', ' after ', 'beat '"),
)
_BYTES = 1 << 20


def image():
    """The disk that it boots from."""
    code = b"".join(bytes.fromhex(text) for text, _ in _CODE)
    return (code.ljust(510, b"\0") + b"\x55\xaa").ljust(_BYTES, b"\0")


def boots(console):
    """What it said at each start: (how many starts, how many beats before)."""
    return [
        (int(count, 16), int(beats, 16))
        for count, beats in re.findall(r"boot (\w\w) after (\w\w)\r", console)
    ]


def beats(console):
    """The beats that it told of."""
    return [int(beat, 16) for beat in re.findall(r"beat (\w\w)\r", console)]
