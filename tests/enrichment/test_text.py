"""The outline that is made without a language model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.enrichment.text import outline
from longtake.enrichment.words import STOP
from longtake.model.transcript import Word
from tests.enrichment.talks import entry, talk


def pk(truth, found):
    """Beeferman's Pk: how often two texts half a chapter apart are wrongly put together or apart."""
    half = max(2, round(len(truth) / len(set(truth)) / 2))
    pairs = range(len(truth) - half)
    return sum((truth[i] == truth[i + half]) != (found[i] == found[i + half]) for i in pairs) / len(pairs)


def chapter_of(made, entries):
    return [sum(chapter.start_ms <= e.start_ms for chapter in made.chapters) for e in entries]


def test_where_nobody_spoke_there_is_nothing():
    made = outline([], 60_000)

    assert (made.made_by, made.chapters, made.summary, made.topics, made.tasks) == ("outline", (), (), (), ())
    assert outline([entry("joined", speaker="SYSTEM"), entry("  ")], 60_000) == made


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_short_talk_is_one_chapter_with_a_title(count):
    entries = talk(seed=4, minutes=5)[0][:count]

    made = outline(entries, 60_000)

    (chapter,) = made.chapters
    assert (chapter.start_ms, chapter.end_ms) == (0, 60_000)
    assert chapter.title[0].isupper()
    assert chapter.summary
    assert made.summary


@pytest.mark.parametrize("seed", range(4))
def test_chapters_begin_where_the_subject_changes(seed):
    entries, truth = talk(seed=seed, minutes=15)

    made = outline(entries, entries[-1].end_ms)

    assert pk(truth, chapter_of(made, entries)) <= 0.25


def test_chapters_cover_the_session_without_a_gap():
    entries, _ = talk(seed=1, minutes=12)

    made = outline(entries, entries[-1].end_ms + 5_000)

    assert made.chapters[0].start_ms == 0
    assert made.chapters[-1].end_ms == entries[-1].end_ms + 5_000
    assert all(a.end_ms == b.start_ms for a, b in zip(made.chapters, made.chapters[1:], strict=False))
    assert all(chapter.end_ms - chapter.start_ms >= 30_000 for chapter in made.chapters)


def test_titles_are_different_and_made_of_words_that_tell_something():
    entries, _ = talk(seed=2, minutes=20)

    titles = [chapter.title for chapter in outline(entries, 0).chapters]

    assert len(set(titles)) == len(titles)
    assert all(title[0].isupper() and len(title) <= 60 for title in titles)
    assert not {word for title in titles for word in title.lower().replace(",", "").split()} & STOP


def test_the_summary_says_what_was_said_in_order_and_once():
    entries, _ = talk(seed=3, minutes=12)
    said = {e.text: e.start_ms for e in reversed(entries)}

    made = outline(entries, 0)

    assert 3 <= len(made.summary) <= 7
    assert len(set(made.summary)) == len(made.summary)
    assert all(one.rstrip(".").lower() in said for one in made.summary)


def test_tasks_are_what_somebody_commits_to_or_asks_for():
    entries = [
        entry("i will send the report to anna before friday", 0),
        entry("Okay. I'll call the bank tomorrow, and you can rest.", 10_000, speaker="Ben"),
        entry("please write the letter", 20_000),
        entry("could you check the door", 30_000),
        entry("it was a nice day", 40_000),
        entry("i will not do that", 50_000),
        entry("we will see what happens", 60_000),
        entry("can you hear me", 70_000),
    ]

    tasks = outline(entries, 80_000).tasks

    assert (tasks[0].text, tasks[0].speaker) == ("I will send the report to anna before friday.", "Ana")
    assert [task.text for task in tasks[1:]] == [
        "I'll call the bank tomorrow, and you can rest.",
        "Please write the letter.",
        "Could you check the door.",
    ]
    assert (tasks[1].speaker, tasks[1].at_ms) == ("Ben", 10_288)


def test_made_up_tasks_of_a_talk_are_found():
    entries, _ = talk(seed=5, minutes=30)
    starts = ("i will send", "i will call", "i will check", "please write", "please ask")
    expected = [e.start_ms for e in entries if e.text.startswith(starts)]

    found = [task.at_ms for task in outline(entries, 0).tasks]

    assert set(expected) <= set(found)
    assert len(found) <= 1.3 * len(expected)


def test_a_task_in_a_long_breath_is_shown_without_what_came_before():
    text = "so " + "we talked about many things today and " * 4 + "i will send the report to anna on friday"

    (task,) = outline([entry(text)], 30_000).tasks

    assert task.text == "I will send the report to anna on friday."


def test_a_word_heard_with_doubt_is_in_no_title():
    words = tuple(
        Word(text=text, start_ms=n * 300, end_ms=n * 300 + 300, confidence=0.1 if text == "walrus" else 0.9)
        for n, text in enumerate(["walrus", "budget", "walrus", "budget", "walrus"])
    )

    made = outline([entry("walrus budget walrus budget walrus", words=words)], 10_000)

    assert "walrus" not in made.chapters[0].title.lower()
    assert made.topics == ("budget",)


def test_the_same_entries_in_any_order_give_the_same_outline():
    entries, _ = talk(seed=6, minutes=10)

    assert outline(entries[::-1], 0) == outline(entries, 0)


@given(st.lists(st.text(max_size=60), max_size=12), st.integers(0, 10**7))
def test_whatever_was_said_in_whatever_script_there_is_an_outline(texts, duration_ms):
    entries = [entry(text, number * 5_000) for number, text in enumerate(texts)]

    made = outline(entries, duration_ms)

    assert all(chapter.title and chapter.start_ms < chapter.end_ms for chapter in made.chapters)


@pytest.mark.parametrize(
    "texts",
    [
        ["Wir müssen über den Haushalt sprechen.", "Der Haushalt ist zu hoch.", "Haushalt und Miete steigen."],
        ["予算について話しましょう。来月の予算です。", "予算が足りません。"],
        ["давайте поговорим о бюджете", "бюджет слишком большой", "бюджет растёт"],
        ["!!! ???", "1 2 3", "..."],
    ],
)
def test_other_languages_have_titles_too(texts):
    made = outline([entry(text, number * 4_000) for number, text in enumerate(texts)], 20_000)

    assert made.chapters[0].title
    assert made.summary


def test_a_day_of_talk_is_outlined_too():
    entries, _ = talk(seed=7, minutes=1_000)

    made = outline(entries, 0)

    assert len(entries) > 19_000
    assert 1 <= len(made.chapters) <= 40
    assert len(made.summary) <= 7
