"""An editor, as far as a language server can tell: JSON-RPC by its standard streams."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

_SETTINGS = {"yaml": {"schemaStore": {"enable": False}, "validate": True, "hover": True}}
_CAN = {
    "textDocument": {
        "publishDiagnostics": {},
        "hover": {"contentFormat": ["plaintext"]},
        "completion": {"completionItem": {"snippetSupport": False}},
    }
}


class Editor:
    """Speaks to a server from its start to its end."""

    def __init__(self, argv: Sequence[str | Path]) -> None:
        pipe = subprocess.PIPE
        self._server = subprocess.Popen(argv, stdin=pipe, stdout=pipe)
        self._asked = 0
        self._problems: dict[str, list[dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        self._ask("initialize", processId=os.getpid(), rootUri=None, capabilities=_CAN)
        self._tell("initialized")
        self._tell("workspace/didChangeConfiguration", settings=_SETTINGS)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.communicate()

    def open(self, file: Path) -> dict[int, str]:
        """Open a file; return what is marked in it, by the number of the line from 1."""
        uri, text = file.as_uri(), file.read_text(encoding="utf-8")
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._tell("textDocument/didOpen", textDocument=document)
        while uri not in self._problems:
            self._take(self._read())
        return {at["range"]["start"]["line"] + 1: at["message"] for at in self._problems.pop(uri)}

    def hover(self, file: Path, words: str) -> str:
        """Point at the first place of these words; return what is shown."""
        found = self._ask("textDocument/hover", **self._place(file, words, 1)) or {"contents": ""}
        contents = found["contents"]
        return str(contents["value"] if isinstance(contents, dict) else contents)

    def offers(self, file: Path, words: str) -> set[str]:
        """Ask for completion behind the first place of these words."""
        found = self._ask("textDocument/completion", **self._place(file, words, len(words)))
        return {item["label"] for item in (found["items"] if isinstance(found, dict) else found)}

    def _place(self, file: Path, words: str, more: int) -> dict[str, Any]:
        before = file.read_text(encoding="utf-8").partition(words)[0] + words[:more]
        line, column = before.count("\n"), len(before.rpartition("\n")[2])
        position = {"line": line, "character": column}
        return {"textDocument": {"uri": file.as_uri()}, "position": position}

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": parameters})
        while True:
            message = self._read()
            if message.get("id") == self._asked and "method" not in message:
                assert "error" not in message, message
                return message["result"]
            self._take(message)

    def _tell(self, method: str, **parameters: Any) -> None:
        self._send({"method": method, "params": parameters})

    def _take(self, message: dict[str, Any]) -> None:
        """Keep what is marked; answer what the server asks."""
        if message.get("method") == "textDocument/publishDiagnostics":
            found = message["params"]
            self._problems[found["uri"]] = found["diagnostics"]
        elif "id" in message and "method" in message:
            is_asked = message["method"] == "workspace/configuration"
            count = len(message["params"]["items"]) if is_asked else 0
            self._send({"id": message["id"], "result": [None] * count if is_asked else None})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._server.stdin
        self._server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._server.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._server.stdout
        length = 0
        while line := self._server.stdout.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the language server has ended"
        return dict(json.loads(self._server.stdout.read(length)))
