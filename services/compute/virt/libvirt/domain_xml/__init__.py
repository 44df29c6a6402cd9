# SPDX-License-Identifier: Apache-2.0
"""Domain definitions: what a guest shall be in, libvirt's XML out. Nothing here calls libvirt."""
