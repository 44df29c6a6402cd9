# SPDX-License-Identifier: Apache-2.0
"""`deploy/up`: a cloud on this machine, from nothing or from whatever is left of it.

Each step looks at what is there and does only what is missing, so that the command can be repeated
at any time and after any interruption.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from deploy.bringup import guest_image, packages, passwords, preflight, settings, virtual_env
from deploy.bringup.cloud import Cloud, passwords_file, settings_file
from deploy.bringup.commands import run
from deploy.bringup.daemon_user import closed_folder
from deploy.bringup.failures import Failed
from deploy.bringup.paths import REPOSITORY, Paths
from deploy.bringup.progress import Progress
from deploy.bringup.runner import runs_on_systemd
from deploy.bringup.settings import Settings

_BACKEND_WITHIN_S = 60
_DAEMON_WITHIN_S = 60
_NEEDED_GIB = 3.0
# Characters; libvirt takes no longer names of containers' disks than this leaves room for.
_CONTAINERS_PATH = 28
# The others call these at their start, and would wait out a lost call.
ASKED = ("companion", "conductor")
# Ports of programs that have more than one.
_SEVERAL_PORTS = {
    "rabbitmq-dist": "rabbitmq", "metadata-health": "metadata",
    "console-vnc": "console", "console-spice": "console", "console-serial": "console",
}  # fmt: skip


def up(
    paths: Paths,
    *,
    drivers: Sequence[str],
    fake_hosts: int | None,
    ports: dict[str, int],
    uplink: bool | None,
    progress: Progress,
) -> Cloud:
    """Bring the cloud up. Raises: Failed."""
    preflight.need_space(paths.state, _NEEDED_GIB)
    chosen = settings.merged(
        settings.load(settings_file(paths)),
        Settings(namespace="" if runs_on_systemd(paths) else paths.tag),
        drivers=drivers,
        fake_hosts=fake_hosts,
        ports=ports,
        uplink=uplink,
    )
    if chosen.has_lxc:
        preflight.need_short_path(paths.containers, _CONTAINERS_PATH)
    _check_ports(Cloud(paths, chosen, {}))
    _install(paths, chosen, progress)
    paths.make()
    cloud = Cloud(paths, chosen, passwords.ensure(passwords_file(paths)))
    settings.save(settings_file(paths), chosen)
    cloud.runner.prepare()
    for folder in (paths.state / "fake", paths.containers):
        folder.mkdir(exist_ok=True)
    _start_backends(cloud, progress)
    with progress.step("Configuration"):
        cloud.runner.hand_over(cloud.configuration.write(cloud.backends()))
    _prepare_stores(cloud, progress)
    _start_daemons(cloud, progress)
    _offer(cloud, progress)
    return cloud


def _install(paths: Paths, chosen: Settings, progress: Progress) -> None:
    wanted = (*packages.BASE, *(packages.LIBVIRT if chosen.has_guests else ()))
    wanted += packages.SYSTEMD if runs_on_systemd(paths) else ()
    with progress.step("Debian packages") as step:
        installed = packages.install(wanted)
        if runs_on_systemd(paths):
            packages.disable_services(installed)
        step.note(f"{len(installed)} installed" if installed else "all there")
    if paths.venv != paths.state / "venv":
        if not (paths.venv / "bin" / "kilonova-api").exists():
            raise Failed(f"--venv {paths.venv}: kilonova is not installed there")
        return
    with progress.step("Python environment") as step:
        paths.state.mkdir(parents=True, exist_ok=True)
        fresh = virtual_env.ensure(
            paths.venv,
            paths.state / "stamps" / "venv",
            extras=["libvirt"] if chosen.has_guests else [],
            more=["python-openstackclient>=7.0"],
            # the daemons' own user need not be able to read the repository
            editable=not runs_on_systemd(paths) and closed_folder(REPOSITORY) is None,
        )
        step.note("installed" if fresh else "all there")


def _check_ports(cloud: Cloud) -> None:
    used = set(cloud.daemons.names()) | {"postgresql", "rabbitmq", "rabbitmq-dist"}
    used |= {"console-vnc", "console-spice", "console-serial"}
    if cloud.settings.has_guests:
        used |= {"metadata-health"}
        used -= {"metadata"} if cloud.settings.namespace else set()

    def is_ours(name: str) -> bool:
        return cloud.runner.has(_SEVERAL_PORTS.get(name, name))

    ports = [(name, port) for name, port in cloud.settings.ports.items() if name in used]
    preflight.need_ports(ports, is_ours)


def _start_backends(cloud: Cloud, progress: Progress) -> None:
    """All at once, and the guest image meanwhile: RabbitMQ takes its time."""
    with progress.step("PostgreSQL's data, backends: start"):
        cloud.postgresql.prepare()
        cloud.rabbitmq.prepare(
            password=cloud.passwords["broker"], cookie=cloud.passwords["erlang_cookie"]
        )
        programs = [cloud.postgresql.program(), cloud.rabbitmq.program()]
        if cloud.settings.has_guests:
            cloud.libvirt.prepare()
            programs += [cloud.libvirt.program()] if cloud.libvirt.is_private else []
        if cloud.libvirt.is_private and cloud.settings.has_guests:
            if cloud.settings.has_uplink:
                cloud.uplink.ensure()
            else:
                cloud.uplink.remove()
        cloud.start(programs)
    for kind in _image_kinds(cloud):
        with progress.step(f"Image {kind}") as step:
            step.note(guest_image.ensure(cloud.paths.state / "guest-image", kind))
    health = cloud.backend_health()
    for program in programs:
        with progress.step(program.name):
            cloud.wait(program, health[program.name], within_s=_BACKEND_WITHIN_S)


def _prepare_stores(cloud: Cloud, progress: Progress) -> None:
    """The schema, and users and services; both commands can be repeated."""
    binaries = cloud.paths.venv / "bin"
    with progress.step("Database schema, users, services"):
        cloud.postgresql.make_database(cloud.passwords["database"])
        commands = (
            ("conductor", "kilonova", "db", "upgrade"),
            ("companion", "kilonova-companion", "bootstrap"),
        )
        with ThreadPoolExecutor(len(commands)) as pool:
            done = [
                pool.submit(
                    run,
                    binaries / name,
                    *arguments,
                    *_files(cloud, daemon),
                    timeout_s=120,
                    user=cloud.user_of(daemon),
                )
                for daemon, name, *arguments in commands
            ]
            for each in done:
                each.result()


def _files(cloud: Cloud, daemon: str) -> list[str]:
    files = cloud.daemons.config_files(daemon)
    return [word for file in files for word in ("--config-file", str(file))]


def _start_daemons(cloud: Cloud, progress: Progress) -> None:
    programs = {
        name: cloud.daemons.program(name, cloud.user_of(name)) for name in cloud.daemons.names()
    }
    for name in set(cloud.runner.names()) - set(programs) - set(cloud.backend_health()):
        cloud.runner.forget(name)
    asking = [name for name in programs if name not in ASKED]
    for title, group in (("Conductor and companion", ASKED), ("The other daemons", asking)):
        with progress.step(f"{title}: start") as step:
            users = {programs[name].user or "root" for name in group}
            step.note(f"as {', '.join(sorted(users))}")
            cloud.start([programs[name] for name in group])
        for name in group:
            with progress.step(f"kilonova-{name}"):
                health = partial(cloud.daemons.health, name)
                cloud.wait(programs[name], health, within_s=_DAEMON_WITHIN_S)


def _offer(cloud: Cloud, progress: Progress) -> None:
    folder = cloud.paths.state / "guest-image"
    blank = guest_image.placeholder(folder)
    images = {kind: guest_image.file(folder, kind) for kind in _image_kinds(cloud)}
    if cloud.settings.has_fake:
        images["blank" if cloud.settings.has_libvirt else "guest"] = blank
    with progress.step("Flavors, network, image"):
        run(
            cloud.paths.venv / "bin" / "python", "-m", "deploy.bringup.seed",
            cloud.paths.clouds_yaml, *(f"{name}={file}" for name, file in images.items()),
            timeout_s=180, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip


def _image_kinds(cloud: Cloud) -> list[str]:
    """The images that are built for real guests."""
    chosen = cloud.settings
    kinds = {"guest": chosen.has_libvirt, "container": chosen.has_lxc}
    return [kind for kind, is_wanted in kinds.items() if is_wanted]


def _key_hint() -> str:
    """How to make the key that the next line needs; nothing where there is one."""
    if (Path.home() / ".ssh" / "id_ed25519.pub").exists():
        return ""
    return "    ssh-keygen -t ed25519 -f ~/.ssh/id_ed25519\n"


def what_next(cloud: Cloud) -> str:
    """What to type now."""
    paths = cloud.paths
    option = f" --prefix {paths.prefix}" if paths.prefix else ""
    deploy = REPOSITORY / "deploy"
    consoles = (
        "    openstack console url show --novnc first\n    kilonova console first\n"
        if cloud.settings.has_libvirt
        else ""
    )
    ssh = f"    {deploy}/ssh{option} first\n" if cloud.settings.has_guests else ""
    image = "container" if cloud.settings.drivers[0] == "lxc" else "guest"
    return (
        "\nThe cloud is up. Next:\n\n"
        f"    export PATH={paths.venv}/bin:$PATH\n"
        f"    export OS_CLIENT_CONFIG_FILE={paths.clouds_yaml} OS_CLOUD=kilonova\n"
        f"{_key_hint()}"
        "    openstack keypair create --public-key ~/.ssh/id_ed25519.pub mine\n"
        f"    openstack server create --flavor m1.nano --image {image} --network private \\\n"
        "        --key-name mine --wait first\n"
        "    openstack console log show first\n"
        f"{consoles}{ssh}"
        "    OS_CLOUD=kilonova-admin kilonova status\n\n"
        f"{deploy}/status{option} shows what runs, {deploy}/down{option} stops it.\n"
    )
