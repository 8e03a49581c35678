"""The documentation as the local API serves it: tried in a browser, and true to the answers."""

import json
import re
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

from dev.local import server
from dev.local.demo import DOCUMENTED, KEYS
from dev.local.docs_site import DOCS
from dev.local.server import LocalApi
from dev.local.template import LIST_CONVERSATIONS
from dev.reference import errors, openapi
from handlers import response
from storage.conversations import ConversationTable
from tests.support.api import Api, assert_problem
from tests.support.needs import missing
from tests.support.tables import put

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PATH = LIST_CONVERSATIONS[1]
OPERATION = f"#tag/conversations/GET{PATH}"
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

    def matching(_: object) -> list[WebElement]:
        buttons = browser.find_elements(By.TAG_NAME, "button")
        return [each for each in buttons if each.text.startswith(text)]

    return WebDriverWait(browser, 30).until(matching)[0]


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    """The text of each element that shows, from top to bottom, as soon as one does."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].filter(each => each.checkVisibility())"
        ".sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)"
        ".map(each => each.innerText)"
    )
    found: list[str] = WebDriverWait(browser, 30).until(
        lambda _: browser.execute_script(script, selector)
    )
    return found


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
    return [request for request in requests if request["url"].startswith(("http", "ws"))]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_click_on_the_page_sends_the_demo_request_and_shows_the_documented_answer(
    local: LocalApi, browser: webdriver.Chrome, host: str
) -> None:
    url = local.url.replace("127.0.0.1", host)
    browser.get(f"{url}/docs{OPERATION}")
    test_request = button(browser, "Test Request")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", test_request)
    test_request.click()
    loaded = requested(browser)
    assert all(request["url"].startswith(f"{url}/") for request in loaded)

    button(browser, "Send\n").click()
    body = (By.CSS_SELECTOR, ".response-body-raw, .cm-content")
    WebDriverWait(browser, 30).until(
        lambda _: any("customer" in part.text for part in browser.find_elements(*body))
    )
    (sent,) = requested(browser)
    assert sent["url"] == url + PATH
    headers = {name.lower(): value for name, value in sent["headers"].items()}
    assert (headers["x-api-key"], headers["x-workspace-id"]) == (KEYS[0].key, "demo")
    shown = "\n".join(part.text for part in browser.find_elements(*body))
    for value in (DOCUMENTED["_id"], "Test Customer Name", "Thank you for your feedback!"):
        assert str(value) in shown
    errors = [entry for entry in log(browser, "browser") if entry["level"] != "INFO"]
    assert errors == []


def test_the_page_leads_from_the_root_to_what_a_reader_needs_first(
    local: LocalApi, browser: webdriver.Chrome
) -> None:
    browser.get(local.url)
    assert texts(browser, "h1") == ["Conversations API"]
    assert (browser.current_url, browser.title) == (f"{local.url}/docs", "Conversations API")
    (servers,) = texts(browser, ".scalar-reference-intro-server")
    assert re.findall(r"https?:\S+", servers) == [local.url]  # a deployment would let no page read

    browser.get(f"{local.url}/docs{OPERATION}")
    assert texts(browser, ".operation-details h4") == ["Headers", "Query Parameters", "Responses"]
    titles = texts(browser, "h1, h2, h3")
    assert (titles[1], titles[-1]) == ("Guides", "Get All Conversations")
    assert "Conversations" not in titles  # the tag's


@pytest.mark.parametrize("width", [1440, 390])
def test_the_page_cuts_no_text_off(local: LocalApi, browser: webdriver.Chrome, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(f"{local.url}/docs{OPERATION}")
    responses = openapi.document()["paths"][PATH]["get"]["responses"]
    descriptions = [response["description"] for response in responses.values()]
    assert texts(browser, ".operation-details .markdown-summary") == descriptions
    cut = browser.execute_script(
        "return [document.documentElement, ...document.querySelectorAll('.markdown-summary')]"
        ".filter(each => each.scrollWidth > each.clientWidth).map(each => each.innerText)"
    )
    assert cut == []


@pytest.mark.parametrize("sought", ["Pagination", "Polling", "invalid_cursor"])
def test_a_search_finds_guides_and_error_codes(
    local: LocalApi, browser: webdriver.Chrome, sought: str
) -> None:
    browser.get(f"{local.url}/docs")
    browser.execute_script("arguments[0].click()", button(browser, "Open Search"))
    WebDriverWait(browser, 30).until(lambda _: browser.switch_to.active_element.tag_name == "input")
    browser.switch_to.active_element.send_keys(sought.lower())
    WebDriverWait(browser, 30).until(lambda _: sought in texts(browser, "[role=option]")[0])
    browser.find_element(By.CSS_SELECTOR, "[role=option]").click()
    place = f"#description/{sought.lower().replace('_', '-')}"
    WebDriverWait(browser, 30).until(lambda _: browser.current_url == f"{local.url}/docs{place}")


@pytest.mark.parametrize(
    ("path", "kind", "file"),
    [
        ("/docs/errors", "text/markdown; charset=utf-8", "errors.md"),
        ("/docs/get-all-conversations.md", "text/markdown; charset=utf-8", None),
        ("/docs/errors.md", "text/markdown; charset=utf-8", None),
        ("/docs/contract.md", "text/markdown; charset=utf-8", None),
        ("/docs/llms.txt", "text/plain; charset=utf-8", None),
        ("/docs/llms-full.txt", "text/plain; charset=utf-8", None),
        ("/llms.txt", "text/plain; charset=utf-8", None),
        ("/errors.md", "text/markdown; charset=utf-8", None),
    ],
)
def test_markdown_is_served_as_it_is_committed_but_for_the_port(
    local: LocalApi, path: str, kind: str, file: str | None
) -> None:
    answer = httpx.get(local.url + path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    committed = (DOCS / (file or Path(path).name)).read_text()
    assert answer.text == committed.replace("http://127.0.0.1:3000", local.url)


@pytest.mark.parametrize("index", ["/llms.txt", "/docs/llms.txt"])
def test_every_link_of_the_index_is_served(local: LocalApi, index: str) -> None:
    answer = httpx.get(local.url + index)
    targets = [part.partition(")")[0] for part in answer.text.split("](")[1:]]
    assert "errors.md" in targets
    addresses = [answer.url.join(target) for target in targets]
    assert {httpx.get(address).status_code for address in addresses} == {200}


def test_the_served_openapi_names_the_server_that_serves_it(local: LocalApi) -> None:
    answer = httpx.get(f"{local.url}/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["servers"][0]["url"] == local.url
    committed = json.loads((DOCS / "openapi.json").read_text())
    assert answer.json()["paths"] == committed["paths"]


@pytest.mark.parametrize(
    ("path", "place"),
    [("/", "/docs"), ("/docs/", "/docs"), ("/docs.md", "/docs/llms-full.txt")],
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
        monkeypatch.setattr(response, "MAX_ENVELOPE_BYTES", 500)
    example = errors.examples()[code]
    answer = api.get(**asked)
    assert assert_problem(answer, example["status"], code) == example["detail"]
    assert list(answer.json) == list(example)
