"""Drivers that keep state, and the one thing they share: the cursor of a listing."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime

from aetherium._util.clock import format_time, parse_time
from aetherium._util.ids import is_valid_id
from aetherium.model.errors import InvalidArgument
from aetherium.model.vm import VM


def cursor_after(vm: VM) -> str:
    """Return the opaque text that asks for the VMs that come after ``vm``."""
    return _encode(format_time(vm.created_at), vm.id)


def read_cursor(text: str) -> tuple[datetime, str]:
    """Return time of creation and id of the last VM before the page. Raises InvalidArgument for any other text."""
    try:
        created_at, vm_id = json.loads(urlsafe_b64decode(text.encode("ascii")))
        instant = parse_time(created_at)
        if is_valid_id(vm_id) and _encode(format_time(instant), vm_id) == text:
            return instant, vm_id
    except (ValueError, TypeError):
        pass
    raise InvalidArgument("this is not where a page of VMs ended", remedy="pass 'next' of the page before, unchanged")


def _encode(created_at: str, vm_id: str) -> str:
    return urlsafe_b64encode(json.dumps([created_at, vm_id]).encode("ascii")).decode("ascii")
