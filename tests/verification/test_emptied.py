"""Each run asks whether tables have been emptied by hand: the answer must not take longer as the ledger grows."""

from sqlalchemy import text

from ledger.database import Database
from processors.events.series import SeriesDiscovered
from processors.operations.rebuild import _NEVER_EMPTY_AGAIN

# Of the discovered series one is found at once where there is any: they come before everything else.
FOUND_AT_ONCE = SeriesDiscovered


def test_every_type_that_is_looked_for_is_in_the_index_made_for_it(database: Database) -> None:
    with database.begin() as connection:
        predicate = connection.execute(
            text("select pg_get_expr(indpred, indrelid) from pg_index where indexrelid = cast(:index as regclass)"),
            {"index": "ledger.event_leaves_row"},
        ).scalar_one()
    asked = {fact.__name__ for _, _, fact in _NEVER_EMPTY_AGAIN} - {FOUND_AT_ONCE.__name__}
    assert [type_ for type_ in sorted(asked) if f"'{type_}'" not in predicate] == []
