"""The documentation as the local API serves it: tried in a browser, and true to the answers."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from handlers import response as encoding
from ops.local import server
from ops.local.demo import KEYS
from ops.local.docs_site import DOCS
from ops.local.server import LocalApi
from ops.reference import errors
from storage.conversations import ConversationTable
from tests.support.api import DOCUMENTED, Api, assert_problem
from tests.support.needs import missing
from tests.support.tables import put

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--window-size=1440,1000",
)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalApi]:
    with server.running() as api:
        yield api


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    if not (CHROMIUM and DRIVER):
        missing("chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--user-data-dir={tmp_path}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(DRIVER)) as driver:
        yield driver


def button(browser: webdriver.Chrome, text: str) -> WebElement:
    """The button that begins with the text, as soon as it shows."""

    def found(_: object) -> list[WebElement]:
        buttons = browser.find_elements(By.TAG_NAME, "button")
        return [own for own in buttons if own.text.startswith(text)]

    return WebDriverWait(browser, 30).until(found)[0]


def log(browser: Any, kind: str) -> Iterator[Mapping[str, Any]]:
    """What a log of the browser holds since the last call."""
    yield from browser.get_log(kind)


def requested(browser: webdriver.Chrome) -> list[Mapping[str, Any]]:
    """What the page has requested since the last call, the browser's own pages left out."""
    events = [json.loads(entry["message"])["message"] for entry in log(browser, "performance")]
    requests = [
        event["params"]["request"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    return [own for own in requests if own["url"].startswith(("http", "ws"))]


def test_a_click_on_the_page_sends_the_demo_request_and_shows_the_documented_answer(
    local: LocalApi, browser: webdriver.Chrome
) -> None:
    browser.get(f"{local.url}/docs")
    test_request = button(browser, "Test Request")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", test_request)
    test_request.click()
    loaded = requested(browser)
    assert all(request["url"].startswith(f"{local.url}/") for request in loaded)

    button(browser, "Send\n").click()
    response = (By.CSS_SELECTOR, ".response-body-raw, .cm-content")
    WebDriverWait(browser, 30).until(
        lambda _: any("customer" in own.text for own in browser.find_elements(*response))
    )
    (sent,) = requested(browser)
    assert sent["url"] == local.endpoint
    headers = {name.lower(): value for name, value in sent["headers"].items()}
    assert (headers["x-api-key"], headers["x-workspace-id"]) == (KEYS[0].key, "demo")
    shown = "\n".join(own.text for own in browser.find_elements(*response))
    for value in (DOCUMENTED["_id"], "Test Customer Name", "Thank you for your feedback!"):
        assert str(value) in shown
    errors = [entry for entry in log(browser, "browser") if entry["level"] != "INFO"]
    assert errors == []


@pytest.mark.parametrize(
    ("path", "kind", "file"),
    [
        ("/docs/errors", "text/markdown; charset=utf-8", "errors.md"),
        ("/docs/get-all-conversations.md", "text/markdown; charset=utf-8", None),
        ("/docs/errors.md", "text/markdown; charset=utf-8", None),
        ("/docs/contract.md", "text/markdown; charset=utf-8", None),
        ("/docs/llms.txt", "text/plain; charset=utf-8", None),
        ("/llms.txt", "text/plain; charset=utf-8", None),
    ],
)
def test_markdown_is_served_as_it_is_committed_but_for_the_port(
    local: LocalApi, path: str, kind: str, file: str | None
) -> None:
    answer = httpx.get(local.url + path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    committed = (DOCS / (file or Path(path).name)).read_text()
    assert answer.text == committed.replace("http://127.0.0.1:3000", local.url)


def test_every_link_of_the_index_is_served(local: LocalApi) -> None:
    index = httpx.get(f"{local.url}/llms.txt").text
    targets = [part.partition(")")[0] for part in index.split("](")[1:]]
    assert "/docs/errors.md" in targets
    assert {httpx.get(local.url + target).status_code for target in targets} == {200}


def test_the_served_openapi_names_the_server_that_serves_it(local: LocalApi) -> None:
    answer = httpx.get(f"{local.url}/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["servers"][0]["url"] == local.url
    committed = json.loads((DOCS / "openapi.json").read_text())
    assert answer.json()["paths"] == committed["paths"]


@pytest.mark.parametrize(
    ("path", "place"),
    [("/docs/", "/docs"), ("/docs.md", "/docs/get-all-conversations.md")],
)
def test_other_names_of_a_page_lead_to_it(local: LocalApi, path: str, place: str) -> None:
    answer = httpx.get(local.url + path)
    assert (answer.status_code, answer.headers["location"]) == (302, place)


@pytest.mark.parametrize("path", ["/docs/none.md", "/docs/../pyproject.toml", "/errors"])
def test_what_is_no_documentation_is_the_gateways_to_answer(local: LocalApi, path: str) -> None:
    url = httpx.URL(local.url).copy_with(raw_path=path.encode())
    assert httpx.get(url).json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("missing_workspace", {"workspace": None}),
        ("invalid_workspace", {"workspace": "a b"}),
        ("invalid_parameter", {"limit": "0"}),
        ("unknown_parameter", {"agentID": "a"}),
        ("invalid_cursor", {"cursor": "a"}),
        ("workspace_not_found", {"workspace": "another"}),
        ("response_too_large", {}),
    ],
)
def test_the_documented_error_is_the_answer(
    api: Api,
    table: ConversationTable,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    asked: dict[str, Any],
) -> None:
    put(table, DOCUMENTED)
    if code == "response_too_large":
        monkeypatch.setattr(encoding, "MAX_ENVELOPE_BYTES", 500)
    example = errors.examples()[code]
    answer = api.get(**asked)
    assert assert_problem(answer, example["status"], code) == example["detail"]
    assert list(answer.json) == list(example)
