"""What a batch's file may hold, and what each of its rows becomes, with no request made."""

import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from easel.batch.job import REQUESTS, STATE, Job, prepare, read_tables
from easel.batch.read import MAX_LINE_BYTES
from easel.errors import InputError
from easel.schema.openapi import openapi
from tests.support.serving import REPOSITORY

SCHEMA = openapi(REPOSITORY / "predict.py")


def listed(folder, name, content, output="out"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    job = Job(input=str(path), output=str(folder / output), root=str(REPOSITORY), model="emoji")
    prepare(job, SCHEMA, lambda text: None)
    rows = [row for table in read_tables(job.place / REQUESTS, ["row", "custom_id", "inputs", "error"])
            for row in table.to_pylist()]  # fmt: skip
    return sorted(rows, key=lambda row: row["row"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "The line is not JSON"),
        ("[1]", "The line must be a JSON object"),
        ('{"prompt": NaN}', "JSON has no NaN"),
        ('{"custom_id": "a"}', "The input 'prompt' is missing."),
        ('{"propt": "x"}', "There is no input 'propt'."),
        ('{"prompt": 7}', "prompt must be text, not 7."),
        ('{"prompt": "x", "seed": "7"}', "seed must be a whole number"),
        ('{"prompt": "x", "image": "/etc/passwd"}', "image must be an https:// address or a data: URL"),
        ('{"prompt": "x", "image": ["a"]}', "image must be an https:// address or a data: URL"),
        ('{"prompt": "x", "hf_token": "secret"}', "hf_token must not be in a batch's file"),
        ('{"custom_id": "", "prompt": "x"}', "custom_id must be text of 1 to 512"),
        ('{"custom_id": "\\ud800", "prompt": "x"}', "custom_id must be text of 1 to 512"),
        ('{"custom_id": ["a"], "prompt": "x"}', "custom_id must be text of 1 to 512"),
        ('{"url": "/v1/images/edits", "body": {}}', "url /v1/images/generations, not"),
        ('{"url": "/v1/images/generations", "body": 1}', "body must be a JSON object"),
        ('{"url": "/v1/images/generations", "body": {"prompt": "x", "size": "9"}}', "size must be auto or"),
        ('{"url": "/v1/images/generations", "body": {"prompt": "x", "background": "transparent"}}', "background must"),
        (json.dumps({"prompt": "x" * (MAX_LINE_BYTES + 1)}), "The line must have at most"),
    ],
)
def test_a_line_that_cannot_be_done_is_a_row_with_a_sentence(tmp_path, line, words):
    rows = listed(tmp_path, "in.jsonl", f'{line}\n{{"custom_id": "good", "prompt": "a dog"}}\n')
    assert words in rows[0]["error"]
    assert "secret" not in str(rows)
    assert (rows[1]["custom_id"], rows[1]["error"]) == ("good", None)


def test_a_row_without_a_seed_gets_that_of_its_id_in_each_run(tmp_path):
    text = '{"custom_id": "../a", "prompt": "x"}\n{"prompt": "x", "seed": 5}\n{"custom_id": 3, "prompt": "x"}'
    one, two = listed(tmp_path, "in.jsonl", text), listed(tmp_path, "in.jsonl", text, "other")
    assert one == two
    assert [row["custom_id"] for row in one] == ["../a", "row-2", "3"]
    seeds = [json.loads(row["inputs"])["seed"] for row in one]
    assert seeds[1] == 5
    assert seeds[0] != seeds[2]


def test_openai_csv_and_parquet_say_the_same(tmp_path):
    body = {"prompt": "x", "n": 2, "size": "128x64", "output_format": "jpeg", "output_compression": 90}
    body |= {"quality": "low", "model": "gpt-image-1", "seed": 1}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": body}
    theirs = listed(tmp_path, "a.jsonl", json.dumps(line), "a")
    names = "custom_id,prompt,num_outputs,width,height,output_format,output_quality,go_fast,seed,image"
    cells = f"{names}\na,x,2,128,64,jpg,90,true,1,\n"
    ours = {"custom_id": ["a"], "prompt": ["x"], "num_outputs": [2], "width": [128], "height": [64]}
    ours |= {"output_format": ["jpg"], "output_quality": [90], "go_fast": [True], "seed": [1]}
    parquet.write_table(pa.table(ours), tmp_path / "c.parquet")
    table = listed(tmp_path, "c.parquet", (tmp_path / "c.parquet").read_bytes(), "c")
    as_read = [json.loads(rows[0]["inputs"]) for rows in (theirs, listed(tmp_path, "b.csv", cells, "b"), table)]
    assert as_read[0] == as_read[1] == as_read[2]
    assert as_read[0]["num_outputs"] == 2
    line["body"] = {"prompt": "x"}
    (plain,) = listed(tmp_path, "d.jsonl", json.dumps(line), "d")
    assert json.loads(plain["inputs"])["output_format"] == "png"


def test_csv_reads_no_file_and_goes_on_after_a_broken_row(tmp_path):
    rows = listed(tmp_path, "in.csv", 'prompt,seed\n@/etc/passwd,1\na,b\na,1,2\n"' + "x" * 200_000 + '"\nlast,3\n')
    assert json.loads(rows[0]["inputs"])["prompt"] == "@/etc/passwd"
    assert "seed: 'b' is not a whole number" in rows[1]["error"]
    assert "The row has 3 cells" in rows[2]["error"]
    assert "The row is not CSV" in rows[3]["error"]
    assert rows[-1]["error"] is None


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("in.jsonl", "", "The input is empty."),
        ("in.csv", "prompt\n", "The input is empty."),
        ("in.jsonl", '{"custom_id": "a", "prompt": "x"}\n' * 2, "rows 1 and 2 both have 'a'"),
        ("in.parquet", "no table", "cannot be read as Parquet"),
        ("in.csv", b"prompt\n\xff\n", "line 2: it must be UTF-8"),
        ("in.csv", "prompt,prompt\nx,y\n", "a column's name stands twice"),
        ("in.txt", "x", "must be a file of .jsonl"),
    ],
)
def test_an_input_that_is_none_is_refused_and_leaves_no_job(tmp_path, name, content, words):
    with pytest.raises(InputError, match=words):
        listed(tmp_path, name, content)
    assert not (tmp_path / "out" / STATE).exists()


def test_rows_of_one_size_are_side_by_side(tmp_path):
    lines = [{"prompt": "x", "width": side, "height": side} for side in (64, 128, 64, 128)]
    listed(tmp_path, "in.jsonl", "\n".join(map(json.dumps, lines)))
    assert parquet.read_table(tmp_path / "out" / REQUESTS).column("row").to_pylist() == [0, 2, 1, 3]


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    listed(tmp_path, "in.jsonl", '{"prompt": "x"}')
    with pytest.raises(InputError, match="results of another batch"):
        listed(tmp_path, "in.jsonl", '{"prompt": "y"}')
    (tmp_path / "full").mkdir()
    (tmp_path / "full/photo.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match=r"has 'photo.jpg'"):
        listed(tmp_path, "in.jsonl", '{"prompt": "y"}', "full")
