"""Where messages may go, and that the answer which was checked is the one that is used."""

from __future__ import annotations

import pytest

from prefectlite.notifications.addresses import checked_addresses, is_public, resolve
from prefectlite.notifications.delivery import DeliveryError, DeliveryRefused
from prefectlite.notifications.post import post
from tests.notifications.servers import Receiver

PRIVATE = """
127.0.0.1 127.8.9.1 0.0.0.0 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 100.127.255.255
192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 192.88.99.1
:: ::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 ::ffff:0:10.0.0.1 fe80::1 fe80::1%eth0 fc00::1 fd12::1 fec0::1 ff02::1
2002:7f00:1:: 2002:808:808:: 64:ff9b::7f00:1 64:ff9b::8.8.8.8 64:ff9b:1::1 2001::1 2001:db8::1 100::1
nowhere 2130706433 0x7f.1 127.1 1.2.3
""".split()


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_of_the_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"])
def test_what_is(address: str) -> None:
    assert is_public(address)


class Resolver:
    """Gives one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: int) -> list[str]:
        return self.answers.pop(0)


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["2606:4700::1111", "::ffff:10.0.0.1"]])
async def test_one_private_address_is_enough_to_refuse(answer: list[str]) -> None:
    with pytest.raises(DeliveryRefused, match=r"^a\.example is not on the public Internet"):
        await checked_addresses("a.example", 443, Resolver(answer), allow_private=False)
    assert await checked_addresses("a.example", 443, Resolver(answer), allow_private=True) == answer


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f000001", "127.1", "::1"])
async def test_ways_to_write_this_machine(host: str) -> None:
    with pytest.raises(DeliveryError):
        await checked_addresses(host, 443, resolve, allow_private=False)


@pytest.mark.asyncio
async def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that stands for another address the second time is dialled at the first."""
    async with Receiver().open() as receiver:
        resolver = Resolver(["127.0.0.1"], ["127.0.0.2"])
        url = f"http://rebinding.example:{receiver.port}/path?q=1"
        await post(url, {"a": 1}, {}, allow_private=True, resolve=resolver)
        assert resolver.answers == [["127.0.0.2"]]
        head = receiver.heads[0].splitlines()
        assert head[0] == "POST /path?q=1 HTTP/1.1"
        assert f"Host: rebinding.example:{receiver.port}" in head


@pytest.mark.asyncio
async def test_a_public_answer_first_does_not_open_the_door() -> None:
    """Checked is what is dialled: nobody is there at the address of the first answer, and the second is not asked for."""
    async with Receiver().open() as receiver:
        resolver = Resolver(["192.0.2.1"], ["127.0.0.1"])
        with pytest.raises(DeliveryError):
            await post(f"https://a.example:{receiver.port}/", {}, {}, allow_private=False, resolve=resolver, timeout=0.2)
        assert resolver.answers == [["127.0.0.1"]]
        assert receiver.heads == []
