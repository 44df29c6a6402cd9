# SPDX-License-Identifier: Apache-2.0
"""[scheduler]: how hosts are chosen."""

from oslo_config import cfg

GROUP = "scheduler"

OPTS = [
    cfg.HostAddressOpt("health_host", default="127.0.0.1", help="Address of GET /healthz."),
    cfg.PortOpt("health_port", default=8782, help="Port of GET /healthz; 0 turns it off."),
    cfg.ListOpt(
        "enabled_filters",
        default=[
            "ComputeFilter",
            "AvailabilityZoneFilter",
            "CapacityFilter",
            "ComputeCapabilitiesFilter",
            "ImagePropertiesFilter",
            "RequestedHostFilter",
            "ServerGroupAntiAffinityFilter",
            "ServerGroupAffinityFilter",
            "DifferentHostFilter",
            "SameHostFilter",
        ],
        help="Filters that a host must pass, in this order. Leave one out to stop heeding it; "
        "docs/operators/scheduler.md names them all.",
    ),
    cfg.IntOpt(
        "max_io_ops_per_host",
        default=8,
        min=1,
        help="IoOpsFilter accepts hosts with fewer operations under way (building, moving, "
        "copying, ...). Lower it for hosts with slow disks.",
    ),
    cfg.IntOpt(
        "max_instances_per_host",
        default=50,
        min=1,
        help="NumInstancesFilter accepts hosts with fewer instances.",
    ),
    cfg.ListOpt(
        "isolated_images",
        default=[],
        help="Ids of images that IsolatedHostsFilter keeps on isolated hosts.",
    ),
    cfg.ListOpt(
        "isolated_hosts",
        default=[],
        help="Hosts that IsolatedHostsFilter keeps for isolated images.",
    ),
    cfg.BoolOpt(
        "restrict_isolated_hosts_to_isolated_images",
        default=True,
        help="Whether isolated hosts take isolated images only; otherwise they take any, and "
        "isolated images go nowhere else.",
    ),
    cfg.StrOpt(
        "aggregate_image_properties_isolation_namespace",
        help="AggregateImagePropertiesIsolation heeds only those keys of aggregates' metadata that "
        "begin with this word and the separator. Unset: all keys.",
    ),
    cfg.StrOpt(
        "aggregate_image_properties_isolation_separator",
        default=".",
        help="What stands between the namespace and the rest of a key.",
    ),
    cfg.FloatOpt("ram_weight_multiplier", default=1.0, help="How much free memory counts."),
    cfg.FloatOpt("cpu_weight_multiplier", default=1.0, help="How much free vCPUs count."),
    cfg.FloatOpt("disk_weight_multiplier", default=1.0, help="How much free disk counts."),
    cfg.FloatOpt(
        "io_ops_weight_multiplier",
        default=-1.0,
        help="How much operations under way count; negative prefers hosts with few of them.",
    ),
    cfg.FloatOpt(
        "num_instances_weight_multiplier",
        default=0.0,
        help="How much instances count; negative spreads them, positive packs them.",
    ),
    cfg.FloatOpt(
        "hypervisor_version_weight_multiplier",
        default=1.0,
        help="How much a new hypervisor counts. Set it to 0 where versions differ for good.",
    ),
    cfg.FloatOpt(
        "image_props_weight_multiplier",
        default=0.0,
        help="How much instances of like images count for their host, to pack those together. "
        "Another value than 0 has a conductor count them once a minute.",
    ),
    cfg.ListOpt(
        "image_props_weight_setting",
        default=[],
        help="Image properties that the weigher of images looks at, with what each counts, such as "
        "os_distro=10,os_type=1. Empty: all of the image's, each counting 1.",
    ),
    cfg.FloatOpt(
        "build_failure_weight_multiplier",
        default=1000000.0,
        help="How much recent failed builds count against a host.",
    ),
    cfg.FloatOpt(
        "soft_affinity_weight_multiplier",
        default=1.0,
        help="How much members of a soft-affinity server group count for their host.",
    ),
    cfg.FloatOpt(
        "soft_anti_affinity_weight_multiplier",
        default=1.0,
        help="How much members of a soft-anti-affinity server group count against their host.",
    ),
    cfg.IntOpt(
        "host_subset_size",
        default=1,
        min=1,
        help="Choose at random among this many of the best hosts. Raise it when several "
        "schedulers serve the same hosts, so that they collide less.",
    ),
    cfg.IntOpt(
        "alternates", default=2, min=0, max=20, help="Further hosts to name for each instance."
    ),
]
