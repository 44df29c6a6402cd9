# SPDX-License-Identifier: Apache-2.0
"""Actions of `POST /servers/{server_id}/action`: a module a subject, a method an action.

Each class names its actions in `table()`, by the key that a request's body has for them.
"""
