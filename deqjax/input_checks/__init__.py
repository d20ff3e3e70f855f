"""Checks of measured data that know the physics: each corrects and says so, warns, or refuses with a remedy."""
