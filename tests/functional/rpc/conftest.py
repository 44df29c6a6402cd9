# SPDX-License-Identifier: Apache-2.0
"""The bus suite works on a private RabbitMQ."""

from tests.functional.rabbitmq import *  # noqa: F403
