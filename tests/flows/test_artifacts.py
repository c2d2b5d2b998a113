"""What the addresses that a flow gives away show."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows import artifacts
from flows.servers import mlflow_server
from tests.flows.browser import CHROMIUM, page
from tests.flows.in_background import free_port


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_charts_of_a_stage_have_no_empty_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for folder in ("mlflow", ".prefect"):
        (tmp_path / folder).mkdir()
    with mlflow_server(free_port()) as address, page(tmp_path / "profile") as tab:
        monkeypatch.setenv("DREAMTALK_MLFLOW", address)
        client = MlflowClient(address)
        experiment = client.create_experiment("dreamtalk-test")
        for stage, metric in [("face_model", "explained/all"), *[("evaluate", "f_lmd")] * 10]:
            run = client.create_run(experiment, run_name=stage, tags={"stage": stage, "study": "seeds"})
            for name in (metric, "system/cpu_utilization_percentage"):  # MLflow has a section for these in any case
                client.log_metric(run.info.run_id, name, 1.0)
        empty = "document.body.innerText.includes('No charts in this section')"
        tab.open(artifacts.charts_page(experiment, 'tags.study = "seeds" and tags.stage = "evaluate"'))
        tab.until("document.body.innerText.includes('f_lmd')")
        assert not tab.value(empty)
        tab.open("about:blank")
        tab.open(artifacts.charts_page(experiment, 'tags.study = "seeds"'))
        tab.until(empty)
