"""The app's `batch` by `.local()`: rows through the Predictor, and only those that have no result yet."""

import json

import pytest
from pyarrow import parquet

from easel.batch.answer_row import digest_pixels
from easel.batch.job import Job
from easel.batch.mapped import run_mapped
from easel.schema.openapi import openapi
from tests.support.serving import REPOSITORY

SMALL = {"width": 64, "height": 64, "num_inference_steps": 1}


def test_rows_are_mapped_once_and_a_break_is_resumed(app, predict, tmp_path):
    lines = [{"custom_id": f"a/{k}", "prompt": f"a dog {k}", **SMALL} for k in range(4)] + [{"custom_id": "bad"}]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    job = Job(str(tmp_path / "in.jsonl"), str(tmp_path / "out"), str(REPOSITORY), "emoji")
    schema, predictor = openapi(REPOSITORY / "predict.py"), app.Predictor()

    def answer_rows(rows):
        with pytest.warns(UserWarning, match="executing locally"):
            yield from [predictor.answer_row.local(row) for row in rows]

    def broken(rows):
        yield from list(answer_rows(rows))[:2]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        run_mapped(job, schema, broken)
    assert run_mapped(job, schema, answer_rows) == 5
    assert run_mapped(job, schema, answer_rows) == 0
    predictor.engine.outputs.root.cleanup()
    rows = sorted(parquet.read_table(tmp_path / "out/results").to_pylist(), key=lambda row: row["row"])
    assert [row["custom_id"] for row in rows] == [line["custom_id"] for line in lines]
    assert "The input 'prompt' is missing." in rows[-1]["error"]
    (same,) = predict(prompt="a dog 1", seed=rows[1]["seed"], **SMALL)["files"].values()
    assert rows[1]["digests"] == [digest_pixels(same)]
