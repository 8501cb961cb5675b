"""Reads. No selector writes."""
