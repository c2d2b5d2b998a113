"""Sweeps behind single numbers of conf/base.yaml, each with its result beside it."""
