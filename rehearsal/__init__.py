"""A client's year, rehearsed: the whole service beside a make-believe world, under a clock that is moved.

``voiceback simulate`` is its door. Everything stands in a folder of its own; an operator's database is never touched.
"""
