"""Choosing a driver."""

from __future__ import annotations

import pytest

from aetherium.core.placement import AUTO, Placement
from aetherium.model.errors import DriverUnavailable, InvalidArgument
from aetherium.model.vm import Isolation, VMConfig
from tests.unit.core.fakes import FakeDriver, FakeDrivers

_VM = FakeDriver("hypervisor", Isolation.VM)
_NAMESPACE = FakeDriver("namespaces", Isolation.NAMESPACE)
_NONE = FakeDriver("nothing", Isolation.NONE)


def placement(
    *drivers: FakeDriver, provider: str = AUTO, floor: Isolation = Isolation.NAMESPACE, broken: tuple[str, ...] = ()
) -> Placement:
    return Placement(FakeDrivers(*drivers, broken=broken), provider=provider, floor=floor)


async def test_auto_takes_the_strongest() -> None:
    for order in ((_VM, _NAMESPACE), (_NAMESPACE, _VM)):
        assert (await placement(*order).choose(VMConfig())).name == "hypervisor"


async def test_auto_goes_down_to_what_works() -> None:
    sick = FakeDriver("sick", Isolation.VM, healthy=False)
    assert (await placement(sick, _NAMESPACE).choose(VMConfig())).name == "namespaces"


async def test_auto_never_goes_below_the_floor() -> None:
    with pytest.raises(DriverUnavailable) as caught:
        await placement(_NAMESPACE, floor=Isolation.VM).choose(VMConfig())
    assert "'vm'" in caught.value.message
    assert "namespaces gives 'namespace'" in caught.value.message


async def test_auto_never_takes_no_isolation() -> None:
    with pytest.raises(DriverUnavailable):
        await placement(_NONE, floor=Isolation.NONE).choose(VMConfig())


async def test_a_request_raises_the_floor_and_never_lowers_it() -> None:
    both = placement(_NAMESPACE, _VM)
    assert (await both.choose(VMConfig(isolation=Isolation.VM))).name == "hypervisor"
    with pytest.raises(InvalidArgument):
        await placement(_NAMESPACE, _NONE).choose(VMConfig(driver="nothing", isolation=Isolation.NONE))


async def test_a_named_driver_below_the_floor_is_refused() -> None:
    for named in (placement(_VM, _NAMESPACE, provider="namespaces", floor=Isolation.VM),):
        with pytest.raises(InvalidArgument) as caught:
            await named.choose(VMConfig())
        assert "below the floor 'vm'" in caught.value.message
    with pytest.raises(InvalidArgument):
        await placement(_VM, _NAMESPACE).choose(VMConfig(driver="namespaces", isolation=Isolation.KERNEL))


async def test_a_named_driver_at_the_floor_is_taken_without_a_probe() -> None:
    driver = FakeDriver("named", Isolation.NAMESPACE, healthy=False)
    assert (await placement(driver, _VM, provider="named").choose(VMConfig())).name == "named"
    assert driver.probes == 0


async def test_the_configuration_must_lower_the_floor_for_none() -> None:
    lowered = placement(_NAMESPACE, _NONE, provider="nothing", floor=Isolation.NONE)
    assert (await lowered.choose(VMConfig())).name == "nothing"
    with pytest.raises(InvalidArgument):
        await placement(_NAMESPACE, _NONE, provider="nothing").choose(VMConfig())


async def test_an_unknown_driver() -> None:
    with pytest.raises(InvalidArgument):
        await placement(_VM).choose(VMConfig(driver="unheard-of"))


async def test_a_driver_that_does_not_open_is_passed_over() -> None:
    assert (await placement(_NAMESPACE, broken=("broken",)).choose(VMConfig())).name == "namespaces"
    with pytest.raises(DriverUnavailable) as caught:
        await placement(broken=("broken",)).choose(VMConfig())
    assert "broken does not open" in caught.value.message


async def test_probes_are_remembered() -> None:
    sick, well = FakeDriver("sick", Isolation.VM, healthy=False), FakeDriver("well", Isolation.KERNEL)
    chosen = placement(sick, well, _NAMESPACE)
    for _ in range(3):
        assert (await chosen.choose(VMConfig())).name == "well"
    assert (sick.probes, well.probes) == (1, 1)


async def test_the_last_resort_is_not_probed() -> None:
    sick = FakeDriver("sick", Isolation.VM, healthy=False)
    last = FakeDriver("last", Isolation.NAMESPACE, healthy=False)
    assert (await placement(sick, last).choose(VMConfig())).name == "last"
    assert last.probes == 0
