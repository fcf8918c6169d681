"""Images by command: a folder becomes an image and a manifest; mistakes are taught."""

import contextlib
import io
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import pytest_asyncio
import yaml

from broker.cli.main import main
from sandboxes.images.bases import RECIPES, make_base_from
from sandboxes.images.store import ImageStore
from sandboxes.v1 import sandboxes_pb2 as pb
from tests.base_images import import_python, python_root
from tests.engine_api import ContainerEngine
from tests.sandbox_nodes import NodeClient, serving
from tests.supplied_images import base_of, tool_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

MANIFEST = """
name: double
description: Doubles a number.
summary: Double {/number}
arguments:
  type: object
  additionalProperties: false
  required: [number]
  properties:
    number: {type: integer}
    note: {type: string, maxLength: 10}
scopes: [{name: "numbers:use"}]
behaviour: {read_only: true}
runner: sandbox
sandbox: {profile: strict}
"""
TOOL = """
from doubling import double

def run(call, *, number, note=""):
    return {"doubled": double(number)}
"""


@pytest.fixture(scope="module")
def engine(container_engine: ContainerEngine) -> ContainerEngine:
    base_of(container_engine, "python")
    return container_engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "double"
    made.mkdir()
    (made / "manifest.yaml").write_text(MANIFEST)
    (made / "tool.py").write_text(TOOL)
    (made / "doubling.py").write_text("def double(number):\n    return 2 * number\n")
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(engine: ContainerEngine) -> AsyncIterator[NodeClient]:
    with TemporaryDirectory(prefix="cb-") as place:
        async with serving(engine.url, Path(place) / "state", warm=0) as client:
            yield client


def callbroker(*arguments: str, code: int = 0) -> str:
    """A command as it is typed; what it said."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ended = main(["sandbox", *arguments])
    assert ended == code, f"{arguments}\n{out.getvalue()}\n{err.getvalue()}"
    assert "Traceback" not in err.getvalue()
    return out.getvalue() if code == 0 else out.getvalue() + err.getvalue()


def build(folder: Path, engine: ContainerEngine, code: int = 0) -> str:
    return callbroker(
        "build",
        str(folder),
        "--out",
        str(folder.parent / "tools"),
        "--engine",
        engine.url,
        code=code,
    )


async def test_a_folder_becomes_an_image_that_answers(
    folder: Path, engine: ContainerEngine, node: NodeClient
) -> None:
    said = build(folder, engine)

    manifest = yaml.safe_load((folder.parent / "tools" / "double.yaml").read_text())
    digest = manifest["sandbox"]["image"]
    assert digest in said
    result = await node.run(digest, b'{"number": 21}')
    assert json.loads(result.result_json) == {"doubled": 42}
    assert main(["tools", "check", str(folder.parent / "tools")]) == 0


async def test_the_same_folder_makes_the_same_image(folder: Path, engine: ContainerEngine) -> None:
    digests = {_digest(build(folder, engine)) for _ in range(2)}
    (folder / "doubling.py").write_text("def double(number):\n    return number + number\n")
    changed = _digest(build(folder, engine))

    assert len(digests) == 1
    assert changed not in digests


async def test_a_built_image_passes_lint_and_is_listed(
    folder: Path, engine: ContainerEngine
) -> None:
    digest = _digest(build(folder, engine))

    assert "may run" in callbroker("images", "lint", digest, "--engine", engine.url)
    listed = json.loads(callbroker("images", "list", "--json", "--engine", engine.url))
    assert digest in {image["digest"] for image in listed["images"]}


async def test_an_image_of_another_kind_fails_lint_with_everything_that_is_wrong(
    engine: ContainerEngine,
) -> None:
    other = import_python(engine)

    said = callbroker("images", "lint", other, "--json", "--engine", engine.url, code=1)

    findings = " ".join(json.loads(said)["findings"])
    for word in ("root", "WORKDIR", "ENTRYPOINT", "label", "entry.py is missing"):
        assert word in findings


async def test_both_ways_to_a_base_end_in_the_same_image(
    engine: ContainerEngine, tmp_path: Path
) -> None:
    """A registry's image is taken apart into the tree that debootstrap makes, and treated alike."""
    with ImageStore(engine.url) as store:
        pulled = tmp_path / "pulled.tar"
        with pulled.open("xb") as file:
            store.save_tree(import_python(engine), file)
        from_registry = make_base_from(store, RECIPES["python"], pulled)
        from_archive = make_base_from(store, RECIPES["python"], python_root())

    assert from_registry.digest == from_archive.digest


MISTAKES: dict[str, tuple[str, Any, str]] = {
    "a requirement without a hash": ("requirements.txt", "pypdf==7.1.0\n", "has no --hash"),
    "a requirement without a version": ("requirements.txt", "pypdf\n", "is not pinned"),
    "a wheel that is not there": (
        "requirements.txt",
        f"callbroker-no-such-wheel==1.0 --hash=sha256:{'0' * 64}\n",
        "no wheel for Python",
    ),
    "a tool without run": ("tool.py", "x = 1\n", "has no `def run"),
    "a tool that is not Python": ("tool.py", "def run(\n", "is not Python"),
    "a tool that does not take what it is given": (
        "tool.py",
        "def run(call, *, number): pass\n",
        "does not take note",
    ),
    "a tool that demands what may be left out": (
        "tool.py",
        "def run(call, *, number, note): pass\n",
        "needs a default for note",
    ),
    "a manifest with an image": (
        "manifest.yaml",
        MANIFEST.replace("{profile: strict}", f"{{image: 'sha256:{'0' * 64}'}}"),
        "/sandbox/image: leave it out",
    ),
    "a manifest of a worker's tool": (
        "manifest.yaml",
        MANIFEST.replace("runner: sandbox\nsandbox: {profile: strict}\n", ""),
        "write `runner: sandbox`",
    ),
    "a manifest that is wrong elsewhere": (
        "manifest.yaml",
        MANIFEST.replace("type: integer", "type: nonsense"),
        "are refused",
    ),
    "a manifest that is not YAML": ("manifest.yaml", "{", "cannot be read"),
}


@pytest.mark.parametrize("what", MISTAKES)
async def test_a_mistake_is_told_with_what_to_do(
    what: str, folder: Path, engine: ContainerEngine
) -> None:
    name, content, word = MISTAKES[what]
    (folder / name).write_text(content)

    assert word in build(folder, engine, code=1)
    assert not (folder.parent / "tools").exists()


async def test_a_name_that_is_no_tool_is_told(engine: ContainerEngine) -> None:
    said = callbroker("build", "no_such", "--engine", engine.url, code=2)

    assert "run_python, run_shell, read_document" in said


async def test_an_engine_that_is_not_there_is_told(folder: Path, tmp_path: Path) -> None:
    said = callbroker("build", str(folder), "--engine", f"unix://{tmp_path}/none.sock", code=3)

    assert "No container engine answers" in said
    assert "callbroker doctor" in said


async def test_a_registry_s_tag_is_no_base(engine: ContainerEngine) -> None:
    said = callbroker(
        *("images", "build", "--base", "python", "--registry", "python:3.13"),
        *("--engine", engine.url),
        code=1,
    )

    assert "name it by @sha256:" in said


async def test_profiles_are_listed() -> None:
    listed = json.loads(callbroker("profiles", "--json"))

    assert {"strict", "compute", "egress", "gvisor"} <= {p["name"] for p in listed["profiles"]}


PYTHON = {
    "print('hi'); 6 * 7": {"stdout": "hi\n", "result": 42},
    "result = {'a': [1, None, 'é']}": {"result": {"a": [1, None, "é"]}},
    "{1, 2}": {"result": "{1, 2}"},
    "2 ** 60": {"result": str(2**60)},
    "1 / 0": {"exit_code": 1, "error": "ZeroDivisionError: division by zero"},
    "import sys; sys.exit(3)": {"exit_code": 3},
    "import sys; sys.stdin.read()": {"result": "typed"},
    "open('in/a.txt').read()": {"result": "from a file"},
    "import os\nif os.fork() == 0: pass\n'told once'": {"result": "told once"},
}


@pytest.mark.parametrize("code", PYTHON)
async def test_python_runs_and_tells_what_it_came_to(
    code: str, engine: ContainerEngine, node: NodeClient
) -> None:
    asked = json.dumps({"code": code, "stdin": "typed"}).encode()
    image = _supplied(engine, "run_python")

    result = await node.run(image, asked, files=[pb.File(name="a.txt", content=b"from a file")])

    told = json.loads(result.result_json)
    expected = {"exit_code": 0, "error": None, **PYTHON[code]}
    assert {name: told[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("import os; os._exit(3)", "CODE_DIED"),
        ("import os; os.kill(os.getpid(), 11)", "CODE_KILLED"),
        ("x = bytearray(1 << 30)", "CODE_KILLED"),
        ("import os; os.write(3, b'no json\\n'); os._exit(0)", "CODE_DIED"),
    ],
)
async def test_python_that_dies_is_told_as_a_failure(
    code: str, failure: str, engine: ContainerEngine, node: NodeClient
) -> None:
    image = _supplied(engine, "run_python")

    result = await node.run(image, json.dumps({"code": code}).encode())

    assert (result.ending, result.code) == (pb.ENDING_TOOL_FAILED, failure), result


async def test_what_python_leaves_in_out_comes_back(
    engine: ContainerEngine, node: NodeClient
) -> None:
    asked = json.dumps({"code": "open('out/a.csv', 'w').write('1,2')"}).encode()

    result = await node.run(_supplied(engine, "run_python"), asked)

    assert [(file.name, file.content) for file in result.files] == [("a.csv", b"1,2")]


async def test_a_script_runs_and_tells_how_it_ended(
    engine: ContainerEngine, node: NodeClient
) -> None:
    script = "read line; grep -o t.* in/a.txt; echo $line >&2; cp in/a.txt out/b.txt; exit 3"
    asked = json.dumps({"script": script, "stdin": "typed\n"}).encode()
    image = _supplied(engine, "run_shell")

    result = await node.run(image, asked, files=[pb.File(name="a.txt", content=b"some text\n")])

    assert json.loads(result.result_json) == {
        "exit_code": 3,
        "stdout": "text\n",
        "stderr": "typed\n",
    }
    assert [(file.name, file.content) for file in result.files] == [("b.txt", b"some text\n")]


def _supplied(engine: ContainerEngine, tool: str) -> str:
    if tool not in _BUILT:
        _BUILT[tool] = tool_of(engine, tool)
    return _BUILT[tool]


_BUILT: dict[str, str] = {}


def _digest(said: str) -> str:
    found = re.search(r"sha256:[0-9a-f]{64}", said)
    assert found is not None, said
    return found.group()
