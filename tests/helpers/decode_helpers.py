"""What the tests of stages/method/decode.py share: pictures as the content of files, decoded or refused."""

import io

import numpy as np
import pytest

from stages.method.decode import Unreadable, decode

MOST_ASPECT = 16


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(image, kind="PNG", size=None, **options):
    """Decoded at the picture's own size, so that nothing is resized."""
    return decode(encoded(image, kind, **options), size or min(image.size), MOST_ASPECT)


def reason(content, size=20):
    with pytest.raises(Unreadable) as caught:
        decode(content, size, MOST_ASPECT)
    return str(caught.value)


def noise(height=24, width=30, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
