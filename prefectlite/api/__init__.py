"""The API: GraphQL over HTTP and WebSocket, and the pages of the UI, as one Starlette application."""
