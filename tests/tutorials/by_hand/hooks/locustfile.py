"""Load for the app, gentle, high or invalid.

locust -f locustfile.py --host URL --headless --only-summary -u 10 -r 2 -t 60s
locust -f locustfile.py --host URL --headless --only-summary -u 20 -r 4 -t 30s HighLoadTester
locust -f locustfile.py --host URL --headless --only-summary -u 5 -r 1 -t 30s InvalidRequestTester
"""

import random

from locust import HttpUser, between, constant, task


class ShopVisitor(HttpUser):
    """Looks around, and buys now and then."""

    # The file without a class on the command line runs these users alone.
    weight = 1000
    wait_time = between(1, 3)

    @task(5)
    def list_products(self) -> None:
        self.client.get("/api/products")

    @task(2)
    def featured_products(self) -> None:
        self.client.get("/api/products/featured")

    @task(2)
    def purchase(self) -> None:
        self.client.post(f"/api/products/{random.randint(1, 4)}/purchase", name="/api/products/<id>/purchase")

    @task(1)
    def list_orders(self) -> None:
        self.client.get("/api/orders")


class HighLoadTester(ShopVisitor):
    """Does the same nearly without a pause."""

    weight = 1
    wait_time = constant(0.1)


class InvalidRequestTester(HttpUser):
    """Asks for what fails or does not exist."""

    wait_time = between(1, 2)

    @task
    def invalid(self) -> None:
        paths = ["/simulate-error", "/api/products/999", "/api/products/abc", "/invalid/path"]
        self.client.get(random.choice(paths))
