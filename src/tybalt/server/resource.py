"""Resources and resource templates: functions that produce what a client reads by URI.

A URI without variables is one resource; a URI with them (RFC 6570) is a template, and its variables become the
function's arguments, converted to the annotated types. Matching is `uri_template`'s business, conversion of what comes
back that of `contents`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, Unpack

from msgspec import ValidationError

from tybalt.errors import RegistrationError
from tybalt.execution.budgets import Budget
from tybalt.server.contents import resource_contents
from tybalt.server.context import Context
from tybalt.server.declaration import Declaration
from tybalt.server.options import CacheScope, ResourceOptions
from tybalt.server.parameters import compile_parameters
from tybalt.server.uri_expression import parse
from tybalt.server.uri_template import UriTemplate
from tybalt.types.resources import ReadResourceResult
from tybalt.types.resources import Resource as ResourceDefinition
from tybalt.types.resources import ResourceTemplate as ResourceTemplateDefinition

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Readable(Declaration[P, R], Generic[P, R]):
    """What resources and templates share: a URI, caching hints, and the type of what is read."""

    option_names = frozenset({*ResourceOptions.__annotations__, "uri"})

    def __init__(self, function: Callable[P, R], /, *, uri: str, **options: Unpack[ResourceOptions]) -> None:
        super().__init__(function, {"uri": uri, **options})
        self.uri: str = self.options["uri"]
        self.mime_type: str | None = self.options.get("mime_type")
        self.scope: CacheScope = self.options.get("scope", "private")
        self.ttl_ms = int(self.options.get("ttl", 0) * 1000)
        _check_scheme(self.uri, self.where)
        self.parameters = compile_parameters(function, where=self.where, inject=(Context, Budget))

    @property
    def key(self) -> str:
        """The URI, or the template."""
        return self.uri

    def result(self, uri: str, value: Any) -> ReadResourceResult:
        """The result of reading `uri`, from what the function returned."""
        if isinstance(value, ReadResourceResult):
            return value
        contents = resource_contents(value, uri=uri, mime_type=self.mime_type)
        return ReadResourceResult(contents=contents, ttl_ms=self.ttl_ms, cache_scope=self.scope)

    def _located(self, read: Callable[[str], T], uri: str) -> T:
        """What `read` makes of the URI; its complaints with the function in front."""
        try:
            return read(uri)
        except RegistrationError as error:
            raise RegistrationError(f"{self.where}: {error}") from None


class Resource(Readable[P, R], Generic[P, R]):
    """A function declared as the resource `uri`; it takes no argument but a `Context`, and those with defaults."""

    kind = "resource"
    noun = "resource"

    def __init__(self, function: Callable[P, R], /, *, uri: str, **options: Unpack[ResourceOptions]) -> None:
        super().__init__(function, uri=uri, **options)
        self._located(parse, self.uri)
        if "unchecked" in self.options:
            raise RegistrationError(f"{self.where}: unchecked: {uri!r} has no variables; leave it out")
        for name in self.parameters.schema.get("required", ()):
            raise RegistrationError(
                f"{self.where}: parameter {name!r} has no variable in {uri!r}. "
                f"Put {{{name}}} into the URI, or take the parameter out"
            )
        self.definition = ResourceDefinition(
            uri=uri,
            name=self.name,
            title=self.options.get("title"),
            description=self.description,
            mime_type=self.mime_type,
            size=self.options.get("size"),
            annotations=self.options.get("annotations"),
            icons=self.icons,
            meta=self.advertised_meta,
        )

    def arguments(self, variables: Mapping[str, Any]) -> Any:
        """The function's arguments: its defaults."""
        return self.parameters.from_strings({})


class ResourceTemplate(Readable[P, R], Generic[P, R]):
    """A function declared as a family of resources; every variable of the template is one of its parameters."""

    kind = "template"
    noun = "resource template"

    def __init__(self, function: Callable[P, R], /, *, uri: str, **options: Unpack[ResourceOptions]) -> None:
        super().__init__(function, uri=uri, **options)
        if "size" in self.options:
            raise RegistrationError(f"{self.where}: size: a template has no size; leave it out")
        self.template = self._located(UriTemplate, self.uri)
        self.unchecked: frozenset[str] = self.options.get("unchecked", frozenset())
        self._check_variables()
        self.definition = ResourceTemplateDefinition(
            uri_template=uri,
            name=self.name,
            title=self.options.get("title"),
            description=self.description,
            mime_type=self.mime_type,
            annotations=self.options.get("annotations"),
            icons=self.icons,
            meta=self.advertised_meta,
        )

    def arguments(self, variables: Mapping[str, Any]) -> Any:
        """The function's arguments from template variables.

        Raises `msgspec.ValidationError` where they do not convert, or would reach out of their path
        (2026-07-28 server/resources, "Security Considerations"); those named in `unchecked` are no part of one.
        """
        if (reason := self.template.unsafe(variables, exempt=self.unchecked)) is not None:
            raise ValidationError(reason)
        return self.parameters.from_strings(variables)

    def refuse_twin(self, other: "ResourceTemplate[..., Any]") -> None:
        """Raise `RegistrationError` if `other`, which was there first, matches the same URIs and would answer all."""
        if self.template.is_twin_of(other.template):
            raise RegistrationError(
                f"{self.where}: {self.uri!r} matches the same URIs as {other.uri!r} of {other.where}, which was there "
                "first and would answer them all. Take one of the two out, or give one a literal that the other has not"
            )

    def _check_variables(self) -> None:
        variables = {variable.name for variable in self.template.variables}
        for name in sorted(variables - set(self.parameters.names)):
            raise RegistrationError(
                f"{self.where}: the variable {{{name}}} of {self.uri!r} has no parameter. "
                f"Add a parameter {name!r} to the function, or take the variable out of the URI"
            )
        for name in sorted(set(self.parameters.schema.get("required", ())) - variables):
            raise RegistrationError(
                f"{self.where}: parameter {name!r} has no variable in {self.uri!r} and no default. "
                f"Put {{{name}}} into the URI, or give the parameter a default"
            )
        for name in sorted(self.unchecked - variables):
            raise RegistrationError(
                f"{self.where}: unchecked: {self.uri!r} has no variable {name!r}; it has {', '.join(sorted(variables))}"
            )


def declare_resource(
    function: Callable[P, R], uri: str, **options: Unpack[ResourceOptions]
) -> Resource[P, R] | ResourceTemplate[P, R]:
    """A resource for a plain URI, a template for one with variables."""
    if isinstance(uri, str) and "{" in uri:  # pyright: ignore[reportUnnecessaryIsInstance] (`Resource` refuses others)
        return ResourceTemplate(function, uri=uri, **options)
    return Resource(function, uri=uri, **options)


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


def _check_scheme(uri: str, where: str) -> None:
    """A URI begins with a scheme (RFC 3986 section 3.1); that of a template may be a variable."""
    scheme, colon, _ = uri.partition(":")
    if not colon:
        raise RegistrationError(f"{where}: {uri!r} has no scheme, so it is no URI. Write one, as in 'data://{uri}'")
    if "{" not in scheme and not _SCHEME.fullmatch(scheme):
        raise RegistrationError(
            f"{where}: {uri!r} begins with {scheme!r}, which is no scheme. "
            "Use a letter, then letters, digits, '+', '-' and '.'"
        )
