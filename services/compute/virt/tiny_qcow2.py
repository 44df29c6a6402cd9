# SPDX-License-Identifier: Apache-2.0
"""The smallest disk that is a real qcow2 file: what a fake guest has on its root disk."""

import struct

_CLUSTER_BITS = 9
_CLUSTER = 1 << _CLUSTER_BITS
_VIRTUAL_BYTES = 1 << 20
_REFCOUNT_TABLE, _REFCOUNT_BLOCK, _L1_TABLE, _CLUSTERS = 1, 2, 3, 4


def tiny_qcow2() -> bytes:
    """A version 2 image of 1 MiB that holds nothing: header, reference counts, an empty L1 table.

    Its layout is QEMU's docs/interop/qcow2.txt.
    """
    mapped_by_one_l2 = _CLUSTER // 8 * _CLUSTER
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb", 2, 0, 0, _CLUSTER_BITS, _VIRTUAL_BYTES, 0,
        _VIRTUAL_BYTES // mapped_by_one_l2, _L1_TABLE * _CLUSTER,
        _REFCOUNT_TABLE * _CLUSTER, 1, 0, 0,
    )  # fmt: skip
    refcount_table = struct.pack(">Q", _REFCOUNT_BLOCK * _CLUSTER)
    refcounts = struct.pack(f">{_CLUSTERS}H", *[1] * _CLUSTERS)
    return b"".join(
        part.ljust(_CLUSTER, b"\0") for part in (header, refcount_table, refcounts, b"")
    )
