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
            "ImagePropertiesFilter",
            "RequestedHostFilter",
            "ServerGroupAntiAffinityFilter",
            "ServerGroupAffinityFilter",
        ],
        help="Filters that a host must pass, in this order. Leave one out to stop heeding it.",
    ),
    cfg.FloatOpt("ram_weight_multiplier", default=1.0, help="How much free memory counts."),
    cfg.FloatOpt("cpu_weight_multiplier", default=1.0, help="How much free vCPUs count."),
    cfg.FloatOpt("disk_weight_multiplier", default=1.0, help="How much free disk counts."),
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
