# SPDX-License-Identifier: Apache-2.0
"""One file a revision, named NNNN_what_it_does."""
