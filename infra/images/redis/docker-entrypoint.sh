#!/bin/sh
# Starts Redis with the contract of the official image: options or a configuration file alone mean redis-server;
# redis-server started by root owns /data and runs as the user redis; any other command runs as it is.
# Standard input reaches the server untouched, since `redis-server -` reads its configuration there.
set -eu

case "${1:-redis-server}" in
-* | *.conf) set -- redis-server "$@" ;;
esac

if [ "${1:-}" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis {} + </dev/null
    exec setpriv --reuid=redis --regid=redis --init-groups -- "$0" "$@"
fi

if [ "${1:-}" = redis-server ]; then
    case "${2:-}" in
    *.conf) ;;
    *)
        # The official server is compiled without protected mode, because a container's ports are closed until published.
        shift
        set -- redis-server --protected-mode no "$@"
        ;;
    esac
fi

# A umask that somebody chose stays.
if [ "$(umask)" = 0022 ]; then
    umask 0077
fi

exec "$@"
