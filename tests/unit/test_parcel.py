"""What travels to which Macs."""

from __future__ import annotations

from pathlib import Path

from depot.fanout.parcel import Item, Parcel

ITEM = Item("model.safetensors", "a" * 64, 4, Path("model.safetensors"))


def test_models_of_one_source_are_one_parcel_for_the_macs_of_all() -> None:
    chat = Parcel("weights of chat", (ITEM,), ("alpha", "beta"))
    ring = Parcel("weights of ring", (ITEM,), ("beta", "gamma"), private=True)
    assert chat.id == ring.id
    both = chat.joined(ring)
    assert (both.title, both.items, both.macs) == ("weights of chat", (ITEM,), ("alpha", "beta", "gamma"))
    assert both.private
    assert both.joined(chat) == both
