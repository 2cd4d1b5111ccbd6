"""Templates that cannot be read backwards, because the place of a part cannot be found from what surrounds it.

They are refused when they are declared, with the position and a remedy, so that no URI is ever split by luck. What is
merely a choice (`{name}{.type}`) is not refused: `uri_match` says how it is made.
"""

from tybalt.server.uri_expression import Expression, refuse


def refuse_ambiguous(text: str, parts: tuple[str | Expression, ...]) -> None:
    """Raise `RegistrationError` where the place of a part cannot be found from what surrounds it."""
    before: str | Expression = ""
    query = False
    for part in parts:
        if isinstance(part, str):
            if isinstance(before, Expression) and before.operator.named:
                _refuse_literal_behind_pairs(text, before, part)
        else:
            _refuse_neighbours(text, before, part)
            if part.operator.first == "?" and query:
                name = part.variables[0].name
                refuse(text, part.position, "a second '?'", f"Continue the query with '&', as in {{&{name}}}")
            _refuse_two_lists(text, part)
        query = query or ("?" in part if isinstance(part, str) else part.operator.first == "?")
        before = part


def _refuse_literal_behind_pairs(text: str, pairs: Expression, literal: str) -> None:
    ends, remedy = _ends(pairs)
    if literal[0] not in ends:
        problem = f"where this expression ends cannot be told from the {literal[0]!r} after it"
        refuse(text, pairs.position, problem, remedy)


def _refuse_neighbours(text: str, before: str | Expression, part: Expression) -> None:
    """Two expressions with nothing in between must be told apart by the second one's first character."""
    if isinstance(before, str):
        return
    name, previous = part.variables[0].name, before.variables[-1].name
    if before.operator.named:
        ends, _ = _ends(before)
        if not part.operator.first or part.operator.first not in ends:
            symbol = before.operator.symbol
            remedy = f"Put the variables into one expression, as in {{{symbol}{previous},{name}}}"
            refuse(text, part.position, f"where {previous!r} ends and {name!r} begins cannot be told", remedy)
    elif not part.operator.first:
        problem = f"{name!r} follows {previous!r} with nothing in between, so they cannot be told apart"
        refuse(text, part.position, problem, "Put a literal such as '/' between them")
    elif before.variables[-1].explode and part.variables[0].explode and before.operator == part.operator:
        problem = f"where the list {previous!r} ends and the list {name!r} begins cannot be told"
        refuse(text, part.position, problem, "Put a literal between them, or take one list apart in the handler")


def _refuse_two_lists(text: str, expression: Expression) -> None:
    if expression.operator.named:
        return
    for first, second in zip(expression.variables, expression.variables[1:], strict=False):
        if first.explode and second.explode:
            problem = f"where the list {first.name!r} ends and the list {second.name!r} begins cannot be told"
            refuse(text, expression.position, problem, "Take one list apart in the handler")


def _ends(pairs: Expression) -> tuple[str, str]:
    """The characters that may follow an expression by name, and what to do about others."""
    if pairs.operator.first == ";":
        return "/?#", "Only '/', '?' or '#' can follow it"
    return "#", "Only '#' can follow it. Write what is fixed before the variables, as in ?lang=en{&q}"
