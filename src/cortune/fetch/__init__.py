"""Data sets by one command: just the files that the readers need, checked, and never half-written.

A source is a module that lists what to get (:mod:`cortune.fetch.nod`, :mod:`cortune.fetch.nsd`,
:mod:`cortune.fetch.algonauts`); :mod:`cortune.fetch.web` lists and downloads for all of them.
"""
