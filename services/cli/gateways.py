"""What a gateway says of itself."""

import http.client
import json
import ssl
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from lwmecps_core.errors import InvalidInput, Violation

MOST_BYTES = 64 * 1024


def check_gateway_url(url: str) -> None:
    """Raise `InvalidInput` that names the option for what is no URL of a gateway."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        raise InvalidInput("options", [Violation("--gateway", "write it as http://127.0.0.1:50080")])


def ask_gateway(url: str, path: str, ca_file: str, timeout_s: float) -> tuple[dict[str, str], dict[str, str]]:
    """What it says at a path below `/health`: name → status, and the answer's headers (names in lower case).

    Raises `ConnectionError` where nobody answers, and `ValueError` where it is no gateway of ours.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with urllib.request.build_opener(*handlers).open(url.rstrip("/") + path, timeout=timeout_s) as answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            said = json.loads(answer.read(MOST_BYTES))
    except urllib.error.HTTPError as error:
        raise ValueError(f"HTTP {error.code}") from None
    except urllib.error.URLError as error:
        raise ConnectionError(str(error.reason)) from None
    except http.client.BadStatusLine:  # its text is the other side's first bytes, whatever they are
        raise ValueError("it doesn't speak HTTP/1; a gRPC port?") from None
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(str(error) or type(error).__name__) from None
    if not isinstance(said, dict) or "gateway" not in said:
        raise ValueError("it says something else")
    return {str(name): str(status) for name, status in said.items()}, headers
