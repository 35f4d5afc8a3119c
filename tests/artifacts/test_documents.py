"""stages/artifacts/documents.py: a YAML file that cannot be read."""

import pytest
from stage_helpers import refused

from stages.artifacts.documents import load_yaml


@pytest.mark.parametrize(
    "text",
    ["train: [1, 2\n", "- a\n- b\n", "", "a: b: c\n", b"\xff\xfe"],
    ids=["open", "list", "empty", "colons", "bytes"],
)
def test_a_broken_params_file_is_refused_by_its_path(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert str(path) in refused(lambda: load_yaml(path))
