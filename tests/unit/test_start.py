"""What a function does in Lambda's init phase."""

from threading import Event

import pytest
import snapshot_restore_py  # type: ignore[import-untyped]  # it ships no types

from handlers import start

KIND = "AWS_LAMBDA_INITIALIZATION_TYPE"


def test_nothing_is_read_outside_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KIND, raising=False)
    start.warm_up(lambda: pytest.fail("an import reads"))


@pytest.mark.parametrize("kind", ["on-demand", "provisioned-concurrency"])
def test_lambda_has_one_read_done_before_the_first_request(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv(KIND, kind)
    reads: list[str] = []
    start.warm_up(lambda: reads.append(kind))
    assert reads == [kind]


def test_a_snapshot_holds_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KIND, "snap-start")
    reads: list[str] = []
    start.warm_up(lambda: reads.append("after restore"))
    assert reads == []
    hook, arguments, options = snapshot_restore_py.get_after_restore().pop()
    hook(*arguments, **options)
    assert reads == ["after restore"]


def test_a_store_that_is_down_does_not_keep_a_function_from_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KIND, "on-demand")

    def fails() -> None:
        raise ConnectionError

    start.warm_up(fails)


def test_a_store_that_hangs_does_not_keep_a_function_from_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KIND, "on-demand")
    monkeypatch.setattr(start, "_MAX_SECONDS", 0.05)
    hung = Event()
    start.warm_up(lambda: hung.wait(10))
    hung.set()
