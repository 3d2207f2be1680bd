"""Which addresses may be connected to."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from shared.networks import reachable


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1",
        "240.0.0.1", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:c0a8:101::",
    ],
)  # fmt: skip
def test_a_private_or_special_address_is_out_of_reach(address: str) -> None:
    assert not reachable(ip_address(address), [])


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::6810:84e5", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_can_be_reached(address: str) -> None:
    assert reachable(ip_address(address), [])


def test_an_operator_can_allow_a_network() -> None:
    allowed = [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]
    assert all(reachable(ip_address(address), allowed) for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1"))
    assert not any(reachable(ip_address(address), allowed) for address in ("10.2.0.1", "127.0.0.1", "::1"))
