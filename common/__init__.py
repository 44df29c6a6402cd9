# SPDX-License-Identifier: Apache-2.0
"""What crosses a process boundary in kilonova, or is the same in every daemon.

No eventlet, anywhere: oslo.service and futurist would load it wherever it is installed (18 MB a
process, and half-patched threads), so its import is refused before any of them is imported.
"""

import sys

sys.modules.setdefault("eventlet", None)  # type: ignore[arg-type]
