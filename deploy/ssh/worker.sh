#!/bin/sh
# Starts a worker on another machine. It reaches this machine's coordinator through the SSH connection that starts it.
#   LOCKSTEP_TOKEN=... deploy/ssh/worker.sh HOST [OPTIONS OF lockstep worker]
# Environment: LOCKSTEP (the command there), PORT (the coordinator's, here), REMOTE_PORT (the tunnel's end, there).
set -eu
host="${1:?usage: worker.sh HOST [OPTIONS OF lockstep worker]}"
shift
lockstep="${LOCKSTEP:-lockstep}"
port="${PORT:-7350}"
remote="${REMOTE_PORT:-17350}"
token="${LOCKSTEP_TOKEN:?set it to the token of the coordinator}"
# The token is the first line of the remote shell's input: others can see ssh's arguments and environment.
# When this connection ends, the worker retries until --reconnect-timeout and exits.
exec ssh -o ExitOnForwardFailure=yes -R "127.0.0.1:$remote:127.0.0.1:$port" "$host" \
  "read -r LOCKSTEP_TOKEN; export LOCKSTEP_TOKEN; exec $lockstep worker ws://127.0.0.1:$remote --name $host $*" <<END
$token
END
