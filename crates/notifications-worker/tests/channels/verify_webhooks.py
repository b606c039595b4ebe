"""Checks requests with the library of the Standard Webhooks project.

Reads one JSON object from its standard input, with `secret`, `headers` and `body`; writes `ok`, or what is wrong.
"""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

request = json.load(sys.stdin)
try:
    Webhook(request["secret"]).verify(request["body"], request["headers"])
except WebhookVerificationError as error:
    print(error)
else:
    print("ok")
