# SPDX-License-Identifier: Apache-2.0
"""`deploy/status`: what of a cloud runs, and how it is."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from deploy.bringup import processes
from deploy.bringup.cloud import Cloud


@dataclass(frozen=True)
class ProgramStatus:
    """One program at this moment. `problem` empty: it can serve."""

    pids: list[int]
    up_s: float
    memory_mib: float
    restarts: int
    problem: str


@dataclass(frozen=True)
class CloudStatus:
    """Every program of a cloud."""

    daemons: dict[str, ProgramStatus]
    backends: dict[str, ProgramStatus]

    @property
    def is_healthy(self) -> bool:
        """Whether everything can serve."""
        everything = [*self.daemons.values(), *self.backends.values()]
        return all(not program.problem for program in everything)


def look(cloud: Cloud) -> CloudStatus:
    """Ask every program, all at once."""
    backends = cloud.backend_health()
    names = cloud.daemons.names()
    with ThreadPoolExecutor(len(names) + len(backends)) as pool:
        asked = {name: pool.submit(cloud.daemons.health, name) for name in names}
        asked |= {name: pool.submit(ask) for name, ask in backends.items()}
        problems = {name: answer.result() for name, answer in asked.items()}
    return CloudStatus(
        daemons={name: _program(cloud, name, problems[name]) for name in names},
        backends={name: _program(cloud, name, problems[name]) for name in backends},
    )


def _program(cloud: Cloud, name: str, problem: str) -> ProgramStatus:
    state = cloud.runner.state(name)
    is_ours = name != "libvirt" or cloud.libvirt.is_private
    if is_ours and not state.is_kept:
        problem = "is not kept running; deploy/up repairs it"
    pids = processes.with_descendants(state.pid)
    return ProgramStatus(
        pids=pids,
        up_s=processes.up_s(state.pid) if state.pid else 0.0,
        memory_mib=processes.memory_mib(pids),
        restarts=state.restarts,
        problem=problem,
    )


def as_json(cloud: Cloud, status: CloudStatus) -> str:
    """For programs."""
    document: dict[str, Any] = {
        "daemons": {name: _document(program) for name, program in status.daemons.items()},
        "endpoints": cloud.configuration.endpoints(),
        "backends": {name: _document(program) for name, program in status.backends.items()},
        "clouds_yaml": str(cloud.paths.clouds_yaml),
        "openrc": str(cloud.paths.openrc),
        "log_dir": str(cloud.paths.log),
        "network_namespace": cloud.settings.namespace if cloud.settings.has_guests else "",
        "venv": str(cloud.paths.venv),
    }
    return json.dumps(document, indent=2)


def _document(program: ProgramStatus) -> dict[str, Any]:
    return {
        "pids": program.pids,
        "healthy": not program.problem,
        "problem": program.problem,
        "up_s": round(program.up_s, 1),
        "memory_mib": program.memory_mib,
        "restarts": program.restarts,
    }


def as_table(cloud: Cloud, status: CloudStatus) -> str:
    """For people."""
    lines = [f"{'daemon':<16}{'pid':>8}{'up':>10}{'memory':>10}{'restarts':>10}  health"]
    for name, program in (*status.daemons.items(), *status.backends.items()):
        pid = program.pids[0] if program.pids else "-"
        lines.append(
            f"{name:<16}{pid:>8}{duration(program.up_s):>10}{program.memory_mib:>7.0f} MB"
            f"{program.restarts:>10}  {program.problem or 'ok'}"
        )
    total = sum(program.memory_mib for program in status.daemons.values())
    lines += [f"{'all daemons':<34}{total:>7.0f} MB", ""]
    lines += [f"{name:<16}{url}" for name, url in cloud.configuration.endpoints().items()]
    lines += [
        "",
        f"{'clouds.yaml':<16}{cloud.paths.clouds_yaml}",
        f"{'openrc':<16}{cloud.paths.openrc}",
        f"{'logs':<16}{cloud.paths.log}",
    ]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """`3 d 4 h`, `4 h 5 min`, `5 min 6 s`, `6 s`; `-` for nothing."""
    if seconds <= 0:
        return "-"
    whole = int(seconds)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"),
             (whole % 60, "s")]  # fmt: skip
    first = next((at for at, (number, _) in enumerate(parts) if number), 3)
    return " ".join(f"{number}{unit}" for number, unit in parts[first : first + 2])
