"""What asks by returning its questions: `InputRequired`, as the protocol itself has it since 2026-07-28.

The handler is called again with the answers, and says itself where it goes on. What it has to remember until then is
the `state`, which travels sealed through the client: one that was changed on the way is refused before a handler runs.
"""

from __future__ import annotations

from msgspec import Struct

from tybalt import Context, Elicit, InputRequired, Message, Roots, Sample, prompt, tool


class Name(Struct):
    """Who it is."""

    name: str


class Colour(Struct):
    """Which one."""

    color: str


class Consent(Struct):
    """Yes or no."""

    ok: bool


class About(Struct):
    """What it is about."""

    context: str


WHO = Elicit("What is your name?", Name)
WHICH = Elicit("What is your favorite color?", Colour)
SURE = Elicit("Please confirm.", Consent)
WHAT = Elicit("What context should the prompt use?", About)
GREETING = Sample("Generate a greeting.", max_tokens=50)
CAPITAL = Sample("What is the capital of France?", max_tokens=100)


@tool
async def test_input_required_result_elicitation(context: Context) -> str | InputRequired:
    """Asks the user, once."""
    if "user_name" not in context.input_responses:
        return InputRequired({"user_name": WHO})
    answer = WHO.read(context.input_responses["user_name"])
    return f"Hello, {answer.value.name if answer.accepted else 'stranger'}!"


@tool
async def test_input_required_result_sampling(context: Context) -> str | InputRequired:
    """Asks the client's model."""
    if "capital_question" not in context.input_responses:
        return InputRequired({"capital_question": CAPITAL})
    said = CAPITAL.read(context.input_responses["capital_question"])
    return f"Model said: {getattr(said.content, 'text', '')}"


@tool
async def test_input_required_result_list_roots(context: Context) -> str | InputRequired:
    """Asks for the client's folders."""
    if "client_roots" not in context.input_responses:
        return InputRequired({"client_roots": Roots()})
    folders = context.input_responses["client_roots"].roots
    return f"Client exposed: {', '.join(each.uri for each in folders)}"


@tool
async def test_input_required_result_request_state(context: Context) -> str | InputRequired:
    """Remembers something over a round."""
    if "confirm" not in context.input_responses:
        return InputRequired({"confirm": SURE}, state="remembered")
    return f"state-ok: {context.round_state}"


@tool
async def test_input_required_result_tampered_state(context: Context) -> str | InputRequired:
    """The same; what the client sends back is changed here, and this is not called a second time."""
    if "confirm" not in context.input_responses:
        return InputRequired({"confirm": SURE}, state="remembered")
    return f"state-ok: {context.round_state}"


@tool
async def test_input_required_result_multiple_inputs(context: Context) -> str | InputRequired:
    """Asks three things in one round; a client may leave some out, and is asked again for those."""
    questions = {"user_name": WHO, "greeting": GREETING, "client_roots": Roots()}
    if not questions.keys() <= context.input_responses.keys():
        return InputRequired(questions)
    return "All inputs received."


@tool
async def test_input_required_result_multi_round(context: Context) -> str | InputRequired:
    """Asks in two rounds, and counts them."""
    if "step1" not in context.input_responses:
        return InputRequired({"step1": WHO}, state={"round": 1})
    if "step2" not in context.input_responses:
        return InputRequired({"step2": WHICH}, state={"round": 2})
    who = WHO.read(context.input_responses["step1"])
    which = WHICH.read(context.input_responses["step2"])
    if not (who.accepted and which.accepted):
        return "Nothing is known."
    return f"{who.value.name} likes {which.value.color}, after round {context.round_state['round']}."


@tool
async def test_input_required_result_capabilities(context: Context) -> str | InputRequired:
    """Asks only what this client has said it can be asked."""
    can = context.client_capabilities
    if context.input_responses:
        return "Thank you."
    questions: dict[str, object] = {}
    if can.sampling is not None:
        questions["sample"] = GREETING
    if can.elicitation is not None:
        questions["ask"] = WHO
    return InputRequired(questions) if questions else "This client cannot be asked."


@prompt
async def test_input_required_result_prompt(context: Context) -> list[Message] | InputRequired:
    """A prompt that asks."""
    if "user_context" not in context.input_responses:
        return InputRequired({"user_context": WHAT})
    answer = WHAT.read(context.input_responses["user_context"])
    return [Message(f"Use the following context: {answer.value.context if answer.accepted else 'none'}")]


TOOLS = [
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_tampered_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_capabilities,
]
PROMPTS = [test_input_required_result_prompt]
