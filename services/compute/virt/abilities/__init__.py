# SPDX-License-Identifier: Apache-2.0
"""What a hypervisor may lack, a module a subject: each refuses it until a driver says otherwise."""
