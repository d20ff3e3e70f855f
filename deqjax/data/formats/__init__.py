"""Readers and writers, one file for each format; `deqjax.data` exports their public functions."""
