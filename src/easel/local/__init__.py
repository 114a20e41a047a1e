"""Cog's server without Docker, and speaking to one."""
