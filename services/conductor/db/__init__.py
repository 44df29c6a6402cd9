# SPDX-License-Identifier: Apache-2.0
"""The conductor's PostgreSQL: tables, the engine, and one module of queries a concept.

Nothing outside this package writes SQL. Query functions take a connection and return objects of
common/objects; the caller owns the transaction.
"""
