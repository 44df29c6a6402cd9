# SPDX-License-Identifier: Apache-2.0
"""What `deploy/up`, `down`, `status`, `ssh` and `test` do. Standard library only.

It runs before anything is installed, with the system's Python. Only `seed` runs inside the virtual
environment, as a process of its own.
"""
