"""A make-believe outside world: Twilio's REST API, TwiML and callbacks, and phones to hold in a browser.

The package imports nothing of the project. It is an outsider that speaks the public protocols, so what
works here has been tried against the protocol and not against our own idea of it. See ``README.md``.
"""
