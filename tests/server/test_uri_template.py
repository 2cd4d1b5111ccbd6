"""URI templates: expansion as RFC 6570 has it, what is refused, matching and its rules, what is unsafe in a path."""

import re
import sys
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tybalt.errors import MisuseError, RegistrationError
from tybalt.server.uri_template import MAX_URI, UriTemplate

VALUES: dict[str, Any] = {  # RFC 6570 section 3.2
    "count": ["one", "two", "three"],
    "dom": ["example", "com"],
    "dub": "me/too",
    "hello": "Hello World!",
    "half": "50%",
    "var": "value",
    "who": "fred",
    "base": "http://example.com/home/",
    "path": "/foo/bar",
    "list": ["red", "green", "blue"],
    "keys": {"semi": ";", "dot": ".", "comma": ","},
    "v": "6",
    "x": "1024",
    "y": "768",
    "empty": "",
    "empty_keys": {},
    "undef": None,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # 3.2.1 variable expansion
        ("{count}", "one,two,three"),
        ("{count*}", "one,two,three"),
        ("{/count}", "/one,two,three"),
        ("{/count*}", "/one/two/three"),
        ("{;count}", ";count=one,two,three"),
        ("{;count*}", ";count=one;count=two;count=three"),
        ("{?count}", "?count=one,two,three"),
        ("{?count*}", "?count=one&count=two&count=three"),
        ("{&count*}", "&count=one&count=two&count=three"),
        # 3.2.2 simple string expansion
        ("{var}", "value"),
        ("{hello}", "Hello%20World%21"),
        ("{half}", "50%25"),
        ("O{empty}X", "OX"),
        ("O{undef}X", "OX"),
        ("{x,y}", "1024,768"),
        ("{x,hello,y}", "1024,Hello%20World%21,768"),
        ("?{x,empty}", "?1024,"),
        ("?{x,undef}", "?1024"),
        ("?{undef,y}", "?768"),
        ("{list}", "red,green,blue"),
        ("{list*}", "red,green,blue"),
        ("{keys}", "semi,%3B,dot,.,comma,%2C"),
        ("{keys*}", "semi=%3B,dot=.,comma=%2C"),
        # 3.2.3 reserved expansion
        ("{+var}", "value"),
        ("{+hello}", "Hello%20World!"),
        ("{+half}", "50%25"),
        ("{base}index", "http%3A%2F%2Fexample.com%2Fhome%2Findex"),
        ("{+base}index", "http://example.com/home/index"),
        ("O{+empty}X", "OX"),
        ("O{+undef}X", "OX"),
        ("{+path}/here", "/foo/bar/here"),
        ("here?ref={+path}", "here?ref=/foo/bar"),
        ("{+x,hello,y}", "1024,Hello%20World!,768"),
        ("{+path,x}/here", "/foo/bar,1024/here"),
        ("{+list}", "red,green,blue"),
        ("{+list*}", "red,green,blue"),
        ("{+keys}", "semi,;,dot,.,comma,,"),
        ("{+keys*}", "semi=;,dot=.,comma=,"),
        # 3.2.4 fragment expansion
        ("{#var}", "#value"),
        ("{#hello}", "#Hello%20World!"),
        ("{#half}", "#50%25"),
        ("foo{#empty}", "foo#"),
        ("foo{#undef}", "foo"),
        ("{#x,hello,y}", "#1024,Hello%20World!,768"),
        ("{#path,x}/here", "#/foo/bar,1024/here"),
        ("{#list}", "#red,green,blue"),
        ("{#list*}", "#red,green,blue"),
        ("{#keys}", "#semi,;,dot,.,comma,,"),
        ("{#keys*}", "#semi=;,dot=.,comma=,"),
        # 3.2.5 label expansion
        ("{.who}", ".fred"),
        ("{.half,who}", ".50%25.fred"),
        ("www{.dom*}", "www.example.com"),
        ("X{.var}", "X.value"),
        ("X{.empty}", "X."),
        ("X{.undef}", "X"),
        ("X{.list}", "X.red,green,blue"),
        ("X{.list*}", "X.red.green.blue"),
        ("X{.keys}", "X.semi,%3B,dot,.,comma,%2C"),
        ("X{.keys*}", "X.semi=%3B.dot=..comma=%2C"),
        ("X{.empty_keys}", "X"),
        ("X{.empty_keys*}", "X"),
        # 3.2.6 path segment expansion
        ("{/who}", "/fred"),
        ("{/half,who}", "/50%25/fred"),
        ("{/who,dub}", "/fred/me%2Ftoo"),
        ("{/var}", "/value"),
        ("{/var,empty}", "/value/"),
        ("{/var,undef}", "/value"),
        ("{/var,x}/here", "/value/1024/here"),
        ("{/list}", "/red,green,blue"),
        ("{/list*}", "/red/green/blue"),
        ("{/keys}", "/semi,%3B,dot,.,comma,%2C"),
        ("{/keys*}", "/semi=%3B/dot=./comma=%2C"),
        # 3.2.7 path-style parameter expansion
        ("{;who}", ";who=fred"),
        ("{;half}", ";half=50%25"),
        ("{;empty}", ";empty"),
        ("{;v,empty,who}", ";v=6;empty;who=fred"),
        ("{;v,undef,who}", ";v=6;who=fred"),
        ("{;x,y}", ";x=1024;y=768"),
        ("{;x,y,empty}", ";x=1024;y=768;empty"),
        ("{;x,y,undef}", ";x=1024;y=768"),
        ("{;list}", ";list=red,green,blue"),
        ("{;list*}", ";list=red;list=green;list=blue"),
        ("{;keys}", ";keys=semi,%3B,dot,.,comma,%2C"),
        ("{;keys*}", ";semi=%3B;dot=.;comma=%2C"),
        # 3.2.8 form-style query expansion
        ("{?who}", "?who=fred"),
        ("{?half}", "?half=50%25"),
        ("{?x,y}", "?x=1024&y=768"),
        ("{?x,y,empty}", "?x=1024&y=768&empty="),
        ("{?x,y,undef}", "?x=1024&y=768"),
        ("{?list}", "?list=red,green,blue"),
        ("{?list*}", "?list=red&list=green&list=blue"),
        ("{?keys}", "?keys=semi,%3B,dot,.,comma,%2C"),
        ("{?keys*}", "?semi=%3B&dot=.&comma=%2C"),
        # 3.2.9 form-style query continuation
        ("{&who}", "&who=fred"),
        ("{&half}", "&half=50%25"),
        ("?fixed=yes{&x}", "?fixed=yes&x=1024"),
        ("{&x,y,empty}", "&x=1024&y=768&empty="),
        ("{&x,y,undef}", "&x=1024&y=768"),
        ("{&list}", "&list=red,green,blue"),
        ("{&list*}", "&list=red&list=green&list=blue"),
        ("{&keys}", "&keys=semi,%3B,dot,.,comma,%2C"),
        ("{&keys*}", "&semi=%3B&dot=.&comma=%2C"),
    ],
)
def test_expansion_is_that_of_the_rfc(text: str, expected: str) -> None:
    template = UriTemplate(text)
    assert template.expand(**{variable.name: VALUES[variable.name] for variable in template.variables}) == expected


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("n/{x}", {"x": 5}, "n/5"),
        ("n/{x}", {"x": 1.5}, "n/1.5"),
        ("n/{x}", {"x": True}, "n/true"),
        ("n/{x}", {"x": "é€"}, "n/%C3%A9%E2%82%AC"),
        ("n/{+x}", {"x": "a%2Fb%zz%"}, "n/a%2Fb%25zz%25"),
        ("n{/x*}", {"x": ("a", None, 2)}, "n/a/2"),
        ("n{?x*}", {"x": {"a": 1, "b": None, "c d": ""}}, "n?a=1&c%20d="),
        ("n{;x*}", {"x": ["", "a"]}, "n;x;x=a"),
        ("n{?x}", {"x": []}, "n"),
        ("é/%c3%a9", {}, "%C3%A9/%C3%A9"),
        ("{a.b}", {"a.b": 1}, "1"),
        ("{%41}", {"%41": 1}, "1"),
        ("", {}, ""),
    ],
)
def test_expansion_beyond_the_tables(text: str, values: dict[str, Any], expected: str) -> None:
    assert UriTemplate(text).expand(**values) == expected


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"y": 1}, "'n/{x}' has no variable 'y'; it has: x"),
        ({"x": b"a"}, "the template variable 'x' takes a string, .*, got bytes. Convert it"),
        ({"x": [["a"]]}, "'x' takes a string, .*, got list"),
        ({"x": {"a": {}}}, "'x' takes a string, .*, got dict"),
        ({"x": {"a"}}, "'x' takes a string, .*, got set"),
        ({"x": "a\ud800"}, "the value of the template variable 'x' is not Unicode text: lone surrogate at 1"),
    ],
)
def test_values_that_cannot_be_expanded_are_misuse(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(MisuseError, match=problem):
        UriTemplate("n/{x}").expand(**values)


def test_a_template_without_variables_has_none() -> None:
    with pytest.raises(MisuseError, match="it has: none"):
        UriTemplate("n").expand(x=1)


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("a/{x", 2, "the '{' here is never closed. Add the '}'"),
        ("a/{x/{y}", 5, "a '{' inside of an expression. Close the one before it first"),
        ("{{x}}", 1, "a '{' inside of an expression"),
        ("a}b", 1, "this '}' closes nothing"),
        ("{x}}", 3, "this '}' closes nothing"),
        ("a/{}", 3, "a variable has no name. Name it, as in {id}"),
        ("a/{?}", 4, "a variable has no name"),
        ("a/{*}", 3, "a variable has no name"),
        ("a/{x,}", 5, "a variable has no name"),
        ("a/{x,,y}", 5, "a variable has no name"),
        ("a/{=x}", 3, "the operator '=' is reserved (RFC 6570 section 2.2). Use one of + # . / ; ? & or none"),
        ("a/{!x}", 3, "the operator '!' is reserved"),
        ("a/{@x}", 3, "the operator '@' is reserved"),
        ("a/{|x}", 3, "the operator '|' is reserved"),
        ("a/{,x}", 3, "the operator ',' is reserved"),
        ("a/{x:3}", 3, "the prefix modifier of 'x:3' (level 4) is not supported. Write {x} and shorten"),
        ("a{/y,x:3}", 5, "the prefix modifier of 'x:3' (level 4) is not supported. Write {/x}"),
        ("a/{x:}", 3, "the prefix modifier"),
        ("a/{x**}", 4, "'*' cannot stand in the variable name 'x*'"),
        ("a/{x y}", 4, "' ' cannot stand in the variable name 'x y'. Use letters, digits and '_'"),
        ("a/{x-y}", 4, "'-' cannot stand in the variable name"),
        ("a/{ x}", 3, "' ' cannot stand in the variable name"),
        ("a/{é}", 3, "'é' cannot stand in the variable name"),
        ("a/{x%4}", 4, "'%' cannot stand in the variable name"),
        ("a/{x%zz}", 4, "'%' cannot stand in the variable name"),
        ("a/{x.}", 3, "the dots in 'x.' must have a letter or digit on both sides"),
        ("a/{x..y}", 3, "the dots in 'x..y'"),
        ("a b/{x}", 1, "' ' cannot stand in a URI. Percent-encode it"),
        ("a\\b", 1, "'\\\\' cannot stand in a URI"),
        ("a\nb", 1, "'\\n' cannot stand in a URI"),
        ("a\x7fb", 1, "'\\x7f' cannot stand in a URI"),
        ("a\x85b", 1, "'\\x85' cannot stand in a URI"),
        ("a\udc80b", 1, "a lone surrogate is not Unicode text"),
        ("100%", 3, "'%' must be followed by two hexadecimal digits. Write %25"),
        ("a%4{x}", 1, "'%' must be followed by two hexadecimal digits"),
        ("a%zz", 1, "'%' must be followed by two hexadecimal digits"),
        ("a/{x}/{x}", 6, "the variable 'x' is here and at position 2. Give each its own name"),
        ("{/who,who}", 0, "the variable 'who' is here and at position 0"),
        ("{x}{y}", 3, "'y' follows 'x' with nothing in between, so they cannot be told apart. Put a literal"),
        ("up{+path}{var}/here", 9, "'var' follows 'path' with nothing in between"),
        ("{x*}{+y}", 4, "'y' follows 'x' with nothing in between"),
        ("{/x*}{/y*}", 5, "where the list 'x' ends and the list 'y' begins cannot be told. Put a literal"),
        ("{/x*,y*}", 0, "where the list 'x' ends and the list 'y' begins cannot be told. Take one list apart"),
        ("{?x}{y}", 4, "where 'x' ends and 'y' begins cannot be told. Put the variables into one expression"),
        ("{?x}{?y}", 4, "where 'x' ends and 'y' begins cannot be told. Put .*, as in {?x,y}"),
        ("{?x}{&y}", 4, "where 'x' ends and 'y' begins cannot be told"),
        ("{;x}{;y}", 4, "where 'x' ends and 'y' begins cannot be told. Put .*, as in {;x,y}"),
        ("{;x}{.y}", 4, "where 'x' ends and 'y' begins cannot be told"),
        (
            "s{?q}&lang=en",
            1,
            "where this expression ends cannot be told from the '&' after it. Only '#' can follow it. Write",
        ),
        ("s{;q}x/y", 1, "where this expression ends cannot be told from the 'x' after it. Only '/', '?' or '#' can"),
        ("s?lang=en{?q}", 9, "a second '?'. Continue the query with '&', as in {&q}"),
        ("s{?q}/{?r}", 1, "where this expression ends cannot be told from the '/' after it"),
        ("a" * 9000, 8192, "the template is longer than 8192 characters"),
    ],
)
def test_a_bad_template_is_refused_where_it_is_declared(text: str, position: int, problem: str) -> None:
    with pytest.raises(RegistrationError) as caught:
        UriTemplate(text)
    message = str(caught.value)
    start, _, end = problem.partition(".*")
    assert message.startswith(f"URI template {text[:200]!r}"[:-1])
    assert f", position {position}: {start}" in message
    assert end in message
    assert len(message) < 500


@pytest.mark.parametrize("text", [None, 5, b"a/{x}"])
def test_a_template_is_a_string(text: Any) -> None:
    with pytest.raises(RegistrationError, match="a URI template must be a string"):
        UriTemplate(text)


@given(st.text(alphabet="{}ab/?&;,.+#*:%4 ", max_size=20))
def test_any_text_is_a_template_or_refused_and_never_fails_later(text: str) -> None:
    try:
        template = UriTemplate(text)
    except RegistrationError:
        return
    values = {variable.name: ["v", "w"] if variable.explode else "v" for variable in template.variables}
    uri = template.expand(**values)
    matched = template.match(uri)
    assert matched is None or template.unsafe(matched) is None
    template.match("")
    template.match(uri + "/")


# -- what a template says of itself -----------------------------------------------------------------------------------


def test_variables_are_in_order_with_operator_explode_and_requirement() -> None:
    template = UriTemplate("s://{a,b}{/c*}{;d}{?e,f*}{#g}")
    described = [(v.name, v.operator, v.explode, v.required) for v in template.variables]
    assert described == [
        ("a", "", False, True),
        ("b", "", False, True),
        ("c", "/", True, True),
        ("d", ";", False, False),
        ("e", "?", False, False),
        ("f", "?", True, False),
        ("g", "#", False, True),
    ]
    assert template.text == "s://{a,b}{/c*}{;d}{?e,f*}{#g}"
    assert repr(UriTemplate("a/{b}")) == "UriTemplate('a/{b}')"
    assert UriTemplate("a/{b}") == UriTemplate("a/{b}") != UriTemplate("a/{c}")
    assert UriTemplate("a/{b}") != "a/{b}"
    assert len({UriTemplate("a/{b}"), UriTemplate("a/{b}")}) == 1


def test_the_most_literal_template_sorts_first() -> None:
    texts = ["s://{+rest}", "s://{a}/{b}", "s://{a}", "s://fixed", "s://{a}/x", "s://{/rest*}", "s{/a}"]
    assert [t.text for t in sorted(map(UriTemplate, texts), key=lambda template: template.sort_key)] == [
        "s://fixed",
        "s://{a}/x",
        "s://{a}/{b}",
        "s://{/rest*}",
        "s://{a}",
        "s://{+rest}",
        "s{/a}",
    ]
    assert UriTemplate("users://{id}/profile").literals == len("users:///profile")
    assert UriTemplate("a{/b}").literals == UriTemplate("a/{b}").literals


# -- matching ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "uri", "expected"),
    [
        ("s://fixed", "s://fixed", {}),
        ("s://fixed", "s://fixed/", None),
        ("s://fixed", "s://fixe", None),
        ("aa{x}aa", "aaa", None),
        ("users://{id}/profile", "users://7/profile", {"id": "7"}),
        ("users://{id}/profile", "users://7/settings", None),
        ("users://{id}", "users://7/profile", None),
        ("users://{id}", "users://", None),
        ("users://{id}", "users://a%2Fb", {"id": "a/b"}),
        ("users://{id}", "users://a%2fb", {"id": "a/b"}),
        ("users://{id}", "users://%C3%A9", {"id": "é"}),
        ("users://{id}", "users://é", {"id": "é"}),
        ("users://{id}", "users://a:b@c,d;e=f!", {"id": "a:b@c,d;e=f!"}),
        ("users://{id}", "users://a+b", {"id": "a+b"}),
        ("users://{id}", "users://a?b", None),
        ("users://{id}", "users://a#b", None),
        ("users://{id}", "users://a b", None),
        ("users://{id}", "users://a\nb", None),
        ("users://{id}", "users://a\x7f", None),
        ("users://{id}", "users://a%", None),
        ("users://{id}", "users://a%4", None),
        ("users://{id}", "users://a%zz", None),
        ("users://{id}", "users://%FF", None),
        ("users://{id}", "users://\ud800", None),
        ("users://{id}", "Users://7", None),
        ("é/{x}", "é/1", {"x": "1"}),
        ("é/{x}", "%c3%A9/1", {"x": "1"}),
        ("{x}Fb", "a%2Fb", None),
        ("{x}2{y}", "a2%2Fb", {"x": "a", "y": "/b"}),
        ("{x}F{y}", "a%2Fb", None),
        # several
        ("{x,y}", "1,2", {"x": "1", "y": "2"}),
        ("{x,y}", "1,2,3", None),
        ("{x,y}", "1", None),
        ("{x}-{y}", "a-b-c", {"x": "a-b", "y": "c"}),
        ("{x}{.type}", "a.tar.gz", {"x": "a.tar", "type": "gz"}),
        ("{x}{.type}", "a", None),
        ("{x}{/y}", "a/b", {"x": "a", "y": "b"}),
        ("a{.x,y}", "a.b.c", {"x": "b", "y": "c"}),
        # reserved
        ("file:///{+path}", "file:///a/b.txt", {"path": "a/b.txt"}),
        ("file:///{+path}", "file:///a?b#c", {"path": "a?b#c"}),
        ("file:///{+path}", "file:///a%20b", {"path": "a b"}),
        ("file:///{+path}", "file:///", None),
        ("file:///{+folder}/{name}", "file:///a/b/c", {"folder": "a/b", "name": "c"}),
        ("file:///{name}/{+rest}", "file:///a/b/c", {"name": "a", "rest": "b/c"}),
        ("{+a}-{b}", "x-y/c-d", {"a": "x-y/c", "b": "d"}),
        ("{+a}/x/{b}", "x/x/x/x", {"a": "x/x", "b": "x"}),
        ("{+a}/x/{b}", "1/x/x/x/2", {"a": "1/x/x", "b": "2"}),
        ("{+a}/x/{b}", "1/x/2/3", None),
        ("file:///{+path}{?mode}", "file:///a/b?mode=r", {"path": "a/b", "mode": "r"}),
        ("file:///{+path}{?mode}", "file:///a/b", {"path": "a/b"}),
        ("file:///{+path}{?mode}", "file:///a/b?other=r", None),
        ("{+path}?k=1{&x}", "a&b?k=1&x=2", None),
        ("{+path}?k=1{&x}", "a/b?k=1&x=2", {"path": "a/b", "x": "2"}),
        ("{+path}{#part}", "a/b#c/d", {"path": "a/b", "part": "c/d"}),
        ("{+path}#{part}", "a/b#c", {"path": "a/b", "part": "c"}),
        ("doc{#part}", "doc#a?b/c#d", {"part": "a?b/c#d"}),
        ("doc{#part}", "doc", None),
        # lists
        ("f{/path*}", "f/a/b/c", {"path": ["a", "b", "c"]}),
        ("f{/path*}", "f/a%2Fb/c=d", {"path": ["a/b", "c=d"]}),
        ("f{/path*}", "f", None),
        ("f{/path*}", "f/", None),
        ("f{/path*}", "f/a//b", None),
        ("f{/path*}", "f//a", None),
        ("f{/path*}", "f/a/", None),
        ("f{/path*,name}", "f/a/b/c", {"path": ["a", "b"], "name": "c"}),
        ("f{/path*}/end", "f/a/end/end", {"path": ["a", "end"]}),
        ("f{/path*}{?q}", "f/a/b?q=1", {"path": ["a", "b"], "q": "1"}),
        ("f/{x*}", "f/a,b", {"x": ["a", "b"]}),
        ("f/{x*}", "f/a,,b", None),
        ("f/{x*,y}", "f/a,b,c", {"x": ["a", "b"], "y": "c"}),
        ("f{.x*}", "f.a.b", {"x": ["a", "b"]}),
        ("f/{+x*}", "f/a/b,c/d", {"x": ["a/b", "c/d"]}),
        ("f{/path}", "f/a,b", {"path": "a,b"}),
        # by name
        ("s{?a,b}", "s", {}),
        ("s{?a,b}", "s?a=1", {"a": "1"}),
        ("s{?a,b}", "s?b=2&a=1", {"a": "1", "b": "2"}),
        ("s{?a,b}", "s?a=1&c=3", None),
        ("s{?a,b}", "s?a=1&a=2", None),
        ("s{?a,b}", "s?", None),
        ("s{?a,b}", "s?a=1&", None),
        ("s{?a,b}", "s?=1", None),
        ("s{?a,b}", "s?a", {"a": ""}),
        ("s{?a,b}", "s?a=", {"a": ""}),
        ("s{?a,b}", "s?a=1=2", {"a": "1=2"}),
        ("s{?a,b}", "s?a=x/y?z", {"a": "x/y?z"}),
        ("s{?a,b}", "s?a=%26&b=%3D", {"a": "&", "b": "="}),
        ("s{?a,b}", "s?%61=1", {"a": "1"}),
        ("s{?a,b}", "s?a=%FF", None),
        ("s{?a,b}", "s?a=+", {"a": "+"}),
        ("s{?a}{#f}", "s?a=1#b", {"a": "1", "f": "b"}),
        ("s{?a}#end", "s#end", {}),
        ("s?x=1{&a}", "s?x=1&a=2", {"a": "2"}),
        ("s?x=1{&a}", "s?x=1", {}),
        ("s?x=1{&a}", "s?a=2&x=1", None),
        ("s?x={x}{&a}", "s?x=1&a=2", {"x": "1", "a": "2"}),
        ("s{?l*}", "s?l=1&l=2", {"l": ["1", "2"]}),
        ("s{?l*}", "s?a=1&b=2", {"l": {"a": "1", "b": "2"}}),
        ("s{?l*}", "s?a=1&l=2", {"l": {"a": "1", "l": "2"}}),
        ("s{?l*}", "s?a=1&a=2", None),
        ("s{?q,l*}", "s?a=1&q=x&b=2", {"q": "x", "l": {"a": "1", "b": "2"}}),
        ("s{?l*,m*}", "s?m=1&l=2&m=3", {"l": ["2"], "m": ["1", "3"]}),
        ("s{?l*,m*}", "s?x=1", None),
        ("map{;lat,lon}/tile", "map;lon=2;lat=1/tile", {"lat": "1", "lon": "2"}),
        ("map{;lat,lon}/tile", "map/tile", {}),
        ("map{;lat,lon}/tile", "map;lat=1;zoom=2/tile", None),
        ("{x}{;lat}{?q}", "a;lat=1?q=2", {"x": "a", "lat": "1", "q": "2"}),
        ("{x}{;lat}", "a;b;lat=1", None),
        ("{x}-a{;q}", "b;c-a", None),
        ("{x}-a{;q}", "b-a;q=-a", {"x": "b", "q": "-a"}),
        # nothing to match
        ("", "", {}),
        ("", "a", None),
        ("{x}", "", None),
        ("{?x}", "", {}),
    ],
)
def test_matching(text: str, uri: str, expected: dict[str, Any] | None) -> None:
    assert UriTemplate(text).match(uri) == expected


def test_values_come_in_the_order_of_the_template() -> None:
    assert list(UriTemplate("{c}/{a}{?z,b}").match("1/2?b=3&z=4") or ()) == ["c", "a", "z", "b"]


def test_a_uri_has_at_most_64_kib_once_encoded() -> None:
    template = UriTemplate("{x}")
    assert template.match("a" * MAX_URI) is not None
    assert template.match("a" * (MAX_URI + 1)) is None
    assert template.match("é" * (MAX_URI // 6)) is not None
    assert template.match("é" * (MAX_URI // 6 + 1)) is None


HOSTILE = ["/", ",", "/a", "a,", "a/", "%2F", "%2C", "=", "&a", "?", ";", ".", "a=b&", "{", "é", "#", "a-", "-"]
HOSTILE_TEMPLATES = [
    "s{/id*}",
    "s{?t*}",
    "s{+path}",
    "s{a,b,c}",
    "s{/a*}/x{/b}",
    "s{+a}/{+b}/{+c}/{+d}/{+e}-{+f}-{g}.txt",
    "s{x*}-{;p}{?q*}",
    "s{.x*}-{y}-{z}{#f*}",
]


@pytest.mark.parametrize("text", HOSTILE_TEMPLATES)
def test_the_work_grows_with_the_length_and_not_faster(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: each token looks at the whole URI once, so the steps do not depend on the URI at all."""
    template = UriTemplate(text)
    for piece in HOSTILE:
        for mismatch in ("", "!", "/", "%"):
            counts = [_steps(template, "s" + piece * (size // len(piece)) + mismatch) for size in (250, 500, 1000)]
            assert counts[2] - counts[1] <= 2.5 * max(0, counts[1] - counts[0]) + 50
            assert counts[2] < 40_000


def _steps(template: UriTemplate, uri: str) -> int:
    """How many lines of Python it takes to match `uri`, those of comprehensions included."""
    steps = 0

    def count(frame: Any, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += 1
        return count

    template.match(uri)  # what is done only once, such as compiling a regular expression, does not count
    before = sys.gettrace()  # a debugger, or what measures coverage
    sys.settrace(count)
    try:
        template.match(uri)
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.parametrize(
    ("text", "uri", "matches"),
    [
        # Anything that backtracks would not come back from these: 65,536 places to try, for up to 7 variables.
        ("s{/id*}", "s" + "/a" * 32_000, True),
        ("s{/id*}", "s" + "/a" * 32_000 + "/", False),
        ("s{/id*}", "s" + "/" * 65_000, False),
        ("s{/id*}", "s" + "," * 65_000 + "!", False),
        ("s{?t*}", "s?" + "t=,&" * 16_000 + "t", True),
        ("s{?t*}", "s?" + "t=,&" * 16_000, False),
        ("s{?t*}", "s" + "," * 65_000, False),
        ("s{+path}", "s" + "/" * 65_000, True),
        ("s{+path}!", "s" + "/" * 65_000, False),
        ("s{a,b,c}", "s" + "," * 65_000, False),
        ("s{a,b,c}", "s" + "a" * 65_000 + ",b,c", True),
        ("s{+a}/{+b}/{+c}/{+d}/{+e}-{+f}-{g}.txt", "s" + "/a-" * 21_000, False),
        ("s{+a}/{+b}/{+c}/{+d}/{+e}-{+f}-{g}.txt", "s" + "/a-" * 21_000 + "g.txt", True),
        ("s{x*}-{;p}{?q*}", "s" + "a,-;" * 16_000, False),
        ("s{.x*}-{y}-{z}{#f*}", "s" + ".x-" * 21_000 + "#" + "," * 99, False),
    ],
)
def test_64_kib_of_separators_are_answered(text: str, uri: str, matches: bool) -> None:
    assert (UriTemplate(text).match(uri) is not None) is matches


Token = str | tuple[str, str, str]
SIMPLE = "/?#"


def _expected(tokens: list[Token], uri: str) -> dict[str, Any] | None:
    """The rules once more, by backtracking from the back: shortest first, the last variable first."""
    pattern = ""
    for token in reversed(tokens):
        if isinstance(token, str):
            pattern += re.escape(token[::-1])
            continue
        name, excluded, separator = token
        run = f"[^{re.escape(excluded + separator)}]+?" if excluded + separator else ".+?"
        pattern += f"(?P<{name}>{run}(?:{re.escape(separator)}{run})*?)" if separator else f"(?P<{name}>{run})"
    found = re.fullmatch(pattern, uri[::-1])
    if found is None:
        return None
    texts = {token: found[token[0]][::-1] for token in tokens if isinstance(token, tuple)}
    return {name: text.split(separator) if separator else text for (name, _, separator), text in texts.items()}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("{a}-{b}-{c}", [("a", SIMPLE, ""), "-", ("b", SIMPLE, ""), "-", ("c", SIMPLE, "")]),
        ("{+a}/{b}", [("a", "", ""), "/", ("b", SIMPLE, "")]),
        ("{a}/{+b}/{c}", [("a", SIMPLE, ""), "/", ("b", "", ""), "/", ("c", SIMPLE, "")]),
        ("{+a}-{b}/{+c}", [("a", "", ""), "-", ("b", SIMPLE, ""), "/", ("c", "", "")]),
        ("{+a}{/b*}-{c}", [("a", "", ""), "/", ("b", "?#", "/"), "-", ("c", SIMPLE, "")]),
        ("x{/a*}/x{/b*}", ["x/", ("a", "?#", "/"), "/x/", ("b", "?#", "/")]),
        ("{a*}-x{.b*,c}", [("a", SIMPLE, ","), "-x.", ("b", SIMPLE, "."), ".", ("c", SIMPLE, "")]),
        ("{a,b}/{+c*}", [("a", SIMPLE + ",", ""), ",", ("b", SIMPLE + ",", ""), "/", ("c", "", ",")]),
        ("{+a}?{b}{#c}", [("a", "?#", ""), "?", ("b", SIMPLE + "#", ""), "#", ("c", "", "")]),
    ],
)
@given(uri=st.text(alphabet="ax/-,.?#", max_size=14))
def test_matching_agrees_with_a_matcher_that_backtracks(text: str, tokens: list[Token], uri: str) -> None:
    assert UriTemplate(text).match(uri) == _expected(tokens, uri)


# -- there and back ---------------------------------------------------------------------------------------------------

anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
maybe_empty = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
lists = st.lists(anything, min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("text", "strategies"),
    [
        ("s://{a}", {"a": anything}),
        ("s://{a}/b/{c}", {"a": anything, "c": anything}),
        ("s://{a,b}/{c}", {"a": anything, "b": anything, "c": anything}),
        ("s:/{/a,b}", {"a": anything, "b": anything}),
        ("s:/{/a*}", {"a": lists}),
        ("s:/{/a*,b}/c", {"a": lists, "b": anything}),
        ("s://{a*}", {"a": lists}),
        ("s://{a}{;b,c}/d", {"a": anything, "b": maybe_empty, "c": maybe_empty}),
        ("s://a{?b,c}", {"b": maybe_empty, "c": maybe_empty}),
        ("s://{a}{?b*}", {"a": anything, "b": st.lists(maybe_empty, min_size=1, max_size=4)}),
        ("s://{a}{?b*}", {"a": anything, "b": st.dictionaries(anything, maybe_empty, min_size=1, max_size=4)}),
        ("s://a?x=1{&b*,c}", {"b": st.lists(maybe_empty, min_size=1, max_size=4), "c": maybe_empty}),
        ("s://{a}{/b*}{;c}{?d}{#e}", {"a": anything, "b": lists, "c": maybe_empty, "d": maybe_empty, "e": anything}),
    ],
)
@given(data=st.data())
def test_what_was_expanded_is_matched(text: str, strategies: dict[str, Any], data: st.DataObject) -> None:
    template = UriTemplate(text)
    values = {name: data.draw(strategy, name) for name, strategy in strategies.items()}
    assume(not any(isinstance(value, dict) and set(value) == {"b"} for value in values.values()))
    assume(not any("%" in value for name, value in values.items() if f"#{name}" in text))
    assert template.match(template.expand(**values)) == values


@given(st.lists(st.text(alphabet="abc.-_~ %?é\\;", min_size=1, max_size=5), min_size=1, max_size=4), anything)
def test_a_path_and_a_query_come_back(segments: list[str], query: str) -> None:
    path = "/".join(segments)
    assume("?" not in path and "%" not in path)
    template = UriTemplate("file:///{+path}{?query}")
    assert template.match(template.expand(path=path, query=query)) == {"path": path, "query": query}
    assert template.match(template.expand(path=path)) == {"path": path}


pieces = st.lists(st.sampled_from(["/", "a", "b=", "?t=", "&t=", "=", ",", ";p=1", "%2F", "%26", "é", "."]), max_size=9)


@pytest.mark.parametrize("text", ["s{/id*}", "s{?t*}", "s{+path}", "s{a}{;p}{?t}", "s{a,b}", "s{/a,b}{?t,x*}"])
@given(pieces=pieces)
def test_what_was_matched_means_the_same_when_expanded_again(text: str, pieces: list[str]) -> None:
    template = UriTemplate(text)
    values = template.match("s" + "".join(pieces))
    assert values is None or template.match(template.expand(**values)) == values


# -- safety -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "uri", "reason"),
    [
        ("f:///{name}", "f:///a.txt", None),
        ("f:///{name}", "f:///..a", None),
        ("f:///{name}", "f:///...", None),
        ("f:///{name}", "f:///a..b", None),
        ("f:///{name}", "f:///12:30", None),
        ("f:///{name}", "f:///..", "name: it holds a '..' segment, which leads out of its folder"),
        ("f:///{name}", "f:///%2e%2E", "name: it holds a '..' segment"),
        ("f:///{name}", "f:///..%20", "name: it holds a '..' segment"),
        ("f:///{name}", "f:///.", "name: it is '.', which names a folder"),
        ("f:///{name}", "f:///a%2Fb", "name: it holds an encoded slash, but is one segment of a path"),
        ("f:///{name}", "f:///..%2F..%2Fetc%2Fpasswd", "name: it holds an encoded slash"),
        ("f:///{name}", "f:///%2Fetc", "name: it holds an encoded slash"),
        ("f:///{name}", "f:///a%5Cb", "name: it holds an encoded slash"),
        ("f:///{name}", "f:///a\\b", "name: it holds an encoded slash"),
        ("f:///{name}", "f:///a%00.txt", "name: it holds a NUL character"),
        ("f:///{+path}", "f:///a/b.txt", None),
        ("f:///{+path}", "f:///a/./b", None),
        ("f:///{+path}", "f:///a/../b", "path: it holds a '..' segment"),
        ("f:///{+path}", "f:///a/%2e%2e/b", "path: it holds a '..' segment"),
        ("f:///{+path}", "f:///a%2F..%2Fb", "path: it holds a '..' segment"),
        ("f:///{+path}", "f:///a\\..\\b", "path: it holds a '..' segment"),
        ("f:///{+path}", "f:////etc/passwd", "path: it is an absolute path"),
        ("f:///{+path}", "f:///%2Fetc/passwd", "path: it is an absolute path"),
        ("f:///{+path}", "f:///%5C%5Chost/share", "path: it is an absolute path"),
        ("f:///{+path}", "f:///C:/windows", "path: it is an absolute path"),
        ("f:///{+path}", "f:///c:%5Cwindows", "path: it is an absolute path"),
        ("f:///{+path}", "f:///a%00b", "path: it holds a NUL character"),
        ("f://{/path*}", "f:///a/b", None),
        ("f://{/path*}", "f:///a/../b", "path: it holds a '..' segment"),
        ("f://{/path*}", "f:///a/b%2Fc", "path: it holds an encoded slash"),
        ("f:///a{;v}", "f:///a;v=..", "v: it holds a '..' segment"),
        ("f:///a{?q}", "f:///a?q=a/b", None),
        ("f:///a{?q}", "f:///a?q=.", None),
        ("f:///a{?q}", "f:///a", None),
        ("f:///a{?q}", "f:///a?q=../b", "q: it holds a '..' segment"),
        ("f:///a{?q}", "f:///a?q=/etc/passwd", "q: it is an absolute path"),
        ("f:///a{?q}", "f:///a?q=%00", "q: it holds a NUL character"),
        ("f:///a{?q*}", "f:///a?x=..", "q: it holds a '..' segment"),
        ("f:///a{?q*}", "f:///a?..=x", "q: it holds a '..' segment"),
        ("f:///a{#part}", "f:///a#../b", "part: it holds a '..' segment"),
    ],
)
def test_values_that_would_lead_out_of_a_folder_are_unsafe(text: str, uri: str, reason: str | None) -> None:
    template = UriTemplate(text)
    values = template.match(uri)
    assert values is not None
    found = template.unsafe(values)
    assert found is None if reason is None else found is not None and found.startswith(reason)
    assert template.unsafe(values, exempt=[variable.name for variable in template.variables]) is None


@pytest.mark.parametrize(
    ("one", "other", "twins"),
    [
        ("x://{a}", "x://{b}", True),
        ("x://{+a}", "x://{+b}", True),
        ("x://a{/b*}", "x://a{/c*}", True),
        ("x://{a}/{b}", "x://{b}/{a}", True),
        ("x://{a}{?q,page}", "x://{b}{?page,q}", True),
        ("x://%c3%bc/{a}", "x://ü/{b}", True),
        ("x://{a}", "x://{+a}", False),
        ("x://{a}", "x://{a}/", False),
        ("x://{a,b}", "x://{a},{b}", False),
        ("x://{a}{?q}", "x://{a}{?p}", False),
        ("x://{a}{?q}", "x://{a}{?q*}", False),
        ("x://{a*}", "x://{a}", False),
    ],
)
def test_twins_match_the_same_uris(one: str, other: str, twins: bool) -> None:
    assert UriTemplate(one).is_twin_of(UriTemplate(other)) is twins
    assert UriTemplate(other).is_twin_of(UriTemplate(one)) is twins


def test_only_the_exempt_variable_is_not_looked_at() -> None:
    template = UriTemplate("f:///{a}/{b}")
    values = template.match("f:///../..")
    assert values is not None
    assert template.unsafe(values, exempt=["a"]) == "b: it holds a '..' segment, which leads out of its folder"
