"""The collector image takes no supervisor whose checksum is another than the release says."""

import pytest
from docker_images import Builder

pytestmark = pytest.mark.docker


def test_another_checksum_fails_the_build(builder: Builder, images: object) -> None:
    """The binary is checked against checksums.txt."""
    done = builder.gateway("flowgate-test/refused", builder.gateway_arguments(), checksum="1" * 64)
    assert done.returncode != 0
    assert "is not the one in checksums.txt" in done.stdout + done.stderr


def test_another_checksum_than_expected_fails_the_build(builder: Builder, images: object) -> None:
    """Who gives OPAMPSUPERVISOR_SHA256 does not have to believe the release."""
    arguments = builder.gateway_arguments() | {"OPAMPSUPERVISOR_SHA256": "2" * 64}
    with pytest.raises(AssertionError, match=f"is not {'2' * 64}"):
        builder.gateway("flowgate-test/refused", arguments)
