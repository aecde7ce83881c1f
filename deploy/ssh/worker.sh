#!/bin/sh
# A worker on another machine, which reaches this machine's coordinator through the SSH connection that starts it.
#   LOCKSTEP_TOKEN=... deploy/ssh/worker.sh HOST [OPTIONS OF lockstep worker]
# Environment: LOCKSTEP (the command there), PORT (the coordinator's here), REMOTE_PORT (the tunnel's end there).
set -eu
host="${1:?name a host, then options of lockstep worker}"
shift
lockstep="${LOCKSTEP:-lockstep}"
port="${PORT:-7350}"
remote="${REMOTE_PORT:-17350}"
token="${LOCKSTEP_TOKEN:?the token of the coordinator}"
# The token is the first line of the remote shell's input: arguments and environments of ssh are seen by others.
# Without this connection the worker knocks in vain, and ends after --reconnect-timeout.
exec ssh -o ExitOnForwardFailure=yes -R "127.0.0.1:$remote:127.0.0.1:$port" "$host" \
  "read -r LOCKSTEP_TOKEN; export LOCKSTEP_TOKEN; exec $lockstep worker ws://127.0.0.1:$remote --name $host $*" <<END
$token
END
