"""The journal is for all to read, and tells nobody whether a name of an image is right."""

import hashlib
import hmac
import json
import os
from pathlib import Path

import jsonschema
import pytest

from tests.btrfs.world import ALICE, World

STATE = Path("/var/lib/vmtune")
ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "schemas" / "status.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def rewritten(host: World) -> Path:
    """An image in a home, in pieces until vmtune wrote it anew."""
    home = host.alice()
    image = home / "vms" / "secret-project.raw"
    image.parent.mkdir()
    with image.open("wb") as file:
        for number in (5, 2, 4, 1, 3, 0):
            file.seek(number << 16)
            file.write(os.urandom(1 << 15))
            os.fsync(file.fileno())
    for path in (image.parent, image):
        os.chown(path, ALICE, ALICE)
    host.nocow(image.parent, existing="rewrite")
    host.apply()
    return image


def keys() -> set[str]:
    """All keys of images in what everybody may read."""
    lines = (STATE / "runs" / "00000001.jsonl").read_text(encoding="ascii").splitlines()
    return {seen["key"] for line in map(json.loads, lines) for seen in line.get("seen", ())}


def before(host: World, user: int) -> tuple[list[int | None], bool]:
    """What status says of each image, and whether only root could say more."""
    ran = host.vmtune("status", "--json", user=user)
    data = json.loads(ran.out)
    jsonschema.validate(data, SCHEMA)
    effect = data["effect"]
    images = [image for path in effect["paths"] for image in path["images"]]
    shown = host.vmtune("status", user=user).out
    told = "Only root can see how" in shown
    assert told == ("\nWhat only root can see: sudo " in shown)
    assert told == effect["before_hidden"]
    for image in images:
        explained = host.vmtune("explain", image["path"], user=user)
        assert ("Only root can see how" in explained.out) == told
    return [image["fragments_before"] for image in images], effect["before_hidden"]


def test_a_name_cannot_be_tried_without_the_secret(host: World, rewritten: Path):
    raw = os.fsencode(rewritten)
    secret = STATE / "secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.stat().st_uid == 0
    (key,) = keys()
    assert not hashlib.sha256(raw).hexdigest().startswith(key)
    assert hmac.new(secret.read_bytes(), raw, "sha256").hexdigest().startswith(key), "the oracle"
    readable = [path for path in STATE.rglob("*") if path.is_file() and path.stat().st_mode & 0o004]
    assert readable
    assert not [path for path in readable if b"secret-project" in path.read_bytes()]
    ((was,), hidden) = before(host, 0)
    assert was is not None
    assert was > 1
    assert not hidden
    assert before(host, ALICE) == ([None], True)
    host.vmtune("apply", "--yes")
    again = secret.read_bytes()
    host.nocow(rewritten.parent, existing="rewrite")
    host.declare(paths=[{"path": str(host.area / "more"), "nocow": True}])
    host.apply()
    assert secret.read_bytes() == again, "one secret for all runs"


def test_a_journal_from_before_there_was_a_secret(host: World, rewritten: Path):
    (key,) = keys()
    run = STATE / "runs" / "00000001.jsonl"
    plain = hashlib.sha256(os.fsencode(rewritten)).hexdigest()[:16]
    run.write_text(run.read_text(encoding="ascii").replace(key, plain), encoding="ascii")
    (STATE / "secret").unlink()
    for user in (0, ALICE):
        ((was,), hidden) = before(host, user)
        assert was is not None
        assert not hidden
