"""The `callbroker` command: it asks a running broker, and says what came of it and what to do next.

One module a group of commands. What a command prints passes the one escaper and no markup; every
command has `--json`; and its exit code says how it ended (`failures.ExitCode`).
"""
