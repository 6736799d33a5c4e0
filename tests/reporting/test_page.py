"""The page: what it says without a browser, and how it behaves in one (marker `browser`)."""

import html
import re
import shlex
from html.parser import HTMLParser

import pytest

from src.report import Options, report
from tests.fabricate import config_of, declare, write_run, write_study

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """The path of the page of a study with everything in it."""
    output_dir = tmp_path_factory.mktemp("page")
    variants = {f"k{k}": ({"name": "acmix", "kernel_att": k}, 0.4 + 0.03 * k) for k in (3, 5, 7)}
    variants = {"b": ({"name": "baseline"}, 0.5), "p": ({"name": "placebo"}, 0.51), **variants}
    write_study(output_dir, variants, matches=True)
    error = "Traceback (most recent call last):\nRuntimeError: <script>alert('no')</script>\n"
    write_run(output_dir, config_of({"name": "cbam"}, 0), None, status="failed", error=error)
    report(Options("made_up", str(output_dir), resamples=20))
    return output_dir / "studies" / "made_up" / "report" / "index.html"


class Tags(HTMLParser):
    """Tags with their attributes, and ids."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def test_page_asks_nobody_for_anything(page):
    tags = Tags(page.read_text()).tags
    links = [a[name] for _, a in tags for name in ("src", "href", "action", "data") if name in a]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"@import|url\((?!data:)", page.read_text())


def test_page_is_one_document_whose_links_lead_somewhere(page):
    tags = Tags(page.read_text()).tags
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for tag, a in tags if tag == "a"}
    labels = {a["aria-labelledby"] for _, a in tags if "aria-labelledby" in a}
    assert targets | labels <= set(ids)
    assert sum(tag == "h1" for tag, _ in tags) == 1


def test_every_picture_has_an_alternative_text(page):
    pictures = [a for tag, a in Tags(page.read_text()).tags if tag == "img"]
    assert len(pictures) == 10
    assert all(len(a["alt"]) > 60 for a in pictures)


def test_what_runs_wrote_is_shown_as_text(page):
    text = page.read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "python -m src.train -cp" in text
    assert "0123456789abcdef" in text


@pytest.mark.browser
@pytest.mark.parametrize("width", [pytest.param(1280, id="desktop"), pytest.param(390, id="phone")])
def test_page_in_a_browser(width, page, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    problems = []
    with playwright.sync_playwright() as started:
        context = started.chromium.launch_persistent_context(
            tmp_path, executable_path=CHROMIUM, args=QUIET, viewport={"width": width, "height": 844}
        )
        tab = context.new_page()
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda request: problems.append(request.url))
        tab.goto(page.as_uri())
        requests = [problem for problem in problems if not problem.startswith(("data:", page.as_uri()))]
        assert requests == []
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 100)")
        top = tab.locator("h1").bounding_box()
        assert top["y"] + top["height"] < 844
        _sort_by_keyboard(tab)
        context.close()


def _sort_by_keyboard(tab):
    """Sort the comparison by its difference, up and down; what has none stays last."""
    header = tab.locator("table.first th", has_text="difference")
    index = header.evaluate("header => header.cellIndex")
    rows = "[...document.querySelectorAll('table.first tbody tr')]"
    column = f"{rows}.map(row => row.cells[{index}].dataset.value ?? null)"
    header.locator("button").focus()
    for order, sign in (("ascending", 1), ("descending", -1)):
        tab.keyboard.press("Enter")
        assert header.get_attribute("aria-sort") == order
        values = tab.evaluate(column)
        numbers = [sign * float(value) for value in values if value is not None]
        assert len(numbers) == 4
        assert numbers == sorted(numbers)
        assert values[4:] == [None, None]


@pytest.mark.browser
def test_page_prints_without_losing_columns(page, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        context = started.chromium.launch_persistent_context(
            tmp_path, executable_path=CHROMIUM, args=QUIET, viewport={"width": 1016, "height": 690}
        )
        tab = context.new_page()
        tab.goto(page.as_uri())
        tab.emulate_media(media="print")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 1016
        assert not tab.locator("nav").is_visible()
        context.close()


def test_ap_by_class_is_the_mean_over_seeds_that_have_it(tmp_path):
    for seed, zero in enumerate([0.1, 0.2, None]):
        write_run(tmp_path, config_of({"name": "acmix"}, seed), 0.5, ap_by_class={"zero": zero, "one": 0.75})
    report(Options("made_up", str(tmp_path), resamples=0, looks=False))
    text = (tmp_path / "studies" / "made_up" / "report" / "index.html").read_text()
    cells = dict(re.findall(r'<tr><td>(zero|one)</td><td class="number" data-value="[^"]*">([^<]*)</td>', text))
    assert cells == {"zero": "0.150", "one": "0.750"}


def test_settings_are_shared_by_all_or_a_variants_own(tmp_path):
    for attention, sites in (({"name": "baseline"}, ["p3"]), ({"name": "acmix"}, ["p4"])):
        write_run(tmp_path, config_of(attention, 0, placement__sites=sites), 0.5)
    report(Options("made_up", str(tmp_path), resamples=0, looks=False))
    text = (tmp_path / "studies" / "made_up" / "report" / "index.html").read_text()
    own, shared = text.split("Settings that all variants share")
    own = own[own.index('id="reproduce"') :]
    shared = shared[: shared.index('id="versions"')]
    assert own.count("<dt>placement.sites</dt>") == 2
    assert "<dt>placement.sites</dt>" not in shared
    assert "<dt>trainer.epochs</dt><dd>12</dd>" in shared
    assert "<dt>trainer.epochs</dt>" not in own


@pytest.mark.parametrize("margin", [0.005, 0.3])
def test_the_scale_holds_the_difference_and_the_whole_margin(margin, tmp_path):
    write_study(tmp_path, {"b": ({"name": "baseline"}, 0.5), "a": ({"name": "acmix"}, 0.6)})
    report(Options("made_up", str(tmp_path), margin=margin, resamples=0, looks=False))
    text = (tmp_path / "studies" / "made_up" / "report" / "index.html").read_text()
    left, width = map(float, re.search(r'class="band" x="([^"]*)" y="0" width="([^"]*)"', text).groups())
    low, high = map(float, re.search(r'class="range" x1="([^"]*)" y1="4.5" x2="([^"]*)"', text).groups())
    assert 0 <= left < 50 < left + width <= 100
    assert left + width / 2 == pytest.approx(50)
    assert 0 <= low < high <= 100
    assert low < float(re.search(r'class="point" style="left:([^%]*)%', text)[1]) < high


def test_commands_are_quoted_and_runs_that_do_not_count_have_no_score(tmp_path):
    folders = [write_run(tmp_path, config_of({"name": "acmix"}, seed), 0.1234 + seed) for seed in (0, 1)]
    overrides = ["placement.sites=[p3, p4]", "data.yaml='my set.yaml'", "seed=0"]
    runs = [{"run": f.name, "variant": "a", "seed": s, "overrides": overrides} for s, f in enumerate(folders)]
    declare(tmp_path, "made_up", runs)
    report(Options("made_up", str(tmp_path), resamples=0, looks=False))
    text = html.unescape((tmp_path / "studies" / "made_up" / "report" / "index.html").read_text())
    (command,) = re.findall(r"python -m src.train (.*) force=true", text.split('id="reproduce"')[1])[:1]
    assert shlex.split(command) == overrides
    assert "<td>0.1234</td>" in re.sub(" class=[^>]*", "", text)
    assert "1.1234" not in text.split('id="runs"')[1].split('id="reproduce"')[0]
