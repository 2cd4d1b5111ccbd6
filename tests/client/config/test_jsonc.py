"""Comments and trailing commas become blanks; strings, lines and columns stay what they are."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tybalt.client.config.jsonc import plain_json


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("{}", "{}"),
        ('{"a": 1}', '{"a": 1}'),
        ('{"a": 1,}', '{"a": 1 }'),
        ('{"a": [1, 2, ], }', '{"a": [1, 2  ]  }'),
        ("[1, // one\n 2]", "[1,       \n 2]"),
        ("[1 /* one\r\ntwo */, 2]", "[1       \r\n      , 2]"),
        ("[1, // last\n]", "[1         \n]"),
        ("[1 /* a */ , /* b */ ]", "[1                   ]"),
        ("// first\n{}", "        \n{}"),
        ("{} // last", "{}        "),
        ("[{},[],]", "[{},[] ]"),
        ('["a",]', '["a" ]'),
        ("/**/{}", "    {}"),
        ("/***/{}", "     {}"),
        # What stands in a string is a text.
        ('{"url": "https://h/x"}', '{"url": "https://h/x"}'),
        ('["/* no */", "// no", ",]"]', '["/* no */", "// no", ",]"]'),
        (r'["a\"// no", "\\"] // yes', r'["a\"// no", "\\"]       '),
        (r'["\\", 1,]', r'["\\", 1 ]'),
    ],
)
def test_what_is_blanked(text, plain):
    assert plain_json(text) == plain
    json.loads(plain)


@pytest.mark.parametrize(
    "text",
    ["[,]", "{,}", "[1,,]", '{"a":,}', ",]", "[1] /* no end ]", '["no end, // ]', '"\\', "[1 / 2]", "/", "[1,}x/"],
)
def test_what_is_wrong_in_every_dialect_stays_wrong(text):
    with pytest.raises(ValueError, match=r"."):
        json.loads(plain_json(text))


@given(st.text(alphabet='{}[],:"\\/* \n\r1a', max_size=60))
@example('["/*,]//')
@example("/" * 60)
def test_nothing_moves_and_only_blanks_come_in(text):
    plain = plain_json(text)
    assert len(plain) == len(text)
    assert all(new == old or (new == " " and old not in "\r\n") for new, old in zip(plain, text, strict=True))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='"\\/*,]} \na', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='/*",]', max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
BLANKS = st.sampled_from(["", " ", "\n", "/* , ] */", "// } \n", '/*"*/', "/**/", "//\r\n"])


@given(VALUES, st.data())
def test_a_value_comes_out_as_it_was_whatever_editors_put_beside_it(value, data):
    assert json.loads(plain_json(decorated(value, data))) == value


@given(VALUES)
def test_json_is_left_as_it_is(value):
    for text in (json.dumps(value), json.dumps(value, indent=2)):
        assert plain_json(text) == text


def test_it_takes_time_in_proportion():
    """Each would take minutes if a comment or a string that does not end were looked for more than once."""
    for text in ("/*" * 500_000, "/" * 1_000_000, '"' + "\\" * 999_999, ", " * 500_000, '/* "' * 250_000):
        assert len(plain_json(text)) == len(text)


def decorated(value, data):
    """`value` as JSON, with comments between the tokens, and commas after the last items."""
    between = lambda: data.draw(BLANKS)  # noqa: E731
    comma = lambda items: "," + between() if items and data.draw(st.booleans()) else ""  # noqa: E731
    if isinstance(value, list):
        inner = ",".join(decorated(each, data) for each in value)
        return f"{between()}[{inner}{comma(value)}]{between()}"
    if isinstance(value, dict):
        inner = ",".join(f"{between()}{json.dumps(k)}{between()}:{decorated(v, data)}" for k, v in value.items())
        return f"{between()}{{{inner}{comma(value)}}}{between()}"
    return between() + json.dumps(value) + between()
