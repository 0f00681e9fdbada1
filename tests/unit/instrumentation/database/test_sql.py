"""What is read from a statement."""

from __future__ import annotations

import pytest

from otelflask._internal.instrumentation.database.sql import read


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("SELECT * FROM t WHERE a = 'secret' AND b = 42", "SELECT * FROM t WHERE a = ? AND b = ?"),
        ("SELECT 'it''s', E'a\\'b', $$dollar$$, $t$x$t$", "SELECT ?, ?, ?, ?"),
        ("SELECT x1, t2.y FROM t2 -- secret\n", "SELECT x1, t2.y FROM t2"),
        ("SELECT /* secret */ 1.5e3, 0xFF", "SELECT  ?, ?"),
        ("SELECT a FROM t WHERE id IN (?, ?, ?)", "SELECT a FROM t WHERE id IN (?)"),
        ("SELECT a FROM t WHERE id IN (1, 2)", "SELECT a FROM t WHERE id IN (?)"),
        ("INSERT INTO t (a) VALUES (1), (2), (3)", "INSERT INTO t (a) VALUES (?)"),
        ("SELECT a FROM t WHERE id = %(id_1)s::INTEGER", "SELECT a FROM t WHERE id = %(id_1)s::INTEGER"),
        ("SELECT 'never closed", "SELECT ?"),
    ],
)
def test_literals_and_comments_are_left_out(statement: str, text: str) -> None:
    assert read(statement).text == text


@pytest.mark.parametrize(
    ("statement", "operation", "collection", "summary"),
    [
        ("SELECT * FROM products", "SELECT", "products", "SELECT products"),
        ('select "Weird Name".id from "Weird Name"', "SELECT", "Weird Name", "SELECT Weird Name"),
        ("SELECT a.x FROM a JOIN b ON a.id = b.id", "SELECT", None, "SELECT a b"),
        ("SELECT * FROM a x, b y WHERE x.i = y.i", "SELECT", None, "SELECT a b"),
        ("INSERT INTO shop.orders (id) VALUES (?)", "INSERT", "shop.orders", "INSERT shop.orders"),
        ("UPDATE stock SET n = n - 1 WHERE id = ?", "UPDATE", "stock", "UPDATE stock"),
        ("DELETE FROM carts WHERE id = ?", "DELETE", "carts", "DELETE carts"),
        ("SELECT a FROM t FOR UPDATE", "SELECT", "t", "SELECT t"),
        ("SELECT EXTRACT(year FROM created) FROM t", "SELECT", "t", "SELECT t"),
        ("SELECT * FROM (SELECT id FROM inner_t) AS s", "SELECT", "inner_t", "SELECT inner_t"),
        ("WITH c AS (SELECT id FROM t) SELECT * FROM c", "SELECT", "t", "SELECT t"),
        ("WITH c AS (SELECT 1) DELETE FROM t WHERE id IN (SELECT * FROM c)", "DELETE", "t", "DELETE t"),
        ("SELECT 1", "SELECT", None, "SELECT"),
        ("BEGIN", "BEGIN", None, "BEGIN"),
        ("gibberish ' (", None, None, ""),
        ("", None, None, ""),
    ],
)
def test_operation_target_and_summary(
    statement: str, operation: str | None, collection: str | None, summary: str
) -> None:
    result = read(statement)
    assert (result.operation, result.collection, result.summary) == (operation, collection, summary)
