"""Prompts: functions that produce messages for a user to start from.

Arguments arrive as strings and are converted to the annotated types; what comes back is turned into messages by
`messages`.
"""

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, Unpack

from tybalt.execution.budgets import Budget
from tybalt.server.context import Context
from tybalt.server.declaration import Declaration
from tybalt.server.messages import prompt_messages
from tybalt.server.options import PromptOptions
from tybalt.server.parameters import Parameters, compile_parameters
from tybalt.types.prompts import GetPromptResult, PromptArgument
from tybalt.types.prompts import Prompt as PromptDefinition

P = ParamSpec("P")
R = TypeVar("R")


class Prompt(Declaration[P, R], Generic[P, R]):
    """A function declared as a prompt. `definition` is what `prompts/list` shows."""

    kind = "prompt"
    noun = "prompt"

    option_names = frozenset(PromptOptions.__annotations__)

    def __init__(self, function: Callable[P, R], /, **options: Unpack[PromptOptions]) -> None:
        super().__init__(function, options)
        self.parameters = compile_parameters(function, where=self.where, inject=(Context, Budget))
        self.definition = PromptDefinition(
            name=self.name,
            title=self.options.get("title"),
            description=self.description,
            arguments=_arguments(self.parameters) or None,
            icons=self.icons,
            meta=self.advertised_meta,
        )

    def result(self, value: Any) -> GetPromptResult:
        """The result of getting the prompt, from what the function returned."""
        if isinstance(value, GetPromptResult):
            return value
        return GetPromptResult(description=self.definition.description, messages=prompt_messages(value))


def _arguments(parameters: Parameters) -> list[PromptArgument]:
    required = set(parameters.schema.get("required", ()))
    return [
        PromptArgument(
            name=name,
            title=schema.get("title"),
            description=schema.get("description"),
            required=name in required,
        )
        for name, schema in parameters.schema.get("properties", {}).items()
    ]
