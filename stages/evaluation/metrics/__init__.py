"""Metrics of talking heads, one family a module. Pure functions of arrays: no files, no decoding, no judges' paths.

Frames are (n, S, S, 3) uint8 RGB; landmarks (n, 68, 2) px, NaN where no face was found; motion (n, D) expression
coefficients. Each docstring states protocol, unit and source.
"""
