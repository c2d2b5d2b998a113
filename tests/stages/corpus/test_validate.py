"""Each contract catches what breaks it and names the row; the page shows it; the stage fails."""

from __future__ import annotations

import hashlib
import re
import tarfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import params as parameters
from stages import tables
from stages.corpus import validate as stage
from stages.corpus.contracts.checks import CONTRACT, NAMED, run_suite
from stages.corpus.contracts.relations import Corpus, files
from stages.corpus.encode import write_mp4, write_wav
from stages.corpus.validate import check_tables, judged, validate
from stages.files import sha256
from tests.stages.corpus.tiny_videos import RATE, hum

SPEAKERS = {"a": "A", "b": "A", "c_p01": "B", "c_p02": "B"}
PARTS = {"A": "train", "B": "test"}
BADLY = {"A": "B", "B": "A"}


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    """One tar of four clips of 15 frames."""
    folder = tmp_path_factory.mktemp("media")
    write_mp4(folder / "x.mp4", np.zeros((15, 128, 128, 3), np.uint8), 25)
    write_wav(folder / "x.wav", hum(0.6), RATE)
    with tarfile.open(folder / "shard-00000.tar", "w") as tar:
        for name in SPEAKERS:
            tar.add(folder / "x.mp4", f"{name}.mp4")
            tar.add(folder / "x.wav", f"{name}.wav")
    return folder / "shard-00000.tar"


@pytest.fixture
def corpus(media) -> Corpus:
    """Two speakers, three videos, four clips, and a video without a face."""
    labels = {"corpus": "test", "emotion": "sad", "level": 1}
    clip = {
        **labels, "start_s": 0.0, "end_s": 0.6, "frames": 15, "fps": 25.0, "width": 128, "height": 128,
        "audio_rate": RATE, "audio_s": 0.6, "face_px": 90.0, "detection_rate": 1.0, "shard": media.name,
        "sha256": sha256(media.with_name("x.mp4")), "status": "ok",
    }  # fmt: skip
    clips = [{"clip_id": n, "speaker": s, "source_file": f"{n[0]}.mp4", **clip} for n, s in SPEAKERS.items()]
    item = {"corpus": "test", "status": "ok", "bytes": 1, "sha256": hashlib.sha256(b"").hexdigest()}
    sources = [
        {**item, "item_id": n, "speaker": s, "origin": f"{n}.mp4", "path": n}
        for n, s in zip("abcd", "AABB", strict=True)
    ]
    refused = [{"item_id": "d", "speaker": "B", "source_file": "d.mp4", "stage": "crop", "reason": "no face found"}]
    partner = {"a": "b", "b": "a", "c_p01": "c_p02", "c_p02": "c_p01"}
    split = [
        {
            "clip_id": n, "speaker": s, "emotion": "sad", "level": 1, "style": f"{s}/sad/1", "split": PARTS[s],
            "together": n[0], "portrait_clip_id": partner[n], "other_audio_clip_id": partner[n],
        }
        for n, s in SPEAKERS.items()
    ]  # fmt: skip
    rows = (sources, clips, refused, split)
    schemas = (tables.SOURCES, tables.CLIPS, tables.QUARANTINE, tables.SPLIT)
    split[1]["split"] = "val"
    return Corpus(*(tables.from_rows(table, schema) for table, schema in zip(rows, schemas, strict=True)))


@pytest.fixture
def broken(corpus, contracts, crop):
    """Contracts on tables that `change` broke, with the rows they name."""

    def run(change=lambda corpus: None, settings=contracts, protocol="speakers") -> dict[str, list[str]]:
        change(corpus)
        checks = check_tables(corpus, settings, crop, protocol)
        return {check.contract: check.rows for check in checks if not check.kept}

    return run


@pytest.fixture
def written(corpus, media, tmp_path, monkeypatch):
    """A project in which the stage can run, with the corpus as it is when called."""

    def write() -> Corpus:
        monkeypatch.chdir(tmp_path)
        paths = files(stage.RAW, stage.CLIPS, stage.SPLIT)
        for name, path, frame in zip(Corpus._fields, paths, corpus, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            schema = getattr(tables, name.upper())
            schema = pa.schema([schema.field(key) for key in frame.columns if key in schema.names])
            pq.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False), path)
        (stage.CLIPS / media.name).unlink(missing_ok=True)
        (stage.CLIPS / media.name).symlink_to(media)
        return paths

    return write


class FakeRun:
    """What the stage says to MLflow."""

    def __init__(self) -> None:
        self.metrics, self.tables, self.artifacts = {}, {}, []

    def summary(self, values) -> None:
        self.metrics |= values

    def table(self, name, frame) -> None:
        self.tables[name] = frame

    def artifact(self, path, folder=None) -> None:
        self.artifacts += [file.name for file in (sorted(path.iterdir()) if path.is_dir() else [path])]

    def dataset(self, *_: object) -> None: ...


@pytest.fixture
def main(written, monkeypatch, root, contracts, crop):
    """Run the stage as a program: its exit code (0 if it ends well), its page, and what it told MLflow."""
    defaults = parameters.load(root / "params.yaml")

    def run(settings=contracts) -> tuple[int, str, FakeRun]:
        written()
        told = FakeRun()

        @contextmanager
        def stage_run(*_: object, **__: object):
            yield told

        monkeypatch.setattr(stage.tracking, "stage_run", stage_run)
        loaded = defaults.model_copy(update={"validate_": settings, "crop": crop})
        monkeypatch.setattr(stage.parameters, "load", lambda: loaded)
        try:
            stage.main()
            code = 0
        except SystemExit as exit:
            code = exit.code
        return code, stage.PAGE.read_text(encoding="utf-8"), told

    return run


def setter(table: str, column: str, value, row: int = 1):
    def change(corpus: Corpus) -> None:
        getattr(corpus, table).loc[row, column] = value

    return change


def test_a_good_corpus_keeps_all(broken):
    assert broken() == {}


@pytest.mark.parametrize(
    ("table", "column", "value", "contract", "row"),
    [
        ("clips", "clip_id", "a", "clip_id is unique", "a"),
        ("clips", "clip_id", "../b", "clip_id is a safe file name", "../b"),
        ("clips", "speaker", None, "no value is missing", "b: missing = speaker"),
        ("clips", "face_px", None, "no value is missing", "b: missing = face_px"),
        ("clips", "emotion", "furious", "emotion is null or one of", "b: emotion = furious"),
        ("clips", "level", 4, "level is null or 1 to 3", "b: level = 4"),
        ("clips", "fps", 30.0, "fps is 25", "b: fps = 30.0"),
        ("clips", "width", 64, "width is 128", "b: width = 64"),
        ("clips", "frames", 5, "length is 0.4 to 4 s", "b: frames = 5"),
        ("clips", "detection_rate", 0.5, "a face is found", "b: detection_rate = 0.5"),
        ("clips", "face_px", 10.0, "the face is at least 40 px", "b: face_px = 10.0"),
        ("clips", "end_s", 0.0, "a clip begins before it ends", "b"),
        ("clips", "end_s", 0.9, "its place in the source is as long as its frames", "b: span_gap_s = 0.3"),
        ("clips", "audio_s", 0.9, "by the table, sound and picture end within", "b: av_gap_s = 0.3"),
        ("clips", "sha256", "0", "the checksum is a SHA-256", "b: sha256 = 0"),
        ("clips", "clip_id", "e", "it was cut from an item", "e"),
        ("clips", "clip_id", "e", "it stands in the split exactly once", "e: times_in_split = 0"),
        ("sources", "item_id", "a", "item_id is unique", "a"),
        ("sources", "status", "lost", "status is ok or failed", "b: status = lost"),
        ("sources", "status", "failed", "a failed item has a reason", "b"),
        ("sources", "speaker", None, "no value is missing", "b: missing = speaker"),
        ("sources", "path", None, "an ok item has a path", "b"),
        ("sources", "sha256", None, "an ok item has a path", "b"),
        ("sources", "audio_path", "b.wav", "a sound in a file of its own", "b"),
        ("sources", "item_id", "e", "every item has a clip, or a row in quarantine", "e"),
        ("sources", "sha256", "0", "the checksums are SHA-256", "b: sha256 = 0"),
        ("sources", "audio_sha256", "0", "the sounds' checksums", "b: audio_sha256 = 0"),
        ("sources", "start_s", -1.0, "the part of the file that is meant begins", "b: start_s = -1.0"),
        ("sources", "end_s", 0.0, "it begins before it ends", "b"),
        ("sources", "face", np.array([0.5, 0, 0.1, 1]), "a given face is", "b"),
        ("sources", "face", np.array([0.5, 0, 0.1]), "a given face is", "b"),
        ("sources", "window", np.array([0, 0, 0, 1]), "a given window", "b"),
        ("sources", "zoom", 0.0, "a zoom is above 0", "b: zoom = 0.0"),
        ("quarantine", "reason", None, "no value is missing", "d: missing = reason"),
        ("quarantine", "stage", "fit", "stage is ingest or crop", "d: stage = fit"),
        ("quarantine", "item_id", "e", "it is about an item of sources", "e"),
        ("split", "clip_id", "a", "clip_id is unique", "a"),
        ("split", "clip_id", "e", "it is a clip of clips.parquet", "e"),
        ("split", "style", None, "no value is missing", "b: missing = style"),
        ("split", "split", "tset", "split is one of", "b: split = tset"),
        ("split", "speaker", "B", "speaker, emotion and level are those of the clip", "b"),
        ("split", "level", None, "speaker, emotion and level are those of the clip", "b"),
        ("split", "portrait_clip_id", "e", "the portrait is a clip of the same speaker", "b"),
        ("split", "portrait_clip_id", "c_p01", "the portrait is a clip of the same speaker", "b"),
        ("split", "other_audio_clip_id", "e", "the wrong sound is a clip's", "b"),
        ("split", "split", "test", "nobody who is tested is trained on", "A: parts = train+test"),
    ],
)  # fmt: skip
def test_each_violation_is_caught_and_named(corpus, contracts, crop, table, column, value, contract, row):
    frame = getattr(corpus, table)
    frame.at[0 if table == "quarantine" else 1, column] = value  # not loc: a list is one value
    named = []
    for name, rows, key, suite in judged(corpus, contracts, crop, "speakers"):
        meant = [expectation for expectation in suite if expectation.meta[CONTRACT].startswith(contract)]
        if name == table and meant:
            named += [row for check in run_suite(name, rows, key, meant) for row in check.rows]
    assert row in named


def test_pieces_of_a_video_in_two_parts(broken):
    named = broken(setter("split", "split", "judge", 3))
    assert named == {"all pieces of a speaker's video are in one part of the split": ["B in c.mp4: parts = test+judge"]}


def test_too_few_clips_and_too_many_lost(broken, contracts):
    settings = contracts.model_copy(update={"min_clips": 5, "min_clips_per_style": 3, "max_quarantined": 0.2})
    named = broken(settings=settings)
    assert named.pop("there are at least 5 clips") == ["(the whole table)"]
    assert named.pop("a style group has at least 3 clips") == ["A/sad/1: clips = 2", "B/sad/1: clips = 2"]
    assert list(named.values()) == [["d"]] and next(iter(named)).startswith("at most 20% of the videos")


def test_videos_that_ingest_refused_are_lost_too(broken, corpus, contracts):
    lost = [f"x{n}" for n in range(6)]
    failed = {"corpus": "test", "speaker": "A", "status": "failed", "reason": "could not be downloaded"}
    rows = [{**failed, "item_id": name, "origin": name} for name in lost]
    refused = [
        {"item_id": name, "speaker": "A", "source_file": name, "stage": "ingest", "reason": failed["reason"]}
        for name in lost
    ]
    all_of_it = corpus._replace(
        sources=pd.concat([corpus.sources, tables.from_rows(rows, tables.SOURCES)], ignore_index=True),
        quarantine=pd.concat([corpus.quarantine, tables.from_rows(refused, tables.QUARANTINE)], ignore_index=True),
    )
    check = stage.check_share(all_of_it, contracts)
    assert check.contract == "at most 50% of the videos gave no clip (here 70%)"
    assert not check.kept and check.rows == ["d", *lost]
    assert stage.numbers([check], all_of_it)["share_without_clip"] == 0.7


def test_clips_of_unknown_emotion_are_no_style_group(broken, corpus, contracts):
    for frame in (corpus.clips, corpus.split):
        frame.loc[frame["speaker"] == "A", ["emotion", "level"]] = None
    named = broken(settings=contracts.model_copy(update={"min_clips_per_style": 3}))
    assert named == {"a style group has at least 3 clips": ["B/sad/1: clips = 2"]}


def test_nothing_to_test_on(broken):
    def change(corpus: Corpus) -> None:
        corpus.split["split"] = "train"

    assert broken(change) == {
        "there are clips to train on, others to validate on, and clips to test on": [
            "val: clips = 0",
            "test: clips = 0",
        ]
    }


def caveats(corpus: Corpus, contracts, crop, protocol="speakers") -> list[str]:
    checks = check_tables(corpus, contracts, crop, protocol)
    assert all(check.kept for check in checks), [check for check in checks if not check.kept]
    return [check.caveat for check in checks if check.caveat]


def test_what_is_not_promised_is_said(corpus, contracts, crop):
    (lent,) = caveats(corpus, contracts, crop)
    assert lent.startswith("val is lent by speakers trained on")
    for frame in (corpus.clips, corpus.split):
        frame["speaker"] = "A"
    (alone,) = caveats(corpus, contracts, crop)
    assert alone.startswith("the corpus has one speaker")


def test_a_val_speaker_beside_lent_ones_is_a_leak(broken, corpus):
    for frame in (corpus.clips, corpus.split):
        frame.loc[3, "speaker"] = "C"
    corpus.split.loc[:, "portrait_clip_id"] = corpus.split["clip_id"]
    corpus.split.loc[[1, 3], "split"] = "val"
    assert list(broken().values()) == [["A: parts = train+val"]]


def test_sentences_are_kept_apart_under_their_protocol(contracts, crop, corpus, broken):
    names = ["M003_front_sad_level1_001", "M003_down_sad_level1_002", "M003_front_sad_level1_003_p01",
             "M003_front_sad_level1_003_p02"]  # fmt: skip
    for frame in (corpus.clips, corpus.split):
        frame["clip_id"], frame["speaker"] = names, "M003"
    corpus.split[["portrait_clip_id", "other_audio_clip_id"]] = names[0]
    corpus.sources["item_id"] = [*names[:2], names[2][:-4], "d"]
    (caveat,) = caveats(corpus, contracts, crop, "mead_sentences")
    assert caveat.startswith("the protocol mead_sentences tests people who are trained on")
    assert broken(setter("split", "split", "train", 3), protocol="mead_sentences") == {
        "all views and pieces of a sentence are in one part of the split": [
            "M003/sad/1 sentence 003: parts = train+test"
        ]
    }


def test_of_very_many_broken_rows_some_are_named_and_all_counted(corpus, contracts, crop):
    many = pd.concat([corpus.sources.iloc[:1]] * 3000, ignore_index=True)
    many["item_id"], many["zoom"] = [f"x{i}" for i in range(3000)], -1.0
    checks = check_tables(corpus._replace(sources=many), contracts, crop, "speakers")
    (zoom,) = [check for check in checks if check.contract.startswith("a zoom")]
    assert zoom.broken == 3000 and len(zoom.rows) == NAMED and zoom.rows[0] == "x0: zoom = -1.0"


def test_columns_and_types(written, corpus, contracts, crop):
    corpus.clips.drop(columns="sha256", inplace=True)
    checks, read = validate(written(), contracts, crop, "speakers")
    assert read is None
    assert [(c.table, c.rows) for c in checks if not c.kept] == [("clips", ["sha256: missing, not string"])]


@pytest.mark.parametrize(
    ("change", "row"),
    [
        (setter("clips", "frames", 14), "b: 15 frames, the table says 14"),
        (setter("clips", "sha256", "0" * 64), "b: the picture's bytes are not those of the checksum"),
        (setter("clips", "shard", "shard-00009.tar"), "b: cannot be decoded"),
        (setter("clips", "shard", "shard-00009.tar"), "shard-00009.tar"),
    ],
)
def test_media_that_differ_from_the_table(written, corpus, contracts, crop, change, row):
    change(corpus)
    checks, _ = validate(written(), contracts.model_copy(update={"sampled_media": 4}), crop, "speakers")
    named = [row for check in checks if check.table == "media" for row in check.rows]
    assert any(name.startswith(row) for name in named)


@pytest.mark.parametrize(
    "damaged",
    [
        lambda shard, picture: shard[: len(shard) // 3],
        lambda shard, picture: b"",
        lambda shard, picture: b"\xff" * 512 + shard[512:],
        lambda shard, picture: shard.replace(picture, bytes(len(picture))),
    ],
    ids=["cut off", "empty", "bad header", "zeroed pictures"],
)
def test_damaged_media_are_named_and_shown(main, written, corpus, media, contracts, damaged):
    written()
    setter("clips", "shard", "damaged.tar")(corpus)
    picture = media.with_name("x.mp4").read_bytes().partition(b"mdat")[2]
    (stage.CLIPS / "damaged.tar").write_bytes(damaged(media.read_bytes(), picture))
    code, page, _ = main(contracts.model_copy(update={"sampled_media": 4}))
    assert code == 1 and "b: cannot be decoded (damaged.tar)" in page


def test_the_stage_ends_well_with_a_page_and_its_figures(main, capsys):
    code, page, told = main()
    assert code == 0 and "contracts are kept" in capsys.readouterr().out
    assert "contracts are kept." in page and "no face found" in page
    assert not re.search(r"https?:|<script|url\(", page)
    assert told.metrics["contracts_broken"] == 0 and told.metrics["clips"] == 4
    assert {"contracts.html", "corpus_lengths.png", "corpus_rejections.png", "corpus_accepted.jpg"} <= set(
        told.artifacts
    )
    assert list(told.tables["contracts"].columns)[:3] == ["table", "contract", "kept"]


def test_equal_corpora_give_equal_pages(main):
    assert main()[1] == main()[1]


def test_a_broken_contract_fails_the_stage_and_names_the_rows(main, corpus, capsys):
    setter("clips", "face_px", 10.0)(corpus)
    code, page, told = main()
    errors = capsys.readouterr().err
    assert code == 1
    assert "clips: NOT so: the face is at least 40 px" in errors and "    b: face_px = 10.0" in errors
    assert "1 of " in page and "contracts is broken" in page and "b: face_px = 10.0" in page
    assert told.metrics["contracts_broken"] == 1


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("clips", "speaker", None),
        ("clips", "clip_id", "a"),
        ("clips", "shard", None),
        ("clips", "frames", 0),
        ("clips", "fps", 0.0),
        ("clips", "face_px", None),
        ("split", "split", None),
    ],
)
def test_no_broken_row_breaks_the_page(main, corpus, table, column, value):
    setter(table, column, value)(corpus)
    code, page, _ = main()
    assert code == 1 and "broken" in page and "What was refused" in page


def test_pictures_of_what_was_rejected(main, written):
    written()
    rows = [
        {"item_id": "<d>", "start_s": 1.5, "reason": "no face found", "jpeg": None},
        {"item_id": "d", "start_s": None, "reason": "no face found", "jpeg": b"not a picture"},
        {"item_id": "d", "start_s": None, "reason": "of another kind", "jpeg": None},
    ]
    table = tables.from_rows(rows, tables.THUMBNAILS)
    pq.write_table(pa.Table.from_pandas(table, schema=tables.THUMBNAILS), stage.CLIPS / "thumbnails.parquet")
    page = main()[1]
    assert "no picture" in page and "&lt;d&gt;" in page and "from 1.5 s" in page
    assert "of another kind" not in page
