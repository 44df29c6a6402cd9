# SPDX-License-Identifier: Apache-2.0
"""The libvirt driver: KVM guests, or emulated ones where KVM does not really run."""
