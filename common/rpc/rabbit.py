# SPDX-License-Identifier: Apache-2.0
"""oslo.messaging's RabbitMQ connection with a short way for what nearly always happens.

oslo.messaging and kombu wrap every read and every write of a connection in machinery for retries
and reconnection; setting that up costs more than the work itself, and a consumer that has just had
a message looks again after 1, 2, 4, … ms. Here an operation on a sound connection is simply tried;
only its failure goes through the machinery, as if it had been the machinery's own first attempt.
Measured in docs/decisions/0010.
"""

from collections.abc import Callable
from typing import Any

from oslo_messaging._drivers import impl_rabbit

# How long a consumer waits for a message before it looks whether it shall stop. oslo.messaging's
# own time grows from 1 ms to 5 s: busy consumers turn idle rounds, idle ones take long to stop.
_LISTEN_S = 0.25


class QuickConnection(impl_rabbit.Connection):  # type: ignore[misc]
    """A connection that asks for retries only when something fails."""

    def ensure(
        self,
        method: Callable[[], Any],
        retry: int | None = None,
        recoverable_error_callback: Callable[[Exception], None] | None = None,
        error_callback: Callable[[Exception], None] | None = None,
        timeout_is_error: bool = True,
    ) -> Any:
        """Run `method`; where it fails, as oslo.messaging does, with that failure as the first."""
        failure: list[Exception] = []
        if self.channel is not None and self.connection.connected:
            try:
                return method()
            except Exception as failed:
                failure.append(failed)

        def attempt() -> Any:
            if failure:
                raise failure.pop()
            return method()

        return super().ensure(
            attempt, retry, recoverable_error_callback, error_callback, timeout_is_error
        )

    def consume(self, timeout: float | None = None) -> None:
        """Wait for one message, whatever `timeout` says: see _LISTEN_S. Raises: Timeout."""
        super().consume(_LISTEN_S)


def quicken(transport: Any) -> Any:
    """Have a transport of oslo.messaging make such connections; others are left alone."""
    driver = transport._driver  # there is no public way to choose the class
    if isinstance(driver, impl_rabbit.RabbitDriver):
        driver._connection_pool.connection_cls = QuickConnection
    return transport
