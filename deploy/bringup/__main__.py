# SPDX-License-Identifier: Apache-2.0
"""The command line of `deploy/up`, `down`, `status`, `ssh` and `test`."""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.bringup import preflight, settings, status
from deploy.bringup.cloud import Cloud
from deploy.bringup.down import down
from deploy.bringup.failures import Failed
from deploy.bringup.guest_ssh import ssh
from deploy.bringup.paths import Paths
from deploy.bringup.progress import Progress
from deploy.bringup.testing import test
from deploy.bringup.up import up, what_next

_LOCKS = Path("/run")


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands; its exit code: 0 done, 1 failed, 2 wrong usage."""
    try:
        if arguments[:1] == ["test"]:  # everything behind it is for pytest
            test(arguments[1:], Progress())
        return _run(_parser().parse_args(arguments))
    except Failed as failed:
        print(f"\n{failed}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; run the command again to go on.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy", description="A kilonova cloud on this machine.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--prefix",
        default=os.environ.get("KILONOVA_PREFIX", ""),
        help="folder for everything of a cloud that is not the machine's one (KILONOVA_PREFIX)",
    )
    common.add_argument(
        "--venv",
        default=os.environ.get("KILONOVA_VENV", ""),
        help="Python environment with kilonova to use as it is, instead of an own (KILONOVA_VENV)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    bring = commands.add_parser("up", parents=[common], help="bring the cloud up, or repair it")
    bring.add_argument(
        "--driver", action="append", default=[],
        help="libvirt, lxc or fake, may be repeated; both: libvirt and fake",
    )  # fmt: skip
    bring.add_argument("--hosts", type=_count, help="number of fake hosts; 1 without")
    bring.add_argument(
        "--uplink",
        action=argparse.BooleanOptionalAction,
        help="whether guests reach what this machine reaches; yes without",
    )
    bring.add_argument("--port", action="append", default=[], metavar="NAME=PORT")
    stop = commands.add_parser("down", parents=[common], help="stop the cloud")
    stop.add_argument("--purge", action="store_true", help="and remove all of it, servers too")
    show = commands.add_parser("status", parents=[common], help="what runs, and how it is")
    show.add_argument("--json", action="store_true", help="for programs")
    shell = commands.add_parser("ssh", parents=[common], help="a shell in a guest")
    shell.add_argument("server")
    shell.add_argument("arguments", nargs=argparse.REMAINDER, help="for ssh")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 20000:
        raise argparse.ArgumentTypeError("from 1 to 20000")
    return number


def _run(options: argparse.Namespace) -> int:
    paths = Paths.below(options.prefix, venv=options.venv or None)
    preflight.need_root()
    if options.command == "status":
        return _status(paths, as_json=options.json)
    if options.command == "ssh":
        ssh(Cloud.known(paths), options.server, options.arguments)
    with _alone(paths):
        if options.command == "down":
            down(paths, purge=options.purge, progress=Progress())
        else:
            _up(paths, options)
    return 0


def _up(paths: Paths, options: argparse.Namespace) -> None:
    drivers = [name for text in options.driver for name in settings.parse_drivers(text)]
    progress = Progress()
    cloud = up(
        paths,
        drivers=drivers,
        fake_hosts=options.hosts,
        ports=settings.parse_ports(options.port),
        uplink=options.uplink,
        progress=progress,
    )
    print(what_next(cloud), end="")


def _status(paths: Paths, *, as_json: bool) -> int:
    cloud = Cloud.known(paths)
    found = status.look(cloud)
    print(status.as_json(cloud, found) if as_json else status.as_table(cloud, found), flush=True)
    return 0 if found.is_healthy else 1


@contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """One `up` or `down` of a cloud at a time."""
    # In a folder that only root writes to: a name in /tmp could be somebody's link.
    file = _LOCKS / f"{paths.tag}.deploy.lock"
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed("Another deploy/up or deploy/down of this cloud is at work.") from None
        yield
    finally:
        os.close(lock)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
