"""The networks of DreamTalk and their mathematics, importable alone: nothing here knows of data files or tools."""
