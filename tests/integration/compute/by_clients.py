# SPDX-License-Identifier: Apache-2.0
"""Users of the API and compute daemons as processes, each on a libvirtd of its own."""

import subprocess
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.functional.rabbitmq import wait_until
from tests.integration.compute.counting_guest import boots

HOST = "OS-EXT-SRV-ATTR:host"
SOON_S = 60
_COMPUTE = Path(sys.executable).parent / "kilonova-compute"
# The kernel of all test hosts is one; where it tells of its boot each daemon finds a file instead.
_WITH_BOOT_ID = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


@contextmanager
def running(cloud):
    """A cloud of the daemons of a controller, which is gone afterwards."""
    try:
        cloud.start("companion", "conductor", "scheduler", "api")
        yield cloud
    finally:
        cloud.remove()


class Compute:
    """A compute daemon on a libvirtd of its own, which knows where its one peer is, if it has one.

    `options` are lines of its configuration. The boot of the host is the test's: `boot` begins one.
    """

    def __init__(self, cloud, name, host, *, peer=None, options=""):
        self.name, self.host, self.state = name, host, host.folder / "state"
        self._log = cloud.folder / "log" / f"{name}.out"
        self._config = cloud.folder / f"{name}.conf"
        self._config.write_text(
            f"[DEFAULT]\nhost = {name}\nstate_path = {self.state}\n"
            "[compute]\ndriver = libvirt\nhealth_port = 0\nreserved_memory_mib = 0\n"
            f"[libvirt]\nconnection_uri = {host.uri}\nvirt_type = qemu\ndisk_cache = unsafe\n"
            + (
                f"migration_uri = qemu+tls://{peer.name}/system?pkipath={host.pki}\n"
                if peer
                else ""
            )
            + options
        )
        self.revives = "resume_guests_state_on_host_boot = true" in options
        self._boot_id = cloud.folder / f"{name}.boot_id"
        self.boot()
        self._command = [
            "unshare", "--mount", "--", "sh", "-c", _WITH_BOOT_ID, self._boot_id,
            _COMPUTE, "--config-file", cloud.config_file, "--config-file", self._config,
        ]  # fmt: skip
        self._process = None

    def boot(self):
        """The host has booted, as its daemons find when they start."""
        self._boot_id.write_text(f"{uuid.uuid4()}\n")

    def start(self):
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def kill(self):
        self._process.kill()
        self._process.wait(20)

    def until_up(self, api):
        """Wait until the cloud hears of it."""

        def is_up():
            shown = api("GET", f"/os-services?host={self.name}")["services"]
            return [each["state"] for each in shown] == ["up"]

        wait_until(is_up, f"{self.name} is up: {self._log.read_text()[-2000:]}", timeout_s=SOON_S)

    def has(self, name):
        """Whether it has a guest of this name, running or not."""
        return name in self.host.run("virsh", "list", "--all", "--name").split()

    def running(self):
        """Names of its guests that run."""
        return set(self.host.run("virsh", "list", "--name").split())

    def power(self, server):
        """What libvirt says of a server's guest."""
        return self.host.run("virsh", "domstate", f"kilonova-{server.uuid}").strip()

    def left(self, server):
        """What the host has of a server."""
        files = [path.name for path in (self.state / "instances").glob(f"{server}*")]
        known = self.host.run("virsh", "list", "--all", "--name")
        known += self.host.run("virsh", "pool-list", "--all", "--name")
        return [*files, *(name for name in known.split() if server in name)]


class Api:
    """What an administrator says and hears."""

    def __init__(self, cloud):
        self._session = requests.Session()
        self._session.headers["X-Auth-Token"] = cloud.connect("admin").auth_token
        self._root = f"{cloud.compute_url}/v2.1"

    def __call__(self, method, path, body=None, *, expect=(200, 202, 204)):
        headers = {"OpenStack-API-Version": "compute 2.104"}
        answer = self._session.request(
            method, self._root + path, json=body, headers=headers, timeout=30
        )
        assert answer.status_code in expect, answer.text
        return answer.json() if answer.content else None


class Server:
    """A server, and its console."""

    def __init__(self, api, uuid):
        self.uuid, self._api = uuid, api

    def show(self):
        return self._api("GET", f"/servers/{self.uuid}")["server"]

    def act(self, name, /, **what):
        return self._api("POST", f"/servers/{self.uuid}/action", {name: what or None})

    def delete(self, *, force=False):
        """Delete it and wait until it is gone. Again: it is."""
        if force:
            path = f"/servers/{self.uuid}/action"
            self._api("POST", path, {"forceDelete": None}, expect=(202, 404))
        else:
            self._api("DELETE", f"/servers/{self.uuid}", expect=(204, 404))

        def is_gone():
            return self._api("GET", f"/servers/{self.uuid}", expect=(200, 404)).keys() != {"server"}

        wait_until(is_gone, "it is gone", timeout_s=SOON_S)

    def until(self, status, where=None, *, within_s=SOON_S):
        """Wait for the status, and for the host if one is named."""

        def there():
            shown = self.show()
            assert shown["status"] != "ERROR" or status == "ERROR", shown["fault"]
            is_at_rest = shown["OS-EXT-STS:task_state"] is None
            return is_at_rest and shown["status"] == status and where in (None, shown[HOST])

        wait_until(there, f"it is {status}; actions: {self.messages()}", timeout_s=within_s)

    def console(self):
        return self.act("os-getConsoleOutput", length=2000)["output"]

    def until_booted(self, times):
        """Wait until the guest has; its host may be away until then, which is a conflict."""
        path, ask = f"/servers/{self.uuid}/action", {"os-getConsoleOutput": {"length": 2000}}

        def has_booted():
            said = self._api("POST", path, ask, expect=(200, 409)).get("output", "")
            return any(count == times for count, _ in boots(said))

        wait_until(has_booted, f"it has booted {times} times", timeout_s=SOON_S)

    def results(self, action):
        """How the steps of an action ended that was asked for once."""
        path = f"/servers/{self.uuid}/os-instance-actions"
        actions = self._api("GET", path)["instanceActions"]
        [request] = [each["request_id"] for each in actions if each["action"] == action]
        shown = self._api("GET", f"{path}/{request}")["instanceAction"]
        return [event["result"] for event in shown["events"]]

    def last_words(self):
        """What the steps of its last action had to say."""
        path = f"/servers/{self.uuid}/os-instance-actions"
        last = self._api("GET", path)["instanceActions"][0]
        events = self._api("GET", f"{path}/{last['request_id']}")["instanceAction"]["events"]
        return " ".join(str(event["details"]) for event in events if event["details"])

    def messages(self):
        """What went wrong, by action."""
        shown = self._api("GET", f"/servers/{self.uuid}/os-instance-actions")["instanceActions"]
        return [(each["action"], each["message"]) for each in shown if each["message"]]
