# SPDX-License-Identifier: Apache-2.0
"""[conductor]: the task journal's pace, and time limits of what hosts do."""

from oslo_config import cfg

GROUP = "conductor"

OPTS = [
    cfg.HostAddressOpt("health_host", default="127.0.0.1", help="Address of GET /healthz."),
    cfg.PortOpt("health_port", default=8781, help="Port of GET /healthz; 0 turns it off."),
    cfg.IntOpt(
        "workers",
        default=8,
        min=1,
        max=128,
        help="Threads that run steps of tasks. Raise it when `kilonova op list` shows tasks that "
        "wait though hosts and database are idle.",
    ),
    cfg.IntOpt(
        "rpc_threads",
        default=16,
        min=1,
        max=256,
        help="Requests of other daemons that are answered at the same time.",
    ),
    cfg.IntOpt(
        "lease_s",
        default=30,
        min=2,
        max=600,
        help="Seconds after which another conductor takes on the tasks of a dead one. Shorter "
        "recovers sooner and costs more renewals.",
    ),
    cfg.IntOpt(
        "sweep_interval_s",
        default=5,
        min=1,
        max=300,
        help="Seconds between looks for tasks that nobody moves and steps that nobody reported.",
    ),
    cfg.IntOpt(
        "resend_after_s",
        default=10,
        min=1,
        max=600,
        help="Seconds after which a step that its host has not reported is sent again, under the "
        "same id. Repetition is harmless; it costs a message.",
    ),
    cfg.IntOpt(
        "host_down_after_s",
        default=60,
        min=2,
        max=3600,
        help="Seconds without a heartbeat after which a service counts as down. At least three "
        "heartbeat intervals.",
    ),
    cfg.IntOpt(
        "build_timeout_s",
        default=600,
        min=5,
        max=86400,
        help="Seconds a host has to build an instance, download of its image included.",
    ),
    cfg.IntOpt(
        "operation_timeout_s",
        default=180,
        min=5,
        max=86400,
        help="Seconds a host has for any other operation.",
    ),
    cfg.IntOpt(
        "snapshot_timeout_s",
        default=3600,
        min=5,
        max=86400,
        help="Seconds a host has to copy a root disk, and again to send the copy to the image "
        "service. Raise it for large disks or a slow image service.",
    ),
    cfg.IntOpt(
        "live_migration_timeout_s",
        default=3600,
        min=5,
        max=604800,
        help="Seconds a running guest has to get to another host; it is given up then and stays "
        "where it is. Raise it for guests with much memory or disk behind a slow network.",
    ),
    cfg.IntOpt(
        "power_off_grace_s",
        default=60,
        min=0,
        max=3600,
        help="Seconds a guest gets to shut down by itself before its power is cut. Raise it "
        "for guests that flush large caches; 0 cuts power at once. An image may say otherwise, "
        "by its property os_shutdown_timeout.",
    ),
    cfg.IntOpt(
        "build_attempts",
        default=3,
        min=1,
        max=20,
        help="How many hosts are tried for an instance before it ends in ERROR.",
    ),
    cfg.IntOpt(
        "neighbour_patience_s",
        default=60,
        min=1,
        max=3600,
        help="Seconds for which an operation waits for a scheduler, image, network or volume "
        "service that does not answer, and as long again to undo what it had begun. Raise it where "
        "those restart slowly; users wait that long for an error.",
    ),
    cfg.IntOpt(
        "volume_ready_timeout_s",
        default=600,
        min=1,
        max=86400,
        help="Seconds for which an operation waits until the volume service has made or rewritten "
        "a volume. Raise it where large images are written to slow storage.",
    ),
    cfg.IntOpt(
        "vif_plugging_timeout",
        default=300,
        min=0,
        max=86400,
        help="Seconds for which a new guest is held until the network service has plugged all its "
        "ports; 0 starts it without waiting. Ports that are ACTIVE when they are bound need no "
        "wait. Raise it where the network service's agents are slow.",
    ),
    cfg.BoolOpt(
        "vif_plugging_is_fatal",
        default=True,
        help="Whether the server fails when that time is over, or a port could not be plugged. "
        "Otherwise the guest goes on, perhaps without a network, and the log has a warning.",
    ),
    cfg.IntOpt(
        "max_disk_devices_to_attach",
        default=-1,
        min=-1,
        help="How many disks a server may have in all before another volume is refused; -1: as "
        "many as its host takes. Lower it where hosts take fewer.",
    ),
    cfg.IntOpt(
        "chores_interval_s",
        default=60,
        min=1,
        max=3600,
        help="Seconds between looks for what is due by the clock, such as soft-deleted instances "
        "to reclaim.",
    ),
    cfg.IntOpt(
        "reclaim_instance_interval_s",
        default=0,
        min=0,
        max=31536000,
        help="Seconds for which a deleted instance can be restored; it keeps its place on its host "
        "until then. 0 deletes at once.",
    ),
    cfg.IntOpt(
        "shelved_offload_time_s",
        default=0,
        min=-1,
        max=31536000,
        help="Seconds for which a shelved instance keeps its place on its host, so that it comes "
        "back at once. 0 takes it away with shelving, -1 leaves it until its owner offloads it.",
    ),
    cfg.BoolOpt(
        "allow_resize_to_same_host",
        default=False,
        help="Let a resize end on the host where it began. Needed where there is only one.",
    ),
    cfg.IntOpt(
        "resize_confirm_window_s",
        default=0,
        min=0,
        max=31536000,
        help="Seconds after which a resize that its owner has neither confirmed nor reverted is "
        "confirmed. 0: never.",
    ),
    cfg.StrOpt(
        "crash_points",
        default="",
        advanced=True,
        help="For kill tests only: comma-separated names of points at which the process kills "
        "itself, once each. Leave it empty.",
    ),
]
