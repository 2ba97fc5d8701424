"""The packs are told everything that only people can make."""

from longtake.storage.journal import KINDS

MADE_AGAIN = {
    "session": {
        "last_activity_at_ms", "purged_at_ms", "mix_settled", "cost_usd_micros", "processing", "length_ns",
    },
    "track": {
        "state", "health", "metrics", "error", "permissions", "reported_at_ms", "heard_at_ms", "is_silent",
        "n_pending", "n_processing", "n_completed", "n_failed", "size_bytes", "covered", "length_ns", "channels",
        "media_settled", "speech_settled", "speech_engine", "speech_language", "speech_cursor", "speech_known",
        "speech_stale_from",
    },
}  # fmt: skip
"""What follows from segments, tombstones and a new start; whoever adds a column decides whether it stands here."""


def test_every_column_is_told_to_the_packs_or_can_be_made_again():
    for name, kind in KINDS.items():
        columns = {column.name for column in kind.table.columns}
        assert columns == set(kind.columns) | MADE_AGAIN.get(name, set()), name
        assert len(set(kind.columns)) == len(kind.columns)
        assert not set(kind.columns) & MADE_AGAIN.get(name, set())
