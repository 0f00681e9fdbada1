"""Bugs of an app. Each function is one bug; `n` varies what differs from run to run."""

import dataclasses

import other
import retrylib


class PaymentError(Exception):
    pass


class Order:
    def __init__(self, items):
        self.items = items

    def total(self):
        return sum(price * count for price, count in self.items)

    def first(self):
        return self.items[0]


@dataclasses.dataclass
class Address:
    street: str
    city: str


def bug_key(n):
    return {"a": 1}[f"missing-{n}"]


def bug_key_elsewhere(n):
    data = {"b": 2}
    return data[f"missing-{n}"]


def bug_two_lines_first(n):
    int(f"x{n}")
    int(f"y{n}")


def bug_two_lines_second(n):
    int(f"{n}")
    int(f"z{n}") + 1


def bug_zero(n):
    return n / 0


def bug_attribute(n):
    return None.name + str(n)


def bug_index(n):
    return Order([]).first()


def bug_types(n):
    return Order([("1", n), (2, "x")]).total() + "x"


def bug_library_one(n):
    return retrylib.parse("{" + str(n))


def bug_library_two(n):
    text = "[" + str(n)
    return retrylib.parse(text)


def bug_library_fails_one(n):
    retrylib.fail(f"request {n} at 10.0.0.{n % 250} failed")


def bug_library_fails_two(n):
    message = f"request {n} failed"
    retrylib.fail(message)


def _fetch(n):
    raise ConnectionError(f"no route to 10.1.2.{n % 250}:{5000 + n}")


def bug_retried(n):
    # The number of attempts varies, and the bug does not.
    return retrylib.retrying(_fetch, 2 + n % 3)(n)


def bug_wrapped_connection(n):
    try:
        _connect(n)
    except ConnectionError as error:
        _wrap(error)


def bug_wrapped_timeout(n):
    try:
        _wait(n)
    except TimeoutError as error:
        _wrap(error)


def _connect(n):
    raise ConnectionError(f"refused {n}")


def _wait(n):
    raise TimeoutError(f"after {n} s")


def _wrap(error):
    raise RuntimeError("the order service failed") from error


def bug_during_handling(n):
    try:
        _connect(n)
    except ConnectionError:
        {}["fallback"]


def bug_from_none(n):
    try:
        _connect(n)
    except ConnectionError:
        raise RuntimeError(f"nothing works, {n}") from None


def bug_recursion(n):
    def down(depth):
        if depth == 0:
            raise OverflowError(f"deep {n}")
        down(depth - 1)

    down(20 + n % 50)


def bug_mutual_recursion(n):
    def even(depth):
        if depth <= 0:
            raise OverflowError(f"deep {n}")
        odd(depth - 1)

    def odd(depth):
        even(depth - 1)

    even(20 + 2 * (n % 20))


def bug_listcomp(n):
    return [1 / (x - x) for x in [n]]


def bug_genexpr(n):
    return sum(1 / (x - x) for x in [n])


def bug_lambda(n):
    return retrylib.call(lambda x: x.missing, n)


def bug_callback(n):
    return retrylib.call(_fetch_user, n)


def _fetch_user(n):
    raise LookupError(f"user {n} (mail user{n}@shop.example) is gone since 2026-01-{1 + n % 28:02d}")


def bug_dataclass(n):
    return Address("only a street")


def bug_exec(n):
    exec(compile("1 / 0", f"<template {n}>", "exec"))


def bug_other_module(n):
    other.check(-n - 1)


def bug_same_class_here(n):
    raise PaymentError(f"payment of {n} failed")


def bug_same_class_there(n):
    other.pay(n)


def bug_unicode(n):
    return bytes([255, n % 200]).decode()


def bug_assertion(n):
    assert n < 0, f"n is {n}"


def bug_generator(n):
    def pieces():
        yield n
        raise OSError(f"disk {n} is gone")

    return list(pieces())


def bug_property(n):
    return Lazy(n).value


class Lazy:
    def __init__(self, n):
        self.n = n

    @property
    def value(self):
        return self.n.missing


def bug_finally(n):
    try:
        _connect(n)
    finally:
        _clean(n)


def _clean(n):
    raise PermissionError(f"/tmp/session/{n}/lock")
