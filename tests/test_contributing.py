"""CONTRIBUTING.md: the rooms and lists that it gives are those of the tree, and imports go the way that it says."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from projects import PARAMS, ROOT, params_text

from stages.dag.declared import declared, names
from stages.dag.graph import keys_of
from stages.method.architectures import ARCHITECTURES, Convolution, PlainNetwork, Pool
from stages.parameters.keys import flat, leaves
from stages.parameters.resolution import NOT_OVERRIDDEN
from stages.parameters.train import TrainKeys

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CODE = re.findall(r"`([^`\n]+)`", TEXT.replace("```", ""))
EXAMPLE = "train"
"""What NAME and SECTION stand for: a stage with a section of its own."""


def part(title: str) -> str:
    """The text under a heading."""
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def of_the_example(text: str) -> str:
    for word in ("NAME", "SECTION"):
        text = text.replace(word, EXAMPLE)
    return text.replace("Name", EXAMPLE.title()).replace("Section", EXAMPLE.title())


PATHS = sorted(
    {of_the_example(code) for code in CODE if re.fullmatch(r"[\w.]+(/[\w.]*)+|\w+\.(py|yaml|toml|txt)", code)}
)
DOTTED = sorted({code for code in CODE if re.fullmatch(r"(stages|pipeline)(\.\w+)+", code)})


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_is_named_is_there(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("document", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_a_source_file_that_another_document_names_is_there(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(r"(?<![\w./-])(?:stages|pipeline|tests|benchmarks|docs)/[\w/]+\.\w+", text)
    assert named and [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", DOTTED)
def test_a_name_that_is_given_with_its_module_is_there(name):
    module, _, last = name.rpartition(".")
    assert hasattr(importlib.import_module(module), last)


def test_both_kinds_of_names_are_found():
    assert {"stages/train.py", "stages/dag/declared/train.py", "stages/parameters/train.py"} < set(PATHS)
    assert {"stages.errors.Refusal", "stages.dag.stage.Stage"} < set(DOTTED)


def packages(name: str) -> set[str]:
    return {f"{name}/{folder.parent.name}/" for folder in (ROOT / name).glob("*/__init__.py")}


def test_every_room_is_told_and_says_itself_what_is_in_it():
    told = part("Rooms")
    rooms = packages("stages") | packages("pipeline")
    assert len(rooms) >= 10
    assert {room for room in rooms if room not in told} == set()
    for room in (*rooms, "stages/", "pipeline/"):
        tree = ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), room


# Add a stage


def test_a_stage_is_three_files_as_the_list_says():
    told = of_the_example(part("Add a stage"))
    module = importlib.import_module(f"stages.{EXAMPLE}")
    assert "`train`" in told and callable(module.train)
    assert "`REVISION`" in told and type(module.REVISION) is int
    assert "`run_stage(train)`" in told and "\n    run_stage(train)\n" in Path(module.__file__).read_text()
    assert "`STAGE`" in told and importlib.import_module(f"stages.dag.declared.{EXAMPLE}").STAGE is declared()[EXAMPLE]
    parameters = importlib.import_module(f"stages.parameters.{EXAMPLE}")
    assert "`TrainKeys`" in told and declared()[EXAMPLE].keys is parameters.TrainKeys
    assert "`TrainParams`" in told and parameters.TrainKeys.model_fields[EXAMPLE].annotation is parameters.TrainParams


# Add a parameter


def test_every_field_of_a_section_has_a_line_below_it():
    fields, bare = [], []
    for path in (ROOT / "stages/parameters").glob("*.py"):
        for section in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(section, ast.ClassDef) and section.name.endswith("Params"):
                for field, after in zip(section.body, [*section.body[1:], None], strict=True):
                    # The class of a section within this one says itself what it is.
                    if isinstance(field, ast.AnnAssign) and "Params" not in ast.unparse(field.annotation):
                        fields.append(f"{path.name}: {ast.unparse(field.target)}")
                        if not is_text(after):
                            bare.append(fields[-1])
    assert "train.py: lr" in fields and len(fields) > 30
    assert bare == []


def is_text(statement: ast.stmt | None) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def test_a_parameter_is_a_field_a_line_of_params_yaml_and_a_key_of_its_stage():
    section = {"train": yaml.safe_load(params_text())["train"]}
    own = [key for key in leaves(TrainKeys) if key.startswith("train.")]
    assert list(flat(section)) == own
    assert set(own) < set(keys_of("train"))


def keys_in(path: Path) -> set[str]:
    """The dotted keys of a params.yaml, but those of data sets and runs."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return set(flat({name: value for name, value in content.items() if name not in NOT_OVERRIDDEN}))


def test_params_yaml_and_the_copy_that_tests_compute_by_have_the_same_keys():
    assert "tests/helpers/params.yaml" in part("Add a parameter")
    ours, theirs = keys_in(ROOT / "params.yaml"), keys_in(PARAMS)
    assert ours - theirs == set(), "add it to tests/helpers/params.yaml"
    if theirs - ours:
        # A new key that is forgotten there, or one that a user has left out.
        pytest.skip(f"params.yaml lacks {', '.join(sorted(theirs - ours))}, which tests/helpers/params.yaml has")


# Add an architecture


def test_an_entry_is_all_that_a_network_is_built_from(monkeypatch):
    import torch

    from stages.method.networks import Backbone

    tiny = PlainNetwork((Convolution(8, 3), Pool(2, 2)), hidden=16, drops_first=False)
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny)
    network = Backbone("tiny", sobel=True, input=10).eval()
    assert network.features(torch.zeros(2, 3, 10, 10, dtype=torch.uint8)).shape == (2, 16)
    assert sum(value.numel() for value in network.parameters()) == tiny.parameters(sobel=True, input=10)


def test_params_yaml_names_every_architecture():
    line = next(line for line in params_text().splitlines() if "  architecture:" in line)
    assert line.split("# ")[1] == ", ".join(ARCHITECTURES)


# Who imports whom


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Dotted names that a module imports, or may import, by `import`, `from` or a relative `from`, at any depth."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imports_of(folder: str, forbidden: set[str]) -> list[str]:
    """ "FILE: MODULE" for each import of a forbidden module below a folder."""
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        package = ".".join(path.relative_to(ROOT).parent.parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(ROOT)}: {name}" for name in imported(tree, package) if name in forbidden]
    return found


def test_nothing_in_stages_imports_a_stage():
    assert imports_of("stages", {f"stages.{name}" for name in names()}) == []


def test_no_room_of_the_pipeline_but_the_command_line_imports_a_module_of_what_a_user_does():
    modules = {f"pipeline.{path.stem}" for path in (ROOT / "pipeline").glob("*.py")} - {"pipeline.__init__"}
    rooms = packages("pipeline") - {"pipeline/cli/"}
    assert len(rooms) >= 3
    assert [line for room in rooms for line in imports_of(room, modules)] == []
    assert imports_of("pipeline/cli", modules), "the command line does"


@pytest.mark.parametrize(
    "code",
    [
        "import stages.train",
        "import stages.train as it",
        "from stages.train import SAVE_SECONDS",
        "from stages import errors, train",
        "from .. import train",
        "from ..train import SAVE_SECONDS",
        "def later():\n    from stages import train",
    ],
)
def test_every_form_of_an_import_is_seen(code):
    assert "stages.train" in set(imported(ast.parse(code), "stages.runtime"))
