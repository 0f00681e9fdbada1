"""Load for the shop, in several scenarios: gentle, or the one of a user class that is named.

``locust -f otelflask/demo/locustfile.py -H http://127.0.0.1:8000 --headless --only-summary -u 10 -r 2 -t 60s``
"""

from __future__ import annotations

import random
from typing import Any

from locust import HttpUser, between, constant, events, task
from locust.env import Environment


class ShopUser(HttpUser):
    """The base class of the scenarios."""

    abstract = True

    def on_start(self) -> None:
        self.client.headers["X-Shop-User"] = f"user-{random.randint(1, 10_000)}"

    def _expect(self, method: str, path: str, status: int, **kwargs: Any) -> None:
        with self.client.request(method, path, catch_response=True, **kwargs) as response:
            if response.status_code == status:
                response.success()
            else:
                response.failure(f"{response.status_code} instead of {status}")


class NormalUser(ShopUser):
    """Browses, and sometimes buys."""

    wait_time = between(0.5, 2)

    @task(10)
    def list_products(self) -> None:
        self.client.get(f"/api/products?page={random.randint(1, 6)}", name="/api/products")

    @task(5)
    def look(self) -> None:
        self.client.get(f"/api/products/{random.randint(1, 60)}", name="/api/products/<id>")

    @task(2)
    def featured(self) -> None:
        self.client.get("/api/products/featured")

    @task(2)
    def buy(self) -> None:
        self.client.post(
            f"/api/products/{random.randint(1, 60)}/purchase", json={"quantity": 1}, name="/api/products/<id>/purchase"
        )

    @task(2)
    def orders(self) -> None:
        self.client.get("/api/orders")

    @task(1)
    def ratings(self) -> None:
        self.client.get("/api/products/ratings")


class DemoUser(NormalUser):
    """The load of `docker compose up`: mostly fast, sometimes slow, rarely an error, within the objectives."""

    wait_time = between(0.5, 1.5)
    tasks: Any = {  # noqa: RUF012
        NormalUser.list_products: 160,
        NormalUser.look: 100,
        NormalUser.featured: 50,
        NormalUser.buy: 40,
        NormalUser.orders: 20,
        NormalUser.ratings: 12,
    }

    @task(4)
    def slow_query(self) -> None:
        self.client.get("/slow-query")

    @task(10)
    def missing(self) -> None:
        self._expect("GET", "/api/products/9999", 404)

    @task(1)
    def error(self) -> None:
        self._expect(
            "GET", random.choice(("/simulate-error", "/simulate-error?at=checkout")), 500, name="/simulate-error"
        )

    @task(1)
    def failing_dependency(self) -> None:
        self._expect("GET", "/failing-dependency", 503)


class HighLoadTester(NormalUser):
    """Like `NormalUser`, without pauses."""

    wait_time = constant(0)


class InvalidRequestTester(ShopUser):
    """Asks for missing pages and sends invalid data."""

    wait_time = between(0.2, 1)

    @task
    def missing(self) -> None:
        self._expect("GET", f"/api/products/{random.randint(1_000, 9_999)}", 404, name="/api/products/<missing>")

    @task
    def no_number(self) -> None:
        self._expect("GET", "/api/products/abc", 404)

    @task
    def no_path(self) -> None:
        self._expect("GET", "/invalid/path", 404)

    @task
    def bad_quantity(self) -> None:
        self._expect("POST", "/api/products/1/purchase", 400, json={"quantity": -1})

    @task
    def bad_page(self) -> None:
        self._expect("GET", "/api/products?page=0", 400)

    @task
    def error(self) -> None:
        self._expect("GET", "/simulate-error", 500)


@events.init.add_listener  # type: ignore[untyped-decorator]
def be_gentle(environment: Environment, **others: Any) -> None:
    """Run the gentle scenario where the command names no user class. Locust would run all."""
    if environment.parsed_options is not None and not environment.parsed_options.user_classes:
        environment.user_classes = [NormalUser]
