# SPDX-License-Identifier: Apache-2.0
"""What flavors and images ask of a guest's hardware: hosts build it, the API shows it."""
