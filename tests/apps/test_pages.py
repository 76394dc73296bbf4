"""report.html, README.md, the demo page and the doctor."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from kinema.apps import weights
from kinema.apps.chart import chart, span, thin
from kinema.apps.demo import with_files
from kinema.apps.page import picture, table
from kinema.apps.report import write_report
from kinema.core.results import Image
from kinema.data import make
from kinema.media import read_image

VOID = {"meta", "img", "br", "path"}


class Balanced(HTMLParser):
    """Every tag that opens is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def well_formed(html: str) -> bool:
    parser = Balanced()
    parser.feed(html)
    return not parser.open


def test_a_report_shows_losses_previews_and_settings(trained: Path) -> None:
    page = (trained / "report.html").read_text()
    assert well_formed(page)
    assert "step 6 of 6" in page
    assert page.count("data:image/gif;base64,") == 2
    assert "distance" in page
    assert "<h2>Warnings</h2>" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)  # needs no other file


def test_a_report_shows_warnings_and_scores_without_letting_them_be_html(
    trained: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 6, "note": "collapse <b>now</b>"}) + "\n{cut sho")
    rows = [
        {"name": "ours", "metrics": {"joint": 0.5}, "samples": 10},
        {"name": "real", "metrics": {}, "samples": 10},
    ]
    (run / "scores.json").write_text(json.dumps({"step": 6, "rows": rows}))
    write_report(run)
    page = (run / "report.html").read_text()
    assert well_formed(page)
    assert "collapse &lt;b&gt;now&lt;/b&gt;" in page
    assert "<td>0.5</td>" in page


def test_a_chart_leaves_out_what_is_not_finite_and_keeps_spikes_inside() -> None:
    points = [(float(i), 1.0 + i % 2) for i in range(200)]
    drawn = chart("loss", {"a": [*points, (200.0, 1e9), (201.0, float("nan"))]})
    assert well_formed(drawn)
    heights = [float(p.split(",")[1]) for p in re.search(r'class="s0" d="M([^"]*)"', drawn)[1].split()]
    assert all(0 <= y <= 200 for y in heights)
    assert chart("loss", {"a": [(0.0, float("inf"))]}) == ""


def test_a_report_draws_what_scores_give_by_frame(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    protocol = {"metric": "motion", "by frame": {"PSNR": [20.0, 18.5, 17.0]}}
    rows = [{"name": name, "metrics": {"PSNR": 18.5}, "samples": 9, "protocol": protocol} for name in "ab"]
    (run / "scores.json").write_text(json.dumps({"step": 6, "rows": rows}))
    write_report(run)
    page = (run / "report.html").read_text()
    assert well_formed(page)
    assert "PSNR by frame" in page
    assert "frame 4</text>" in page


def test_thinning_keeps_the_mean_and_the_end() -> None:
    points = [(float(i), float(i % 4)) for i in range(1200)]
    few = thin(points, 300)
    assert len(few) <= 300
    assert {y for _, y in few} == {1.5}
    assert few[-1][0] == 1199
    assert span([2.0, 2.0]) == (1.5, 2.5)


def test_text_in_tables_and_captions_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"x")
    assert "<script>" not in table(["<script>"], [["<script>"]]) + picture(tmp_path / "p.png", "<script>")


def test_the_demo_shows_every_bundled_weights(kinema, trained: Path) -> None:
    shutil.copytree(trained, weights.BUNDLED / "fake-gan-a")
    said = kinema("demo", "--out", "tour", "--json")
    facts = json.loads(said.out)
    page = Path(facts["page"]).read_text()
    assert (said.code, facts["weights"]) == (0, ["fake-gan-a"])
    assert well_formed(page)
    files = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(files) == 12
    assert all((Path("tour") / name).stat().st_size > 100 for name in files)


def test_the_demo_keeps_weights_of_one_name_apart(kinema, trained: Path) -> None:
    for folder in ("a", "b"):
        shutil.copytree(trained, Path(folder) / "run.v1")
    assert kinema("demo", "--weights", "a/run.v1", "--weights", "b/run.v1").code == 0
    files = re.findall(r'src="([^"]+)"', Path("demo/index.html").read_text())
    assert len(set(files)) == len(files) == 12


def test_the_demo_of_a_run(kinema, trained: Path) -> None:
    assert kinema("demo", "--weights", trained).code == 0
    assert len(list(Path("demo").glob("*.gif"))) == 6


def test_the_demo_of_a_run_whose_data_is_gone(kinema) -> None:
    make("sbmg", 12, "clips", size=16, frames=4)
    said = kinema("train", "fake-gan", "--preset", "tiny", "--data", "clips", "--out", "run")
    assert said.code == 0, said.err
    shutil.rmtree("clips")
    assert kinema("demo", "--weights", "run").code == 0
    assert len(list(Path("demo").glob("*.gif"))) == 6


def test_the_demo_of_weights_that_name_no_data(kinema, trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    about = json.loads((run / "config.json").read_text())
    del about["data"]
    (run / "config.json").write_text(json.dumps(about))
    said = kinema("demo", "--weights", run)
    assert (said.code, said.err.splitlines()[-1].startswith("kinema: ")) == (1, True)
    assert "does not say what it was trained on" in said.err


def test_the_demo_without_weights_says_how_to_get_some(kinema) -> None:
    said = kinema("demo")
    assert said.code == 0
    assert "kinema train" in said.err
    assert "kinema train" in Path("demo/index.html").read_text()


def test_the_demo_opens_a_browser_only_when_asked(kinema, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    kinema("demo")
    assert opened == []
    kinema("demo", "--open")
    assert opened[0].startswith("file:")


def test_the_doctor_is_content_with_this_machine(kinema) -> None:
    said = kinema("doctor", "--json")
    found = {f["what"]: f for f in json.loads(said.out)["findings"]}
    assert said.code == 0
    assert found["torch"]["ok"]
    assert found["codec for mp4"]["ok"]
    assert {"processor", "memory", "GPU", "bf16", "free disk here"} <= set(found)


def test_the_doctor_knows_modules_from_packages_of_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    from kinema.apps import doctor

    monkeypatch.setattr(doctor, "EXTRAS", {"json": "onnxruntime comes from onnxruntime-gpu, too"})
    assert doctor.Finding("json", "there") in doctor.programs()


def test_the_doctor_finds_damaged_weights(kinema, trained: Path) -> None:
    folder = Path(shutil.copytree(trained, weights.BUNDLED / "fake-gan-a"))
    assert "intact" in kinema("doctor").out
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(about | {"weights_sha256": "0" * 64}))
    said = kinema("doctor")
    assert said.code == 1
    assert "not the one that was shipped" in said.out


def test_each_picture_of_an_example_is_a_file_of_its_own(tmp_path: Path) -> None:
    pictures = tuple(Image(np.full((8, 8, 3), k, np.uint8)) for k in range(3))
    files = with_files({"image": pictures, "cropped": True}, tmp_path / "0")["image"]
    assert [int(read_image(file).pixels[0, 0, 0]) for file in files] == [0, 1, 2]
