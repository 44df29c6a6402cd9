# SPDX-License-Identifier: Apache-2.0
"""Which tests a list names, and what became of each: a test that did not run has failed."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import subunit
import testtools

_NAMES_AN_ERROR = re.compile(r"^[A-Za-z][\w.]*: ", re.MULTILINE)
_PASSED = {"success": "pass", "xfail": "pass", "skip": "skip"}


@dataclass(frozen=True)
class Verdict:
    """One test's: pass, fail or skip, and why."""

    status: str
    name: str
    reason: str

    def line(self) -> str:
        """A line of results.tsv."""
        return f"{self.status}\t{self.name}\t{self.reason}\n"


def choose(wanted: Sequence[str], lists: Path, known: Mapping[str, str]) -> list[str]:
    """The names of all tests that lists, files and beginnings of names stand for."""
    chosen: set[str] = set()
    for word in wanted:
        file = next((f for f in (lists / f"{word}.txt", Path(word)) if f.is_file()), None)
        if file is None:
            found = {name for name in known if name == word or name.startswith(f"{word}.")}
            if not found:
                sys.exit(f"There is no list, file or test {word!r}.")
        else:
            lines = (line.strip().split("[")[0] for line in file.read_text().splitlines())
            names = {line for line in lines if line and not line.startswith("#")}
            found = names & known.keys()
            for name in sorted(names - known.keys()):
                print(f"Not in this Tempest: {name} ({word})", file=sys.stderr)
        chosen |= found
    return sorted(chosen)


def read(stream: Path, names: Iterable[str]) -> list[Verdict]:
    """The verdict on each test, out of a subunit stream."""
    seen: dict[str, tuple[str, str]] = {}

    def on_test(test: dict[str, Any]) -> None:
        if test["status"] not in {"exists", "inprogress"}:
            seen[test["id"].split("[")[0]] = (_PASSED.get(test["status"], "fail"), _why(test))

    with stream.open("rb") as file:
        result = testtools.StreamToDict(on_test)
        result.startTestRun()
        subunit.ByteStreamToStreamResult(file, non_subunit_name="stdout").run(result)
        result.stopTestRun()
    verdicts = []
    for name in names:
        # A class that could not be set up reports once for all of its tests.
        whole = seen.get(f"setUpClass ({name.rpartition('.')[0]})")
        status, why = seen.get(name) or whole or ("fail", "no result: it never ran")
        verdicts.append(Verdict(status, name, why))
    known_ends = (id_ for id_ in seen if id_.startswith("tearDownClass"))
    for id_ in known_ends:
        if seen[id_][0] == "fail":
            verdicts.append(Verdict("fail", id_, seen[id_][1]))
    return verdicts


def _why(test: Mapping[str, Any]) -> str:
    """The reason, or what a trace ends with: from the last line that names an error."""
    for wanted in ("reason", "traceback"):
        for key, content in test["details"].items():
            if key.startswith(wanted):
                text = content.as_text()
                named = [found.start() for found in _NAMES_AN_ERROR.finditer(text)]
                return " ".join(text[named[-1] if named else 0 :].split())[:400]
    return ""


def summary(verdicts: Sequence[Verdict], *, took_s: float) -> str:
    """Failures, then reasons of skips with their number, then the counts."""
    lines = [f"FAIL {each.name}\n     {each.reason}" for each in verdicts if each.status == "fail"]
    skips = Counter(each.reason for each in verdicts if each.status == "skip")
    lines += [f"SKIP {count:3} x {reason}" for reason, count in skips.most_common()]
    counts = Counter(each.status for each in verdicts)
    numbers = f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped"
    return "\n".join([*lines, f"{numbers} in {took_s:.0f} s"])
