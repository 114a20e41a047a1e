"""Prices read anew. Modal itself cannot be asked here: its rates are a mapping of names, which are not published."""

import datetime
import shutil
from decimal import Decimal

import pytest

from easel.cli.main import main
from easel.errors import EaselError
from easel.platforms.prices import DATA, load_platforms
from easel.platforms.refresh import Change, find_changes, is_of, write_changes


@pytest.fixture
def modal():
    return load_platforms(["modal"])[0]


def test_rates_in_any_unit_are_found_by_the_name_of_the_card(modal):
    rates = {
        "gpu_h100_hour": Decimal("3.60"),
        "GPU-L40S": Decimal("0.0006"),
        "gpu/T4 (minute)": Decimal("0.00984"),
        "A100-80GB": "0.000694",
        "gpu_a100_40gb": "0.000583",
        "cpu": Decimal("0.0000131"),
        "formatted": "a table",
        "gpu_h200": None,
    }
    changes, missing = find_changes(modal, rates)
    assert changes == [Change("l40s", 0.000542, 0.0006), Change("h100", 0.001097, 0.001)]
    assert missing == ["l4", "a10", "h200"]


def test_a_rate_that_would_be_twice_the_price_is_not_believed(modal):
    assert "l40s" in find_changes(modal, {"l40s": 0.0011})[1]
    assert "l40s" in find_changes(modal, {"l40s": 0.0005, "l40s-preemptible": 0.0004})[1]  # which of both?


def test_a_name_holds_the_card_as_a_word():
    assert is_of("l4", "gpu_l4")
    assert not is_of("l4", "gpu_l40s")
    assert is_of("a100-80gb", "A100_80GB")
    assert is_of("a100-80gb", "gpu-a100-80-gb")
    assert not is_of("a100-80gb", "gpu_a100_40gb")


def test_only_the_prices_change_in_the_file(tmp_path):
    path = tmp_path / "modal.yaml"
    shutil.copy(DATA / "modal.yaml", path)
    write_changes([Change("l40s", 0.000542, 0.0006)], datetime.date(2027, 1, 2), path)
    before, after = (file.read_text().splitlines() for file in (DATA / "modal.yaml", path))
    assert [line for line in after if line not in before] == [
        "  l40s: {value: 0.000600000, source: modal billing rates (Workspace.billing.rates), date: 2027-01-02}"
    ]
    assert len(before) == len(after)
    assert load_platforms(["modal"], tmp_path)[0].cards["l40s"].date == datetime.date(2027, 1, 2)


def test_a_file_that_could_not_be_read_any_more_is_put_back(tmp_path):
    path = tmp_path / "modal.yaml"
    text = (DATA / "modal.yaml").read_text().replace("  l40s: {", "  l40s:  {")  # another form, which is not found
    path.write_text(text)
    with pytest.raises(EaselError, match="as it was"):
        write_changes([Change("l40s", 0.000542, 0.0006)], datetime.date(2027, 1, 2), path)
    assert path.read_text() == text


def test_without_an_account_it_says_what_to_do(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("MODAL_CONFIG_PATH", str(tmp_path / "none.toml"))
    monkeypatch.setenv("MODAL_SERVER_URL", "http://127.0.0.1:9")
    for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"):
        monkeypatch.delenv(name, raising=False)
    assert main(["prices", "refresh", "modal", "--dry-run"]) == 1
    assert "modal setup" in capsys.readouterr().err
