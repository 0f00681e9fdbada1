"""pyinstrument: a profiler with a bounded number of samples. Needs ``otelflask[profile]``.

Source: ``pyinstrument.Profiler``.
"""

from __future__ import annotations

from typing import Any

from pyinstrument import Profiler


class BoundedProfiler(Profiler):
    """A profiler that takes no more than `most` samples. Only its own thread could stop it, so no timer can."""

    def __init__(self, most: int, **options: Any) -> None:
        super().__init__(**options)
        self._most = most

    def _sampler_saw_call_stack(self, *arguments: Any) -> None:
        if self._active_session is not None and len(self._active_session.frame_records) < self._most:
            super()._sampler_saw_call_stack(*arguments)
