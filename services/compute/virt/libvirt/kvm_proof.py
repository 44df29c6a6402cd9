# SPDX-License-Identifier: Apache-2.0
"""A boot sector that proves that its CPU really runs guests, in 512 bytes.

It goes the way of every kernel: real mode, protected mode, then 64-bit mode with paging, and there
it uses SSE registers. At each station it writes a letter to the first serial port. A KVM that only
imitates virtualisation gets as far as SeaBIOS and a real-mode loader, which is why nothing less
would be a proof.
"""

PROOF = b"rplK"

# Machine code for address 0x7c00, beside what it does.
_CODE = (
    # 16-bit: no interrupts, flat segments, stack below the code
    ("fa fc 31c0 8ed8 8ec0 8ed0 bc007c", "cli; cld; ds = es = ss = 0; sp = 0x7c00"),
    ("baf803 b072 ee", "write 'r' to COM1"),
    ("e492 0c02 e692", "open address line 20"),
    ("0f0116007d 0f011e067d", "lgdt [0x7d00]; lidt [0x7d06]"),
    ("0f20c0 0c01 0f22c0 ea307c0800", "cr0.PE = 1; jump to 0x08:0x7c30"),
    # 32-bit, at 0x7c30
    ("66b81000 8ed8 8ec0 8ed0 bc007c0000", "ds = es = ss = 0x10; esp = 0x7c00"),
    ("66baf803 b070 ee", "write 'p' to COM1"),
    ("bf00100000 b9000c0000 31c0 f3ab", "clear three pages from 0x1000"),
    ("c7050010000003200000", "first level of page tables -> 0x2000"),
    ("c7050020000003300000", "second level -> 0x3000"),
    ("c7050030000083000000", "third level: the first 2 MiB, where they are"),
    ("b800100000 0f22d8", "cr3 = 0x1000"),
    ("0f20e0 0c20 0f22e0", "cr4.PAE = 1"),
    ("b9800000c0 0f32 80cc01 0f30", "EFER.LME = 1"),
    ("0f20c0 0d00000080 0f22c0", "cr0.PG = 1"),
    ("ea a07c0000 1800", "jump to 0x18:0x7ca0"),
    # 64-bit, at 0x7ca0
    ("66baf803 b06c ee", "write 'l' to COM1"),
    ("0f20c0 24fb 0c02 0f22c0", "cr0.EM = 0, cr0.MP = 1"),
    ("0f20e0 660d0006 0f22e0", "cr4.OSFXSR = cr4.OSXMMEXCPT = 1"),
    ("0f100425007c0000 660ffec0 0f11042500400000", "load, add and store an SSE register"),
    ("66baf803 b04b ee", "write 'K' to COM1"),
    ("f4 ebfd", "halt for ever"),
    ("0f1f8000000000", "fill up to 0x7ce0"),
    # the global descriptor table, at 0x7ce0
    ("0000000000000000", "none"),
    ("ffff0000009bcf00", "0x08: 32-bit code"),
    ("ffff00000093cf00", "0x10: data"),
    ("ffff0000009baf00", "0x18: 64-bit code"),
    ("1f00 e07c0000", "at 0x7d00: its size and place"),
    ("0000 00000000", "at 0x7d06: no interrupt table"),
)
_SECTOR = 512


def boot_sector() -> bytes:
    """The sector as a BIOS starts it."""
    code = b"".join(bytes.fromhex(text) for text, _ in _CODE)
    return code.ljust(_SECTOR - 2, b"\0") + b"\x55\xaa"
