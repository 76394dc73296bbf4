"""Objectives that two or more systems share."""
