# SPDX-License-Identifier: Apache-2.0
"""What the conductor does for the other daemons: one interface, and one version, a subject."""

TOPIC = "kilonova-conductor"
