"""`python -m services.gateway`: HTTP/JSON and the web page, a client of the other services.

Settings are environment variables, `LWMECPS_GATEWAY_` + the name of a field of `GatewaySettings`; how the services are
reached (TLS) is said by `LWMECPS_CLIENT_…`, as for every client.
"""

from dataclasses import replace

from services.common.settings import ClientSettings, read
from services.common.starting import begin
from services.gateway.serving import serve
from services.gateway.settings import PREFIX, GatewaySettings


def main() -> None:
    """Serve until SIGTERM, then let requests finish."""
    settings = read(GatewaySettings, PREFIX)
    # A token of ours would lend everybody who reaches this port what it allows.
    client = replace(read(ClientSettings, ClientSettings.prefix), token="", token_file="")
    serve(settings, client)


if __name__ == "__main__":
    begin(main, "gateway")
