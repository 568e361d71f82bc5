#!/usr/bin/python
# Copyright: the vmtune authors
# MIT License (see LICENSE)
"""Ansible module: a host is brought to what vmtune.yaml declares, by vmtune itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vmtune
short_description: Btrfs settings for virtual machine images, as declared
version_added: 0.1.0
description:
  - Runs C(vmtune apply) on the managed node. Each change is read back by vmtune.
  - In check mode it runs C(vmtune plan) instead, which changes nothing. A configuration that
    is given with the task is then planned as if it were in place, so what it no longer declares
    is predicted as well.
  - With O(save) it saves a plan to approve, and with O(plan) it does exactly that plan.
author:
  - The vmtune authors (!UNKNOWN)
options:
  config:
    description:
      - The configuration as data, with the keys of C(vmtune.yaml). It is written to O(path).
      - YAML as Ansible reads it has V(no) for a boolean. Where C(vmtune.yaml) has the word V(no),
        as in C(compress), the boolean is taken for the word. Texts as V(True) or V(30), which
        templates leave, are taken where C(vmtune.yaml) has a boolean or a number.
    type: dict
  content:
    description:
      - The configuration as text, for a file of the control node, as P(ansible.builtin.file#lookup)
        reads it. It is written to O(path).
    type: str
  path:
    description:
      - Where the configuration is on the managed node.
      - Without O(config) and O(content) the file there is used as it is. Where it is a link, the
        file that it leads to is written.
    type: path
    default: /etc/vmtune/vmtune.yaml
  allow:
    description: Risks that are taken for this run, as C(vmtune apply --allow) takes them.
    type: list
    elements: str
  save:
    description:
      - Change nothing but the configuration. Save the plan to this file on the managed node.
      - A plan that is there already is kept where it is the same, and replaced where it is not.
    type: path
  plan:
    description:
      - Do exactly the plan that O(save) wrote to this file. The task fails, and nothing is
        changed, where the host is no longer as it was then.
      - In check mode a plan that is done in part counts as one that can no longer be done.
    type: path
  refused:
    description: What an entry is that vmtune refuses, or that it could not see.
    type: str
    choices:
      fail: The task fails, after all the rest was done.
      warn: The task warns.
    default: fail
  executable:
    description: The vmtune to run, as a path or a name.
    type: str
    default: vmtune
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status prediction without modifying
      target.
  diff_mode:
    support: full
    description: Will return details on what has changed (or possibly needs changing in check_mode),
      when in diff mode.
  platform:
    support: full
    platforms: linux
    description: Target OS/families that can be operated against.
requirements:
  - vmtune on the managed node, which the role P(vmtune.vmtune.vmtune#role) installs
notes:
  - Run it with C(become). Without root most of the host is not to be seen.
  - C(~) in the configuration is the home of the user that Ansible logs in as. Name the user, as in
    C(~alice/vms), or write absolute paths.
seealso:
  - name: vmtune for fleets
    description: Inventories, and plans to approve.
    link: https://example.org/vmtune/blob/main/docs/fleets.md
"""

EXAMPLES = r"""
- name: Images of virtual machines are written in place
  vmtune.vmtune.vmtune:
    config:
      version: 1
      paths:
        - path: /srv/vms
          nocow: true
      mounts:
        - target: /
          options:
            compress: "no"
  become: true

- name: The configuration is a file of the control node
  vmtune.vmtune.vmtune:
    content: "{{ lookup('ansible.builtin.file', 'vmtune.yaml') }}"
  become: true

- name: A plan is saved
  vmtune.vmtune.vmtune:
    config: "{{ vmtune_config }}"
    save: /root/vmtune.plan
  become: true

- name: The plan that was approved is done
  vmtune.vmtune.vmtune:
    plan: /root/vmtune.plan
  become: true
"""

RETURN = r"""
changes:
  description: The rows of the plan that are not in sync.
  returned: when there is a plan
  type: list
  elements: dict
  sample:
    - {op: "~", kind: mount, name: /, text: "compress=zstd:3 becomes off", code: "", hint: ""}
counts:
  description: How many rows of the plan have each symbol of vmtune.
  returned: when there is a plan
  type: dict
  sample: {"+": 0, "~": 2, "-": 0, "!": 0, "?": 0, "R": 0, "=": 1}
exit_code:
  description: What vmtune exited with, as vmtune(1) lists the codes.
  returned: when vmtune was run
  type: int
  sample: 0
stale:
  description: Whether a saved plan was refused because the host or the configuration changed since.
  returned: with O(plan)
  type: bool
  sample: false
reboot_required:
  description: Whether something is in effect only after a reboot or a fresh mount.
  returned: when there is a plan
  type: bool
  sample: false
shown:
  description: The saved plan, as a person reads it.
  returned: with O(save)
  type: str
"""

import json
import os
import tempfile
from typing import TYPE_CHECKING, Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.vmtune.vmtune.plugins.module_utils.declared import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = {
    "config": {"type": "dict"},
    "content": {"type": "str"},
    "path": {"type": "path", "default": "/etc/vmtune/vmtune.yaml"},
    "allow": {"type": "list", "elements": "str"},
    "save": {"type": "path"},
    "plan": {"type": "path"},
    "refused": {"type": "str", "choices": ["fail", "warn"], "default": "fail"},
    "executable": {"type": "str", "default": "vmtune"},
}
APART = [("config", "content", "plan"), ("save", "plan"), ("plan", "allow")]

DONE = 0
DIFFERENCES = 2
STALE = 5
UNSEEN = 6
REFUSED = 7


def readable(data: Any) -> Any:
    """Return data without what is no Unicode: bytes of a file's name that are not UTF-8."""
    if isinstance(data, str):
        return data.encode("utf-8", "replace").decode("utf-8")
    if isinstance(data, dict):
        return {name: readable(value) for name, value in data.items()}
    return [readable(value) for value in data] if isinstance(data, list) else data


def documents(text: str) -> list[dict[str, Any]]:
    """Return the JSON documents of a text, one a line."""
    return [readable(json.loads(line)) for line in text.splitlines() if line.startswith("{")]


def problems(found: list[dict[str, Any]]) -> list[str]:
    """Return what documents of errors say, with the place in the file and what to do."""
    told = []
    for document in found:
        for problem in document.get("problems", []):
            where = [str(problem[key]) for key in ("file", "line", "column") if key in problem]
            text = ": ".join(
                [":".join(where), problem["message"]] if where else [problem["message"]]
            )
            told.append(f"{text} ({problem['hint']})" if problem["hint"] else text)
    return told


def line(row: dict[str, Any]) -> str:
    """Return one row of a plan as one line."""
    text = "{kind} {name}: {text}".format(**row)
    code = f" ({row['code']})" if row["code"] else ""
    todo = f". To do: {row['hint']}" if row["hint"] else ""
    return f"{text}{code}{todo}"


def diffs(changes: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """Yield before and after of each place that changes, as text."""
    for row in changes:
        before, after = (texts(row, *names) for names in (("before", "have"), ("after", "want")))
        for place in before:
            header = f"{row['kind']} {row['name']}" + f": {place}" * (place != row["name"])
            yield {
                "before_header": header,
                "after_header": header,
                "before": before[place],
                "after": after[place],
            }


def texts(row: dict[str, Any], words: str, which: str) -> dict[str, str]:
    """Return what each place of a row holds, or shall hold: in words where vmtune has them."""
    if words in row:
        return {place: as_lines(text or "") for place, text in row[words].items()}
    return {name(swap): as_lines(swap[which]) for swap in row["swaps"]}


def name(swap: dict[str, Any]) -> str:
    """Return what tells a place from the others of its row."""
    about = [swap[key] for key in ("path", "target", "unit", "name") if swap.get(key)]
    return " ".join([swap["place"], *about])


def as_lines(held: Any) -> str:
    """Return a value as whole lines of text."""
    text = held if isinstance(held, str) else json.dumps(held, sort_keys=True)
    return text if text.endswith("\n") or not text else f"{text}\n"


class Host:
    """The managed node, with vmtune on it and one configuration."""

    def __init__(self, module: AnsibleModule) -> None:
        """Take the parameters of the task."""
        self.module, self.asked = module, module.params
        self.named = os.path.abspath(self.asked["path"])
        self.path = os.path.realpath(self.named)
        self.allow = [word for risk in self.asked["allow"] or [] for word in ("--allow", risk)]
        self.result: dict[str, Any] = {"changed": False}
        self.before = self.current()
        self.wanted = self.declared()
        self.differs = self.wanted is not None and self.wanted != self.before
        if self.differs and module._diff:  # noqa: SLF001 - where Ansible has it
            names = dict.fromkeys(("before_header", "after_header"), self.named)
            texts = {"before": self.before or "", "after": self.wanted}
            self.result["diff"] = [{**names, **texts}]
        self.program = module.get_bin_path(self.asked["executable"])

    def current(self) -> str | None:
        """Return the text of the configuration that is there; None for none."""
        try:
            with open(self.path, encoding="utf-8", errors="replace", newline="") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            self.fail(f"{self.path} cannot be read: {error.strerror}")

    def declared(self) -> str | None:
        """Return the text that the task has for the configuration; None where it has none."""
        if self.asked["content"] is not None:
            return self.asked["content"].rstrip("\n") + "\n"
        if self.asked["config"] is not None:
            return as_text(self.asked["config"])
        return None

    def fail(self, message: str) -> NoReturn:
        """End the task as failed, with all that is known by now."""
        self.module.fail_json(msg=readable(message), **self.result)

    def vmtune(self, *words: str, draft: bool = False) -> tuple[int, list[dict[str, Any]], str]:
        """Run a command; return its exit code, its documents, and what it complained of.

        ``draft``: with the text of the task, taken as if it stood in its place.
        """
        where = ["--config", "-", "--as", self.named] if draft else ["--config", self.named]
        data = self.wanted if draft else None
        argv = [self.program, *where, *words]
        code, out, err = self.module.run_command(argv, data=data, binary_data=True)
        self.result["exit_code"] = code
        found = documents(out)
        if code not in {DONE, DIFFERENCES, STALE, UNSEEN, REFUSED} and not found:
            self.fail(err.strip() or out.strip() or f"vmtune exited with {code}")
        return code, found, err.strip()

    def write(self) -> None:
        """Put the configuration of the task in place, once vmtune takes it."""
        code, _found, err = self.vmtune("validate", draft=True)
        if code:
            self.fail(f"the configuration is not valid, and was not written: {err}")
        folder = os.path.dirname(self.path)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=self.module.tmpdir, suffix=".yaml")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(self.wanted)
        os.chmod(draft, 0o644)  # `vmtune plan` needs no root
        self.module.atomic_move(draft, self.path)
        self.result["changed"] = True

    def planned(self, *, draft: bool) -> dict[str, Any]:
        """Return the plan as it would be done now."""
        _code, found, err = self.vmtune("plan", "--json", *self.allow, draft=draft)
        if wrong := problems(found):
            self.fail("; ".join(wrong))
        if not found:
            self.fail(err)
        self.tell(found[0])
        return found[0]

    def tell(self, plan: dict[str, Any]) -> None:
        """Put the rows of a plan into the result."""
        rows = plan["changes"]
        keys = ("op", "kind", "name", "text", "code", "hint")
        self.result["changes"] = [
            {key: row[key] for key in keys} for row in rows if row["op"] != "="
        ]
        self.result["counts"] = {op: sum(row["op"] == op for row in rows) for op in "+~-!?R="}
        self.result["reboot_required"] = bool(self.result["counts"]["R"])
        if self.module._diff:  # noqa: SLF001 - as above
            self.result.setdefault("diff", []).extend(diffs(rows))

    def end(self, rows: list[dict[str, Any]], said: str = "") -> NoReturn:
        """End the task, by what is refused or was not seen."""
        left = [line(row) for row in rows if row["op"] in {"!", "?"} and row["applicable"]]
        if left and self.asked["refused"] == "fail":
            self.fail("refused, or not seen: " + "; ".join(left))
        for each in left or [said] * bool(said):
            self.module.warn(readable(each))
        self.module.exit_json(**self.result)

    def check(self) -> NoReturn:
        """Say what would change, and change nothing."""
        plan = self.planned(draft=self.differs)
        to = self.asked["save"]
        moves = not same(self.saved(to), plan) if to else bool(plan["actions"])
        self.result["changed"] = moves or self.differs
        self.end(plan["changes"])

    def apply(self) -> NoReturn:
        """Have all done that the configuration declares."""
        self.done(*self.vmtune("apply", "--json", "--yes", *self.allow))

    def done(self, code: int, found: list[dict[str, Any]], said: str) -> NoReturn:
        """End the task by what apply did."""
        rows: list[dict[str, Any]] = []
        failed = []
        for each in found:
            event = each.get("event")
            if event == "plan":
                self.tell(each["document"])
                rows = each["document"]["changes"]
            elif event == "left":
                rows = each["changes"]
            elif event == "end":
                self.result["changed"] |= each["outcome"] == "done"
                failed += [f"{each['outcome']}: {each['why']}"] * bool(each["why"])
        if code in {DONE, REFUSED, UNSEEN}:
            self.end(rows if code else [], said if code == UNSEEN else "")
        self.fail("; ".join(failed + problems(found)) or said)

    def save(self, to: str) -> NoReturn:
        """Save the plan; keep one that is there and says the same."""
        plan = self.planned(draft=False)
        if not same(self.saved(to), plan):
            with tempfile.TemporaryDirectory(dir=os.path.dirname(to)) as folder:
                new = os.path.join(folder, "plan")  # vmtune overwrites no file
                code, _found, err = self.vmtune("plan", "--output", new, *self.allow)
                if code not in {DONE, UNSEEN}:
                    self.fail(err)
                os.replace(new, to)
            self.result["changed"] = True
        self.result["shown"] = self.module.run_command([self.program, "show", to])[1]
        self.end(plan["changes"])

    def saved(self, file: str) -> dict[str, Any]:
        """Return the saved plan of a file, {} for no file; another file is nobody's to replace."""
        if not os.path.lexists(file):
            return {}
        code, found, err = self.vmtune("show", "--json", file)
        if code:
            self.fail(f"{file} is no saved plan: {err}")
        return found[0]

    def approved(self, file: str) -> NoReturn:
        """Do exactly a saved plan, or, in check mode, say whether it could be done."""
        plan = self.saved(file)
        if not plan:
            self.fail(f"there is no saved plan {file}")
        self.named = plan["config"]["path"]
        if self.module.check_mode:
            now = self.planned(draft=False)
            if moved := stale(plan, now):
                self.result["stale"] = True
                self.fail("the plan is stale, and nothing would be changed: " + "; ".join(moved))
            self.result.update(stale=False, changed=bool(now["actions"]))
            self.end(now["changes"])
        self.tell(plan)
        final = ["--yes"]  # whoever approved the plan has seen what no revert takes back
        code, found, said = self.vmtune("apply", "--json", *final, file)
        self.result["stale"] = code == STALE
        if code == STALE:
            self.fail("the plan is stale, and nothing was changed: " + "; ".join(moved_of(found)))
        self.done(code, found, said)


def moved_of(found: list[dict[str, Any]]) -> list[str]:
    """Return each fact of a stale plan that is another one now."""
    return [each["message"] for document in found for each in document.get("problems", [])]


def key(data: Any) -> str:
    """Return what tells data from other data."""
    return json.dumps(data, sort_keys=True)


def same(saved: dict[str, Any], plan: dict[str, Any]) -> bool:
    """Tell whether two plans say the same, whenever they were made."""
    return key({**saved, "created": ""}) == key({**plan, "created": ""})


def stale(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what a saved plan rests on that is another now, as far as another plan tells."""
    moved = [
        f"{name} {saved[name]} is {now[name]} now"
        for name in ("host", "machine", "kernel")
        if saved[name] != now[name]
    ]
    if saved["config"]["sha256"] != now["config"]["sha256"]:
        moved.append(f"{saved['config']['path']} was changed")
    then, left = ({key(each): each for each in plan["actions"]} for plan in (saved, now))
    if left:  # else all is done, or it is for vmtune to say why it is not
        moved += [
            f"{each.get('owner') or each.get('poke')}: done already, or another change by now"
            for what, each in {**then, **left}.items()
            if what not in then or what not in left
        ]
    facts = {(fact["about"], fact["name"]): fact["is"] for fact in now.get("facts", [])}
    moved += [
        f"the {fact['about']} {fact['name']} is another one"
        for fact in saved.get("facts", [])
        if facts.get((fact["about"], fact["name"]), fact["is"]) != fact["is"]
    ]
    return moved


def main() -> None:
    """Run the task."""
    module = AnsibleModule(
        argument_spec=OPTIONS, mutually_exclusive=APART, supports_check_mode=True
    )
    host = Host(module)
    if not host.program:
        if not module.check_mode:
            host.fail("vmtune is not installed: the role vmtune.vmtune.vmtune installs it")
        module.warn("vmtune is not installed yet: what it would change is not known")
        host.result["changed"] = True
        module.exit_json(**host.result)
    if host.asked["plan"]:
        host.approved(host.asked["plan"])
    if module.check_mode:
        host.check()
    if host.differs:
        host.write()
    if host.asked["save"]:
        host.save(host.asked["save"])
    host.apply()


if __name__ == "__main__":
    main()
