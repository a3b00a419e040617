"""The picture of a plan, read as what a browser would draw."""

from __future__ import annotations

from xml.etree import ElementTree

from test_fleet_plan import MEMORY, big, fleet_of, published
from test_memory_models import LLAMA_70B

from fleet.picture import picture
from fleet.plan import Plan, make_plan
from fleet.settings import GB

SVG = "{http://www.w3.org/2000/svg}"


def drawn(plan: Plan) -> ElementTree.Element:
    return ElementTree.fromstring(picture(plan))


def texts(of: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in of.iter(f"{SVG}text")]


def bars(of: ElementTree.Element) -> dict[str, tuple[int, int]]:
    """Where what is told of begins, and how wide it is, by what it is."""
    found = {}
    for rect in of.iter(f"{SVG}rect"):
        if (title := rect.find(f"{SVG}title")) is not None:
            found[title.text or ""] = (int(rect.get("x", 0)), int(rect.get("width", 0)))
    return found


def box(of: ElementTree.Element, mac: str) -> ElementTree.Element:
    found = of.find(f"{SVG}g[@id='{mac}']")
    assert found is not None
    return found


def test_every_mac_is_drawn_with_what_it_holds() -> None:
    svg = drawn(make_plan(fleet_of(big("m", 11), big("a<b & c", 4, replicas=1)), MEMORY))
    assert [group.get("id") for group in svg.iter(f"{SVG}g")] == ["alpha", "beta", "gamma"]
    assert texts(box(svg, "alpha"))[:2] == ["alpha, the head", "10.77.0.11 · 64.0 GB · 42.6 GB free"]
    assert "a<b & c: 4.0 GB" in texts(box(svg, "alpha"))
    assert "no model" in texts(box(svg, "beta"))
    assert "m: 11.0 GB" in texts(box(svg, "gamma"))


def test_a_bar_is_the_whole_memory_without_gaps() -> None:
    model = published("big", 20, LLAMA_70B, context=8192, concurrency=4, replicas=1)
    found = bars(box(drawn(make_plan(fleet_of(model), MEMORY)), "alpha"))
    assert list(found) == [
        "big, weights: 20.0 GB",
        "big, KV cache: 10.0 GB",
        "big, engine: 3.0 GB",
        "free for models: 24.6 GB",
        "macOS and Ray: 6.4 GB",
    ]
    begins, widths = zip(*found.values(), strict=True)
    assert [begin + width for begin, width in found.values()][:-1] == list(begins[1:])
    assert abs(widths[0] / sum(widths) - 20 / 64) < 0.01


def test_a_mac_of_unknown_memory_shows_what_it_holds() -> None:
    svg = drawn(make_plan(fleet_of(big("m", 11)), {}))
    assert "10.77.0.12 · not asked for its memory" in texts(box(svg, "beta"))
    assert list(bars(box(svg, "beta"))) == ["m: 11.0 GB"]


def test_a_group_is_one_band_over_its_macs() -> None:
    macs = ("alpha", "beta", "gamma", "delta")
    memory = dict.fromkeys(macs, 64 * GB)
    model = published("big", 80, LLAMA_70B, engine="mlx", shape=2, macs=("alpha", "delta"), context=1024, replicas=1)
    svg = drawn(make_plan(fleet_of(model, macs=macs), memory))
    assert [group.get("id") for group in svg.iter(f"{SVG}g")] == ["alpha", "delta", "beta", "gamma"], "side by side"
    (left, width) = bars(svg)["big: alpha – delta over the LAN"]
    boxes = [int(box(svg, name)[0].get("x", 0)) for name in macs]
    assert (left, left + width) == (boxes[0], boxes[3] + 270)


def test_a_large_fleet_is_drawn_in_lines() -> None:
    macs = tuple(f"mac-{number}" for number in range(10))
    model = published("big", 200, LLAMA_70B, engine="mlx", shape=8, context=1024, replicas=1)
    svg = drawn(make_plan(fleet_of(model, macs=macs), dict.fromkeys(macs, 64 * GB)))
    places = [(int(group[0].get("x", 0)), int(group[0].get("y", 0))) for group in svg.iter(f"{SVG}g")]
    assert len(set(places)) == 10
    assert len({top for _, top in places}) == 3
    bands = [rect for rect in svg.iter(f"{SVG}rect") if rect.get("class") == "band"]
    assert len(bands) == 2, "a band in each line that the group is in"
    width, height = (int(size) for size in svg.get("viewBox", "").split()[2:])
    assert all(left + 270 < width and top < height for left, top in places)


def test_a_fleet_without_models_is_drawn_too() -> None:
    assert texts(drawn(make_plan(fleet_of(), MEMORY))).count("no model") == 3
