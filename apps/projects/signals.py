"""The five signals of the whole codebase, used only at the seam between what happens and who is told.

``event_recorded``     inside the transaction; arguments ``log`` (the open ``ProjectLog``) and ``event``
(``LoggedEvent``). A receiver
                       may write rows that must commit with the event (the outbox). An exception rolls everything back.
``event_committed``    after the commit, in the thread that committed; arguments ``project_id`` (UUID), ``events``
(list of
                       ``LoggedEvent``, in order of ``seq``). Sent robustly: a receiver's failure is logged, nothing
                       is lost, because
                       the log has it.
``ephemeral_emitted``  at once, nothing is stored; argument ``news`` (``Ephemeral``).
``access_changed``     after the commit: argument ``change`` (``AccessChange``): somebody's rights or session ended or
changed.
``room_opened``        somebody looks at a project that nobody in this process looked at; argument ``guid``. In the
                       event loop, so a receiver returns at once. Sent robustly.
"""

from django.dispatch import Signal

event_recorded = Signal()
event_committed = Signal()
ephemeral_emitted = Signal()
access_changed = Signal()
room_opened = Signal()
