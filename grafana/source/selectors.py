"""Selectors of the chosen service, environment and route in the three query languages."""

from __future__ import annotations

#: A pattern for the chosen service, and for every service where none is chosen: a page that is opened while Prometheus is down has
#: none. `^` holds only where nothing was read, so the group matches only if the variable is empty.
CHOSEN_SERVICE = "$service(^.+)?"
#: The selector of a service's series.
SERVICE = f'service_name=~"{CHOSEN_SERVICE}",deployment_environment_name=~"$environment"'
ROUTE = f'{SERVICE},http_route=~"$route"'
#: Every log record of the service: lines, one a request, and reports. Without the first matcher, Loki would refuse the query while
#: no service exists.
LOGS = f'{{service_name=~".+",report!="group",{SERVICE}}}'
#: The same without error reports, which are shown as groups: what the app logged, and one line a request.
LINES = f'{{service_name=~".+",report="",{SERVICE}}}'
REQUEST_LOGS = f'{LINES} | event_name="http.server.request"'
#: One line a report.
REPORTS = f'{{report="whole",{SERVICE}}}'
#: The counts of groups.
GROUPS = f'{{report="group",{SERVICE}}}'
#: Every span of the service. `All` also means those without an environment, which no pattern matches.
SPANS = f'resource.service.name=~"{CHOSEN_SERVICE}" && (resource.deployment.environment.name=~"$environment" || "$environment"=".*")'
#: Its requests.
TRACES = f"{SPANS} && span:kind=server"
#: Those of the route. `All` also means those that no route matches.
TRACES_OF_ROUTE = f'{TRACES} && (span.http.route=~"$route" || "$route"=".*")'
#: A dead process stays in Prometheus for five minutes. A living one has reported within 90 seconds.
ALIVE = f"(time() - timestamp(target_info{{{SERVICE}}}) < 90)"
SPEAKS = f"and on (job, instance) {ALIVE}"
