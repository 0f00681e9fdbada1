"""pyinstrument: a profiler that takes a bounded number of samples. Needs ``otelflask[profile]``.

Source: ``pyinstrument.Profiler``.
"""

from __future__ import annotations

from typing import Any

from pyinstrument import Profiler


class BoundedProfiler(Profiler):
    """Takes no more than `most` samples; a timer cannot stop it, because that has to be done by its own thread."""

    def __init__(self, most: int, **options: Any) -> None:
        super().__init__(**options)
        self._most = most

    def _sampler_saw_call_stack(self, *arguments: Any) -> None:
        if self._active_session is not None and len(self._active_session.frame_records) < self._most:
            super()._sampler_saw_call_stack(*arguments)
