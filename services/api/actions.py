# SPDX-License-Identifier: Apache-2.0
"""`POST …/action`: the body's one key names what is to be done."""

from collections.abc import Callable, Mapping

import falcon

from common.errors import Invalid
from services.api.responder import read_document

Act = Callable[..., None]


class Actions:
    """Hands a request to the responder of its action."""

    def __init__(self, actions: Mapping[str, Act]) -> None:
        self.actions = dict(actions)

    def on_post(self, req: falcon.Request, resp: falcon.Response, **parts: str) -> None:
        """Perform an action. Raises: Invalid (not one key, or no such action)."""
        document = read_document(req)
        if not isinstance(document, dict) or len(document) != 1:
            raise Invalid("Malformed request body")
        name = next(iter(document))
        act = self.actions.get(name)
        if act is None:
            raise Invalid(f"There is no such action: {name}")
        act(req, resp, **parts)
