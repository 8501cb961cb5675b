"""Agents over REST."""
