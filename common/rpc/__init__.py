# SPDX-License-Identifier: Apache-2.0
"""The whole bus: interfaces as typed classes, and the transport below them.

oslo.messaging asks oslo.service for its backend when it is imported: threads, chosen here because
this runs before any module of the package.
"""

from oslo_service import backend

backend.init_backend(backend.BackendType.THREADING)
