"""Text from tokens: whole characters, stop strings wherever tokens end, and what reasoning and tools look like."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlx_lm")

from mlx_lm.utils import load_tokenizer
from mlx_models import CALL, RECITALS, reciting
from raylab_serving.mlx.stops import Stops
from raylab_serving.mlx.text import Detokenizer, Kind, markers
from raylab_serving.mlx.transcript import Piece, Transcript
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast


@cache
def tokenizer() -> Any:  # noqa: ANN401
    return load_tokenizer(Path(reciting()))


def tokens_of(*words: str) -> list[int]:
    return [tokenizer().convert_tokens_to_ids(word) for word in words]


def transcript(
    *, tools: bool = True, kind: Kind = "content", stops: tuple[str, ...] = (), least: int = 0
) -> Transcript:
    detokenizer = Detokenizer(tokenizer(), tokens_of("[plain]"), skip_special=True)
    return Transcript(detokenizer, markers(tokenizer(), tools=tools), kind, Stops(stops), least)


def written(one: Transcript, *words: str) -> list[list[Piece]]:
    """What each token adds, and at last the end."""
    added = []
    for token in tokens_of(*words):
        added.append(one.add(token))
        if one.stopped is not None:
            break
    return [*added, one.finish()]


def flat(pieces: list[list[Piece]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for piece in (piece for some in pieces for piece in some):
        found[piece.kind] = found.get(piece.kind, "") + piece.text
    return found


@pytest.mark.parametrize(
    ("stops", "texts", "shown", "stop"),
    [
        (["world"], ["Hello wor", "ld!"], ["Hello ", ""], "world"),
        (["world"], ["Hello wor", "k!"], ["Hello ", "work!"], None),
        (["aab"], ["aa", "a", "b"], ["", "a", ""], "aab"),
        (["\n\n", "\n"], ["one\n\ntwo"], ["one"], "\n"),
        (["long one", "one"], ["a long o", "ne"], ["a ", ""], "long one"),
        ([], ["any", "thing"], ["any", "thing"], None),
    ],
)
def test_stop_strings(stops: list[str], texts: list[str], shown: list[str], stop: str | None) -> None:
    """Nothing of a stop string is ever shown, and everything before it is, as early as it can be."""
    watching = Stops(stops)
    fed = [watching.feed(text) for text in texts]
    assert [text for text, _ in fed] == shown
    assert fed[-1][1] == stop
    if stop is None:
        assert "".join(shown) + watching.flush() == "".join(texts)


def test_stop_string_may_be_shown() -> None:
    assert Stops(["world"], included=True).feed("Hello world!") == ("Hello world", "world")


def test_held_back_text_comes_at_the_end() -> None:
    watching = Stops(["!!"])
    assert watching.feed("done!") == ("done", None)
    assert watching.flush() == "!"


def test_characters_are_whole() -> None:
    """The bytes of é come as two tokens: nothing is shown before the second."""
    pieces = written(transcript(), "caf", "Ã", "©", " au")
    assert [[piece.text for piece in some] for some in pieces] == [["caf"], [], ["é"], [" au"], []]


def test_half_a_character_at_the_end_is_shown_as_such() -> None:
    assert flat(written(transcript(), "caf", "Ã")) == {"content": "caf\ufffd"}


def test_a_space_at_the_beginning_stays() -> None:
    assert flat(written(transcript(), " leading")) == {"content": " leading"}


def test_special_tokens_are_not_shown() -> None:
    assert flat(written(transcript(), "<|im_start|>", "after")) == {"content": "after"}


def test_reasoning_and_answer() -> None:
    recital = next(words for words in RECITALS if words[0] == "[think]")
    assert flat(written(transcript(), *recital[1:])) == {"reasoning": "Let me see.", "content": "It is so."}
    opened = written(transcript(kind="reasoning"), *recital[2:])
    assert flat(opened) == {"reasoning": "Let me see.", "content": "It is so."}


def test_calls_of_tools() -> None:
    pieces = written(transcript(), "I will ask.", "<tool_call>", CALL, "</tool_call>", "Done")
    whole = Piece("tool", CALL, f"<tool_call>{CALL}</tool_call>")
    assert [piece for some in pieces for piece in some] == [
        Piece("content", "I will ask."),
        whole,
        Piece("content", "Done"),
    ]


def test_special_tokens_of_a_call_are_its_arguments() -> None:
    """Mistral's and Gemma's calls cannot be read without them."""
    pieces = written(transcript(), "<tool_call>", "<|im_start|>", "Hel", "</tool_call>", "<|im_start|>", "after")
    assert flat(pieces) == {"tool": "<|im_start|>Hel", "content": "after"}


def test_a_call_that_was_cut_off_is_not_lost() -> None:
    pieces = written(transcript(), "<tool_call>", "Hel")
    assert pieces[-1] == [Piece("tool", "Hel", "<tool_call>Hel")]


def test_without_tools_a_call_is_text() -> None:
    assert flat(written(transcript(tools=False), "<tool_call>", "Hel")) == {"content": "<tool_call>Hel"}


def test_the_channels_of_gpt_oss(tmp_path: Path) -> None:
    special = ("<|start|>", "<|end|>", "<|channel|>", "<|message|>")
    words = ("assistant", "analysis", "commentary", "final", "Hmm.", " Yes.", "Fine", "!")
    known = Tokenizer.from_file(str(Path(reciting()) / "tokenizer.json"))
    known.add_special_tokens(list(special))
    known.add_tokens(list(words))
    for file in ("config.json", "tokenizer_config.json"):
        (tmp_path / file).write_bytes((Path(reciting()) / file).read_bytes())
    known.save(str(tmp_path / "tokenizer.json"))
    one = load_tokenizer(tmp_path)
    answer = Transcript(
        Detokenizer(one, [], skip_special=True), markers(one, tools=False), "content", Stops([]), min_tokens=0
    )
    text = (
        "<|channel|>analysis<|message|>Hmm. Yes.<|end|><|start|>assistant<|channel|>analysis<|message|>Hmm."
        "<|end|><|start|>assistant<|channel|>final<|message|>Fine!"
    )
    pieces = [answer.add(token) for token in one.encode(text)]
    assert flat([*pieces, answer.finish()]) == {"reasoning": "Hmm. Yes.Hmm.", "content": "Fine!"}


def test_text_of_sentencepiece_adds_up() -> None:
    """Where a space belongs to the word after it, and bytes are tokens."""
    words = ["<unk>", "\u2581", "\u2581Hello", "\u2581world", "!", "<0xC3>", "<0xA9>", "caf"]
    plain = Tokenizer(models.Unigram([(word, -1.0) for word in words], unk_id=0, byte_fallback=True))
    plain.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    one = PreTrainedTokenizerFast(tokenizer_object=plain)
    tokens = [2, 3, 4, 1, 7, 5, 6, 3]
    for before in ([], [2], [2, 3, 4, 2, 3, 4, 2, 3]):
        detokenizer = Detokenizer(one, before, skip_special=True)
        parts = [detokenizer.add(token) for token in tokens] + [detokenizer.flush()]
        assert one.decode(before) + "".join(parts) == one.decode([*before, *tokens])
        assert not any("\ufffd" in part for part in parts)


def test_stop_strings_across_tokens() -> None:
    one = transcript(stops=("world",))
    assert flat(written(one, "Hel", "lo wor", "ld. Good", "bye")) == {"content": "Hello "}
    assert one.stopped == "world"


def test_no_stop_string_before_min_tokens() -> None:
    one = transcript(stops=("Hel", "bye"), least=2)
    assert flat(written(one, "Hel", "lo wor", "ld. Good", "bye")) == {"content": "Hello world. Good"}
    assert one.stopped == "bye"
