"""stages/artifacts/chunks.py: zarr arrays in raw chunk files, checked to be whole before they are read."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import ROOT
from stage_helpers import refused

from stages.artifacts.chunks import ChunkReader, ChunkWriter


def write(path, rows, chunk):
    writer = ChunkWriter(path, (chunk, *rows.shape[1:]), str(rows.dtype))
    writer.write_all((rows[start : start + chunk] for start in range(0, len(rows), chunk)), len(rows))


def values(length, width=3, dtype="float32"):
    return np.random.default_rng(length).normal(size=(length, width)).astype(dtype)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 5), st.sampled_from(["float32", "float16", "uint8"]))
def test_what_was_written_is_read_by_zarr_and_by_us(tmp_path_factory, length, chunk, width, dtype):
    path = tmp_path_factory.mktemp("array") / "rows.zarr"
    rows = (values(length, width) * 50).astype(dtype) if dtype != "uint8" else np.arange(length * width, dtype=dtype)
    rows = rows.reshape(length, width)
    write(path, rows, chunk)
    array = zarr.open_array(path, mode="r")
    assert array.dtype == rows.dtype
    assert np.array_equal(array[:], rows)
    reader = ChunkReader(path, "")
    assert (reader.shape, len(reader), reader.count) == (rows.shape, length, -(-length // chunk))
    assert np.array_equal(reader.read(), rows)
    blocks = list(reader.blocks())
    assert [len(block) for block in blocks[:-1]] == [chunk] * (len(blocks) - 1)
    assert np.array_equal(np.concatenate(blocks), rows)
    assert np.array_equal(reader.map(0)[: min(chunk, length)], rows[:chunk])


def test_a_chunk_of_zeros_has_its_file(tmp_path):
    write(tmp_path / "rows.zarr", np.zeros((6, 2), np.float32), 2)
    assert sorted(p.name for p in (tmp_path / "rows.zarr").glob("c.*")) == ["c.0.0", "c.1.0", "c.2.0"]


def test_an_array_not_yet_closed_is_refused(tmp_path):
    ChunkWriter(tmp_path / "rows.zarr", (2, 3), "float32").write(0, values(2))
    assert "incomplete; rerun it" in refused(lambda: ChunkReader(tmp_path / "rows.zarr", "rerun it"))


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("damage", ["deleted", "cut", "grown"])
def test_a_damaged_chunk_is_refused_by_name(tmp_path, index, damage):
    write(tmp_path / "rows.zarr", values(5), 2)
    chunk = tmp_path / f"rows.zarr/c.{index}.0"
    chunk.unlink() if damage == "deleted" else os.truncate(chunk, 10 if damage == "cut" else 100)
    line = refused(lambda: ChunkReader(tmp_path / "rows.zarr", "rerun it"))
    assert str(chunk) in line
    assert line.endswith("rerun it")
    assert damage == "deleted" or "instead of 24" in line


@pytest.mark.parametrize("content", ["", "{", '{"shape": [5'])
def test_damaged_metadata_is_refused_by_name(tmp_path, content):
    write(tmp_path / "rows.zarr", values(5), 2)
    (tmp_path / "rows.zarr/zarr.json").write_text(content)
    assert str(tmp_path / "rows.zarr") in refused(lambda: ChunkReader(tmp_path / "rows.zarr", "rerun it"))


def test_a_writer_knows_which_chunks_lie_there_in_full(tmp_path):
    writer = ChunkWriter(tmp_path / "rows.zarr", (2, 3), "float32")
    writer.write(0, values(2))
    writer.write(1, values(1))
    os.truncate(tmp_path / "rows.zarr/c.1.0", 12)
    assert [writer.has(index) for index in range(3)] == [True, False, False]


def test_memory_maps_cannot_be_written_to(tmp_path):
    write(tmp_path / "rows.zarr", values(5), 2)
    with pytest.raises(ValueError, match="read-only"):
        ChunkReader(tmp_path / "rows.zarr", "").map(0)[0, 0] = 1


def test_descriptors_and_maps_do_not_grow_with_the_number_of_chunks(tmp_path):
    """In a process of its own, which may have 64 descriptors, as `ulimit -n 64` gives it."""
    write(tmp_path / "rows.zarr", np.arange(300, dtype=np.int64), 2)
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom stages.artifacts.chunks import ChunkReader\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "reader = ChunkReader(Path(sys.argv[1]), '')\n"
        "maps = [reader.map(index) for index in range(reader.count)]\n"
        "print(sum(int(rows.sum()) for rows in maps), len(maps))\n"
        "view = maps[149][1:]\n"
        "del maps, reader\n"
        "print(view[0], open('/proc/self/maps').read().count('rows.zarr'))\n"
    )
    words = [sys.executable, "-c", program, tmp_path / "rows.zarr"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    # A view keeps its own map alive, and no other.
    assert (done.stderr, done.stdout) == ("", f"{sum(range(300))} 150\n299 1\n")


def test_maps_beyond_the_most_give_way_to_new_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("stages.artifacts.chunks.MOST_MAPS", 3)
    rows = values(20)
    write(tmp_path / "rows.zarr", rows, 2)
    reader = ChunkReader(tmp_path / "rows.zarr", "")
    views = [reader.map(index) for index in (*range(10), 0, 9)]
    assert np.array_equal(np.concatenate(views), np.concatenate([rows, rows[:2], rows[-2:]]))
    assert Path("/proc/self/maps").read_text().count("rows.zarr") >= 10
    del views
    assert Path("/proc/self/maps").read_text().count("rows.zarr") <= 3
