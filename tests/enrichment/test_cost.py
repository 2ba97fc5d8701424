"""What a job costs: estimated before anybody is asked, refused above the limit, counted as it is spent."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.enrichment.cost import HOUR_NS, Prices, Unheard, in_dollars, is_within
from longtake.model.lifecycle import JobState
from longtake.settings import Settings
from longtake.wire.jobs import JobAnswer
from longtake.wire.sessions import SessionAnswer
from tests.enrichment.recording import Recording, running

SPEECH = Path(__file__).parent.parent / "data" / "jfk.flac"
ENGINE = "pocketsphinx"
USD_PER_HOUR = 3600.0
"""A dollar a second."""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """A runtime that hears nothing by itself; the engine that can be asked for has a price."""
    with running(tmp_path_factory.mktemp("cost"), cost_per_hour_usd={ENGINE: USD_PER_HOUR}) as runtime:
        yield runtime


@pytest.fixture
def spoken(runtime):
    """Eleven seconds of speech, ended and processed without an engine."""
    recording = Recording.begin(runtime)
    recording.send(0, SPEECH.read_bytes())
    recording.end()
    assert recording.finish().status is JobState.COMPLETED
    return recording


def recognitions(runtime):
    with runtime.store.db.read() as c:
        return c.exec_driver_sql("SELECT count(*) FROM recognitions").scalar_one()


def test_above_the_limit_a_job_fails_before_anything_is_done(runtime, spoken):
    before, heard = spoken.session(), recognitions(runtime)
    runtime.work.enqueue(spoken.id, options={"engine": ENGINE, "max_cost_usd": 10.5})
    job = spoken.finish()
    assert (job.status, job.attempts, job.done) == (JobState.FAILED, 1, ("validating",))
    assert str(job.error) == "cost_exceeded: the estimated cost is 11 USD, the limit 10.5 USD"
    assert (job.estimated_cost_usd_micros, job.cost_usd_micros) == (11_000_000, 0)
    assert spoken.session().tracks == before.tracks
    assert recognitions(runtime) == heard


def test_within_the_limit_it_is_done_and_what_was_spent_is_shown(runtime, spoken):
    runtime.work.enqueue(spoken.id, options={"engine": ENGINE, "max_cost_usd": 11})
    job = spoken.finish()
    assert job.status is JobState.COMPLETED
    with runtime.store.db.read() as c:
        samples = c.exec_driver_sql(
            'SELECT sum("end" - start) FROM utterances WHERE track_id = ?', (spoken.tracks[0],)
        ).scalar_one()
    assert 0 < job.cost_usd_micros <= job.estimated_cost_usd_micros == 11_000_000
    assert abs(job.cost_usd_micros - samples * 62.5) <= 10  # each utterance is rounded up
    assert spoken.words()

    runtime.work.enqueue(spoken.id, options={"engine": ENGINE})
    again = spoken.finish()
    assert (again.status, again.cost_usd_micros) == (JobState.COMPLETED, 0)  # remembered: nobody was asked
    answer = SessionAnswer.of(spoken.session())
    assert answer.enrichment.cost_usd == job.cost_usd_micros / 1e6
    assert answer.enrichment.estimated_cost_usd == JobAnswer.of(again).estimated_cost_usd == 11.0


def test_what_runs_here_is_free_and_any_limit_allows_it(tmp_path_factory, runtime, spoken):
    runtime.work.enqueue(spoken.id, options={"engine": "none", "max_cost_usd": 0})
    job = spoken.finish()
    assert (job.status, job.estimated_cost_usd_micros) == (JobState.COMPLETED, 0)


def test_prices_are_set_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAKE_COST_PER_HOUR_USD", json.dumps({"remote:large": 0.36}))
    prices = Prices(Settings.model_validate({"data": tmp_path}).cost_per_hour_usd)
    assert prices.of("remote:large", HOUR_NS) == 360_000
    assert prices.is_paid("remote:large")
    assert not prices.is_paid(ENGINE)


@pytest.mark.parametrize("price", ["-1", "cheap"])
def test_a_price_is_a_number_from_zero_on(tmp_path, monkeypatch, price):
    monkeypatch.setenv("LONGTAKE_COST_PER_HOUR_USD", json.dumps({"remote:large": price}))
    with pytest.raises(ValueError, match="cost_per_hour_usd"):
        Settings.model_validate({"data": tmp_path})


@given(
    st.dictionaries(st.sampled_from("abc"), st.floats(0, 1000), max_size=3),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-10, 50 * HOUR_NS)), max_size=8),
)
def test_an_estimate_is_the_sum_of_its_parts_and_never_too_small(table, parts):
    prices = Prices(table)
    estimate = prices.estimate(Unheard(engine=engine, ns=ns) for engine, ns in parts)
    exact = sum(table.get(engine, 0.0) * 1e6 * max(0, ns) / HOUR_NS for engine, ns in parts)
    assert exact * (1 - 1e-9) <= estimate <= exact * (1 + 1e-9) + len(parts)
    assert is_within(estimate, None)
    assert is_within(estimate, estimate / 1e6 + 1e-6)
    assert estimate == 0 or not is_within(estimate, 0)


@pytest.mark.parametrize(("micros", "shown"), [(0, "0 USD"), (360_000, "0.36 USD"), (1, "0.000001 USD")])
def test_amounts_are_shown_as_people_read_them(micros, shown):
    assert in_dollars(micros) == shown
