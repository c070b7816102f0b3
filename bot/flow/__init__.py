"""The flow engine: YAML conversations that run on every channel.

``Library.open`` reads the flows, ``Catalogs.open`` the translations; ``start`` and ``resume`` run a
conversation, one sprint at a time.
"""
