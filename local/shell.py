"""Keep what a developer's shell says of AWS and of proxies from leading clients of this cloud elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

_OWN = "localhost,127.0.0.1,::1"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_MISLEADING = (
    "PROFILE",
    "DEFAULT_PROFILE",
    "SESSION_TOKEN",
    "SECURITY_TOKEN",
    "IGNORE_CONFIGURED",
    "ENDPOINT_URL",
    "USE_",
)


def forget(environ: MutableMapping[str, str] = os.environ) -> list[str]:
    """Take out all that is said of AWS; return what leads clients elsewhere, as a profile or an endpoint does."""
    names = sorted(name for name in environ if name.startswith("AWS_"))
    for name in names:
        del environ[name]
    return [name for name in names if name.removeprefix("AWS_").startswith(_MISLEADING)]


def files() -> dict[str, str]:
    """Name no files of AWS's: they may say `ignore_configured_endpoint_urls`, and requests would go to AWS itself."""
    return {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def around_proxies(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Send nothing for this machine through a proxy, where one is set; clients differ in which case they read."""
    if not any(name.lower() in _PROXIES for name in environ):
        return {}
    said = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    kept = ",".join([*filter(None, [said]), _OWN])
    return {"NO_PROXY": kept, "no_proxy": kept}
