"""The report: self-contained, whole, readable; in a browser: silent, offline, sortable, unfoldable, on a phone too."""

import base64
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mixedae.benchmark.report.curves import read_curves
from mixedae.benchmark.report.page import TEMPLATES, write_report
from tests.benchmark.fake_suite import FakeSuite

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Page(HTMLParser):
    """Elements with their attributes, and the text of the page."""

    VOID = {"meta", "link", "img", "br"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> FakeSuite:
    """Two seeds, a failed cell with markup in its reason, curves, recognition accuracy and a picture."""
    suite = FakeSuite(tmp_path_factory.mktemp("report"), seeds=(0, 1))
    assert suite.run()[0] == 0
    failed = suite.folder / "mixedae/det/seed_1/result.json"
    result = json.loads(failed.read_text())
    failed.write_text(
        json.dumps(result | {"status": "failed", "reason": "ValueError: <script>x</script>", "values": {}})
    )
    for seed in (0, 1):
        log = suite.folder / f"mixedae/pretrain/seed_{seed}/20260101_000000/vis_data/scalars.json"
        log.parent.mkdir(parents=True)
        lines: list[dict[str, Any]] = [
            {"loss": 2.0 / step, "iter": step, "epoch": 1, "step": step} for step in (1, 2, 3)
        ]
        for epoch in (1, 2):
            layers = {f"recognition/layer_{layer}": 0.2 * layer + 0.1 * epoch for layer in (1, 2, 3)}
            lines.append({**layers, "recognition/chance": 0.25, "epoch": epoch, "step": epoch})
            lines.append({"online/knn": 10.0 * epoch, "online/rankme": 5.0 + epoch, "epoch": epoch, "step": epoch})
        log.write_text("\n".join(map(json.dumps, lines)) + '\n{"loss": 1.0, "it')
        probed = suite.folder / f"mae/cls/seed_{seed}/20260101_000000/vis_data/scalars.json"
        probed.parent.mkdir(parents=True)
        by_layer = {f"layers/knn_{layer}": 20.0 + layer for layer in (1, 2, 3)} | {"layers/knn_10": 90.0}
        probed.write_text(json.dumps({**by_layer, "step": 0}))
    (suite.folder / "figures").mkdir()
    (suite.folder / "figures/attention.png").write_bytes(PIXEL)
    (suite.folder / "figures/attention.json").write_text(json.dumps({"caption": "Where it looks", "alt": "Six birds"}))
    return suite


@pytest.fixture(scope="module")
def report(suite: FakeSuite) -> Path:
    return write_report(suite.survey(need_data=False), suite.folder / "report.html")


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page(report.read_text())


def test_it_is_well_formed_and_needs_nothing_from_elsewhere(report: Path, page: Page) -> None:
    assert page.open == []
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href"):
            link = attributes.get(name)
            assert link is None or link.startswith(("#", "data:")), (tag, link)
    assert "url(http" not in report.read_text() and "@import" not in report.read_text()
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'")


def test_it_holds_the_table_its_notes_and_the_watermark(suite: FakeSuite, page: Page) -> None:
    text = " ".join(" ".join(page.text).split())
    assert "Not real" in text and "random init" in text and "MixedAE" in text
    for note in suite.comparison().footnotes:
        assert " ".join(note.split()) in text
    for row in suite.comparison().rows:
        for entry in row.entries:
            assert entry.spread is not None and f"{entry.spread.mean:.1f}" in text


def test_what_a_run_says_is_text_and_never_markup(report: Path, page: Page) -> None:
    assert "<script>x" not in report.read_text()
    assert "ValueError: <script>x</script>" in "".join(page.text)


def test_every_cell_unfolds_with_its_provenance_and_the_command_that_makes_it_again(
    suite: FakeSuite, page: Page
) -> None:
    cells = suite.workspace().cells
    assert len(page.all("details")) == len(page.all("summary")) == len(cells)
    text = "".join(page.text)
    for cell in cells:
        assert f"--only {cell.name} --seeds {cell.seed} --force" in text
    result = json.loads((suite.folder / "mae/cls/seed_0/result.json").read_text())
    for fact in (result["identity"]["recipe_hash"], result["identity"]["weights_sha256"], "torch 2", "lr 0.001"):
        assert fact in text


def test_pictures_and_charts_are_described(page: Page) -> None:
    assert [image["alt"] for image in page.all("img")] == ["Six birds"]
    charts = page.all("svg")
    assert charts and all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert page.all("html") == [{"lang": "en"}]
    titles = "".join(page.text)
    assert "Recognition accuracy by layer" in titles and "Where it looks" in titles
    described = " ".join(str(chart["aria-label"]) for chart in charts)
    assert "While pre-training: k-NN accuracy, %" in titles and "ends at 20.0, 20.0" in described
    assert "While pre-training: linear" not in titles, "a figure that no run logged has no chart"
    assert "is best at layer 10 with 90.0" in described
    identities = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(identities) == len(set(identities))


def test_sections_without_content_are_absent_and_pictures_say_their_command(tmp_path: Path) -> None:
    suite = FakeSuite(tmp_path)
    empty = suite.report(tmp_path / "empty.html", need_data=False)
    assert 'id="recognition"' not in empty and 'id="trade-off"' not in empty and 'id="paired"' not in empty
    assert suite.run(only="mae/pretrain")[0] == 0
    assert "tools/analyze.py attention mae=" in suite.report(tmp_path / "one.html")


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1, 2], ids=["light", "dark", "print"])
def test_contrast(theme: int) -> None:
    """WCAG AA: 4.5 for text, 3 for lines and marks of charts."""
    blocks = re.findall(r":root \{(.*?)\}", (TEMPLATES / "report.css").read_text(), flags=re.DOTALL)
    assert len(blocks) == 3
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[theme]))
    pairs = [("ink", "card"), ("ink", "page"), ("muted", "card"), ("muted", "page"), ("accent", "card")]
    pairs += [("accent", "page"), ("good", "good-back"), ("bad", "bad-back"), ("good", "card"), ("bad", "card")]
    pairs.append(("mark", "mark-back"))
    for text, back in pairs:
        assert contrast(colours[text], colours[back]) >= 4.5, (text, back)
    for index in range(7):
        assert contrast(colours[f"series-{index}"], colours["card"]) >= 3.0, index


def test_curves_of_a_resumed_run_are_joined(tmp_path: Path) -> None:
    """The second log repeats an epoch of the first; what came later counts, and a half line is left out."""
    for name, lines in {
        "20260101_000000": [{"loss": 3.0, "iter": 10}, {"loss": 2.0, "iter": 20}, {"mIoU": 5.0, "step": 2}],
        "20260102_000000": [{"loss": 1.9, "iter": 20}, {"loss": 1.0, "iter": 40}, {"mIoU": 9.0, "step": 4}],
    }.items():
        log = tmp_path / name / "vis_data/scalars.json"
        log.parent.mkdir(parents=True)
        log.write_text("\n".join(map(json.dumps, lines)) + '\n{"loss"')
    curves = read_curves(tmp_path, epochs=4)
    assert curves.loss == [(1.0, 3.0), (2.0, 1.9), (4.0, 1.0)]
    assert curves.metrics["mIoU"] == [(2.0, 5.0), (4.0, 9.0)]
    assert read_curves(tmp_path, epochs=None).loss[-1] == (40.0, 1.0)


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(report: Path) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no Chromium with its driver (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    from selenium.webdriver.chrome.service import Service

    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.get(report.as_uri())
    yield browser
    browser.quit()


def test_it_loads_without_console_errors_or_requests(browser: Any, report: Path) -> None:
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert {url for url in requests if not url.startswith("data:")} == {report.as_uri()}


def column(browser: Any, index: int) -> list[str]:
    script = "return [...document.querySelector('table').tBodies[0].rows].map(r => r.cells[arguments[0]].textContent)"
    return browser.execute_script(script, index)


def test_headings_sort_by_mouse_and_keyboard(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    heading = browser.find_elements("css selector", "table th button")[1]
    heading.click()
    down = [float(text.split()[0]) for text in column(browser, 1)]
    assert down == sorted(down, reverse=True) and len(down) == 3
    assert heading.find_element("xpath", "..").get_attribute("aria-sort") == "descending"
    heading.send_keys(Keys.ENTER)
    up = [float(text.split()[0]) for text in column(browser, 1)]
    assert up == sorted(down)
    assert len(browser.find_elements("css selector", "[aria-sort]")) == 1


def test_sections_unfold_by_mouse_keyboard_and_all_at_once(browser: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    details = browser.find_elements("tag name", "details")
    assert not any(item.get_attribute("open") for item in details)
    summary = details[0].find_element("tag name", "summary")
    summary.click()
    assert details[0].find_element("tag name", "dl").is_displayed()
    summary.send_keys(Keys.ENTER)
    assert not details[0].find_element("tag name", "dl").is_displayed()
    browser.find_element("id", "unfold").click()
    assert all(item.get_attribute("open") for item in details)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_is_never_wider_than_the_screen(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_dark_and_light_differ_and_charts_follow(browser: Any) -> None:
    def colours(scheme: str) -> list[str]:
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        script = "const of = (s, p) => getComputedStyle(document.querySelector(s))[p];"
        return browser.execute_script(script + "return [of('body', 'backgroundColor'), of('svg text', 'fill')]")

    light, dark = colours("light"), colours("dark")
    assert light[0] != dark[0] and light[1] != dark[1]
