"""`easel api`: Replicate's HTTP API in front of Cog servers. Needs the extra `easel[api]`."""
