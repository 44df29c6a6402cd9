# SPDX-License-Identifier: Apache-2.0
"""Containers: guests of libvirt's LXC driver, which share the host's kernel."""
