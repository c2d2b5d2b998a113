"""Other authors' systems: what is known of them, the test list as they take it, their videos under our rulers."""
