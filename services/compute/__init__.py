# SPDX-License-Identifier: Apache-2.0
"""One hypervisor host.

os-brick asks oslo.service for its backend when it is imported, as oslo.messaging does: the package
of the bus chooses threads, and is imported before any module of this one.
"""

import common.rpc  # noqa: F401
