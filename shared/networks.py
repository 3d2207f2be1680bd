"""Keeps connections to addresses that callers give out of the networks that only we can reach."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
# Addresses of this range carry an IPv4 address in their last 32 bits, which a gateway connects to (RFC 6052).
_NAT64 = ip_network("64:ff9b::/96")


class AddressRefused(Exception):  # noqa: N818  # a finding about an address; callers say what it means for them
    """A host's name leads to an address that must not be reached from here."""


async def reachable_addresses(host: str, port: int, allowed: Sequence[Network]) -> list[Address]:
    """Every address of ``host``, resolved once: connect to these and to nothing else, and a name that changes its mind gains nothing.

    Raises:
        AddressRefused: one of them is neither public nor in one of the ``allowed`` networks.
        OSError: the name cannot be resolved.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host} is no host name") from error
    # A link-local IPv6 address comes with its interface, which says nothing about where it leads.
    addresses = list(dict.fromkeys(ip_address(sockaddr[0].split("%")[0]) for *_, sockaddr in found if isinstance(sockaddr[0], str)))
    if not all(reachable(address, allowed) for address in addresses):
        raise AddressRefused(host)
    return addresses


def reachable(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether ``address`` is public, or in one of the ``allowed`` networks. An IPv4 address inside an IPv6 one counts as itself."""
    inner = _inner(address)
    if inner is not None:
        return reachable(inner, allowed)
    if any(address in network for network in allowed if network.version == address.version):
        return True
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
