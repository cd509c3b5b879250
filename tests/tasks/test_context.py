"""What a worker's process holds, and what a child of it must not."""

import multiprocessing

from sqlalchemy import text

from schemas.settings import Settings
from tasks.context import Context

ROUNDS = 200


def ask(context: Context) -> None:
    """Many short transactions, each of which must get its own answer."""
    for number in range(ROUNDS):
        with context.database.read() as session:
            assert session.scalar(text("SELECT CAST(:number AS INTEGER)"), {"number": number}) == number


def in_child(context: Context) -> None:
    context.forget_parent()
    ask(context)


def test_a_child_and_its_parent_do_not_share_a_connection(settings: Settings) -> None:
    context = Context(settings)
    ask(context)
    child = multiprocessing.get_context("fork").Process(target=in_child, args=(context,))
    child.start()
    ask(context)
    child.join(30)
    assert child.exitcode == 0
    context.database.close()


def test_forgetting_opens_everything_anew(settings: Settings) -> None:
    context = Context(settings)
    database = context.database
    context.forget_parent()
    assert context.database is not database
    context.database.close()
