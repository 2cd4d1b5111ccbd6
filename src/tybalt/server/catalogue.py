"""Everything a server offers: tools, resources, resource templates, prompts; their order, their views, their changes.

The catalogue compiles what is added, keeps the answers to list requests as bytes until something changes, and tells
whoever watches when it does. It serves no request: `session` looks up here and runs there.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from weakref import WeakKeyDictionary

from tybalt.errors import InvalidParams, RegistrationError, ResourceNotFound, cut
from tybalt.protocol.answers import Answers, encode
from tybalt.protocol.codec import UNREADABLE
from tybalt.protocol.cursors import page
from tybalt.protocol.subscriptions import ListName
from tybalt.server.declaration import Declaration, Kind
from tybalt.types.adaptation import adapt
from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.implementation import Implementation
from tybalt.types.revisions import REVISIONS, era_of

if TYPE_CHECKING:
    from tybalt.server.plain_calls import Decode, Run

Call = Callable[[Any, Any], bytes | None]
"""A compiled tool: from a request and its session to the answer, or `None` when that comes later."""

OnDuplicate = Literal["error", "warn", "replace", "ignore"]

MAX_CALLED: Final = 64
"""Tools that the decoder for plain calls knows."""

LIST_KEYS: Final[dict[Kind, str]] = {
    "tool": "tools",
    "resource": "resources",
    "template": "resourceTemplates",
    "prompt": "prompts",
}
_LIST_NAMES: Final[dict[Kind, ListName]] = {
    "tool": "tools",
    "resource": "resources",
    "template": "resources",
    "prompt": "prompts",
}


class Watcher(Protocol):
    """Who is told when the catalogue changes."""

    def catalogue_changed(self, name: ListName) -> None:
        """The list called `name` is another one now."""
        ...


class Entry:
    """A declaration in one catalogue: under which key, in which order, and whether clients may see it."""

    __slots__ = ("declaration", "enabled", "key", "sequence")

    def __init__(self, declaration: Any, key: str, sequence: int) -> None:
        self.declaration = declaration
        self.key = key
        self.sequence = sequence
        self.enabled = True


class Catalogue:
    """What one server offers.

    `page_size` is how many entries one list answer holds, `None` for all. `on_duplicate` says what happens when a key
    is taken: an error (default), a warning and the first stays, the new one replaces it, or it is ignored. `ttl_ms` and
    `cache_scope` are the hints on list answers.
    """

    def __init__(
        self,
        implementation: Implementation,
        *,
        page_size: int | None = None,
        on_duplicate: OnDuplicate = "error",
        ttl_ms: int = 0,
        cache_scope: str = "public",
    ) -> None:
        self._entries: dict[Kind, dict[str, Entry]] = {"tool": {}, "resource": {}, "template": {}, "prompt": {}}
        self._ever: set[Kind] = set()
        self._page_size = page_size
        self._on_duplicate = on_duplicate
        self.hints = {"ttlMs": ttl_ms, "cacheScope": cache_scope}
        self._answers = {revision: Answers(revision, implementation) for revision in REVISIONS}
        self._calls: dict[str, dict[str, Call]] = {}
        self._plain: dict[str, dict[str, tuple[Any, Any]]] = {}
        self._called: dict[str, dict[str, tuple[Any, Any]]] = {}
        self._decoders: dict[str, Decode | None] = {}
        self._pages: dict[tuple[Kind, str], dict[str | None, bytes | None]] = {}
        self._templates: list[Any] | None = None
        self._sequence = 0
        self.on_gone: Callable[[Any], object] = _nobody
        """Called with a declaration that is no longer in here."""
        self._watchers: WeakKeyDictionary[Watcher, None] = WeakKeyDictionary()

    # -- changing it ------------------------------------------------------------------------------------------------

    def add(self, declaration: Any) -> Entry:
        """Add a declaration and compile it; what happens to a duplicate is `on_duplicate`'s choice."""
        kind, key = kind_and_key(declaration)
        present = self._entries[kind].get(key)
        if present is not None and not self._may_replace(kind, key, declaration.where):
            return Entry(declaration, key, 0)  # A handle on what is not there: removing it removes nothing.
        if kind == "template":
            for other in self._entries[kind].values():
                if other.key != key:
                    declaration.refuse_twin(other.declaration)
        self._sequence += 1
        entry = Entry(declaration, key, present.sequence if present else self._sequence)
        self._entries[kind][key] = entry
        self._ever.add(kind)
        self._changed(kind, key)
        if present is not None:
            self.on_gone(present.declaration)
        return entry

    def remove(self, entry: Entry) -> None:
        """Take an entry out; nothing happens if it is out already."""
        kind, key = kind_and_key(entry.declaration)
        if self._entries[kind].get(key) is entry:
            del self._entries[kind][key]
            self._changed(kind, key)
            self.on_gone(entry.declaration)

    def holds(self, entry: Entry) -> bool:
        """Whether an entry is in the catalogue, enabled or not."""
        return self._entries[entry.declaration.kind].get(entry.key) is entry

    def set_enabled(self, entry: Entry, enabled: bool) -> None:
        """Show an entry to clients, or hide it as if it were not there."""
        kind, key = kind_and_key(entry.declaration)
        if entry.enabled is not enabled:
            entry.enabled = enabled
            if self._entries[kind].get(key) is entry:
                self._changed(kind, key)

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` of changes for as long as it lives, after those who watched before it."""
        self._watchers[watcher] = None

    def unwatch(self, watcher: Watcher) -> None:
        """Tell `watcher` no more."""
        self._watchers.pop(watcher, None)

    def watching(self) -> tuple[Watcher, ...]:
        """Who is told of changes now."""
        return tuple(self._watchers)

    def _may_replace(self, kind: Kind, key: str, where: str) -> bool:
        text = f"{where}: a {kind} called {key!r} is there already"
        if self._on_duplicate == "error":
            raise RegistrationError(f"{text}. Give one of them another name, or pass on_duplicate= to the server")
        if self._on_duplicate == "warn":
            warnings.warn(f"{text}; the first one stays", stacklevel=_authors_level())
        return self._on_duplicate == "replace"

    def _changed(self, kind: Kind, changed: str) -> None:
        """Forget what was made of the list, and of the one entry that is another now, or gone."""
        self._templates = None
        if kind == "tool":
            for called in self._called.values():
                called.pop(changed, None)
            self._decoders.clear()
            for revision in self._calls:
                self._compile(changed, revision)
        for key in [key for key in self._pages if key[0] == kind]:
            del self._pages[key]
        for watcher in tuple(self._watchers):
            watcher.catalogue_changed(_LIST_NAMES[kind])

    # -- reading it -------------------------------------------------------------------------------------------------

    def get(self, kind: Kind, key: str) -> Any:
        """The enabled declaration under this key, or `None`."""
        entry = self._entries[kind].get(key)
        return entry.declaration if entry is not None and entry.enabled else None

    def entry(self, kind: Kind, key: str) -> Entry | None:
        """The entry under this key, enabled or not, or `None`."""
        return self._entries[kind].get(key)

    def declarations(self, kind: Kind) -> Iterator[Any]:
        """The enabled declarations of a kind, in the order they were added."""
        entries = sorted(self._entries[kind].values(), key=lambda entry: entry.sequence)
        return (entry.declaration for entry in entries if entry.enabled)

    def calls(self, revision: str) -> dict[str, Call]:
        """The compiled tools of a revision by name: a live dict, kept up to date when tools change."""
        if revision not in self._calls:
            self._calls[revision], self._plain[revision] = {}, {}
            for name in self._entries["tool"]:
                self._compile(name, revision)
        return self._calls[revision]

    def plain_tools(self, revision: str) -> "Mapping[str, tuple[Any, Run]]":
        """The plain ones of `calls` by name, in a live dict too."""
        self.calls(revision)
        return self._plain[revision]

    def called_tools(self, revision: str) -> Mapping[str, object]:
        """Those of `plain_tools` that the decoder of `plain_calls` knows, in a live dict too."""
        return self._called.setdefault(revision, {})

    def plain_calls(self, revision: str, called: str) -> "Decode | None":
        """The decoder that knows the plain tools that are called, `called` from now on too; see `plain_calls.py`.

        It is made when it is asked for, and knows `MAX_CALLED` tools at most: for each it costs 40 µs.
        """
        plain, known = self.plain_tools(revision), self._called.setdefault(revision, {})
        if called in plain and called not in known and len(known) < MAX_CALLED:
            known[called] = self._plain[revision][called]
            self._decoders.pop(revision, None)
        if revision not in self._decoders:
            from tybalt.server.plain_calls import compile_plain_calls

            self._decoders[revision] = compile_plain_calls(known, era_of(revision))
        return self._decoders[revision]

    def decoder(self, revision: str) -> "Decode | None":
        """What `plain_calls` gave last, as long as no tool has changed since."""
        return self._decoders.get(revision)

    def answers(self, revision: str) -> Answers:
        """The answer pieces of a revision."""
        return self._answers[revision]

    def page(self, kind: Kind, revision: str, cursor: str | None) -> bytes:
        """One page of a list as the fields of a result (see `Answers.encoded`), encoded once until the list changes.

        Raises `InvalidParams` for a cursor that is not ours.
        """
        pages = self._pages.setdefault((kind, revision), {None: None})
        if (found := pages.get(cursor)) is None:
            found, following = self._encode_page(kind, revision, cursor)
            if cursor in pages:  # Cursors that clients make up are answered, but not kept.
                pages[cursor] = found
                pages.setdefault(following, None)
        return found

    def listed(self, kind: Kind, cursor: str | None) -> tuple[list[Any], str | None]:
        """One page of a list as definitions in the newest shape, and the cursor of the next.

        Raises `InvalidParams` for a cursor that is not ours.
        """
        declarations = list(self.declarations(kind))
        keys = [kind_and_key(declaration)[1] for declaration in declarations]
        chosen, following = page(keys, cursor, self._page_size or max(len(keys), 1), LIST_KEYS[kind])
        return [declarations[index].definition for index in chosen], following

    def find_resource(self, uri: str) -> tuple[Any, dict[str, Any]] | None:
        """The resource that answers to a URI and the template variables in it: exact first, then most literal first."""
        if (resource := self.get("resource", uri)) is not None:
            return resource, {}
        if self._templates is None:
            self._templates = sorted(self.declarations("template"), key=lambda template: template.template.sort_key)
        for template in self._templates:
            if (variables := template.template.match(uri)) is not None:
                return template, variables
        return None

    def resource_call(self, uri: str) -> tuple[Any, Any]:
        """The resource that answers to a URI, and the arguments to read it with.

        Raises `ResourceNotFound`, also for variables that do not convert or that try to leave their path: such a
        resource does not exist.
        """
        found = self.find_resource(uri)
        if found is None:
            raise ResourceNotFound(uri)
        resource, variables = found
        try:
            return resource, resource.arguments(variables)
        except UNREADABLE:
            raise ResourceNotFound(uri) from None

    def prompt_call(self, name: str, arguments: Mapping[str, str]) -> tuple[Any, Any]:
        """The prompt called `name`, and its arguments converted. Raises `InvalidParams`, saying which and why."""
        prompt = self.get("prompt", name)
        if prompt is None:
            raise InvalidParams(f"Unknown prompt: {cut(name)}")
        try:
            return prompt, prompt.parameters.from_strings(arguments)
        except UNREADABLE as error:
            text = str(error).removeprefix("Invalid arguments: ")
            raise InvalidParams(f"Invalid arguments for prompt {name}: {text}") from None

    def capabilities(self, *, completions: bool, is_forgetful: bool = False) -> ServerCapabilities:
        """What the server can do, from what was ever in it: a list that became empty is still a list.

        One that remembers nothing of its clients tells none of changes, and knows no log level they have set.
        """
        changes = {} if is_forgetful else {"listChanged": True}
        watching = {} if is_forgetful else {"subscribe": True}
        return ServerCapabilities(
            tools=changes if "tool" in self._ever else None,
            resources={**watching, **changes} if self._ever & {"resource", "template"} else None,
            prompts=changes if "prompt" in self._ever else None,
            completions={} if completions else None,
            logging=None if is_forgetful else {},
        )

    def _compile(self, name: str, revision: str) -> None:
        """Bring the one tool called `name` up to date in `calls` and `plain_tools`."""
        calls, plain = self._calls[revision], self._plain[revision]
        calls.pop(name, None)
        plain.pop(name, None)
        tool = self.get("tool", name)
        if tool is not None:
            calls[name], run = tool.compile(self._answers[revision])
            if run is not None:
                plain[name] = tool, run

    def _encode_page(self, kind: Kind, revision: str, cursor: str | None) -> tuple[bytes, str | None]:
        """One page, and the cursor of the next."""
        definitions, following = self.listed(kind, cursor)
        result: dict[str, Any] = {LIST_KEYS[kind]: [adapt(each, revision) for each in definitions]}
        if following is not None:
            result["nextCursor"] = following
        if era_of(revision) == "modern":
            result |= self.hints
        return encode(result)[1:-1], following


def _nobody(_: Any) -> None:
    """Nobody wants to know."""


def kind_and_key(declaration: Declaration[..., Any]) -> tuple[Kind, str]:
    """What a declaration is, and what it is known by: a name, a URI, or a template."""
    return declaration.kind, declaration.key


def _authors_level() -> int:
    """The stack level, seen from the caller, of the first frame outside of this package: the author's own."""
    from inspect import currentframe

    frame, level = currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("tybalt."):
        frame, level = frame.f_back, level + 1
    return level
