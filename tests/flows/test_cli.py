"""The command line on a tiny repository with untrained networks: what it makes, and what it says when it cannot."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from dvc.repo import Repo
from PIL import Image
from typer.testing import CliRunner, Result

from flows.cli import app
from stages.corpus import decode
from stages.corpus.encode import write_mp4, write_wav
from stages.evaluation import coefficients
from tests.flows.in_background import wait_until
from tests.stages.evaluation import talking
from tests.stages.features import published_models


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    return talking.repository(tmp_path_factory.mktemp("repository"), root)


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def dreamtalk(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def generate(out: Path, *more: object, portrait: str = "face.png", voice: str = "voice.wav") -> Result:
    return dreamtalk("generate", "--portrait", portrait, "--voice", voice, "--steps", 2, "-o", out, *more)


def says(result: Result, *words: str) -> None:
    """Exit 2 and one line on stderr with all of `words`."""
    assert result.exit_code == 2, (result.stdout, result.stderr, result.exception)
    assert result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, flows.cli; print([m for m in ('torch', 'mlflow', 'mediapipe', 'prefect') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", [command.name or command.callback.__name__ for command in app.registered_commands])
def test_every_command_has_a_help(command: str) -> None:
    done = dreamtalk(command.replace("_", "-"), "--help")
    assert done.exit_code == 0, done.output
    assert "Usage:" in done.output


def test_help_tells_styles_as_they_are_typed() -> None:
    assert "[SPEAKER/]EMOTION[/LEVEL]" in " ".join(dreamtalk("generate", "--help").output.split())


def test_video_is_as_long_as_the_voice(here: Path, tmp_path: Path) -> None:
    result = generate(tmp_path / "out.mp4")
    assert result.exit_code == 0, (result.stderr, result.exception)
    frames = decode.read_video(tmp_path / "out.mp4", 25)
    assert frames.shape == (26, 256, 256, 3)  # ceil(1.01 s * 25)
    with av.open(str(tmp_path / "out.mp4")) as video:
        assert video.streams.video[0].codec_context.name == "h264"
        assert video.streams.audio[0].codec_context.name == "aac"
        assert video.streams.video[0].frames == 26
        sound = video.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(1.01, abs=1 / 15)
        assert "AI-generated" in video.metadata["comment"]


def test_pirenderer_draws_the_square_round_the_face(here: Path, tmp_path: Path) -> None:
    write_wav(tmp_path / "short.wav", talking.voice(0.2), talking.RATE)
    result = generate(tmp_path / "out.mp4", "--renderer", "pirenderer", voice=str(tmp_path / "short.wav"))
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert decode.read_video(tmp_path / "out.mp4", 25).shape == (5, 128, 128, 3)


def test_same_request_same_bytes_and_another_seed_another_motion(here: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert generate(tmp_path / f"{name}.mp4", "--seed", seed).exit_code == 0
    a, b, c = ((tmp_path / f"{name}.mp4").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_watermark_is_on_unless_declined(here: Path, tmp_path: Path) -> None:
    assert generate(tmp_path / "marked.mp4").exit_code == 0
    assert generate(tmp_path / "plain.mp4", "--no-watermark").exit_code == 0
    marked, plain = (decode.read_video(tmp_path / f"{n}.mp4", 25)[3].astype(int) for n in ("marked", "plain"))
    difference = np.abs(marked - plain).max(axis=2)
    assert difference[-16:, -100:].max() > 60
    assert difference[:200].max() < 30


def test_style_and_pose_from_a_video_and_from_its_coefficients(here: Path, tmp_path: Path) -> None:
    picture, _ = talking.face()
    swaying = [np.roll(picture, shift, axis=1) for shift in (0, 2, 4, 6, 8, 6, 4, 2)]
    write_mp4(tmp_path / "swaying.mp4", swaying, 25)
    for name in ("coefficients.mat", "coefficients.parquet"):
        fitted = dreamtalk("fit", tmp_path / "swaying.mp4", "-o", tmp_path / name)
        assert fitted.exit_code == 0, (fitted.stderr, fitted.exception)
    videos = {}
    for source in ("swaying.mp4", "coefficients.mat", "coefficients.parquet"):
        path = tmp_path / source
        options = ("--style", path, "--pose", path, "--intensity", 2)
        assert generate(tmp_path / "out.mp4", *options).exit_code == 0
        videos[source] = (tmp_path / "out.mp4").read_bytes()
    assert len(set(videos.values())) == 1
    frames = decode.read_video(tmp_path / "out.mp4", 25)
    assert len(frames) == 26  # the track of 8 frames is played there and back


def test_style_and_intensity_over_time(here: Path, tmp_path: Path) -> None:
    picture, _ = talking.face()
    write_mp4(tmp_path / "still.mp4", [picture] * 5, 25)
    changing = ("--style", f"auto; 0.5={tmp_path / 'still.mp4'}", "--intensity", "1; 0.5=3", "--pose", "mild")
    assert generate(tmp_path / "changing.mp4", *changing).exit_code == 0
    assert generate(tmp_path / "steady.mp4", "--pose", "mild").exit_code == 0
    videos = [decode.read_video(tmp_path / f"{name}.mp4", 25).astype(int) for name in ("changing", "steady")]
    apart = np.abs(videos[0] - videos[1]).mean((1, 2, 3))
    assert apart[:5].max() < 1 < 2 * apart[20:].max()
    says(generate(tmp_path / "out.mp4", "--intensity", "loud"), "intensity", "loud")


def test_what_comes_after_the_voice_ends_is_mentioned(here: Path, tmp_path: Path) -> None:
    late = generate(tmp_path / "out.mp4", "--intensity", "1; 60=2")
    assert late.exit_code == 0 and "intensity at 60 s is never seen: the voice ends at" in late.stdout


def test_all_of_the_photograph_with_either_renderer(here: Path, tmp_path: Path) -> None:
    wide = Image.new("RGB", (600, 300), "gray")
    wide.paste(Image.open("face.png"), (300, 20))
    wide.save(tmp_path / "wide.png")
    write_wav(tmp_path / "short.wav", talking.voice(0.2), talking.RATE)
    given = {"portrait": str(tmp_path / "wide.png"), "voice": str(tmp_path / "short.wav")}
    for renderer in ("mesh_warp", "pirenderer"):
        result = generate(tmp_path / "out.mp4", "--frame", "picture", "--renderer", renderer, **given)
        assert result.exit_code == 0, (result.stderr, result.exception)
        frames = decode.read_video(tmp_path / "out.mp4", 25).astype(int)
        assert frames.shape == (5, 256, 512, 3)
        assert np.abs(frames[:, :, :120] - frames[0, 0, 0]).max() < 12  # far from the face nothing moves
    assert generate(tmp_path / "square.mp4", **given).exit_code == 0
    shape = decode.read_video(tmp_path / "square.mp4", 25).shape
    assert shape[1] == shape[2]


def test_sound_and_picture_stand_together(here: Path, tmp_path: Path) -> None:
    voice = talking.voice(1.01)
    assert generate(tmp_path / "out.mp4").exit_code == 0
    heard = decode.read_audio(tmp_path / "out.mp4", talking.RATE)[: len(voice)]
    lag = np.argmax(np.correlate(heard, voice, "full")) - (len(voice) - 1)
    assert abs(lag) < talking.RATE / 25 / 4
    with av.open(str(tmp_path / "out.mp4")) as video:
        sound = video.streams.audio[0]
        assert sound.duration * sound.time_base * talking.RATE == len(voice)


def test_voices_very_short_and_silent(here: Path, tmp_path: Path) -> None:
    for name, samples, frames in (("tenth", talking.voice(0.1), 3), ("silent", np.zeros(16000, np.float32), 25)):
        write_wav(tmp_path / f"{name}.wav", samples, talking.RATE)
        result = generate(tmp_path / f"{name}.mp4", voice=str(tmp_path / f"{name}.wav"))
        assert result.exit_code == 0, (result.stderr, result.exception)
        assert len(decode.read_video(tmp_path / f"{name}.mp4", 25)) == frames
    assert "silent throughout" in result.stdout


def test_files_of_others_are_not_replaced_unasked(here: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.mp4").write_text("precious")
    says(generate(tmp_path / "mine.mp4"), "mine.mp4", "exists", "--overwrite")
    assert (tmp_path / "mine.mp4").read_text() == "precious"
    assert generate(tmp_path / "mine.mp4", "--overwrite").exit_code == 0
    assert generate(tmp_path / "mine.mp4").exit_code == 0  # ours now


def test_what_is_read_is_not_replaced(here: Path, tmp_path: Path) -> None:
    own, link, model = tmp_path / "own.mp4", tmp_path / "link.mp4", tmp_path / "model.mat"
    write_mp4(own, [talking.face()[0]] * 3, 25, talking.voice(0.12), talking.RATE)
    link.symlink_to(own)
    model.write_bytes(b"a model")
    before = own.read_bytes()
    for overlay in (own, link):
        fitted = dreamtalk("fit", own, "-o", tmp_path / "c.mat", "--overlay", overlay)
        says(fitted, overlay.name, "is read, and would be lost")
    says(dreamtalk("fit", own, "-o", model, "--model", model), "model.mat", "would be lost")
    for options in ({"voice": str(own)}, {"portrait": str(own)}):
        says(generate(link, "--overwrite", **options), "link.mp4", "would be lost")
    for options in (("--style", f"auto; 1={own}"), ("--pose", own)):
        says(generate(own, "--overwrite", *options), "own.mp4", "would be lost")
    assert own.read_bytes() == before and model.read_bytes() == b"a model" and not (tmp_path / "c.mat").exists()


def test_what_is_half_made_goes_with_the_program(here: Path, root: Path, tmp_path: Path) -> None:
    write_wav(tmp_path / "long.wav", np.zeros(60 * 16_000, np.float32), 16_000)
    command = [sys.executable, "-m", "flows.cli", "generate", "--portrait", "face.png", "--steps", "1"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    given = ["--voice", str(tmp_path / "long.wav"), "-o", str(tmp_path / "out" / "a.mp4")]
    with subprocess.Popen([*command, *given], cwd=here, env=environment) as process:
        wait_until(lambda: list((tmp_path / "out").glob(".a.*.tmp.mp4")) or process.poll() is not None)
        process.terminate()
    assert process.returncode == 143
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("command", [("reproduce",), ("ablate", "mine")])
@pytest.mark.parametrize(("wrong", "told"), [("ingest: [", "params.yaml"), ("ingest: {foldr: x}", "'ingest.folder'")])
def test_wrong_parameters_are_told_before_a_flow_starts(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], wrong: str, told: str
) -> None:
    Repo.init(str(tmp_path), no_scm=True)
    shutil.copy(root / "dvc.yaml", tmp_path)
    (tmp_path / "params.yaml").write_text(wrong)
    monkeypatch.chdir(tmp_path)
    says(dreamtalk(*command), told)


def test_fit_writes_the_published_layout(here: Path, tmp_path: Path) -> None:
    picture, _ = talking.face()
    write_mp4(tmp_path / "still.mp4", [picture] * 5, 25)
    overlay = tmp_path / "overlay.mp4"
    for name in ("a.mat", "b.mat"):
        result = dreamtalk("fit", tmp_path / "still.mp4", "-o", tmp_path / name, "--overlay", overlay)
        assert result.exit_code == 0, (result.stderr, result.exception)
    assert (tmp_path / "a.mat").read_bytes() == (tmp_path / "b.mat").read_bytes()
    found = coefficients.read(tmp_path / "a.mat")
    assert found.expression.shape == (5, talking.DIMS)
    assert found.size == (256, 256)
    assert found.rmse.max() < 2
    green = decode.read_video(overlay, 25)[0].astype(int)
    assert (green[..., 1] - green[..., 0]).max() > 80


def test_fit_with_a_model_that_is_given_and_at_the_videos_own_rate(tmp_path: Path, monkeypatch, root: Path) -> None:
    shutil.copy(root / "params.yaml", tmp_path)  # and nothing that was trained
    monkeypatch.chdir(tmp_path)
    picture, _ = talking.face()
    write_mp4(tmp_path / "a name & more.mp4", [picture] * 12, 30)
    model = published_models.write_bfm(tmp_path / "bfm")
    given = ("fit", tmp_path / "a name & more.mp4", "-o", tmp_path / "out.mat", "--model", model)
    for options, frames in (((), 10), (("--own-rate", "--overlay", tmp_path / "mesh.mp4"), 12)):
        result = dreamtalk(*given, *options)
        assert result.exit_code == 0, (result.stderr, result.exception)
        found = coefficients.read(tmp_path / "out.mat")
        assert (found.expression.shape, found.identity.shape) == ((frames, 64), (80,))
    assert len(decode.read_video(tmp_path / "mesh.mp4", 30)) == 12
    says(dreamtalk(*given[:-1], tmp_path / "absent.npz"), "absent.npz", "no such file")
    says(dreamtalk(*given[:-1], tmp_path / "params.yaml"), "params.yaml", "no face model")


def test_videos_that_cannot_be_fitted(here: Path, tmp_path: Path) -> None:
    picture, _ = talking.face()
    write_mp4(tmp_path / "two.mp4", [np.concatenate([picture, picture], axis=1)] * 4, 25)
    write_mp4(tmp_path / "nobody.mp4", [np.full_like(picture, 90)] * 4, 25)
    write_mp4(tmp_path / "seldom.mp4", [picture] * 2 + [np.full_like(picture, 90)] * 8, 25)
    (tmp_path / "empty.mp4").touch()
    write_wav(tmp_path / "sound.wav", talking.voice(0.2), talking.RATE)
    for name, *words in (
        ("two.mp4", "two faces"),
        ("nobody.mp4", "0 of 4 frames"),
        ("seldom.mp4", "of 10 frames only"),
        ("empty.mp4", "is empty"),
        ("sound.wav", "no video"),
        ("absent.mp4", "no such file"),
    ):
        says(dreamtalk("fit", tmp_path / name, "-o", tmp_path / "out.mat"), name, *words)
    says(dreamtalk("fit", tmp_path / "two.mp4", "-o", tmp_path / "out.txt"), "out.txt", ".mat or .parquet")
    assert not (tmp_path / "out.mat").exists()


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_any_kind_of_photograph(here: Path, tmp_path: Path, mode: str) -> None:
    name = tmp_path / ("photo.tiff" if mode == "CMYK" else "photo.png")
    Image.open("face.png").convert(mode).save(name)
    result = generate(tmp_path / "out.mp4", portrait=str(name))
    assert result.exit_code == 0, (result.stderr, result.exception)


def test_photograph_is_turned_upright(here: Path, tmp_path: Path) -> None:
    image = Image.open("face.png").rotate(90, expand=True)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "sideways.jpg", exif=exif, quality=95)
    assert generate(tmp_path / "out.mp4", portrait=str(tmp_path / "sideways.jpg")).exit_code == 0
    top = decode.read_video(tmp_path / "out.mp4", 25)[0].astype(int)
    assert np.abs(top - np.asarray(Image.open("face.png"))).mean() < 12


def test_several_faces_are_mentioned(here: Path, tmp_path: Path) -> None:
    one = Image.open("face.png")
    group = Image.new("RGB", (512, 256), "gray")
    group.paste(one, (0, 0))
    group.paste(one.resize((180, 180)), (300, 40))
    group.save(tmp_path / "group.png")
    result = generate(tmp_path / "out.mp4", "--no-watermark", portrait=str(tmp_path / "group.png"))
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert "2 faces" in result.stdout


def test_portrait_without_a_face(here: Path, tmp_path: Path) -> None:
    says(generate(tmp_path / "out.mp4", portrait="blank.png"), "blank.png", "no face")
    assert not (tmp_path / "out.mp4").exists()


def test_files_that_cannot_be_used(here: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.wav").touch()
    says(generate(tmp_path / "out.mp4", portrait="absent.png"), "absent.png", "no such file")
    says(generate(tmp_path / "out.mp4", portrait=str(tmp_path / "text.png")), "text.png", "not a picture")
    says(generate(tmp_path / "out.mp4", voice="absent.wav"), "absent.wav", "no such file")
    says(generate(tmp_path / "out.mp4", voice=str(tmp_path / "empty.wav")), "empty.wav", "empty")
    says(generate(tmp_path / "out.mp4", voice="face.png"), "face.png", "no sound")
    says(generate(tmp_path / "out.mp4", "--style", "nobody"), "nobody", "clip_id")
    says(generate(tmp_path / "out.mp4", "--pose", "face.mat"), "face.mat", "no such file")


def test_output_that_cannot_be_written(here: Path, tmp_path: Path) -> None:
    says(generate(tmp_path / "out.avi"), "out.avi", ".mp4")
    (tmp_path / "folder.mp4").mkdir()
    says(generate(tmp_path / "folder.mp4"), "folder.mp4", "is a folder")
    says(generate(here / "face.png" / "out.mp4"), "out.mp4", "cannot be written")


def test_networks_that_are_not_trained(here: Path, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy("params.yaml", tmp_path)
    face, voice = (str(here / name) for name in ("face.png", "voice.wav"))
    monkeypatch.chdir(tmp_path)
    says(generate(tmp_path / "out.mp4", portrait=face, voice=voice), "face_model.npz", "dvc repro face_model")
    shutil.copytree(here / "models" / "face_model", tmp_path / "models" / "face_model")
    says(generate(tmp_path / "out.mp4", portrait=face, voice=voice), "denoiser", "dvc repro train_denoiser@full")
    (tmp_path / "models" / "face_model" / "face_model.npz").write_bytes(b"damaged")
    damaged = generate(tmp_path / "out.mp4", portrait=face, voice=voice)
    says(damaged, "face_model.npz", "`dvc repro face_model` makes it anew")


def test_a_missing_network_is_told_before_any_work(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(here, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    shutil.rmtree(Path("models/renderer"))
    Path("nobody.mp4").write_bytes(b"no video")
    result = generate(tmp_path / "out.mp4", "--renderer", "pirenderer", "--style", "nobody.mp4")
    says(result, "models/renderer", "dvc repro train_renderer")


def test_wrong_use_is_told_in_one_line(here: Path, tmp_path: Path) -> None:
    says(dreamtalk("generate", "--portrait", "face.png"), "--voice")
    says(dreamtalk("sing"), "sing")
    says(generate(tmp_path / "out.mp4", "--renderer", "oil"), "--renderer")
    says(generate(tmp_path / "out.mp4", "--steps", 0), "--steps")
    says(generate(tmp_path / "out.mp4", "--seed", 2**64), "--seed")
    says(dreamtalk("evaluate", "--truth", here, "--method", "ours", "-o", tmp_path), "--method ours", "NAME=DIR")
    says(dreamtalk("evaluate", "--truth", "absent", "--method", "ours=.", "-o", tmp_path), "absent: no such folder")


def test_evaluate_writes_the_table_and_the_summary(here: Path, tmp_path: Path) -> None:
    picture, _ = talking.face()
    for folder in ("truth", "ours"):
        (tmp_path / folder).mkdir()
        write_mp4(tmp_path / folder / "a.mp4", [picture] * 6, 25)
    result = dreamtalk("evaluate", "--truth", tmp_path / "truth", "--method", f"x={tmp_path / 'ours'}", "-o", tmp_path)
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert (tmp_path / "metrics.csv").read_text().splitlines()[1].startswith("x,a,")
    assert (tmp_path / "summary.json").exists()
    (tmp_path / "ours" / "a.mp4").rename(tmp_path / "ours" / "take_a.mp4")
    result = dreamtalk("evaluate", "--truth", tmp_path / "truth", "--method", f"x={tmp_path / 'ours'}", "-o", tmp_path)
    says(result, "no video could be scored")
    assert "x, a: " in result.stdout and "is it take_a.mp4?" in result.stdout
    (tmp_path / "empty").mkdir()
    says(dreamtalk("evaluate", "--truth", tmp_path / "empty", "--method", "x=.", "-o", tmp_path), "empty", "no video")


@pytest.mark.parametrize("judge", ["syncnet_weights", "arcface_onnx", "vgg16_weights"])
def test_a_judge_that_cannot_be_loaded_is_told_in_one_line(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judge: str
) -> None:
    text = (here / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace(f"{judge}: null", f"{judge}: judges/wrong"))
    (tmp_path / "judges").mkdir()
    (tmp_path / "judges/wrong").write_text("no network")
    (tmp_path / "a.mp4").touch()
    monkeypatch.setattr("flows.commands.shell.CHECKOUT", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = dreamtalk("evaluate", "--truth", tmp_path, "--method", f"x={tmp_path}", "-o", tmp_path / "out")
    told = str(tmp_path / "judges/wrong")
    if judge == "arcface_onnx" and not importlib.util.find_spec("onnxruntime"):
        told = "onnxruntime"
    says(result, told)


def test_doctor_finds_what_is_there(here: Path) -> None:
    result = dreamtalk("doctor")
    assert result.exit_code == 0
    for word in ("Python", "espeak", "mediapipe", "GPU", "denoiser", "SyncNet"):
        assert word in result.stdout


def test_doctor_tells_of_a_wrong_number_of_workers(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMTALK_WORKERS", "abc")
    result = dreamtalk("doctor")
    assert result.exit_code == 0 and "DREAMTALK_WORKERS is 'abc'" in result.stdout


def test_systems_tells_how_each_is_called(here: Path) -> None:
    result = dreamtalk("systems")
    assert result.exit_code == 0
    assert result.stdout.count("licence: ") == 12 and "--driven_audio {audio}" in result.stdout


def test_the_test_list_needs_a_corpus(here: Path, tmp_path: Path) -> None:
    says(dreamtalk("export-test-list", tmp_path / "list"), "clips.parquet")


def test_ratings_need_two_methods_and_a_key(here: Path, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    write_mp4(tmp_path / "ours/a.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3, 25)
    ours, key = f"x={tmp_path / 'ours'}", tmp_path / "key.json"
    says(dreamtalk("rating-page", "--method", ours, "-o", tmp_path / "page"), "at least two methods")
    says(dreamtalk("rating-results", key, tmp_path / "r.json", "-o", tmp_path), "key.json: no such file")


def test_what_was_rated_is_told_and_a_method_that_was_not_is_refused(tmp_path: Path) -> None:
    key, rated, out = (tmp_path / name for name in ("rating.key.json", "ratings-1.json", "out"))
    videos = {name: {"method": name, "clip_id": "a"} for name in ("full", "truth")}
    key.write_text(json.dumps({"page": "p", "asked": 2, "aspects": ["style"], "videos": videos}))
    ratings = [{"code": name, "answers": {"style": 4}} for name in videos]
    rated.write_text(json.dumps({"page": "p", "participant": "1", "ratings": ratings}))
    says(dreamtalk("rating-results", key, rated, "--no-style", "thruth", "-o", out), "thruth", "full, truth")
    result = dreamtalk("rating-results", key, rated, "--no-style", "truth", "-o", out)
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert "no tests: they take two participants" in result.stdout and "Empty" not in result.stdout
    assert len(pd.read_csv(out / "means.csv")) == 1


@pytest.mark.parametrize("option, other", [("--prefect-port", "--mlflow-port"), ("--mlflow-port", "--prefect-port")])
def test_ui_joins_no_server_that_is_there_already(tmp_path: Path, monkeypatch, option: str, other: str) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as free:
        free_port = free.getsockname()[1]
        free.close()
        port = server.getsockname()[1]
        says(dreamtalk("ui", option, port, other, free_port), str(port), "taken", option)
