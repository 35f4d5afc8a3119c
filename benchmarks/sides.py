"""The sides of a comparison of the network's stages: the pipeline, the bare network and the plain loop."""

from __future__ import annotations

from measure import Row, compared

PLAIN = "yardstick"


def ours(precision: str, how: str = "") -> str:
    return ", ".join(filter(None, ("pipeline", precision, how)))


def bare(precision: str) -> str:
    return f"bare network, {precision}"


def judged(
    part: str,
    n: str,
    seconds: dict[str, list[float]],
    precisions: tuple[str, ...],
    plain_bar: dict[str, float],
    bare_bar: float,
    how: str = "",
    notes: dict[str, str] | None = None,
    by_median: bool = False,
) -> list[Row]:
    """Rows per precision: against its own bare network, and against the float32 yardstick.

    Args:
        plain_bar, bare_bar: least ratios, of the yardstick by precision.
        how: which of the pipeline's ways is compared, where there are several.
        notes, by_median: as for `measure.compared`.
    """
    rows = []
    for precision in precisions:
        others = {
            name: spent
            for name, spent in seconds.items()
            if name == ours(precision, how) or name.startswith((bare(precision), PLAIN))
        }
        bars = {PLAIN: plain_bar[precision], bare(precision): bare_bar}
        rows += compared(part, n, others, ours(precision, how), bars, notes, by_median)
    return rows
