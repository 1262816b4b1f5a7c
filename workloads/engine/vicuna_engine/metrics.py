"""Counters, gauges and histograms in Prometheus' text format. Each is written by one thread and read by any."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counter:
    """Only goes up. With `label`, one series per value, all of `values` from the start."""

    kind = "counter"

    def __init__(self, name: str, help_text: str, label: str | None = None, values: tuple[str, ...] = ("",)) -> None:
        self.name = name
        self.help = help_text
        self._label = label
        self._series = dict.fromkeys(values, 0)

    def add(self, amount: int = 1, value: str = "") -> None:
        """Counts; `value` is the label's."""
        self._series[value] += amount

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """(name, labels, value) of each series."""
        for value, count in self._series.items():
            yield self.name, {self._label: value} if self._label else {}, count


class Gauge:
    """Reads a value when it is asked for."""

    kind = "gauge"

    def __init__(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        self.name = name
        self.help = help_text
        self._read = read

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """(name, labels, value)."""
        yield self.name, {}, self._read()


class Histogram:
    """Counts observations up to each of `buckets`, ascending."""

    kind = "histogram"

    def __init__(self, name: str, help_text: str, buckets: tuple[float, ...]) -> None:
        self.name = name
        self.help = help_text
        self._bounds = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Adds an observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """The cumulative buckets, sum and count."""
        total = 0
        for bound, count in zip((*self._bounds, float("inf")), list(self._counts), strict=True):
            total += count
            yield f"{self.name}_bucket", {"le": "+Inf" if bound == float("inf") else f"{bound:g}"}, total
        yield f"{self.name}_sum", {}, self._sum
        yield f"{self.name}_count", {}, total


Metric = Counter | Gauge | Histogram


def render(metrics: Iterator[Metric] | list[Metric], labels: Mapping[str, str]) -> str:
    """All metrics as text; every sample carries `labels`."""
    lines: list[str] = []
    for metric in metrics:
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
        for name, more, value in metric.samples():
            text = ",".join(f'{key}="{_escaped(content)}"' for key, content in {**labels, **more}.items())
            lines.append(f"{name}{{{text}}} {value:g}" if isinstance(value, float) else f"{name}{{{text}}} {value}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
