#!/bin/sh
# Written by Slipway. Whether the API server on this node may carry the cluster's address: it has to
# answer itself, so it is asked at the loopback address and never at the VIP.
# An own limit, because a check that hangs would hold the address at a server that hangs.
exec /usr/bin/curl --silent --fail --insecure --max-time 3 --output /dev/null https://127.0.0.1:{port}/livez
