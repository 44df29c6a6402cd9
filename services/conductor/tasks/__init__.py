# SPDX-License-Identifier: Apache-2.0
"""What happens after the 202: one flow a file, each reads from top to bottom as it runs."""
