"""The one HTTP API: REST and SSE over the owners' answers."""
