"""Where raw videos come from: one module a source, each with ``items(params, raw_dir) -> rows of tables.SOURCES``.

Videos that lie somewhere already stay there; a source that makes videos puts them into `raw_dir`.
"""


class SourceError(ValueError):
    """A source cannot be used as it is; the text says what to do."""
