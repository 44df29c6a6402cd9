# SPDX-License-Identifier: Apache-2.0
"""What tests of volumes do again and again."""

from dataclasses import replace

from services.companion.settings import VolumeSettings

V3 = "/volume/v3"
GIB = 1 << 30
BINARY = {"Content-Type": "application/octet-stream"}
NEWEST = "volume 3.71"


def at(version):
    """Headers that ask for a version such as 3.27."""
    return {"OpenStack-API-Version": f"volume {version}"}


def request_volume(cloud, user="demo", **attributes):
    """The answer to a request for a volume."""
    return cloud.post(f"{V3}/volumes", {"volume": {"size": 1, **attributes}}, user=user,
                      headers={"OpenStack-API-Version": NEWEST})  # fmt: skip


def create(cloud, user="demo", **attributes):
    """A volume whose data is there."""
    made = request_volume(cloud, user, **attributes)
    assert made.status_code == 202, made.text
    cloud.settle()
    return show(cloud, made.json["volume"]["id"])


def show(cloud, volume_id, user="admin", version="3.71"):
    return cloud.get(f"{V3}/volumes/{volume_id}", user=user, headers=at(version)).json["volume"]


def status(cloud, volume):
    return show(cloud, volume["id"])["status"]


def act(cloud, volume, action, body=None, user="demo", version="3.71"):
    """Do an action; the answer, once what it began is done."""
    answer = cloud.post(f"{V3}/volumes/{volume['id']}/action", {action: body}, user=user,
                        headers=at(version))  # fmt: skip
    cloud.settle()
    return answer


def snapshot(cloud, volume, user="demo", version="3.71", **attributes):
    body = {"snapshot": {"volume_id": volume["id"], **attributes}}
    made = cloud.post(f"{V3}/snapshots", body, user=user, headers=at(version))
    assert made.status_code == 202, made.text
    cloud.settle()
    return cloud.get(f"{V3}/snapshots/{made.json['snapshot']['id']}").json["snapshot"]


def attach(cloud, volume, server, user="demo", connector=None, complete=True, **more):
    """An attachment, complete unless said otherwise."""
    body = {"volume_uuid": volume["id"], "instance_uuid": server, **more}
    made = cloud.post(f"{V3}/attachments", {"attachment": body}, user=user, headers=at("3.54"))
    assert made.status_code == 200, made.text
    attachment = made.json["attachment"]
    if complete:
        connector = connector or {"host": "h1", "mountpoint": "/dev/vdb"}
        path = f"{V3}/attachments/{attachment['id']}"
        put = cloud.put(path, {"attachment": {"connector": connector}}, user=user,
                        headers=at("3.44"))  # fmt: skip
        assert put.status_code == 200, put.text
        attachment = put.json["attachment"]
        done = cloud.post(f"{path}/action", {"os-complete": {}}, user=user, headers=at("3.44"))
        assert done.status_code == 204, done.text
    return attachment


def detach(cloud, attachment, user="demo"):
    return cloud.delete(f"{V3}/attachments/{attachment['id']}", user=user, headers=at("3.44"))


def image(cloud, data, user="admin", **attributes):
    """An active image."""
    body = {"disk_format": "raw", "container_format": "bare", "name": "i",
            "visibility": "public", **attributes}  # fmt: skip
    made = cloud.post("/image/v2/images", body, user=user)
    assert made.status_code == 201, made.text
    path = f"/image/v2/images/{made.json['id']}/file"
    put = cloud.request("PUT", path, user=user, headers=BINARY, body=data)
    assert put.status_code == 204, put.text
    return cloud.get(f"/image/v2/images/{made.json['id']}").json


def file_of(cloud, item, kind="volume"):
    """The file with the data of a volume or snapshot."""
    return cloud.settings.data_path / "volumes" / f"{kind}-{item['id']}"


def begins_with(path, data):
    """Whether a file begins with `data` and has nothing but zeros in the MiB behind it."""
    with path.open("rb") as file:
        return file.read(len(data)) == data and not file.read(1 << 20).strip(b"\0")


def messages(cloud, user="demo"):
    """What users are told of failures."""
    found = cloud.get(f"{V3}/messages", user=user, headers=at("3.71")).json["messages"]
    return [message["user_message"] for message in found]


def volume_settings(settings, **changes):
    """Settings with other values for volumes."""
    return replace(settings, volumes=replace(settings.volumes or VolumeSettings(), **changes))
