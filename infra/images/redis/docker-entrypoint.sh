#!/bin/sh
# Starts Redis, or Valkey, as SERVER says, with the contract of the official image: options or a configuration file alone
# mean its server; its server started by root owns /data and runs as the user of its name; any other command runs as it is.
# Standard input reaches the server untouched, since `redis-server -` reads its configuration there.
set -eu

program=$SERVER-server

case "${1:-$program}" in
-* | *.conf) set -- "$program" "$@" ;;
esac

if [ "${1:-}" = "$program" ] && [ "$(id -u)" = 0 ]; then
    find . ! -user "$SERVER" -exec chown "$SERVER" {} + </dev/null
    exec setpriv --reuid="$SERVER" --regid="$SERVER" --init-groups -- "$0" "$@"
fi

if [ "${1:-}" = "$program" ]; then
    case "${2:-}" in
    *.conf) ;;
    *)
        # The official server is compiled without protected mode, because a container's ports are closed until published.
        shift
        set -- "$program" --protected-mode no "$@"
        ;;
    esac
fi

# A umask that somebody chose stays.
if [ "$(umask)" = 0022 ]; then
    umask 0077
fi

exec "$@"
