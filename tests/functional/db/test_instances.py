# SPDX-License-Identifier: Apache-2.0
"""Instances in the database: read whole as they were written, and found by what they have."""

from datetime import timedelta

import pytest
from sqlalchemy import Text, cast, func, insert, select, text
from sqlalchemy.dialects.postgresql import array

from common.errors import InstanceNotFound
from common.guest_metadata import ec2_tree, openstack_tree
from common.guest_metadata.openstack_tree import TreeSettings
from common.objects.block_device import BlockDeviceMapping
from common.objects.flavor import Flavor
from common.objects.guest_metadata import GuestMetadata
from common.objects.image import ImageMeta
from common.objects.instance import Fault
from common.objects.keypair import Keypair
from common.objects.share_mapping import ShareMapping
from services.conductor.db import instances, services, tables
from tests.functional.db.rows import (
    DOWN_AFTER_S,
    NOON,
    PROJECT,
    USER,
    add,
    add_hosts,
    make_instance,
    make_report,
    make_vif,
)

pytestmark = pytest.mark.functional


def get(database, uuid, **arguments):
    with database.begin() as conn:
        return instances.get(conn, uuid, down_after_s=DOWN_AFTER_S, **arguments)


def test_an_instance_comes_back_as_it_was_written(database):
    written = make_instance(
        description="d\u00e9j\u00e0 vu",
        task_state="spawning",
        power_state=1,
        launch_index=1,
        reservation_id="r-1",
        key_name="k",
        keypair=Keypair(id=4, user_id=USER, name="k", fingerprint="aa", public_key="ssh-rsa A"),
        user_data="IyE=",
        config_drive=True,
        metadata={"role": "web", "quote": "'\"\\"},
        tags=("a", "b,c", '"d"'),
        system_metadata={"x": "y"},
        vifs=(make_vif("10.0.0.5", "fd00::5", mtu=1450),),
        block_devices=(BlockDeviceMapping(uuid="b", image_id="image-1"),),
        security_groups=("default",),
        access_ip_v4="192.0.2.1",
        disk_config="AUTO",
        locked_by="admin",
        locked_reason="so",
        progress=50,
        fault=Fault(message="no", created_at=NOON),
        trusted_certs=("c",),
        launched_at=NOON + timedelta(microseconds=123456),
    )

    add(database, written)

    read = get(database, written.uuid)
    assert read == make_instance(
        **{name: getattr(written, name) for name in written.__struct_fields__}
        | {"id": read.id, "host_status": ""}
    )


def test_the_initial_password_of_a_guest_is_kept_nowhere(database):
    written = add(database, make_instance(admin_password="secret"))

    assert get(database, written.uuid).admin_password is None


def test_an_instance_of_another_project_is_not_found(database):
    theirs = add(database, make_instance(project_id="theirs"))

    with pytest.raises(InstanceNotFound):
        get(database, theirs.uuid, project_id=PROJECT)
    assert get(database, theirs.uuid).uuid == theirs.uuid


@pytest.mark.parametrize("uuid", ["", "no-uuid", "'; DROP TABLE instances --", "\u2603" * 300])
def test_what_is_no_uuid_is_not_found(database, uuid):
    with pytest.raises(InstanceNotFound):
        get(database, uuid, project_id=PROJECT)


def test_a_deleted_instance_is_found_only_when_asked_for(database):
    gone = add(database, make_instance())
    with database.begin() as conn:
        instances.change(conn, gone.uuid, vm_state="deleted", deleted_at=NOON)

    with pytest.raises(InstanceNotFound):
        get(database, gone.uuid)
    with database.begin() as conn:
        found = instances.get_even_deleted(conn, gone.uuid, down_after_s=DOWN_AFTER_S)
    assert found.deleted
    assert found.vm_state == "deleted"


def of_guests(database, uuids=(), addresses=()):
    with database.read() as conn:
        found = instances.of_guests(conn, uuids, addresses)
    return [each.instance.uuid for each in found]


def test_an_instance_is_found_by_each_of_its_addresses(database):
    mine = make_instance(vifs=(make_vif("10.0.0.5"), make_vif("10.0.0.50", "fd00::5")))
    add(database, mine, make_instance(vifs=(make_vif("10.0.0.51"),)))

    for address in ("10.0.0.5", "10.0.0.50", "fd00::5"):
        assert of_guests(database, addresses=[address]) == [mine.uuid]
    assert of_guests(database, addresses=["10.0.0"]) == []
    assert of_guests(database) == []


def test_many_guests_are_found_by_one_statement_and_each_once(database, queries):
    made = [make_instance(vifs=(make_vif(f"10.0.0.{n}"),)) for n in range(9)]
    add(database, *made)

    with queries.at_most(1):
        found = of_guests(database, [made[0].uuid, "x"], ["10.0.0.0", "10.0.0.7", "10.9.9.9"])

    assert sorted(found) == sorted([made[0].uuid, made[7].uuid])


def documents(instance, password):
    """All that the instance's guest can read."""
    guest = GuestMetadata(instance=instance, password=password)
    settings = TreeSettings(random_bytes=bytes)
    names = openstack_tree.file_names(guest, openstack_tree.LATEST, settings)
    files = {
        name: openstack_tree.file_content(guest, openstack_tree.LATEST, name, settings)
        for name in names
    }
    return files, ec2_tree.meta_data(guest, ec2_tree.LATEST, settings)


def test_a_guest_is_told_the_same_as_by_its_whole_instance(database):
    written = make_instance(
        name="web one", hostname="web-one", launch_index=3, reservation_id="r-1",
        availability_zone="az", kernel_id="kernel", ramdisk_id="ramdisk",
        image=ImageMeta(id="image-1", properties={"hw_disk_bus": "scsi"}),
        flavor=Flavor(
            flavorid="1", name="tiny", vcpus=1, memory_mib=64, root_gib=1, ephemeral_gib=1,
            swap_mib=64,
        ),
        keypair=Keypair(user_id=USER, name="k", fingerprint="aa", public_key="ssh-rsa A"),
        user_data="IyE=", metadata={"role": "web"}, security_groups=("default", "web"),
        vifs=(make_vif("10.0.0.5", "fd00::5", tag="nic", mtu=1450),),
        block_devices=(
            BlockDeviceMapping(uuid="b", volume_id="v", device_name="/dev/sdb", tag="disk"),
        ),
        shares=(
            ShareMapping(uuid="s", share_id="s1", tag="data", export_location="e", is_given=True),
        ),
        root_device_name="/dev/sda",
    )  # fmt: skip
    add(database, written)
    with database.begin() as conn:
        instances.set_guest_password(conn, written.uuid, "posted")

    with database.read() as conn:
        (told,) = instances.of_guests(conn, [written.uuid], [])

    files, tree = documents(told.instance, told.password)
    assert (files, tree) == documents(get(database, written.uuid), "posted")
    assert files["password"] == b"posted"


def test_addresses_are_looked_up_in_their_index(database):
    add(database, make_instance(vifs=(make_vif("10.0.0.5"),)))
    query = select(tables.instances.c.uuid).where(
        tables.fixed_addresses.has_any(array(["10.0.0.5", "10.0.0.6"])),
        tables.instances.c.deleted_at.is_(None),
    )
    others = [column for column in tables.instances.c if column.name not in ("id", "uuid")]
    number = cast(func.generate_series(1, 3000), Text)
    with database.begin() as conn:
        # Of a small table PostgreSQL rather reads every row.
        many = select(number, *others)
        conn.execute(insert(tables.instances).from_select(["uuid", *others], many))
        conn.execute(text("ANALYZE instances"))
        literal = query.compile(conn.engine, compile_kwargs={"literal_binds": True})
        plan = conn.exec_driver_sql(f"EXPLAIN {literal}").scalars().all()

    assert any("ix_instances_by_fixed_address" in line for line in plan), plan


def test_all_instances_that_have_an_address_are_found(database):
    add(database, *(make_instance(vifs=(make_vif("10.0.0.5"),)) for _ in range(2)))

    assert len(of_guests(database, addresses=["10.0.0.5"])) == 2


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, "UP"),
        ({"last_seen_at": NOON}, "UNKNOWN"),
        ({"last_seen_at": None}, "UNKNOWN"),
        ({"disabled": True}, "MAINTENANCE"),
        ({"forced_down": True}, "DOWN"),
    ],
)
def test_an_instance_tells_how_its_host_is(database, change, status):
    add_hosts(database, make_report("host1"))
    placed = add(database, make_instance(host="host1"))
    with database.begin() as conn:
        services.change(conn, 1, **change)

    assert get(database, placed.uuid).host_status == status


def test_changing_an_instance_sets_its_updated_at(database):
    changed = add(database, make_instance())

    with database.begin() as conn:
        instances.change(conn, changed.uuid, task_state="deleting", vifs=(make_vif("10.0.0.9"),))

    read = get(database, changed.uuid)
    assert read.updated_at is not None
    assert read.task_state == "deleting"
    assert read.vifs[0].fixed_ips[0].address == "10.0.0.9"


def test_a_missing_object_is_null_and_not_a_json_null(database):
    bare = add(database, make_instance(image=None))
    with database.begin() as conn:
        instances.change(conn, bare.uuid, fault=None)
        count = conn.execute(
            tables.instances.select().where(
                tables.instances.c.fault.is_(None), tables.instances.c.image.is_(None)
            )
        ).all()

    assert len(count) == 1


def test_a_guest_posts_its_password_once(database):
    guest = add(database, make_instance())

    with database.begin() as conn:
        assert instances.set_guest_password(conn, guest.uuid, "first")
        assert not instances.set_guest_password(conn, guest.uuid, "second")

        assert instances.guest_password(conn, guest.uuid) == "first"


def test_names_on_a_host_leave_deleted_instances_out(database):
    there = make_instance(host="host1", name="there")
    gone = make_instance(host="host1", name="gone")
    add(database, there, gone)
    with database.begin() as conn:
        instances.change(conn, gone.uuid, deleted_at=NOON)

        assert instances.names_on(conn, ["host1", "host2"]) == {
            "host1": [[there.uuid, "there"]],
            "host2": [],
        }
        assert instances.count_on(conn, "host1") == 1


def test_instances_of_the_own_project_are_found_on_their_hosts(database):
    mine, placeless, others, gone = add(
        database,
        make_instance(host="h1"), make_instance(), make_instance(host="h1", project_id="other"),
        make_instance(host="h1", deleted=True),
    )  # fmt: skip
    with database.begin() as conn:
        instances.change(conn, gone.uuid, deleted_at=NOON)
        named = [each.uuid for each in (mine, placeless, others, gone)]

        assert instances.hosts_of(conn, [*named, "x"], project_id=PROJECT) == {mine.uuid: "h1"}


def test_images_of_a_host_are_counted_by_property_and_value(database):
    linux = ImageMeta(id="i", properties={"os_type": "linux", "os_distro": "debian"})
    add(
        database,
        make_instance(host="h1", image=linux), make_instance(host="h1", image=linux),
        make_instance(host="h2", image=ImageMeta(id="j", properties={"os_type": "linux"})),
        make_instance(host="h1"), make_instance(image=linux), make_instance(host="h1", image=None),
    )  # fmt: skip

    with database.begin() as conn:
        every = instances.image_counts(conn, [])
        one = instances.image_counts(conn, ["os_distro"])

    assert every == {
        "h1": {"os_type": {"linux": 2}, "os_distro": {"debian": 2}},
        "h2": {"os_type": {"linux": 1}},
    }
    assert one == {"h1": {"os_distro": {"debian": 2}}}
