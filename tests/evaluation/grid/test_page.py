"""The page of an evaluation: whole, alone, with the figures and pictures of the grid, and sorted by a click."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from evaluation.grid_rows import grid_row
from evaluation.toy_set import TOY, toy_prior, write_toy_set
from PIL import Image

from napari_brgm.evaluation.grid.bench import picture_of
from napari_brgm.evaluation.grid.catalogue import Setting
from napari_brgm.evaluation.grid.measures import MEASURES, pooled
from napari_brgm.evaluation.grid.page import PAGE_FILE, write_page
from napari_brgm.evaluation.grid.page.curves import curve_panels
from napari_brgm.evaluation.grid.page.figures import cost_table, difference_tables, figure_table, tallies
from napari_brgm.evaluation.grid.page.pictures import Pictures, shown_rivals
from napari_brgm.evaluation.grid.study import Wish, evaluate
from napari_brgm.evaluation.grid.tables import Tables
from napari_brgm.evaluation.held_out import SETS
from napari_brgm.settings import InferenceSettings

VOID = {"meta", "img", "br", "input", "link", "hr"}
TASKS = ("mask-2", "x4")


class Strict(HTMLParser):
    """Refuses elements that are not closed in order, and collects what is loaded."""

    def __init__(self):
        super().__init__()
        self.open, self.loaded, self.links, self.ids = [], [], [], set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute of {tag} is there twice"
        self.loaded += [given[name] for name in ("src", "srcset", "data", "poster") if name in given]
        self.links += [given["href"]] if "href" in given else []
        if "id" in given:
            assert given["id"] not in self.ids
            self.ids.add(given["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def cells_of(text: str, kind: str, measure: str, method: str) -> list[str]:
    """Texts of the cells of one line."""
    table = re.search(
        rf'<table class="{kind} sortable" data-better="[-01]+" data-measure="{measure}">.*?</table>', text, re.S
    )
    row = re.search(rf'<tr data-method="{method}".*?</tr>', table.group(), re.S).group()
    return [re.sub(r"<.*?>", " ", cell).strip() for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.S)]


def pixels_of(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def many(method: str, error: float, **given) -> list:
    """Six images of six subjects, with errors of about this size."""
    return [
        grid_row(method=method, title=method, image=f"i{i}", subject=i, rmse=error + 0.1 * i, **given) for i in range(6)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory, smooth_images):
    """Tables and setting of a small grid, measured once."""
    data, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out")
    write_toy_set(data, smooth_images)
    setting = Setting(
        TOY, data, out, toy_prior(data), count=6, samples=4, device="cpu", settings=InferenceSettings(steps=2)
    )
    return evaluate([setting], Wish(methods=("bicubic", "telea", "mean-image", "ours"), tasks=TASKS)), setting


def test_the_page_is_whole_and_loads_nothing(made):
    _, setting = made
    text = (setting.out / PAGE_FILE).read_text("utf-8")
    parser = Strict()
    parser.feed(text)
    parser.close()
    assert not parser.open
    assert len(parser.loaded) > 20 and all(one.startswith("data:image/webp;base64,") for one in parser.loaded)
    for link in parser.links:
        assert link[1:] in parser.ids if link.startswith("#") else (setting.out / link).is_file()
    assert not re.search(r"https?://|url\(|@import", text)
    assert "--methods bicubic,telea,mean-image,ours --tasks mask-2,x4 --images 6 --samples 4 --seed 0" in text
    assert str(setting.data) not in text and str(setting.out) not in text
    assert text.count('<b class="synthetic">') >= text.count('<span class="title">ours') > 0
    evaluate([setting], Wish(methods=("ours",), tasks=("x4",)))  # with everything kept
    assert len((setting.out / PAGE_FILE).read_text("utf-8")) == pytest.approx(len(text), rel=0.01)


def test_figures_of_the_page_are_those_of_the_rows(made):
    tables, setting = made
    text = (setting.out / PAGE_FILE).read_text("utf-8")
    for measure in tables.measures("toy"):
        for line, _ in tables.figures("toy", measure):
            count, *cells = cells_of(text, "figures", measure, line.method)
            for task, cell in zip(tables.tasks("toy"), cells, strict=True):
                value = pooled(tables.of("toy", task, line.method), measure)
                assert cell.split()[:1] == ([] if value is None else [f"{value:.{MEASURES[measure].decimals}f}"])
            assert count == "6"
    differences = {line.method: found for line, found in tables.against("toy", "ours", "rmse")}
    found, none = differences["telea"]
    cell, empty = cells_of(text, "differences", "rmse", "telea")
    assert cell.startswith(f"{found.value:+.1f}".replace("-", "−")) and none is None and empty == ""


def test_pictures_are_those_that_were_kept(made):
    tables, setting = made
    pictures = Pictures(tables, setting)
    strips = pictures.samples("mask-2", 4)
    assert [strip.heading for strip in strips] == [
        f"Image {i} of 6 (subject {s})" for i, s in ((1, 0), (2, 0), (4, 1), (5, 2))
    ]
    assert [tile.title for tile in strips[0].tiles] == [
        "truth", "observed", "ours", "ours, a sample", "claimed error (std)", "true error",
    ]  # fmt: skip
    assert {tile.family for tile in strips[0].rivals} == {"training-free", "linear"}
    row = tables.of("toy", "mask-2", "ours")[0]
    shown = pixels_of(strips[0].tiles[2].encoded(90).uri)
    assert np.abs(shown[..., 0].astype(float) - picture_of(setting, row)).mean() < 3
    truth, seen = strips[0].tiles[0].pixels, pixels_of(strips[0].tiles[1].encoded(90).uri)
    hidden = (seen == (237, 89, 77)).all(-1)
    assert 0 < hidden.sum() < hidden.size and (seen[~hidden] == truth[~hidden][:, None]).all()
    assert [tile.synthetic for tile in strips[0].tiles] == [False, False, True, True, False, False]

    (worst,) = pictures.worst()
    ratios = {
        (row.image, task): row.rmse / np.median([one.rmse for one in tables.of("toy", task, "ours")])
        for task in TASKS for row in tables.of("toy", task, "ours")
    }  # fmt: skip
    assert f"{max(ratios.values()):.1f} times" in worst.heading and worst.tiles[2].title == "ours"


def test_pictures_are_turned_as_the_prior_says(made, monkeypatch):
    tables, setting = made
    upright = Pictures(tables, setting).samples("x4", 1)[0].tiles
    monkeypatch.setattr(setting.prior, "info", replace(setting.prior.info, rotation=180.0))
    turned = Pictures(tables, setting).samples("x4", 1)[0].tiles
    for one, other in zip(upright, turned, strict=True):
        assert (one.pixels[::-1, ::-1] == other.pixels).all()


def test_best_and_certain():
    ours, near, far = many("ours", 10.0), many("near", 10.01, family="linear"), many("far", 14.0, family="generative")
    few = [row for row in many("few", 5.0, family="supervised") if row.subject < 2]
    tables = Tables([*ours, *near, *far, *few])
    table = figure_table(tables, "brain-128", "rmse")
    assert [(line.method, count, cells[0].text, cells[0].best) for line, count, cells in table.body] == [
        ("ours", 6, "10.3", True), ("near", 6, "10.3", True), ("far", 6, "14.3", False), ("few", 2, "5.1", False),
    ]  # fmt: skip
    (difference,) = difference_tables(tables, "brain-128", "rmse")
    assert [(line.method, cells[0].verdict) for line, cells in difference.body] == [
        ("near", "better"), ("far", "better"), ("few", "undecided"),  # two subjects say nothing
    ]  # fmt: skip
    assert [(one.family, one.better, one.worse, one.undecided) for one in tallies(tables, "brain-128", difference)] == [
        ("linear", 1, 0, 0), ("generative", 1, 0, 0), ("supervised", 0, 0, 1),
    ]  # fmt: skip
    higher = Tables([*many("ours", 1.0, ssim=0.9), *many("other", 1.0, family="linear", ssim=0.95)])
    ((_, (cell,)),) = difference_tables(higher, "brain-128", "ssim")[0].body
    assert cell.verdict == "worse" and cell.text == "−0.050"
    assert not difference_tables(tables, "brain-128", "sharpness")  # neither is better
    assert [line.method for line in shown_rivals(tables, "brain-128", "x4")] == ["near", "far", "few"]
    assert [row.line.method for row in cost_table(tables, "brain-128")] == ["ours", "near", "far", "few"]


def test_curves_are_shares_of_a_kind_of_task():
    held = {"held_50": 0.4, "held_80": 0.7, "held_90": 0.8}
    rows = [
        *many("ours", 1.0, task="x2", held_95=0.9, **held), *many("ours", 1.0, task="x4", held_95=0.8, **held),
        *many("plain", 1.0),
    ]  # fmt: skip
    (panel,) = curve_panels(Tables(rows), "brain-128")
    (curve,) = panel.curves
    assert panel.title == "lowered resolution" and curve.shares == pytest.approx((0.4, 0.7, 0.8, 0.85))
    x, y = curve.points[0]
    assert panel.top < y < panel.bottom and panel.left < x < panel.right
    ticks = {text: (along, up) for along, up, text in panel.ticks}
    assert ticks["50"][0] == x and ticks["50"][1] < y  # too sure: under the line


def test_a_set_without_its_data_has_no_pictures(tmp_path):
    rows = [*many("ours", 10.0), *many("ours", 5.0, set="xray-256")]
    setting = Setting(SETS[0], tmp_path / "nowhere", tmp_path, None, 6)
    text = write_page(Tables(rows, ["a <note>"]), [setting], "command").read_text("utf-8")
    assert "No pictures: the images of this set could not be read again" in text and "nowhere" not in text
    assert "No pictures: this set was measured by an earlier command" in text and "a &lt;note&gt;" in text


def test_pictures_can_be_left_out(made, tmp_path):
    """For a page that goes where scans may not."""
    tables, setting = made
    bare = write_page(tables, [replace(setting, out=tmp_path)], "command", pictured=False).read_text("utf-8")
    assert "left out on request" in bare and "data:image/webp" not in bare


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to open the page with")
def test_a_browser_shows_the_page_and_sorts_it(made, tmp_path):
    _, setting = made
    text = (setting.out / PAGE_FILE).read_text("utf-8")
    clicks = """<script>
    const table = document.querySelector('table.figures[data-measure="rmse"]');
    const order = () => [...table.tBodies[0].rows].map((row) => row.dataset.method).join(" ");
    const said = [];
    for (let turn = 0; turn < 2; turn++) {
      table.tHead.querySelectorAll("button")[2].click();
      said.push(table.tHead.rows[0].cells[2].getAttribute("aria-sort") + ": " + order());
    }
    document.querySelector(".tile:nth-child(3)").click();
    const key = new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true});
    document.getElementById("large").dispatchEvent(key);
    said.push(document.querySelector("#large p").textContent, document.getElementById("large").open);
    const hidden = [...document.querySelectorAll('[data-of="toy-measure"]')].filter((one) => one.hidden).length;
    document.title = "";
    document.body.innerHTML = `<pre id="said">${said.join("|")}|${hidden}</pre>`;
    </script></body>"""
    page = tmp_path / "clicked.html"
    page.write_text(text.replace("</body>", clicks), "utf-8")
    dumped = run_chromium(tmp_path, page, "--dump-dom")
    rising, falling, caption, is_open, hidden = re.search(r'id="said">(.*?)</pre>', dumped).group(1).split("|")
    tables, _ = made
    values = {
        line.method: round(pooled(tables.of("toy", "mask-2", line.method), "rmse") or 0.0, 1)
        for line in tables.lines("toy")
    }  # fmt: skip
    up, down = ([values[name] for name in said.split(": ")[1].split()] for said in (rising, falling))
    assert rising.startswith("ascending: ") and falling.startswith("descending: ")
    assert up == [*sorted(up[:-1]), 0.0] and down == [*up[:-1][::-1], 0.0]  # what was not measured stays last
    assert re.match(r"ours, a sample: synthetic RMSE [\d.]+ \(4 of ", caption) and is_open == "true"
    assert int(hidden) == len(tables.measures("toy")) - 1

    run_chromium(tmp_path, setting.out / PAGE_FILE, f"--screenshot={tmp_path / 'page.png'}", "--window-size=1280,720")
    shown = np.asarray(Image.open(tmp_path / "page.png").convert("L"), np.float64)
    assert shown.shape == (720, 1280) and shown.std() > 10 and (shown < 100).mean() > 0.005


def run_chromium(folder, page, *options: str) -> str:
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}", *options, page.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
