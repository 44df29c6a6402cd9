# SPDX-License-Identifier: Apache-2.0
"""Options of the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz", type=int, default=2000, metavar="N",
        help="how many requests tests/functional/fuzz sends, about (default 2000)",
    )  # fmt: skip
