"""The report in a real browser: charts, the choice of a unit, no error and no request."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrnn import report
from pyrnn.report.charts import charts
from tests.report.browser import Browser, find

pytestmark = pytest.mark.skipif(find() is None, reason="no browser (apt install chromium)")

CONSOLE = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
REQUEST = "Network.requestWillBeSent"
TAB, DOWN = ("Tab", 9), ("ArrowDown", 40)


@pytest.fixture(scope="module")
def shown(page: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, Path]]:
    """A browser that shows the report."""
    path = find()
    assert path
    folder = tmp_path_factory.mktemp("browser")
    file = folder / "r.html"
    file.write_text(page, encoding="utf-8", errors="xmlcharrefreplace")
    browser = Browser(path, folder / "profile")
    try:
        browser.open(file)
        yield browser, file
    finally:
        browser.close()


@pytest.fixture
def browser(shown: tuple[Browser, Path]) -> Browser:
    return shown[0]


def state(browser: Browser) -> Any:
    return browser.run("document.getElementById('state').textContent")


def colours(browser: Browser) -> Any:
    return browser.run(
        "[...document.querySelectorAll('#text span')].map(e => getComputedStyle(e).backgroundColor)"
    )


def test_charts_are_there(browser: Browser, run: report.Run) -> None:
    found = browser.run(
        "[...document.querySelectorAll('figure')].map(f => {"
        "const s = f.querySelector('svg'), r = s.getBoundingClientRect();"
        "const drawn = [...s.querySelectorAll('path')].filter(p => p.getBBox().width > 50);"
        "return [f.id, r.width > 200 && r.height > 100, drawn.length > 0]; })"
    )
    assert found == [[chart.name, True, True] for chart in charts(run)]
    assert len(found) == 7


def test_nothing_was_injected(browser: Browser) -> None:
    assert browser.run("window.hacked === undefined")
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert (
        browser.run("document.querySelectorAll('img, iframe, object, link[href^=h]').length") == 0
    )


def test_the_text_is_whole(browser: Browser, run: report.Run) -> None:
    assert browser.run("document.getElementById('text').textContent") == run.text[:2000]
    assert len(colours(browser)) == len(run.text[:2000])


def test_colours_are_those_of_the_unit(browser: Browser, run: report.Run) -> None:
    assert run.states is not None
    for unit in (0, 5, 17):
        browser.run(f"document.getElementById('unit').value = '{unit}'")
        browser.run("document.getElementById('unit').dispatchEvent(new Event('change'))")
        assert run.states.units[unit].name in state(browser)
        for n, colour in enumerate(colours(browser)[:200]):
            red, _, blue, *alpha = map(float, re.findall(r"[\d.]+", colour))
            value = run.states.values[n, unit]
            assert (alpha or [1.0])[0] == pytest.approx(abs(value) * 0.6, abs=0.01)
            if abs(value) > 0.05:
                assert (red > blue) == (value > 0)


def test_a_unit_by_mouse(browser: Browser, run: report.Run) -> None:
    browser.click("#next")
    first, before = state(browser), colours(browser)
    browser.click("#next")
    assert state(browser) != first
    assert colours(browser) != before
    browser.click("#previous")
    assert (state(browser), colours(browser)) == (first, before)
    found = [finding for finding in run.findings if finding.unit is not None]
    assert found
    for finding in found:
        assert finding.unit
        place = browser.run(
            "[...document.querySelectorAll('#unit option')]"
            f".findIndex(o => o.textContent === '{finding.unit.name}')"
        )
        browser.click(f"button[data-unit='{place}']")
        assert finding.unit.name in state(browser)
        pressed = browser.run(
            "[...document.querySelectorAll('button[aria-pressed=true]')].map(b => b.dataset.unit)"
        )
        assert set(pressed) == {str(place)}


def test_a_unit_by_keyboard(browser: Browser) -> None:
    browser.run("document.getElementById('unit').focus()")
    before = browser.run("document.getElementById('unit').value"), state(browser)
    browser.key(*DOWN)
    after = browser.run("document.getElementById('unit').value"), state(browser)
    assert int(after[0]) == int(before[0]) + 1
    assert after[1] != before[1]
    reached = []
    for _ in range(2):
        browser.key(*TAB)
        reached.append(browser.run("document.activeElement.id"))
    assert reached == ["previous", "next"]
    browser.call("Input.dispatchKeyEvent", type="keyDown", key=" ", code="Space", text=" ")
    browser.call("Input.dispatchKeyEvent", type="keyUp", key=" ", code="Space")
    assert state(browser) != after[1]


def test_what_a_screen_reader_says(browser: Browser, run: report.Run) -> None:
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored")
    }
    for chart in charts(run):
        kinds = {role for role, name in named if name == f"{chart.title} {chart.summary}"}
        assert kinds & {"image", "img"}, chart.title
    roles = {role for role, _ in named}
    assert {"main", "heading", "banner", "contentinfo", "status"} <= roles
    assert any(role.lower().startswith("combobox") and name == "Unit" for role, name in named)
    buttons = [name for role, name in named if role == "button"]
    assert {"Previous unit", "Next unit"} <= set(buttons)
    assert "" not in buttons


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_light_and_dark_on_a_phone_and_a_screen(scheme: str, width: int, browser: Browser) -> None:
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", features=media)
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=800, deviceScaleFactor=1, mobile=width < 500,
    )  # fmt: skip
    assert browser.run("document.documentElement.scrollWidth <= window.innerWidth")
    paper = brightness(browser, "document.body", "backgroundColor")
    ink = brightness(browser, "document.body", "color")
    assert (paper > 200, ink < 60) if scheme == "light" else (paper < 60, ink > 200)
    label = brightness(browser, "document.querySelector('figure svg text')", "fill")
    assert abs(label - paper) > 150
    size = browser.run(
        "Math.min(...[...document.querySelectorAll('figure svg text')]"
        ".map(e => e.getBoundingClientRect().height))"
    )
    assert size >= 8


def brightness(browser: Browser, element: str, name: str) -> float:
    colour = browser.run(f"getComputedStyle({element}).{name}")
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3


def test_no_error_and_no_request(shown: tuple[Browser, Path]) -> None:
    """The last one: after all that the others did."""
    browser, file = shown
    events = browser.all_events()
    assert not [event for event in events if event.get("method") in CONSOLE]
    asked = {e["params"]["request"]["url"] for e in events if e.get("method") == REQUEST}
    assert file.as_uri() in asked
    assert not {url for url in asked - {file.as_uri()} if not url.startswith("data:")}
