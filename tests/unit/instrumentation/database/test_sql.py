"""What is read from a statement."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.engine import make_url

from otelflask._internal.instrumentation.database.lexis import Rules, rules_of
from otelflask._internal.instrumentation.database.sql import MAX_LENGTH, read


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
        ("SELECT 'never closed\\", "SELECT ?"),
        ("SELECT $fn1$secret$fn1$, $é$secret$é$", "SELECT ?, ?"),
        ("SELECT .123456, 1_000_123, 0b101, 0o17, 1_0.5e-3", "SELECT ?, ?, ?, ?, ?"),
        ("SELECT t.a1, a[2], x - 5 FROM t", "SELECT t.a1, a[?], x - ? FROM t"),
    ],
)
def test_literals_and_comments_are_left_out(statement: str, text: str) -> None:
    assert read(statement, Rules.STANDARD).text == text


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
        ("COPY t FROM STDIN", "COPY", "t", "COPY t"),
        ("COPY shop.t (a, b) FROM '/a/file' CSV", "COPY", "shop.t", "COPY shop.t"),
        ("COPY (SELECT a FROM t) TO STDOUT", "COPY", "t", "COPY t"),
        ("TRUNCATE t", "TRUNCATE", "t", "TRUNCATE t"),
        ("TRUNCATE TABLE ONLY t", "TRUNCATE", "t", "TRUNCATE t"),
        ("LOCK TABLE t IN SHARE MODE", "LOCK", "t", "LOCK t"),
        ("CALL refund(1)", "CALL", "refund", "CALL refund"),
        ("LOAD DATA INFILE 'f' INTO TABLE t", "LOAD", "t", "LOAD t"),
        ("LOCK TABLES a WRITE, b READ", "LOCK", "a", "LOCK a"),
        ("DESCRIBE SELECT * FROM t", "DESCRIBE", "t", "DESCRIBE t"),
        ("EXEC @result = refund 1", "EXEC", "refund", "EXEC refund"),
        ("EXECUTE IMMEDIATE 'x'", "EXECUTE", None, "EXECUTE"),
        ("BEGIN", "BEGIN", None, "BEGIN"),
        ("gibberish ' (", None, None, ""),
        ("", None, None, ""),
    ],
)
def test_operation_target_and_summary(
    statement: str, operation: str | None, collection: str | None, summary: str
) -> None:
    result = read(statement, Rules.STANDARD)
    assert (result.operation, result.collection, result.summary) == (operation, collection, summary)


@pytest.mark.parametrize(
    ("url", "statement", "text"),
    [
        # A backslash is an ordinary character in standard strings, and an escape in MySQL's.
        ("sqlite://", r"SELECT a LIKE 'x\%' ESCAPE '\' AND b = 'secret'", "SELECT a LIKE ? ESCAPE ? AND b = ?"),
        ("postgresql+psycopg://", r"SELECT 'x\', 'secret'", "SELECT ?, ?"),
        ("postgresql+psycopg://", r"SELECT E'x\'secret', 'y'", "SELECT ?, ?"),
        ("mysql+pymysql://", r"SELECT 'it\'s secret', 'y'", "SELECT ?, ?"),
        ("mariadb+pymysql://", r"SELECT 'it\'s secret', 'y'", "SELECT ?, ?"),
        # "…" is a string.
        (
            "mysql+pymysql://",
            r'SELECT `a` WHERE b = "it\"s secret" OR c = "se""cret"',
            "SELECT `a` WHERE b = ? OR c = ?",
        ),
        ("postgresql+psycopg://", 'SELECT "a" FROM "t" WHERE "b" = 1', 'SELECT "a" FROM "t" WHERE "b" = ?'),
        # SQLite: where a name cannot be told from a string, it is left out.
        ("sqlite://", 'SELECT * FROM "t" WHERE name = "secret"', 'SELECT * FROM "t" WHERE name = ?'),
        ("sqlite://", 'SELECT "t"."a" AS "b" FROM "t" ORDER BY "b"', 'SELECT "t"."a" AS "b" FROM "t" ORDER BY ?'),
        ("sqlite://", 'SELECT "secret", "secret" FROM t', "SELECT ?, ? FROM t"),
        ("sqlite://", 'INSERT INTO t ("a", "b") VALUES ("secret", "x")', 'INSERT INTO t ("a", "b") VALUES (?, ?)'),
        ("sqlite://", 'UPDATE t SET "a" = "secret", "b"="secret"', 'UPDATE t SET "a" = ?, "b"=?'),
        ("sqlite://", 'CREATE TABLE t ("a" DEFAULT "secret", "b")', 'CREATE TABLE t ("a" DEFAULT ?, "b")'),
        ("sqlite://", 'CREATE INDEX i ON "t" ("a", "b")', 'CREATE INDEX i ON "t" ("a", "b")'),
        ("sqlite://", 'SELECT 1 FROM a JOIN b ON x = "secret"', "SELECT ? FROM a JOIN b ON x = ?"),
        ("sqlite://", 'SELECT * FROM "a", "b" AS "c"', 'SELECT * FROM "a", "b" AS "c"'),
        ("sqlite://", 'UPDATE "t" SET a = f("secret")', 'UPDATE "t" SET a = f(?)'),
        (
            "sqlite://",
            'SELECT id IN (SELECT i FROM u) AND n LIKE "secret"',
            "SELECT id IN (SELECT i FROM u) AND n LIKE ?",
        ),
        (
            "sqlite://",
            'SELECT 1 FROM t WHERE x IS NOT DISTINCT FROM "s"',
            "SELECT ? FROM t WHERE x IS NOT DISTINCT FROM ?",
        ),
        (
            "sqlite://",
            'SELECT a FROM t ORDER BY CASE n WHEN "secret" THEN 1 END',
            "SELECT a FROM t ORDER BY CASE n WHEN ? THEN ? END",
        ),
        ("sqlite://", 'SELECT a FROM t ORDER BY n LIKE "secret"', "SELECT a FROM t ORDER BY n LIKE ?"),
        ("sqlite://", 'SELECT * FROM json_each("[secret]")', "SELECT * FROM json_each(?)"),
        ("sqlite://", 'SELECT (SELECT max(x) FROM u), "secret" FROM t', "SELECT (SELECT max(x) FROM u), ? FROM t"),
        (
            "sqlite://",
            'CREATE TABLE t (a INT, PRIMARY KEY ("a", "b"), CHECK (a != "secret"))',
            'CREATE TABLE t (a INT, PRIMARY KEY ("a", "b"), CHECK (a != ?))',
        ),
        ("sqlite://", 'ALTER TABLE "t" RENAME COLUMN "a" TO "b"', 'ALTER TABLE "t" RENAME COLUMN "a" TO "b"'),
        (
            "sqlite://",
            "SELECT [it's] FROM t WHERE x = 'secret' AND y = 1",
            "SELECT [it's] FROM t WHERE x = ? AND y = ?",
        ),
        # Names in brackets and backticks.
        (
            "mssql+pyodbc://",
            "SELECT [it's], [5\" pipe], [a]]b] WHERE x = 'secret'",
            "SELECT [it's], [5\" pipe], [a]]b] WHERE x = ?",
        ),
        ("mssql+pyodbc://", "SELECT [never closed, 'secret'", "SELECT ?"),
        ("postgresql+psycopg://", 'SELECT "never closed, \'secret\'""', "SELECT ?"),
        ("mysql+pymysql://", "SELECT `it``s` WHERE x = 'secret'", "SELECT `it``s` WHERE x = ?"),
        ("postgresql+psycopg://", "SELECT `a , 'secret'", "SELECT `a , ?"),
        ("postgresql+psycopg://", "SELECT a['secret'], a[1], a[i]", "SELECT a[?], a[?], a[i]"),
        # Numbers.
        ("mssql+pyodbc://", "SELECT $1500.75, -$20, 5AND b=42OR c=1", "SELECT ?, ?, ?AND b=?OR c=?"),
        ("oracle+oracledb://", "SELECT 123.45f, 77d, 1e3D FROM t", "SELECT ?f, ?d, ?D FROM t"),
        ("mysql+pymysql://", "SELECT 2a, 3 FROM 2nd_table", "SELECT 2a, ? FROM 2nd_table"),
        ("postgresql+psycopg://", "SELECT $1, E'a'\n  'it\\'s secret', 'x'", "SELECT $1, ? ?, ?"),
        # Passwords.
        ("oracle+oracledb://", 'ALTER USER x IDENTIFIED BY "secret"', "ALTER USER x IDENTIFIED BY ?"),
        ("oracle+oracledb://", "ALTER USER x IDENTIFIED BY secret", "ALTER USER x IDENTIFIED BY ?"),
        ("oracle+oracledb://", "ALTER USER x IDENTIFIED BY ä#secret REPLACE old", "ALTER USER x IDENTIFIED BY ?"),
        ("postgresql+psycopg://", "SELECT E'a' -- x\n '\\'secret', 'y'", "SELECT ?  ?, ?"),
        ("postgresql+psycopg://", "SELECT 1 -- it's\r, 'multi\nsecret'", "SELECT ? \r, ?".replace("\r", " ")),
        ("mysql+pymysql://", "SELECT 4111.555from t", "SELECT ?from t"),
        # Comments.
        ("postgresql+psycopg://", "SELECT /* a /* nested */ secret */ 1", "SELECT  ?"),
        ("postgresql+psycopg://", "SELECT 1 /* a /* never closed */ secret", "SELECT ?"),
        ("postgresql+psycopg://", "SELECT a #> b FROM t", "SELECT a #> b FROM t"),
        ("sqlite://", "SELECT /* a /* b */ c FROM t", "SELECT  c FROM t"),
        ("mysql+pymysql://", "SELECT a # secret\nFROM t", "SELECT a  FROM t"),
        ("mysql+pymysql://", "SELECT a--1 FROM t -- secret", "SELECT a-? FROM t"),
        ("mssql+pyodbc://", "SELECT N'secret', [a b] FROM [t]", "SELECT ?, [a b] FROM [t]"),
        ("oracle+oracledb://", "SELECT q'[it's secret]', nq'!it's secret!', Q'(x)' FROM t", "SELECT ?, ?, ? FROM t"),
        ("oracle+oracledb://", "SELECT q'{never ' closed", "SELECT ?"),
    ],
)
def test_literals_are_those_of_the_database(url: str, statement: str, text: str) -> None:
    dialect = make_url(url).get_dialect()()
    assert read(statement, rules_of(dialect)).text == text


@pytest.mark.parametrize("ansi_quotes", [True, False])
def test_the_modes_of_a_mysql_are_known(ansi_quotes: bool) -> None:
    dialect: Any = make_url("mysql+pymysql://").get_dialect()()
    # What it does at its first connection.
    dialect._server_ansiquotes, dialect._backslash_escapes = ansi_quotes, not ansi_quotes
    rules = rules_of(dialect)
    assert bool(rules & Rules.DOUBLE_QUOTED) is not ansi_quotes
    assert bool(rules & Rules.BACKSLASH) is not ansi_quotes


@pytest.mark.parametrize("rules", [Rules.STANDARD, *Rules])
def test_nothing_of_a_literal_that_is_cut_is_left(rules: Rules) -> None:
    for begin in ("'", "E'", "$tag$", "/*"):
        for last in ("", "\\", "''", "'\\", "$ta"):
            statement = f"SELECT a FROM t WHERE b = {begin}".ljust(MAX_LENGTH - len(last), "s") + last + "ecret'"
            assert "sss" not in read(statement, rules).text
