# SPDX-License-Identifier: Apache-2.0
"""Tempest against a running cloud: find out what it has, write tempest.conf, run, sum up.

Runs in Tempest's own environment, by the script `run` beside it. It changes nothing in the cloud
but a second image, a type of volumes for several servers and, with --accounts, projects and users;
the tests remove what they make.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import accounts
import openstack
import verdicts
from configuration import Cloud, Options, discover, save_image, tempest_conf

_HERE = Path(__file__).resolve().parent
_RESULTS = _HERE.parents[2] / "var" / "tempest"
_NEWEST = "2.104"
_IMAGE = "image"
_LONGEST = 200  # of a folder's name


def main() -> int:
    """The command; 0 when nothing failed, 1 when a test did, 2 when there was no run."""
    wanted = _parser().parse_args()
    connection = openstack.connect(cloud=wanted.cloud)
    options = Options(
        features=dict(word.split("=", 1) for word in wanted.feature),
        settings=[_setting(word) for word in wanted.set],
        is_over_ssh=wanted.ssh,
        build_timeout_s=wanted.build_timeout,
    )
    cloud = discover(connection, options)
    wanted.results.mkdir(parents=True, exist_ok=True)
    save_image(connection, cloud, wanted.results.resolve() / _IMAGE)
    made = accounts.make(connection, count=3 * wanted.concurrency) if wanted.accounts else ""
    minimums = ["", _NEWEST] if wanted.twice else [wanted.min_microversion]
    outcomes = []
    for minimum in minimums:
        name = "+".join(_short(each) for each in wanted.tests)[:_LONGEST]
        name += minimum and f"@{minimum}"
        folder = wanted.results.resolve() / name  # stestr runs there
        outcomes.append(_run(cloud, options, folder, minimum, made, wanted))
    return max(outcomes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument(
        "tests", nargs="+", metavar="LIST",
        help="core, admin, network, volume, a file of test names, or the beginning of a name",
    )  # fmt: skip
    parser.add_argument(
        "--cloud", default=os.environ.get("OS_CLOUD", "kilonova-admin"),
        help="an administrator's entry of clouds.yaml",
    )  # fmt: skip
    parser.add_argument(
        "--min-microversion", default=os.environ.get("MIN_MICROVERSION", ""),
        help=f"run each test at this version or higher; {_NEWEST} checks the newest schemas",
    )  # fmt: skip
    parser.add_argument("--twice", action="store_true", help=f"as it is, then at {_NEWEST}")
    parser.add_argument("--accounts", action="store_true", help="users made before, not by Tempest")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--feature", action="append", default=[], metavar="NAME=false")
    parser.add_argument("--set", action="append", default=[], metavar="GROUP.NAME=VALUE")
    parser.add_argument("--ssh", action="store_true", help="log in to guests; needs real ones")
    parser.add_argument("--build-timeout", type=int, default=120, metavar="SECONDS")
    parser.add_argument("--results", type=Path, default=_RESULTS, metavar="FOLDER")
    return parser


def _short(word: str) -> str:
    """A list's, a file's or a test's name as a part of a folder's."""
    return Path(word).stem if "/" in word or word.endswith(".txt") else word


def _setting(word: str) -> tuple[str, str, str]:
    name, _, value = word.partition("=")
    group, _, name = name.partition(".")
    return group, name, value


def _run(
    cloud: Cloud,
    options: Options,
    folder: Path,
    minimum: str,
    accounts_yaml: str,
    wanted: argparse.Namespace,
) -> int:
    for name in ("logs", "lock"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    accounts_file = folder / "accounts.yaml" if accounts_yaml else None
    if accounts_file:
        accounts_file.touch(0o600)
        accounts_file.write_text(accounts_yaml)
    conf = tempest_conf(
        cloud, options, folder,
        minimum=minimum, image_file=folder.parent / _IMAGE, accounts_file=accounts_file,
    )  # fmt: skip
    with open(folder / "tempest.conf", "w", opener=_private) as file:
        conf.write(file)
    known = _known_tests(folder)
    names = verdicts.choose(wanted.tests, _HERE / "lists", known)
    (folder / "load.txt").write_text("".join(f"{known[name]}\n" for name in names))
    print(f"{len(names)} tests, microversion {minimum or 'as each asks'}: {folder}", flush=True)
    started = time.monotonic()
    _stestr(folder, "run", "--load-list", "load.txt", "--concurrency", str(wanted.concurrency),
            "--suppress-attachments", output=folder / "stestr.out")  # fmt: skip
    stream = folder / "results.subunit"
    _stestr(folder, "last", "--subunit", output=stream)
    found = verdicts.read(stream, names)
    (folder / "results.tsv").write_text("".join(each.line() for each in found))
    print(verdicts.summary(found, took_s=time.monotonic() - started), flush=True)
    return int(any(each.status == "fail" for each in found))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)  # it has the administrator's password


def _known_tests(folder: Path) -> dict[str, str]:
    """Every test of this Tempest: its bare name, and the id with tags that stestr wants."""
    import tempest  # noqa: PLC0415 - it reads its configuration's place at import

    top = Path(tempest.__file__).parent
    (folder / ".stestr.conf").write_text(
        f"[DEFAULT]\ntest_path={top}/test_discover\ntop_dir={top}\ngroup_regex=([^\\.]*\\.)*\n"
    )
    if not (folder / ".stestr").is_dir():
        _stestr(folder, "init", output=folder / "stestr.out")
    listed = folder / "all.txt"
    _stestr(folder, "list", output=listed)
    lines = [line for line in listed.read_text().splitlines() if line.startswith("tempest.")]
    if not lines:
        print(listed.read_text()[-2000:], file=sys.stderr)
        sys.exit(2)
    return {line.split("[")[0]: line for line in lines}


def _stestr(folder: Path, *arguments: str, output: Path) -> None:
    """Run stestr there; its exit code tells of failed tests, which its results tell better."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OS_")}
    environment |= {"TEMPEST_CONFIG_DIR": str(folder), "TEMPEST_CONFIG": "tempest.conf"}
    # stestr starts its workers by the name `python`
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with output.open("wb") as file:
        subprocess.run(
            [Path(sys.executable).parent / "stestr", *arguments],
            cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
