"""The documentation, held against the code: settings, commands, routes, links, linked tests."""
