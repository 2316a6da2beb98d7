"""Figures without servers."""

import pytest
from prometheus_client import generate_latest

from flowkit.metrics import Metrics, Tally


def test_a_tally_is_a_histogram_of_prometheus() -> None:
    """Each bucket holds all that is not above its bound; the last one everything."""
    tally = Tally((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        tally.add(value)
    metrics = Metrics("example")
    metrics.add(lambda: [tally.family("flowgate_example_seconds", "An example")])
    page = generate_latest(metrics.registry).decode()
    assert [line for line in page.splitlines() if line.startswith("flowgate_example")] == [
        'flowgate_example_seconds_bucket{le="0.1"} 2.0',
        'flowgate_example_seconds_bucket{le="1.0"} 3.0',
        'flowgate_example_seconds_bucket{le="+Inf"} 4.0',
        "flowgate_example_seconds_count 4.0",
        "flowgate_example_seconds_sum 7.65",
    ]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("", "text/plain; version=0.0.4"), ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text")],
)
async def test_a_scraper_gets_the_format_that_it_asks_for(accept: str, content_type: str) -> None:
    """Prometheus asks for OpenMetrics; everybody reads the plain text."""
    told, page = await Metrics("example").page(accept)
    assert told.startswith(content_type)
    assert page.endswith(b"# EOF\n") == told.startswith("application/openmetrics-text")
