# SPDX-License-Identifier: Apache-2.0
"""The data plane: what the Network API promises, made of Linux bridges, nftables and dnsmasq.

`desired` reads from the store what there should be, `ruleset` and `dhcp` say it in nft's and
dnsmasq's words, `bridges` and `keeper` make it so, and again when something was lost.
"""
