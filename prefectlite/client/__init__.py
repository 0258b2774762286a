"""What one can ask of prefectlite: projects, registrations, runs. The same calls against this process or a server."""
