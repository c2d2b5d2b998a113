"""The user study (DreamTalk, section IV-F, table VI): pages that ask people, and the statistics of their answers."""
