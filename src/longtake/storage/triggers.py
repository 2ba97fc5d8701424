"""The triggers that keep `tables_lookups` and two columns of sessions in step, for SQLite; and the full-text index.

Belongs here: what follows from which rows, as statements. Does not: having them stand (`lookups`).
"""

from __future__ import annotations

INDEX = "search_index"
INDEX_SQL = (
    f"CREATE VIRTUAL TABLE {INDEX} USING fts5(head, body, content='search_texts', content_rowid='id', "
    "tokenize=\"unicode61 remove_diacritics 2\", prefix='2 3')"
)
"""Letters without their marks, in lower case; prefixes of two and three letters have lists of their own."""

PROCESSING = """(
    SELECT CASE
        WHEN job = 'failed' THEN CASE
            WHEN failed + pending + running = 0 THEN 'completed'
            WHEN done + running > 0 THEN 'completed_with_errors'
            ELSE 'failed' END
        WHEN running > 0 OR job = 'processing' THEN 'processing'
        WHEN pending > 0 OR job = 'pending' THEN 'pending'
        WHEN failed = 0 THEN 'completed'
        WHEN done > 0 THEN 'completed_with_errors'
        ELSE 'failed' END
    FROM (SELECT coalesce(sum(n_pending), 0) AS pending, coalesce(sum(n_processing), 0) AS running,
                 coalesce(sum(n_completed), 0) AS done, coalesce(sum(n_failed), 0) AS failed
          FROM tracks WHERE session_id = {session}),
         (SELECT (SELECT status FROM jobs WHERE session_id = {session}
                  ORDER BY created_at_ms DESC, id DESC LIMIT 1) AS job))"""
LENGTH = "(SELECT coalesce(max(length_ns), 0) FROM tracks WHERE session_id = {session})"

COUNTERS = ("n_pending", "n_processing", "n_completed", "n_failed")
TRACK_MOVED = " OR ".join([*(f"(old.{n} > 0) <> (new.{n} > 0)" for n in COUNTERS), "old.length_ns <> new.length_ns"])
"""Only then can anything of its session follow: most changes of a track end here."""

SESSION_WORD = "{row}.state || ' ' || {row}.processing"
LIVE = "(SELECT trashed_at_ms FROM sessions WHERE id = {row}.session_id) IS NULL"

TOPICS = "SELECT 'topic', t.value, s.created_at_ms, s.id FROM sessions s, json_each(s.topics) t"
TAGS = "SELECT 'tag', t.tag, s.created_at_ms, s.id FROM sessions s JOIN session_tags t ON t.session_id = s.id"
WHO = " UNION ".join(
    f"SELECT '{kind}', {word}, s.created_at_ms, s.id FROM sessions s{joined} WHERE {word} IS NOT NULL{{0}}"
    for kind, word, joined in (
        ("participant", "p.id", " JOIN participants p ON p.session_id = s.id"),
        ("participant", "p.name", " JOIN participants p ON p.session_id = s.id"),
        ("device", "p.device_id", " JOIN participants p ON p.session_id = s.id"),
        ("device", "t.device_id", " JOIN tracks t ON t.session_id = s.id"),
        ("device", "s.device_id", ""),
    )
)
"""A person is found by id and by name; a device by what it created, whom it records for and what it records."""
TALLIED_KINDS = ("tag", "topic")
TALLIED = f"kind IN {TALLIED_KINDS}"

TEXT_COLUMNS = "(session_id, kind, key, at_ms, start_ms, head, body)"
SESSION_TEXT = (
    "SELECT s.id, 'session', s.id, s.created_at_ms, NULL, s.title, coalesce(s.description, '') FROM sessions s"
)
ENTRY_TEXT = (
    "SELECT e.session_id, 'entry', e.id, s.created_at_ms, e.start_ms, '', e.text "
    "FROM entries e JOIN sessions s ON s.id = e.session_id"
)
MARKER_TEXT = (
    "SELECT m.session_id, 'marker', m.id, s.created_at_ms, m.start_ms, m.label, '' "
    "FROM markers m JOIN sessions s ON s.id = m.session_id AND m.label IS NOT NULL"
)
WRITTEN_TEXT = (
    "SELECT w.session_id, 'summary', 'written', s.created_at_ms, NULL, '', w.text "
    "FROM summaries w JOIN sessions s ON s.id = w.session_id"
)
MADE_TEXTS = (
    "SELECT o.session_id, 'summary', 'made', s.created_at_ms, NULL, '', "
    "(SELECT coalesce(group_concat(x.value, char(10)), '') FROM json_each(o.outline, '$.summary') x) "
    "FROM outlines o JOIN sessions s ON s.id = o.session_id",
    "SELECT o.session_id, 'chapter', x.key, s.created_at_ms, x.value ->> '$.start_ms', "
    "coalesce(x.value ->> '$.title', ''), coalesce(x.value ->> '$.summary', '') "
    "FROM outlines o JOIN sessions s ON s.id = o.session_id, json_each(o.outline, '$.chapters') x",
    "SELECT o.session_id, 'task', x.key, s.created_at_ms, x.value ->> '$.at_ms', '', "
    "coalesce(x.value ->> '$.text', '') "
    "FROM outlines o JOIN sessions s ON s.id = o.session_id, json_each(o.outline, '$.tasks') x",
)
MADE = "(kind IN ('chapter', 'task') OR (kind = 'summary' AND key = 'made'))"


ADDED = "ON CONFLICT (kind, word) DO UPDATE SET count = count + excluded.count, total = total + excluded.total"


def _tally(kind: str, word: str, count: str, total: str = "0") -> str:
    """A statement that counts one more or fewer."""
    return f"INSERT INTO tallies (kind, word, count, total) VALUES ({kind}, {word}, {count}, {total}) {ADDED}"


def _refresh(session: str) -> str:
    """A statement that derives what a session's row says of its tracks and jobs."""
    columns = f"processing = {PROCESSING}, length_ns = {LENGTH}".format(session=session)
    return f"UPDATE sessions SET {columns} WHERE id = {session}"


def _put(texts: str, where: str) -> str:
    return f"INSERT INTO search_texts {TEXT_COLUMNS} {texts} WHERE {where}"


def _drop(row: str, kind: str, key: str) -> str:
    return f"DELETE FROM search_texts WHERE session_id = {row}.session_id AND kind = '{kind}' AND key = {key}"


def _words(source: str, where: str) -> str:
    return f"INSERT OR IGNORE INTO session_words (kind, word, created_at_ms, session_id) {source} WHERE {where}"


def _who(session: str) -> list[str]:
    """Statements that write anew by which people and devices a session is found."""
    return [
        f"DELETE FROM session_words WHERE session_id = {session} AND kind IN ('participant', 'device')",
        f"INSERT INTO session_words (kind, word, created_at_ms, session_id) {WHO.format(f' AND s.id = {session}')}",
    ]


def _session_tally(row: str, sign: str) -> str:
    return _tally("'session'", SESSION_WORD.format(row=row), f"{sign}1", f"{sign}{row}.length_ns")


def _word_tallies(sign: str) -> str:
    """All words of a session that goes to the trash, or comes back, perhaps with some that no other has."""
    words = f"SELECT kind, word, {sign}1, 0 FROM session_words WHERE session_id = new.id AND {TALLIED}"
    return f"INSERT INTO tallies (kind, word, count, total) {words} {ADDED}"


def _trigger(name: str, event: str, body: list[str], when: str | None = None) -> tuple[str, str]:
    condition = "" if when is None else f" WHEN {when}"
    return f"tr_{name}", f"CREATE TRIGGER tr_{name} {event}{condition} BEGIN {'; '.join(body)}; END"


TRIGGERS: dict[str, str] = dict(
    [
        # what follows from tracks and jobs
        _trigger("tracks_added", "AFTER INSERT ON tracks", [_refresh("new.session_id")]),
        _trigger(
            "tracks_moved",
            f"AFTER UPDATE OF {', '.join(COUNTERS)}, length_ns ON tracks",
            [_refresh("new.session_id")],
            TRACK_MOVED,
        ),
        _trigger(  # merged sessions
            "tracks_given",
            "AFTER UPDATE OF session_id ON tracks",
            [_refresh("old.session_id"), _refresh("new.session_id")],
        ),
        _trigger("tracks_removed", "AFTER DELETE ON tracks", [_refresh("old.session_id")]),
        _trigger(
            "jobs_added", "AFTER INSERT ON jobs", [_refresh("new.session_id"), _tally("'job'", "new.status", "1")]
        ),
        _trigger(
            "jobs_moved",
            "AFTER UPDATE OF status ON jobs",
            [
                _refresh("new.session_id"),
                _tally("'job'", "old.status", "-1"),
                _tally("'job'", "new.status", "1"),
            ],
            "old.status <> new.status",
        ),
        _trigger(
            "jobs_removed", "AFTER DELETE ON jobs", [_refresh("old.session_id"), _tally("'job'", "old.status", "-1")]
        ),
        # sessions
        _trigger(
            "sessions_added",
            "AFTER INSERT ON sessions",
            [*_who("new.id"), _words(TOPICS, "s.id = new.id"), _put(SESSION_TEXT, "s.id = new.id")],
        ),
        _trigger(
            "sessions_counted", "AFTER INSERT ON sessions", [_session_tally("new", "")], "new.trashed_at_ms IS NULL"
        ),
        _trigger(
            "sessions_moved",
            "AFTER UPDATE OF state, processing, length_ns ON sessions",
            [_session_tally("old", "-"), _session_tally("new", "")],
            "old.trashed_at_ms IS NULL AND new.trashed_at_ms IS NULL AND "
            "(old.state, old.processing, old.length_ns) <> (new.state, new.processing, new.length_ns)",
        ),
        _trigger(
            "sessions_trashed",
            "AFTER UPDATE OF trashed_at_ms ON sessions",
            [_session_tally("old", "-"), _word_tallies("-")],
            "old.trashed_at_ms IS NULL AND new.trashed_at_ms IS NOT NULL",
        ),
        _trigger(
            "sessions_restored",
            "AFTER UPDATE OF trashed_at_ms ON sessions",
            [_session_tally("new", ""), _word_tallies("")],
            "old.trashed_at_ms IS NOT NULL AND new.trashed_at_ms IS NULL",
        ),
        _trigger(
            "sessions_topics",
            "AFTER UPDATE OF topics ON sessions",
            [
                "DELETE FROM session_words WHERE session_id = new.id AND kind = 'topic'",
                _words(TOPICS, "s.id = new.id"),
            ],
            "old.topics <> new.topics",
        ),
        _trigger("sessions_device", "AFTER UPDATE OF device_id ON sessions", _who("new.id")),
        _trigger(
            "sessions_dated",
            "AFTER UPDATE OF created_at_ms ON sessions",
            [
                "UPDATE session_words SET created_at_ms = new.created_at_ms WHERE session_id = new.id",
                "UPDATE search_texts SET at_ms = new.created_at_ms WHERE session_id = new.id",
            ],
            "old.created_at_ms <> new.created_at_ms",
        ),
        _trigger(
            "sessions_texts",
            "AFTER UPDATE OF title, description ON sessions",
            [
                "UPDATE search_texts SET head = new.title, body = coalesce(new.description, '') "
                "WHERE session_id = new.id AND kind = 'session' AND key = new.id"
            ],
        ),
        _trigger(  # before: what counts words still sees whether it lies in the trash
            "sessions_removed",
            "BEFORE DELETE ON sessions",
            [
                "DELETE FROM session_words WHERE session_id = old.id",
                "DELETE FROM search_texts WHERE session_id = old.id",
            ],
        ),
        _trigger(
            "sessions_uncounted", "AFTER DELETE ON sessions", [_session_tally("old", "-")], "old.trashed_at_ms IS NULL"
        ),
        # words
        _trigger(
            "tags_added",
            "AFTER INSERT ON session_tags",
            [_words(TAGS, "s.id = new.session_id AND t.tag = new.tag")],
        ),
        _trigger(
            "tags_removed",
            "AFTER DELETE ON session_tags",
            ["DELETE FROM session_words WHERE session_id = old.session_id AND kind = 'tag' AND word = old.tag"],
        ),
        _trigger("participants_added", "AFTER INSERT ON participants", _who("new.session_id")),
        _trigger(
            "participants_moved",
            "AFTER UPDATE OF name, device_id, session_id ON participants",
            [*_who("old.session_id"), *_who("new.session_id")],
        ),
        _trigger("participants_removed", "AFTER DELETE ON participants", _who("old.session_id")),
        *(
            _trigger(f"tracks_device_{name}", f"AFTER {event} ON tracks", body, when)
            for name, event, body, when in (
                ("added", "INSERT", _who("new.session_id"), "new.device_id IS NOT NULL"),
                (
                    "moved",
                    "UPDATE OF device_id, session_id",
                    [*_who("old.session_id"), *_who("new.session_id")],
                    "coalesce(old.device_id, new.device_id) IS NOT NULL",
                ),
                ("removed", "DELETE", _who("old.session_id"), "old.device_id IS NOT NULL"),
            )
        ),
        _trigger(
            "words_added",
            "AFTER INSERT ON session_words",
            [_tally("new.kind", "new.word", "1")],
            f"new.{TALLIED} AND {LIVE.format(row='new')}",
        ),
        _trigger(
            "words_removed",
            "AFTER DELETE ON session_words",
            [_tally("old.kind", "old.word", "-1")],
            f"old.{TALLIED} AND {LIVE.format(row='old')}",
        ),
        # texts
        _trigger("entries_added", "AFTER INSERT ON entries", [_put(ENTRY_TEXT, "e.id = new.id")]),
        _trigger(
            "entries_moved",
            "AFTER UPDATE OF text, start_ms ON entries",
            [
                "UPDATE search_texts SET body = new.text, start_ms = new.start_ms "
                "WHERE session_id = new.session_id AND kind = 'entry' AND key = new.id"
            ],
        ),
        _trigger(
            "entries_given",
            "AFTER UPDATE OF session_id ON entries",
            [_drop("old", "entry", "old.id"), _put(ENTRY_TEXT, "e.id = new.id")],
            "old.session_id <> new.session_id",
        ),
        _trigger("entries_removed", "AFTER DELETE ON entries", [_drop("old", "entry", "old.id")]),
        _trigger("markers_added", "AFTER INSERT ON markers", [_put(MARKER_TEXT, "m.id = new.id")]),
        _trigger(
            "markers_moved",
            "AFTER UPDATE ON markers",
            [_drop("old", "marker", "old.id"), _put(MARKER_TEXT, "m.id = new.id")],
        ),
        _trigger("markers_removed", "AFTER DELETE ON markers", [_drop("old", "marker", "old.id")]),
        _trigger("summaries_added", "AFTER INSERT ON summaries", [_put(WRITTEN_TEXT, "w.session_id = new.session_id")]),
        _trigger(
            "summaries_moved",
            "AFTER UPDATE ON summaries",
            [_drop("old", "summary", "'written'"), _put(WRITTEN_TEXT, "w.session_id = new.session_id")],
        ),
        _trigger("summaries_removed", "AFTER DELETE ON summaries", [_drop("old", "summary", "'written'")]),
        _trigger(
            "outlines_added",
            "AFTER INSERT ON outlines",
            [_put(texts, "o.session_id = new.session_id") for texts in MADE_TEXTS],
        ),
        _trigger(
            "outlines_moved",
            "AFTER UPDATE ON outlines",
            [
                f"DELETE FROM search_texts WHERE session_id = old.session_id AND {MADE}",
                *(_put(texts, "o.session_id = new.session_id") for texts in MADE_TEXTS),
            ],
        ),
        _trigger(
            "outlines_removed",
            "AFTER DELETE ON outlines",
            [f"DELETE FROM search_texts WHERE session_id = old.session_id AND {MADE}"],
        ),
        _trigger(
            "texts_added",
            "AFTER INSERT ON search_texts",
            [f"INSERT INTO {INDEX} (rowid, head, body) VALUES (new.id, new.head, new.body)"],
        ),
        _trigger(
            "texts_moved",
            "AFTER UPDATE OF head, body ON search_texts",
            [
                f"INSERT INTO {INDEX} ({INDEX}, rowid, head, body) VALUES ('delete', old.id, old.head, old.body)",
                f"INSERT INTO {INDEX} (rowid, head, body) VALUES (new.id, new.head, new.body)",
            ],
        ),
        _trigger(
            "texts_removed",
            "AFTER DELETE ON search_texts",
            [f"INSERT INTO {INDEX} ({INDEX}, rowid, head, body) VALUES ('delete', old.id, old.head, old.body)"],
        ),
        # bytes
        _trigger(
            "blobs_added", "AFTER INSERT ON blobs", [_tally("'bytes'", "new.store", "1", "new.size_bytes")]
        ),
        _trigger(
            "blobs_moved",
            "AFTER UPDATE OF store, size_bytes ON blobs",
            [
                _tally("'bytes'", "old.store", "-1", "-old.size_bytes"),
                _tally("'bytes'", "new.store", "1", "new.size_bytes"),
            ],
            "(old.store, old.size_bytes) <> (new.store, new.size_bytes)",
        ),
        _trigger(
            "blobs_removed", "AFTER DELETE ON blobs", [_tally("'bytes'", "old.store", "-1", "-old.size_bytes")]
        ),
    ]
)  # fmt: skip
