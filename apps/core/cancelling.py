"""A cancellation that was meant for somebody else.

What a task awaits may have been cancelled without the task: a connection's own reader, a call that others shared. The
``CancelledError`` that comes out of it ends whoever does not expect it as if he had been told to, without a word.
"""

from __future__ import annotations

import asyncio


def asked_to_end() -> bool:
    """Tell whether the running task was cancelled itself. If not, a ``CancelledError`` is a failure like others."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
