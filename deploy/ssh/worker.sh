#!/bin/sh
# Starts a worker on another machine over SSH. The worker reaches the coordinator on this machine through a tunnel in
# the same SSH connection.
#   LOCKSTEP_TOKEN=... deploy/ssh/worker.sh HOST [OPTIONS OF lockstep worker]
# Environment: LOCKSTEP (the lockstep command on HOST), PORT (the coordinator's port on this machine), REMOTE_PORT (the
# tunnel's port on HOST).
set -eu
host="${1:?usage: worker.sh HOST [OPTIONS OF lockstep worker]}"
shift
lockstep="${LOCKSTEP:-lockstep}"
port="${PORT:-7350}"
remote="${REMOTE_PORT:-17350}"
token="${LOCKSTEP_TOKEN:?set it to the token of the coordinator}"
# The token is sent as the first line of the remote shell's input, because other users can see the arguments and
# environment of ssh. When this connection ends, the worker tries to reconnect until --reconnect-timeout and then exits.
exec ssh -o ExitOnForwardFailure=yes -R "127.0.0.1:$remote:127.0.0.1:$port" "$host" \
  "read -r LOCKSTEP_TOKEN; export LOCKSTEP_TOKEN; exec $lockstep worker ws://127.0.0.1:$remote --name $host $*" <<END
$token
END
