"""Pages of records that come from several places, joined in their order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from supervisor_control.domain.telemetry import Place


@dataclass(frozen=True)
class StoredRecord:
    """A log record as it was stored, at its place."""

    place: Place
    severity_number: int
    source: str
    scope: str
    body: str
    attributes_json: str


@dataclass(frozen=True)
class Page:
    """Records in order.

    Attributes:
        records: the records.
        next: all up to there was looked at, and there may be more behind it; None at the end.
    """

    records: Sequence[StoredRecord]
    next: Place | None


def merged(pages: Sequence[Page], limit: int, *, key: Callable[[Place], Any], is_descending: bool) -> Page:
    """Join pages that are each in the order of `key`. It goes as far as all of them were looked at."""
    if len(pages) == 1:
        return pages[0]
    ends = [page.next for page in pages if page.next is not None]
    end = (max if is_descending else min)(ends, key=key) if ends else None
    records = sorted(
        (record for page in pages for record in page.records),
        key=lambda record: key(record.place),
        reverse=is_descending,
    )
    if end is not None:
        bound = key(end)
        records = [one for one in records if (key(one.place) >= bound if is_descending else key(one.place) <= bound)]
    if len(records) > limit:
        return Page(records[:limit], records[limit - 1].place)
    return Page(records, end)


def within(page: Page, size: int) -> Page:
    """The beginning of a page that has no more than `size` bytes of text, but at least one record."""
    total = 0
    for number, record in enumerate(page.records):
        total += len(record.body) + len(record.attributes_json)
        if total > size and number:
            return Page(page.records[:number], page.records[number - 1].place)
    return page
