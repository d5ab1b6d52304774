"""What every catalog promises, as tests that run over each engine.

class TestMine(CatalogSuite):
    @pytest.fixture
    def engine(self): return MyEngine(...)   # a migrated, empty database
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest
from sqlalchemy import bindparam, select

from millrace.base.errors import MillraceError
from millrace.catalog import journal, schema, tables
from millrace.catalog.engine import Catalog, Engine, Work
from millrace.catalog.statements import insert_absent, upsert
from millrace.catalog.tx import Tx

_follower = select(schema.cursor.c.number).where(schema.cursor.c.follower.in_(bindparam("who", expanding=True)))


class CatalogSuite:
    """Inherit, provide `engine`, and every promise is checked."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise AssertionError("provide an engine with a migrated, empty database")

    @pytest.fixture
    def catalog(self, engine: Engine) -> Iterator[Catalog]:
        opened = Catalog(engine)
        yield opened
        opened.close()

    def test_a_write_is_seen_by_the_next_read(self, catalog: Catalog) -> None:
        catalog.write(lambda tx: tables.move_cursor(tx, "w", "f", 7))
        with catalog.read() as tx:
            assert tables.cursor(tx, "w", "f") == 7

    def test_a_failed_write_takes_back_itself_alone(self, catalog: Catalog) -> None:
        def fail(tx: Tx) -> None:
            tables.move_cursor(tx, "w", "bad", 1)
            tx.fact("w", 1, "a", "k", "s", {})
            raise MillraceError("request.invalid", "no", "")

        gate = threading.Barrier(9)
        faults: list[str] = []

        def go(i: int) -> None:
            gate.wait()
            try:
                catalog.write(fail if i % 3 == 0 else lambda tx: tx.fact("w", 1, "a", "kept", str(i), {}))
            except MillraceError as fault:
                faults.append(fault.code)

        _together(go, 9)
        with catalog.read() as tx:
            assert faults == ["request.invalid"] * 3
            assert tables.cursor(tx, "w", "bad") == 0
            assert sorted(fact.subject for fact in tables.facts_after(tx, "w", 0, 100)) == list("124578")

    def test_a_write_that_nobody_waits_for_tells_when_it_is_durable(self, catalog: Catalog) -> None:
        told: SimpleQueue[Work[int]] = SimpleQueue()

        def move(tx: Tx) -> int:
            tables.move_cursor(tx, "w", "f", 7)
            return 7

        def fail(tx: Tx) -> int:
            raise MillraceError("request.invalid", "no", "")

        catalog.submit(move, told.put)
        catalog.submit(fail, told.put)
        kept, failed = told.get(timeout=30), told.get(timeout=30)
        with catalog.read() as tx:
            assert tables.cursor(tx, "w", "f") == kept.end() == 7
        with pytest.raises(MillraceError):
            failed.end()

    def test_who_is_alone_writes_in_its_own_thread_and_a_crowd_shares_commits(self, catalog: Catalog) -> None:
        assert catalog.write(lambda _: threading.get_ident()) == threading.get_ident()
        before = catalog.wait(-1, 0)
        held, go = threading.Event(), threading.Event()

        def hold(_: Tx) -> None:
            held.set()
            assert go.wait(30)

        holder = threading.Thread(target=catalog.write, args=(hold,))
        holder.start()
        assert held.wait(30)
        ends = [threading.Event() for _ in range(20)]
        for end in ends:
            catalog.submit(lambda tx: tx.fact("w", 1, "a", "k", "s", {}), lambda _, end=end: end.set())  # type: ignore[misc]
        go.set()
        assert all(end.wait(30) for end in ends)
        holder.join()
        assert catalog.wait(-1, 0) - before <= 3  # the holder's, then all twenty in one or, cut by luck, two

    def test_who_is_interrupted_while_it_writes_leaves_nothing_and_blocks_nobody(self, catalog: Catalog) -> None:
        def interrupted(tx: Tx) -> None:
            tx.fact("w", 1, "a", "k", "s", {})
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            catalog.write(interrupted)
        assert catalog.write(lambda tx: tx.fact("w", 1, "a", "k", "s", {})) == 1

    def test_facts_are_numbered_without_gaps_and_chained(self, catalog: Catalog) -> None:
        def add(subject: str) -> None:
            catalog.write(lambda tx: tx.fact("w", 5, "a", "k", subject, {}))

        def twenty(i: int) -> None:
            for j in range(20):
                add(f"{i}.{j}")

        _together(twenty, 8)
        with catalog.read() as tx:
            head = journal.verify(tables.chain(tx, "w", page=33))
            assert head.number == 160
            assert head == tx.head("w")

    def test_two_catalogs_share_one_chain(self, engine: Engine, catalog: Catalog) -> None:
        second = Catalog(engine)
        try:
            both = (catalog, second)
            _together(
                lambda i: [both[i % 2].write(lambda tx: tx.fact("w", 5, "a", "k", "s", {})) for _ in range(20)], 4
            )
            with second.read() as tx:
                assert journal.verify(tables.chain(tx, "w")).number == 80
        finally:
            second.close()

    def test_writers_decide_on_what_they_see(self, engine: Engine, catalog: Catalog) -> None:
        second = Catalog(engine)

        def raise_by_one(tx: Tx) -> None:
            tables.move_cursor(tx, "w", "sum", tables.cursor(tx, "w", "sum") + 1)

        try:
            both = (catalog, second)
            _together(lambda i: [both[i % 2].write(raise_by_one) for _ in range(25)], 4)
            with catalog.read() as tx:
                assert tables.cursor(tx, "w", "sum") == 100
        finally:
            second.close()

    def test_a_reader_sees_one_snapshot(self, catalog: Catalog) -> None:
        catalog.write(lambda tx: tables.move_cursor(tx, "w", "f", 1))
        with catalog.read() as tx:
            before = tables.cursor(tx, "w", "f")
            catalog.write(lambda tx: tables.move_cursor(tx, "w", "f", 2))
            assert (before, tables.cursor(tx, "w", "f")) == (1, 1)

    def test_a_tampered_row_is_named(self, catalog: Catalog) -> None:
        for subject in "abcd":
            catalog.write(lambda tx, s=subject: tx.fact("w", 1, "x", "k", s, {"v": s}))  # type: ignore[misc]
        other = schema.fact.update().where(schema.fact.c.number == 3).values(data='{"v":"z"}')
        catalog.write(lambda tx: tx.change(other))
        with catalog.read() as tx, pytest.raises(MillraceError, match="fact 3 of workspace 'w'") as caught:
            journal.verify(tables.chain(tx, "w"))
        assert caught.value.code == "journal.broken"

    def test_a_cut_tail_shows_against_a_head_written_down(self, catalog: Catalog) -> None:
        for _ in range(3):
            catalog.write(lambda tx: tx.fact("w", 1, "x", "k", "s", {}))
        with catalog.read() as tx:
            head = tx.head("w")
        catalog.write(lambda tx: tx.change(schema.fact.delete().where(schema.fact.c.number == 3)))
        with catalog.read() as tx:
            assert journal.verify(tables.chain(tx, "w")).number == 2
            with pytest.raises(MillraceError, match="it was cut"):
                journal.verify(journal.watched(tables.chain(tx, "w"), head))

    def test_upsert_and_insert_absent_tell_what_they_did(self, catalog: Catalog) -> None:
        row = {"workspace": "w", "follower": "f", "number": 1}
        assert catalog.write(lambda tx: tx.change(insert_absent(schema.cursor), **row)) == 1
        assert catalog.write(lambda tx: tx.change(insert_absent(schema.cursor), **row)) == 0
        assert catalog.write(lambda tx: tx.change(upsert(schema.cursor), **{**row, "number": 9})) == 1
        with catalog.read() as tx:
            assert tx.run(_follower, who=["f", "g"]) == [(9,)]

    def test_many_rows_and_every_type_come_back_as_they_went(self, catalog: Catalog) -> None:
        data = {"text": "ü 🙂 'quote'", "big": 2**62, "real": 0.1, "none": None, "list": [1, [2]]}
        catalog.write(lambda tx: tx.fact("w", 2**61, "ä", "k", "s", data))
        catalog.write(
            lambda tx: tx.change_many(
                upsert(schema.cursor), [{"workspace": "w", "follower": str(i), "number": i} for i in range(500)]
            )
        )
        with catalog.read() as tx:
            fact = tables.facts_after(tx, "w", 0, 1)[0]
            assert (fact.data, fact.at, fact.actor) == (data, 2**61, "ä")
            assert tables.cursor(tx, "w", "499") == 499

    @pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40])
    def test_a_number_beyond_64_bits_is_refused(self, catalog: Catalog, number: int) -> None:
        with pytest.raises(MillraceError) as written:
            catalog.write(lambda tx: tables.move_cursor(tx, "w", "f", number))
        with pytest.raises(MillraceError) as read, catalog.read() as tx:
            tables.facts_after(tx, "w", number, 10)
        assert (written.value.code, read.value.code) == ("request.invalid", "request.invalid")
        catalog.write(lambda tx: tables.move_cursor(tx, "w", "f", 2**63 - 1))
        with catalog.read() as tx:
            assert tables.cursor(tx, "w", "f") == 2**63 - 1

    def test_waiting_ends_with_a_commit(self, catalog: Catalog) -> None:
        seen = catalog.wait(-1, 0)
        catalog.write(lambda tx: tables.move_cursor(tx, "w", "f", 1))
        assert catalog.wait(seen, 30) > seen

    def test_waiting_for_facts_passes_over_commits_without_any(self, catalog: Catalog) -> None:
        seen = catalog.wait_for_facts(-1, 0)
        catalog.write(lambda tx: tables.move_cursor(tx, "w", "f", 1))
        assert catalog.wait_for_facts(seen, 0) == seen
        catalog.write(lambda tx: tx.fact("w", 1, "a", "tested", "", {}))
        assert catalog.wait_for_facts(seen, 30) > seen

    def test_whoever_waits_can_be_roused(self, catalog: Catalog) -> None:
        seen = catalog.wait_for_facts(-1, 0)
        waiting = threading.Timer(0.01, catalog.rouse)
        waiting.start()
        assert catalog.wait_for_facts(seen, 30) > seen
        waiting.join()

    def test_a_closed_catalog_says_so(self, engine: Engine) -> None:
        opened = Catalog(engine)
        opened.close()
        opened.close()
        with pytest.raises(MillraceError) as caught:
            opened.write(lambda tx: None)
        assert caught.value.code == "server.stopping"


def _together(go: object, n: int) -> None:
    """Run `go(0) … go(n-1)` in threads and pass on what any of them raised."""
    faults: list[BaseException] = []

    def run(i: int) -> None:
        try:
            go(i)  # type: ignore[operator]  # a function of one int
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
