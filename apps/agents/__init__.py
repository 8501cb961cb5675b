"""Agents: runs, tool calls, approvals, feedback, and the link to the agents-server."""
