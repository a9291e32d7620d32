"""What clients do with JSON and with an encrypted model, by Python itself. Reads a request from the file it is given.

{"do": "dumps", "texts": [...]}: each text parsed and written again with sorted keys.
{"do": "open", "file": ..., "keys": [...], "public_key": ...}: the model opened with each key as the ml-service does, or the
name of what goes wrong; and whether the operator's signature fits.
{"do": "seal", "key": ..., "metadata": {...}, "pickle": <base64>}: an envelope as Python makes it.
"""

import base64
import hashlib
import hmac
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def message(envelope):
    return f"{envelope['payload']}.{json.dumps(envelope['metadata'], sort_keys=True)}".encode()


def open_model(text, key):
    envelope = json.loads(text)
    expected = hmac.new(key.encode(), message(envelope), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, envelope["signature"]):
        raise ValueError("signature")
    token = base64.b64decode(envelope["payload"])
    return Fernet(key.encode()).decrypt(token)


def attempt(text, key):
    try:
        plain = open_model(text, key)
    except Exception as error:
        return {"error": str(error) or type(error).__name__}
    return {"pickle": base64.b64encode(plain).decode()}


def is_signed(text, public_key):
    envelope = json.loads(text)
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key)).verify(
            base64.b64decode(envelope["signature_ed25519"]), message(envelope)
        )
        return True
    except (InvalidSignature, KeyError):
        return False


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        request = json.load(file)
    if request["do"] == "dumps":
        answer = [json.dumps(json.loads(text), sort_keys=True) for text in request["texts"]]
    elif request["do"] == "open":
        with open(request["file"]) as file:
            text = file.read()
        answer = {
            "opened": [attempt(text, key) for key in request["keys"]],
            "signed": is_signed(text, request["public_key"]),
        }
    else:
        key = request["key"].encode()
        envelope = {
            "version": "2.0",
            "metadata": request["metadata"],
            "payload": base64.b64encode(Fernet(key).encrypt(base64.b64decode(request["pickle"]))).decode(),
        }
        envelope["signature"] = hmac.new(key, message(envelope), hashlib.sha256).hexdigest()
        answer = json.dumps(envelope)
    json.dump(answer, sys.stdout)
