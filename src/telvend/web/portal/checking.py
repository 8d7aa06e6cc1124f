"""The check of a webhook's signature in three languages, as the documentation shows it. Whole receivers stand in the guide."""

from typing import Final

PYTHON: Final = '''
import base64, hashlib, hmac, time

def verified(secret, headers, body):
    """Whether the shop has signed this message within the last five minutes. `body`: the bytes as they came."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    message, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signed = f"{message}.{sent_at}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256"))
    given = headers.get("webhook-signature", "").encode().split()
    genuine = any([hmac.compare_digest(expected, one) for one in given])
    return genuine and abs(time.time() - int(sent_at)) <= 300
'''.strip()

PHP: Final = r"""
<?php
/** Whether the shop has signed this message within the last five minutes. $body: the bytes as they came. */
function verified(string $secret, array $headers, string $body): bool
{
    $key = base64_decode(preg_replace('/^whsec_/', '', $secret));
    $message = $headers['webhook-id'] ?? '';
    $sentAt = $headers['webhook-timestamp'] ?? '';
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$message.$sentAt.$body", $key, true));
    $genuine = false;
    foreach (explode(' ', $headers['webhook-signature'] ?? '') as $one) {
        $genuine = hash_equals($expected, $one) || $genuine;
    }
    return $genuine && abs(time() - (int) $sentAt) <= 300;
}
""".strip()

NODE: Final = """
import { createHmac, timingSafeEqual } from "node:crypto";

/** Whether the shop has signed this message within the last five minutes. `body`: the bytes as they came. */
export function verified(secret, headers, body) {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const [message, sentAt] = [headers["webhook-id"] ?? "", headers["webhook-timestamp"] ?? ""];
  const hmac = createHmac("sha256", key).update(`${message}.${sentAt}.`).update(body);
  const expected = Buffer.from(`v1,${hmac.digest("base64")}`);
  const given = (headers["webhook-signature"] ?? "").split(" ").map((one) => Buffer.from(one));
  const genuine = given.some((one) => one.length === expected.length && timingSafeEqual(one, expected));
  return genuine && Math.abs(Date.now() / 1000 - Number(sentAt)) <= 300;
}
""".strip()

CHECKS: Final = (("python", "Python", PYTHON), ("php", "PHP", PHP), ("node", "Node.js", NODE))
"""Name, title and text of each language, in the order in which they are shown."""
