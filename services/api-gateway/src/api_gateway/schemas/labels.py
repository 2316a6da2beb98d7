"""Labels by Kubernetes' rules, so that those of a pod can be taken over; a refusal says what is wrong."""

import re
from typing import Annotated

from pydantic import AfterValidator

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def label_key(key: str) -> str:
    """A label key by Kubernetes' rule: an optional DNS prefix and `/`, then a name.

    Raises:
        ValueError: what is wrong with it.
    """
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _PREFIX.fullmatch(prefix)):
        raise ValueError(f"label key {key[:80]!r}: the part before / is a DNS name in lower case, 253 letters at most")
    if len(name) > 63 or not _NAME.fullmatch(name):
        raise ValueError(
            f"label key {key[:80]!r}: use 1 to 63 letters, digits, -, _ or ., with a letter or digit at both ends"
        )
    return key


def label_value(value: str) -> str:
    """A label value by Kubernetes' rule: empty, or like the name in a key.

    Raises:
        ValueError: what is wrong with it.
    """
    if value and (len(value) > 63 or not _NAME.fullmatch(value)):
        raise ValueError(
            f"label value {value[:80]!r}: use up to 63 letters, digits, -, _ or ., with a letter or digit at both ends"
        )
    return value


LabelKey = Annotated[str, AfterValidator(label_key)]
LabelValue = Annotated[str, AfterValidator(label_value)]
