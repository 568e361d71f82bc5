"""Whose rights a step has that is done as a user, and that no other thread is part of it."""

import os
import threading
from pathlib import Path

import pytest

from reconciler.linux import inode, syscalls
from tests import patience
from tests.btrfs.world import ALICE, World


@pytest.mark.skipif(not syscalls._numbers(), reason="glibc does it here, for all threads")
def test_work_as_a_user_interrupts_no_other_thread():
    """Rights are a thread's own: dozens wait for the disk, and would be told of each change."""
    seen, over = threading.Event(), threading.Event()
    found: list[str] = []

    def other() -> None:
        seen.wait(patience.SECONDS)
        status = Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text()
        found.extend(status.split("Uid:")[1].split()[:4])
        over.set()

    thread = threading.Thread(target=other)
    thread.start()
    with inode.acting_as(ALICE, ALICE):
        own = os.geteuid(), os.getegid(), os.getgroups()
        seen.set()
        over.wait(patience.SECONDS)
    thread.join()
    assert own == (ALICE, ALICE, [ALICE])
    assert found == ["0", "0", "0", "0"]
    assert (os.geteuid(), os.getegid()) == (0, 0)


def test_as_a_user_nothing_of_roots_can_be_opened(host: World):
    """Nor by way of root's group."""
    secret = host.area / "secret"
    secret.write_text("root's")
    secret.chmod(0o660)
    with inode.acting_as(ALICE, ALICE), pytest.raises(PermissionError):
        secret.read_text()
    assert secret.read_text() == "root's"
