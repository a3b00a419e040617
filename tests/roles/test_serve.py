"""For how long a converge waits for what Serve has not yet."""

from __future__ import annotations

from fleet.health import Lack
from roles.serve import GIVEN_UP_S, SETTLED_S, Patience

LOADING = Lack("big", "0 of 1 replicas, DEPLOYING")
FAILED = Lack("rerank", "DEPLOY_FAILED: No module named 'torch'", failed=True)
OTHER = Lack("small", "0 of 1 replicas, DEPLOY_FAILED: no memory", failed=True)
MOST = 1800


def test_what_still_loads_is_waited_for_whatever_else_has_failed() -> None:
    patience = Patience(MOST)
    for waited in range(0, MOST, 10):
        assert not patience.over(waited, [LOADING, FAILED])
    assert patience.over(MOST + 1, [LOADING, FAILED])
    assert patience.said([LOADING, FAILED]) == f"{FAILED}; not there yet: {LOADING}"


def test_when_all_that_is_missing_has_failed_the_end_is_near() -> None:
    patience = Patience(MOST)
    assert not patience.over(100, [LOADING, FAILED])
    assert not patience.over(100 + GIVEN_UP_S, [FAILED])
    assert patience.over(101 + GIVEN_UP_S, [FAILED])
    assert patience.said([FAILED]) == str(FAILED)


def test_what_failed_while_the_rest_was_loading_has_had_its_time() -> None:
    patience = Patience(MOST)
    assert not patience.over(100, [LOADING, FAILED])
    assert patience.over(600, [FAILED])


def test_the_last_to_fail_has_its_time_too() -> None:
    patience = Patience(MOST)
    assert not patience.over(100, [FAILED, LOADING])
    assert not patience.over(400, [FAILED, OTHER])
    assert not patience.over(400 + GIVEN_UP_S, [FAILED, OTHER])
    assert patience.over(401 + GIVEN_UP_S, [FAILED, OTHER])


def test_what_fails_at_first_may_be_what_is_only_about_to_change() -> None:
    patience = Patience(MOST)
    assert not patience.over(SETTLED_S, [FAILED])
    assert patience.said([FAILED, LOADING]) == f"{FAILED}; {LOADING}"


def test_what_is_tried_again_counts_as_failed_until_it_is_there() -> None:
    patience = Patience(MOST)
    tried = Lack(FAILED.name, "DEPLOYING")
    assert not patience.over(100, [FAILED])
    assert patience.over(101 + GIVEN_UP_S, [tried])
    assert not patience.over(900, [LOADING])
    assert not patience.over(901, [tried])
