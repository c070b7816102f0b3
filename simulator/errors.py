"""The simulator's own errors.

::

    SimulatorError
    ├── ConfigError      the configuration cannot be used; names the key
    ├── RestError        answers a REST request with Twilio's code and HTTP status
    ├── TwimlError       a document cannot be read or carried out; Twilio's debugger code
    └── WebhookFailure   the customer's address did not answer as it should; Twilio's debugger code

No message holds a telephone number or what somebody said: keys, codes and verbs only.
"""

from __future__ import annotations


class SimulatorError(Exception):
    """Anything that the simulator refuses."""


class ConfigError(SimulatorError):
    """The configuration has a missing, unknown or wrong key."""


# Codes, HTTP status and wording of the REST errors that the simulator gives, after
# https://www.twilio.com/docs/api/errors.
REST_CODES: dict[int, tuple[int, str]] = {
    10004: (429, "Call concurrency limit exceeded"),
    13227: (400, "No International Permission for this destination"),
    20001: (400, "A parameter of the request is not valid"),
    20003: (401, "Authenticate"),
    20004: (405, "Method not allowed"),
    20009: (409, "The resource is still in progress and cannot be changed"),
    20404: (404, "The requested resource was not found"),
    20429: (429, "Too Many Requests"),
    20500: (500, "An internal server error has occurred"),
    20503: (503, "Service unavailable"),
    21201: (400, "No 'To' number is specified"),
    21205: (400, "Url parameter is required, or is not a valid URL"),
    21210: (400, "The source phone number provided is not yet verified or owned by this account"),
    21211: (400, "Invalid 'To' Phone Number"),
    21212: (400, "Invalid 'From' Number"),
    21213: (400, "Caller phone number is required"),
    21214: (400, "'To' phone number cannot be reached"),
    21215: (400, "Account not authorized to call this destination"),
    21216: (400, "Account not allowed to call this destination"),
    21217: (400, "Phone number does not appear to be valid"),
    21220: (400, "Call is not in-progress. Cannot redirect."),
    21408: (400, "Permission to send an SMS has not been enabled for the region of the 'To' number"),
    21602: (400, "Message body is required."),
    21603: (400, "A 'From' phone number is required."),
    21604: (400, "A 'To' phone number is required."),
    21606: (400, "The 'From' phone number provided is not a valid message-capable number for this account"),
    21609: (400, "The 'StatusCallback' URL is not a valid URL"),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21611: (429, "This 'From' number has exceeded the maximum number of queued messages"),
    21612: (400, "The 'To' phone number is not currently reachable via SMS"),
    21614: (400, "'To' number is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
    21655: (400, "The ContentSid is Invalid"),
    21656: (400, "The ContentVariables Parameter is invalid"),
    21659: (400, "The 'From' number is not a Twilio number or short code of this account"),
    30022: (429, "Message rate limit exceeded"),
}


class RestError(SimulatorError):
    """A REST request is refused with ``code``; status and wording come from :data:`REST_CODES`."""

    def __init__(self, code: int, detail: str = "") -> None:
        self.code = code
        self.status, wording = REST_CODES.get(code, (400, "The request was refused"))
        self.message = f"{wording}: {detail}" if detail else wording
        super().__init__(f"{code} {self.message}")


class TwimlError(SimulatorError):
    """A document, or one of its verbs, fails with Twilio's debugger ``code``."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code} {reason}")


class WebhookFailure(SimulatorError):
    """No usable answer came from the customer: 11200 (status), 11205 (connection or time-out)."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code} {reason}")
