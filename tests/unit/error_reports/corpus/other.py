"""A second module of the app, with a class of the same name."""


class PaymentError(Exception):
    pass


def check(amount):
    if amount < 0:
        raise ValueError(f"amount {amount} is negative")


def pay(amount):
    raise PaymentError(f"payment of {amount} failed")
