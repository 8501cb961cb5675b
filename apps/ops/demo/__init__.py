"""The demo agents-server: a small, deterministic coding agent that speaks the wire protocol and does real work.

It is a process of its own, without Django and without a database of AutoCode's: what it knows came over the socket.
Parts, from the outside in: ``server`` and ``connection`` (the socket, acks), ``journal`` (what must not get lost),
``hub`` (one ``director`` a project), ``director`` and ``worker`` (who does what when), ``run`` and ``tools`` (one piece
of work and its calls), ``steps`` and ``briefs`` (what there is to do), ``feedback``, ``chat`` and ``people`` (what
persons want), ``workspace`` and ``changes`` (files).
"""
