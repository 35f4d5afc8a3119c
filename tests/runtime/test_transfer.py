"""stages/runtime/transfer.py: what comes back, and work behind the caller."""

import threading

import pytest
import torch

from stages.runtime.transfer import Background, Download, Uploads

CPU = torch.device("cpu")
each_device = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])


@each_device
def test_a_download_holds_the_rows_that_were_put(device):
    rows = torch.arange(12.0, device=device).reshape(6, 2)
    download = Download((6, 2), torch.float32, torch.device(device))
    download.put(4, rows[4:])
    download.put(0, rows[:4])
    assert torch.equal(download.read(), rows.cpu())


@each_device
def test_a_buffer_that_was_sent_can_be_filled_again_and_changes_nothing(device):
    # Large enough for a GPU to be still fetching it when it is asked for again.
    uploads = Uploads(1, 5 if device == "cpu" else 2**28, torch.device(device))
    sent = []
    for value in (1, 2, 3):
        buffer = uploads.take()
        buffer.fill_(value)
        sent.append(uploads.send(buffer))
    assert [found.unique().tolist() for found in sent] == [[1], [2], [3]]


def test_work_is_done_in_order_and_no_further_behind_than_asked():
    done, free = [], threading.Event()

    def work(number):
        free.wait(10)
        done.append(number)

    with Background(2) as background:
        background.do(work, 0)
        background.do(work, 1)
        assert done == []
        free.set()
        for number in range(2, 6):
            background.do(work, number)
            assert len(done) >= number - 1
    assert done == list(range(6))


def test_an_error_is_raised_at_the_next_wait_or_at_the_end():
    def fail():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Background(5) as background:
        background.do(fail)
    with pytest.raises(OSError, match="disk full"), Background(0) as background:
        background.do(fail)
        raise AssertionError("went on")


def test_an_error_of_the_caller_drops_what_was_not_begun():
    done, free = [], threading.Event()
    with pytest.raises(KeyboardInterrupt), Background(9) as background:
        background.do(free.wait, 10)
        background.do(done.append, 1)
        threading.Timer(0.2, free.set).start()
        raise KeyboardInterrupt
    assert done == []
