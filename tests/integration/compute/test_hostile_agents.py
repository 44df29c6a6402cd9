# SPDX-License-Identifier: Apache-2.0
"""A guest whose agent greets and then says nothing, or nonsense, as its server's user sees it.

The guest is Linux. A script takes the place of its agent: it answers libvirt's greetings, does as
it is told with file systems, and answers nothing else as an agent should. What libvirt makes of
that depends on when it hears it. What must hold does not: every action ends, says why, and leaves
the guest running, writing and free for the next one.
"""

import contextlib
import subprocess
from types import SimpleNamespace

import pytest

from tests.functional.cloud import *  # noqa: F403
from tests.functional.rabbitmq import wait_until
from tests.integration import real_guest
from tests.integration.compute.by_clients import SOON_S, Api, Compute, Server, running
from tests.integration.real_guest import RealGuest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(real_guest.missing), reason=f"no {', '.join(real_guest.missing)}"),
]

# Who reads finds nothing while libvirt is not there. Nonsense makes libvirt turn away. It listens
# anew when the port was closed and is open again, sometimes not the first time: until it is heard
# (`is_left`), the port is opened again and again. `garbage` is what no text can be.
AGENT = r"""#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
port=/dev/virtio-ports/org.qemu.guest_agent.0
manner=silent is_left=n
say() { echo "AGENT $*" > /dev/ttyS0; }
answer() {
  case $manner in
    silent) return ;;
    nonsense) printf '}{"return":[\033[31m \r{{{\n' >&3 ;;
    garbage) printf '\377\376\n' >&3 ;;
  esac
  is_left=y
  reopen
}
reopen() {
  exec 3>&-
  exec 3<>$port
}
hears() {
  if [ $is_left = n ]; then
    read -r line <&3 || { usleep 100000; return 1; }
  else
    read -r -t 1 line <&3 || { usleep 500000; reopen; return 1; }
  fi
}
becomes() {
  manner=$1 is_left=n
  echo '{"return":{}}' >&3
}
(while n=$((n + 1)); do echo $n > /root/beat && echo "BEAT $n." > /dev/ttyS0; sleep 0.5; done) &
killall qemu-ga
while pidof qemu-ga; do usleep 10000; done
exec 3<>$port
say is here
while :; do
  hears || continue
  id=${line##*'"id":'}
  case $line in
    *guest-sync*) echo "{\"return\":${id%%\}*}}" >&3 ;;
    *be-silent*) becomes silent ;;
    *be-nonsense*) becomes nonsense ;;
    *be-garbage*) becomes garbage ;;
    *be-an-agent*)
      echo '{"return":{}}' >&3
      exec 3>&-
      exec qemu-ga -m virtio-serial -p $port -t /run ;;
    *guest-set-user-password*) say $manner, password; answer ;;
    *guest-fsfreeze-freeze*) fsfreeze -f /; say $manner, freeze; answer ;;
    *guest-fsfreeze-thaw*) fsfreeze -u /; say $manner, thaw; answer ;;
    *) answer ;;
  esac
done
"""


@pytest.fixture(scope="module")
def cloud(make_cloud):
    with running(make_cloud()) as made:
        yield made


@pytest.fixture(scope="module")
def api(cloud):
    return Api(cloud)


@pytest.fixture(scope="module")
def compute(cloud, api, libvirt_host):
    made = Compute(cloud, "compute", libvirt_host, options="agent_timeout_s = 2\n")
    made.start()
    try:
        made.until_up(api)
        yield made
    finally:
        made.kill()


@pytest.fixture(scope="module")
def images(cloud):
    return cloud.connect("admin").image


@pytest.fixture(scope="module")
def server(cloud, api, compute, images):
    cloud.connect("admin").compute.create_flavor(name="nano", ram=128, vcpus=1, disk=1, id="nano")
    image = images.create_image(
        name="linux", data=real_guest.image().read_bytes(), disk_format="qcow2",
        container_format="bare", wait=True, validate_checksum=False, os_require_quiesce="yes",
    )  # fmt: skip
    body = {"name": "web", "imageRef": image.id, "flavorRef": "nano", "networks": "none"}
    made = Server(api, api("POST", "/servers", {"server": body})["server"]["id"])
    made.until("ACTIVE")
    yield made
    made.delete(force=True)


class Guest(RealGuest):
    """A server's guest, with an agent of its own, or ours."""

    def __init__(self, host, server):
        told = SimpleNamespace(console_output=lambda *_, **__: server.console())
        super().__init__(host, told, server)

    def take_the_agents_place(self):
        """Put ours in its place, which may end before it has said that it does so."""
        self.sh(f"cat > /agent <<'END'\n{AGENT}END\nchmod 755 /agent")
        with contextlib.suppress(subprocess.CalledProcessError):
            self._agent("guest-exec", path="/bin/setsid", arg=["/agent"])
        self.wait_for("AGENT is here")

    def tell(self, command):
        """Tell the agent something, as soon as libvirt finds it."""

        def told():
            with contextlib.suppress(subprocess.CalledProcessError):
                self._agent(command)
                return True
            return False

        wait_until(told, f"the agent hears {command}", timeout_s=SOON_S)

    def beats(self):
        """How often it has written to its disk."""
        return self.console().count("BEAT")


@pytest.fixture(scope="module")
def guest(server, libvirt_host):
    made = Guest(libvirt_host, server)
    made.wait_ready()
    made.take_the_agents_place()
    return made


@pytest.fixture(params=["silent", "nonsense", "garbage"])
def manner(request, guest):
    """How the agent answers from now on."""
    guest.tell(f"be-{request.param}")
    return request.param


def assert_refused(server, before):
    """The last action ended and says why; so many had failed before."""
    server.until("ACTIVE")
    assert len(server.messages()) == before + 1
    assert "agent" in server.last_words(), server.last_words()


def assert_goes_on(server, guest, compute):
    """The guest writes, and does what it is told."""
    beats = guest.beats()
    wait_until(lambda: guest.beats() > beats, "the guest writes", timeout_s=SOON_S)
    server.act("pause")
    server.until("PAUSED")
    server.act("unpause")
    server.until("ACTIVE")
    assert compute.power(server) == "running"


def test_a_password_is_not_changed(server, guest, compute, manner):
    before = len(server.messages())

    server.act("changePassword", adminPass="secret")

    assert_refused(server, before)
    guest.wait_for(f"AGENT {manner}, password")
    assert_goes_on(server, guest, compute)


def test_no_image_is_made_that_must_be_quiet(server, guest, compute, images, manner):
    before = len(server.messages())

    server.act("createImage", name="shot")

    assert_refused(server, before)
    guest.wait_for(f"AGENT {manner}, freeze")
    assert_goes_on(server, guest, compute)
    wait_until(lambda: not list(images.images(name="shot")), "it is gone", timeout_s=SOON_S)


def test_the_host_answers_while_it_waits_for_an_agent(server, guest):
    guest.tell("be-silent")

    def is_busy():
        return server.show()["OS-EXT-STS:task_state"] is not None

    def is_answered():
        server.act("changePassword", adminPass="secret")
        answers = 0
        while is_busy():
            server.console()
            answers += is_busy()
        return answers > 0

    wait_until(is_answered, "the host says what is on the console", timeout_s=SOON_S)


def test_an_agent_that_comes_to_its_senses_is_heard(server, guest):
    failed = len(server.messages())
    guest.tell("be-an-agent")
    guest.tell("guest-ping")

    server.act("changePassword", adminPass="secret")

    server.until("ACTIVE")
    assert len(server.messages()) == failed
