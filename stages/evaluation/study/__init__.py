"""The user study (DreamTalk, section IV-F, table VI): a page that asks, and the statistics of the answers."""
