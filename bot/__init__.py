"""The heart: conversations, flows, callbacks, cases, privacy. It knows no provider and no HTTP."""
