"""What a policy allows by default, and what it refuses to be."""

import pytest

from tybalt.errors import MisuseError
from tybalt.protocol.allow_list import LOOPBACK_HOSTS, LOOPBACK_ORIGINS
from tybalt.protocol.http_policy import DEFAULT_MAX_BODY, Policy


def test_a_policy_serves_everything_on_this_machine():
    policy = Policy()
    assert (policy.hosts, policy.origins) == (LOOPBACK_HOSTS, LOOPBACK_ORIGINS)
    assert policy.max_body == DEFAULT_MAX_BODY == 1_048_576 and policy.needs_both_types
    assert policy.supported == ["2026-07-28"] and policy.methods == ("GET", "POST", "DELETE")


def test_what_legacy_has_beside_post_goes_with_legacy():
    assert Policy(offers_stream=False).methods == ("POST", "DELETE")
    assert Policy(ends_sessions=False).methods == ("GET", "POST")
    assert Policy(legacy=()).methods == ("POST",)
    assert Policy(modern=(), legacy=("2025-11-25",)).supported == ["2025-11-25"]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"modern": (), "legacy": ()}, "at least one"),
        ({"modern": ("2025-11-25",)}, "no such revision in this era: 2025-11-25"),
        ({"legacy": ("1900-01-01",)}, "1900-01-01"),
        ({"max_body": 0}, "at least 1; got 0"),
    ],
)
def test_what_a_policy_cannot_be(settings, text):
    with pytest.raises(MisuseError, match=text):
        Policy(**settings)


def test_a_policy_is_frozen():
    with pytest.raises(AttributeError):
        Policy().max_body = 1
