"""`tybalt get`: the messages of a prompt, with its arguments filled in."""

from collections.abc import Sequence

from tybalt.cli.answers import Answers
from tybalt.cli.arguments import Given, read_words
from tybalt.cli.asking import Asking, person
from tybalt.cli.destination import Destination
from tybalt.cli.talk import name_of, talk
from tybalt.cli.terminal import answer, json_text
from tybalt.cli.usage import UsageError, instead
from tybalt.client.client import Client
from tybalt.server.display import render_result
from tybalt.types.prompts import GetPromptResult, Prompt, PromptMessage
from tybalt.types.tools import CallToolResult


def get(target: Destination, prompt: str, words: Sequence[str], *, as_json: bool, answers: Answers) -> int:
    """Print the messages, each under its role, or the whole result as JSON; 2 for an answer to nothing, else 0.

    Raises `UsageError` for a prompt or an argument that is not there, and as `talk` does.
    """
    given = read_words(words)
    asking = Asking(answers, person())
    result = talk(
        target, lambda client: _get_prompt(client, prompt, given), asking=asking, bounded=True, log_level="debug"
    )
    answer(json_text(result) if as_json else "\n\n".join(map(_text, result.messages)))
    return asking.verdict()


async def _get_prompt(client: Client, name: str, given: Given) -> GetPromptResult:
    prompt = _found(name, await client.list_prompts(), name_of(client))
    return await client.get_prompt(name, given.for_prompt(prompt))


def _found(name: str, prompts: Sequence[Prompt], server: str) -> Prompt:
    for prompt in prompts:
        if prompt.name == name:
            return prompt
    where = f"server {server!r}"
    names = [prompt.name for prompt in prompts]
    raise UsageError(f"{where} has no prompt {name!r}; {instead(name, names)}" if names else f"{where} has no prompts")


def _text(message: PromptMessage) -> str:
    return f"[{message.role}]\n{render_result(CallToolResult(content=[message.content]))}"
