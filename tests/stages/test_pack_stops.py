"""stages/pack.py run alone: save points, chunks that are damaged or black, and a disk that fills up."""

import os
import re
import subprocess
import sys
import threading

import pytest
from pack_helpers import again, wide_pictures
from PIL import Image
from projects import ROOT
from stage_helpers import (
    FullDisk,
    Stopping,
    files,
    folder_of_pictures,
    pack_into,
    picture,
    project_with,
    published,
    refused,
    remove,
    save,
    tmpfs,
)

from stages.artifacts.chunks import ChunkWriter
from stages.artifacts.pictures import PackedImages


@pytest.mark.parametrize("after", [8, 17, 24])
def test_a_stopped_pack_goes_on_after_the_last_closed_chunk_and_gives_the_same_bytes(root, source, after):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    (source / "a/000.png").write_bytes(b"broken")
    (source / "b/023.png").write_bytes(b"broken")
    with pytest.raises(KeyboardInterrupt):
        pack_into(root, Stopping(after))
    assert published(root / "data/images/mine") == []
    report = Stopping()
    folder = pack_into(root, report)
    # 25 files give 23 pictures, 9 to a chunk: what lies in closed chunks is not read again.
    assert report.totals[0] is not None
    assert report.totals[0] < 25 or after < 10
    assert files(folder) == files(pack_into(again(root, size=60)))


def test_a_chunk_cut_short_after_the_stop_is_made_again(root, source):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    with pytest.raises(KeyboardInterrupt):
        pack_into(root, Stopping(24))
    chunk = root / "data/images/mine/.partial-pack/pixels.zarr/c.1"
    chunk.write_bytes(chunk.read_bytes()[:100])
    assert files(pack_into(root)) == files(pack_into(again(root, size=60)))


def test_a_picture_changed_after_the_stop_is_not_taken_from_the_save_point(root, source):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    with pytest.raises(KeyboardInterrupt):
        pack_into(root, Stopping(24))
    save(source / "a/000.png", picture(60, 600, 77))
    report = Stopping()
    folder = pack_into(root, report)
    assert report.totals == [25]
    assert files(folder) == files(pack_into(again(root, size=60)))


def test_another_size_after_the_stop_starts_anew(root, source):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    with pytest.raises(KeyboardInterrupt):
        pack_into(root, Stopping(24))
    project_with(root, str(source), size=50)
    assert files(pack_into(root)) == files(pack_into(again(root, size=50)))


@pytest.mark.parametrize("after", [None, 500], ids=["at once", "resumed"])
def test_a_chunk_full_of_black_pictures_is_there_and_reads_as_zeros(root, source, after):
    """zarr writes no file for a chunk of zeros, and reads a missing file as zeros: nobody would notice."""
    project_with(root, str(source), size=32)
    black = save(source / "black/0000.png", Image.new("RGB", (32, 32)))
    for number in range(1, 1000):
        (source / f"black/{number:04d}.png").write_bytes(black.read_bytes())
    if after is not None:
        with pytest.raises(KeyboardInterrupt):
            pack_into(root, Stopping(after))
    folder = pack_into(root)
    images = PackedImages(folder)
    # 341 pictures of 3,072 bytes to a chunk: three chunks, two of them full.
    assert sorted(path.name for path in (folder / "pixels.zarr").glob("c.*")) == ["c.0", "c.1", "c.2"]
    assert len(images) == 1000
    assert not any(images[i].any() for i in (0, 341, 500, 999))


def test_a_chunk_is_written_while_the_next_one_is_filled(root, source, monkeypatch):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    whole = files(pack_into(again(root, size=60)))
    filled, write = threading.Event(), ChunkWriter.write
    waited = []

    class Filling(Stopping):
        def progress(self, items, what, total, count):
            # Nine to a chunk: the first one is handed over with the tenth picture.
            for done, item in enumerate(items):
                yield item
                if done == 13:
                    filled.set()

    def written_late(self, index, rows):
        waited.append(filled.wait(30))
        write(self, index, rows)

    monkeypatch.setattr(ChunkWriter, "write", written_late)
    assert files(pack_into(root, Filling())) == whole
    assert waited == [True] * 3


@pytest.mark.parametrize("damage", ["deleted", "cut"])
def test_a_damaged_chunk_of_pixels_is_named_with_the_command_that_helps(root, source, damage):
    folder_of_pictures(source, 3)
    folder = pack_into(root)
    chunk = folder / "pixels.zarr/c.0"
    chunk.unlink() if damage == "deleted" else os.truncate(chunk, 100)
    line = refused(lambda: PackedImages(folder)[0])
    assert str(chunk) in line
    assert "rerun pack --dataset mine" in line


def test_a_full_disk_at_any_write_is_one_line_and_leaves_nothing_under_a_final_name(root, source, monkeypatch):
    project_with(root, str(source), size=60)
    wide_pictures(source, 12)
    whole = files(pack_into(again(root, size=60)))
    folder = root / "data/images/mine"
    disk = FullDisk(monkeypatch, folder)
    for fails_at in range(100):
        remove(folder)
        disk.arm(fails_at)
        try:
            pack_into(root)
        except Exception as error:
            assert disk.reached
            assert "no space left" in str(error), f"write {fails_at}: {error!r}"
            assert str(folder) in str(error)
            assert re.search(r"needs [\d.]+ \w+ and [\d.]+ \w+ are free", str(error))
            assert published(folder) == []
        else:
            break
        disk.arm(-1)
        assert files(pack_into(root)) == whole
    assert fails_at > 8
    assert not disk.reached


@pytest.mark.slow
def test_a_small_disk_that_fills_up_while_packing(root, source, tmp_path):
    project_with(root, str(source), size=60)
    wide_pictures(source, 25)
    folder = root / "data/images/mine"
    with tmpfs(folder, "2500k") as resize:
        line = refused(lambda: pack_into(root))
        assert "no space left" in line
        assert str(folder) in line
        assert "needs 1.0 MB" in line
        assert published(folder) == []
        resize("64m")
        assert files(pack_into(root)) == files(pack_into(again(root, size=60)))


@pytest.mark.slow
def test_photographs_of_24_megapixels_on_32_cores_take_less_than_a_gigabyte(root, source):
    """Each is 96 MB of pixels: six at a time, whatever the number of threads."""
    photograph = save(source / "00.jpg", picture(4000, 6000), quality=80)
    for number in range(1, 36):
        (source / f"{number:02d}.jpg").write_bytes(photograph.read_bytes())
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, 'tests/helpers')\n"
        "import stages.runtime.runner as runner\n"
        "from stage_helpers import pack_into\n"
        "runner.usable_cores = lambda: 32\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "pack_into(Path(sys.argv[1]))\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, root], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1000
