"""What is seen of vLLM's own parameters, with each engine that honours them."""

from __future__ import annotations

import json

from conformance_door import Door
from conformance_proofs import HELLO, TOOLS, YES_NO, first_logprobs, proves
from raylab_serving.parameters import Api


@proves("add_generation_prompt")
def _add_generation_prompt(door: Door, api: Api) -> None:
    assert door.text(api, "[plain]", add_generation_prompt=False) == ""


@proves("continue_final_message")
def _continue_final_message(door: Door, api: Api) -> None:
    asked = {"continue_final_message": True, "add_generation_prompt": False}
    assert door.text(api, "[plain]Hel", **asked) == HELLO.removeprefix("Hel")


@proves("chat_template_kwargs")
def _chat_template_kwargs(door: Door, api: Api) -> None:
    assert door.text(api, "[dice]", chat_template_kwargs={"start": "[plain]"}) == HELLO


@proves("documents")
def _documents(door: Door, api: Api) -> None:
    bare, shown = (
        door.ask(api, "[plain]", **more)["usage"]["prompt_tokens"]
        for more in ({}, {"documents": [{"title": "Rome", "text": "A city."}]})
    )
    assert shown > bare


@proves("allowed_token_ids")
def _allowed_token_ids(door: Door, api: Api) -> None:
    assert door.text(api, "[dice]", max_tokens=2, allowed_token_ids=[door.token(" hen")]) == " hen hen"


@proves("bad_words")
def _bad_words(door: Door, api: Api) -> None:
    assert door.text(api, "[dice]", max_tokens=2, bad_words=["ant"]) == " bee bee"


@proves("top_k")
def _top_k(door: Door, api: Api) -> None:
    assert door.text(api, "[dice]", max_tokens=12, temperature=2, seed=1, top_k=1) == " ant" * 12


@proves("min_p")
def _min_p(door: Door, api: Api) -> None:
    assert door.text(api, "[dice]", max_tokens=12, temperature=2, seed=1, min_p=1) == " ant" * 12


@proves("repetition_penalty")
def _repetition_penalty(door: Door, api: Api) -> None:
    assert door.text(api, "[dice]", max_tokens=3, repetition_penalty=2) == " ant bee cat"
    # The prompt counts.
    assert door.text(api, "[dice] ant", max_tokens=1, repetition_penalty=2) == " bee"


@proves("ignore_eos")
def _ignore_eos(door: Door, api: Api) -> None:
    found = door.ask(api, "[plain]", ignore_eos=True, max_tokens=8)
    assert found["usage"]["completion_tokens"] == 8


@proves("min_tokens")
def _min_tokens(door: Door, api: Api) -> None:
    assert door.ask(api, "[plain]", min_tokens=8, max_tokens=8)["usage"]["completion_tokens"] == 8


@proves("stop_token_ids")
def _stop_token_ids(door: Door, api: Api) -> None:
    assert door.text(api, "[plain]", stop_token_ids=[door.token("ld. Good")]) == "Hello wor"


@proves("include_stop_str_in_output")
def _include_stop_str_in_output(door: Door, api: Api) -> None:
    assert door.text(api, "[plain]", stop="wor", include_stop_str_in_output=True) == "Hello wor"


@proves("skip_special_tokens")
def _skip_special_tokens(door: Door, api: Api) -> None:
    assert door.text(api, "[special]") == "after"
    assert door.text(api, "[special]", skip_special_tokens=False).startswith("<|im_start|>after")


@proves("return_tokens_as_token_ids")
def _return_tokens_as_token_ids(door: Door, api: Api) -> None:
    assert f"token_id:{door.token(' ant')}" in first_logprobs(door, api, return_tokens_as_token_ids=True)


@proves("request_id")
def _request_id(door: Door, api: Api) -> None:
    assert "mine-and-no-other" in door.ask(api, "[plain]", request_id="mine-and-no-other")["id"]


@proves("structured_outputs")
def _structured_outputs(door: Door, api: Api) -> None:
    assert door.text(api, "[plain]", structured_outputs={"choice": [" cat", " dog"]}) in (" cat", " dog")
    assert json.loads(door.text(api, "[plain]", structured_outputs={"json": YES_NO})).keys() == {"ok"}


@proves("use_beam_search")
def _use_beam_search(door: Door, api: Api) -> None:
    found = door.texts(api, "[dice]", use_beam_search=True, n=2, max_tokens=3)
    assert found[0] == " ant ant ant"
    assert len(set(found)) == 2
    # What beams do not look at is not silently forgotten; what asks for nothing is no matter.
    error = door.refusal(api, "[dice]", use_beam_search=True, max_tokens=3, stop="ant", top_k=None, seed=1)
    assert error["param"] in ("seed", "stop")
    assert error["message"].count("its beam search does not look at it") == 2
    assert door.text(api, "[dice]", use_beam_search=True, max_tokens=1, stop=[], presence_penalty=0) == " ant"


@proves("truncate_prompt_tokens")
def _truncate_prompt_tokens(door: Door, api: Api) -> None:
    assert door.ask(api, "[rest]" * 3 + "[plain]", truncate_prompt_tokens=2)["usage"]["prompt_tokens"] == 2


@proves("prompt_logprobs")
def _prompt_logprobs(door: Door, api: Api) -> None:
    found = door.ask(api, "[plain]Hel", prompt_logprobs=1)
    where = found if api == "chat" else found["choices"][0]
    assert str(door.token("Hel")) in json.dumps(where["prompt_logprobs"])


@proves("logprob_token_ids")
def _logprob_token_ids(door: Door, api: Api) -> None:
    ids = [door.token(" gnu"), door.token(" hen")]
    asked = {"logprobs": 1} if api == "completions" else {"logprobs": True}
    found = door.ask(api, "[dice]", max_tokens=1, logprob_token_ids=ids, **asked)["choices"][0]["logprobs"]
    assert all(face in json.dumps(found) for face in (" gnu", " hen"))


@proves("return_token_ids")
def _return_token_ids(door: Door, api: Api) -> None:
    found = door.ask(api, "[rest]", return_token_ids=True)["choices"][0]["token_ids"]
    assert found == [door.token("I rest."), door.token("<|im_end|>")]


@proves("return_prompt_text")
def _return_prompt_text(door: Door, api: Api) -> None:
    found = door.ask(api, "[plain]", return_prompt_text=True, tools=TOOLS, tool_choice="none")["prompt_text"]
    assert found.endswith("[plain]")
    assert "weather" in found


@proves("repetition_detection")
def _repetition_detection(door: Door, api: Api) -> None:
    asked = {"max_pattern_size": 1, "min_pattern_size": 1, "min_count": 3}
    found = door.ask(api, "[dice]", max_tokens=12, repetition_detection=asked)["usage"]
    assert found["completion_tokens"] == 3
