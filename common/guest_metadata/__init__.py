# SPDX-License-Identifier: Apache-2.0
"""What a guest reads about itself, as pure functions of its GuestMetadata.

The metadata service answers with it path by path; a config drive holds all of it at once.
"""
