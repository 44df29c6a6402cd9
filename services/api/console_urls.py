# SPDX-License-Identifier: Apache-2.0
"""URLs of consoles: kilonova-console as users reach it, with the token that opens one."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from common.objects.console import ConsoleType


@dataclass(frozen=True)
class ConsoleUrls:
    """The base URLs, a type each."""

    novnc: str
    spice_html5: str
    spice_direct: str
    serial: str

    def url(self, console_type: ConsoleType, token: str) -> str:
        """Where `token` opens a console. Raises: LookupError (no URL leads to the type)."""
        bases = {
            ConsoleType.NOVNC: self.novnc,
            ConsoleType.SPICE_HTML5: self.spice_html5,
            ConsoleType.SPICE_DIRECT: self.spice_direct,
            ConsoleType.SERIAL: self.serial,
        }
        scheme, place, path, query, fragment = urlsplit(bases[console_type])
        pairs = dict(parse_qsl(query))
        if console_type is ConsoleType.NOVNC:
            # noVNC's page asks for what it finds under `path`, at the host that it came from.
            asked = pairs.get("path", "")
            pairs["path"] = f"{asked}{'&' if '?' in asked else '?'}token={token}"
        else:
            pairs["token"] = token
        return urlunsplit((scheme, place, path, urlencode(pairs), fragment))
