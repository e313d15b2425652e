#!/bin/sh
# Starts every handler with spawn-fcgi, for nginx.conf and apache-proxy-fcgi.conf; one process
# with many threads each. Run it as the user the gateway shall run as.
#
#     sh spawn-fcgi.sh start|stop
#
# Change: /opt/tollgate/libexec/tollgate (programs), /etc/tollgate/gateway.conf (settings),
# /var/lib/tollgate (data), /run/tollgate (sockets and pid files, a folder that exists and
# that the web server's user may enter). The sockets are 0660: make the web server's user a
# member of the group that runs this.
set -eu

bin=/opt/tollgate/libexec/tollgate
run=/run/tollgate
export GATEWAY_CONF="${GATEWAY_CONF:-/etc/tollgate/gateway.conf}"
export GATEWAY_HOME="${GATEWAY_HOME:-/var/lib/tollgate}"

programs="chat_completions completions embeddings models providers models_by_provider account health"

start() {
	for name in $programs; do
		rm -f "$run/$name.sock"
		spawn-fcgi -s "$run/$name.sock" -M 0660 -b 4096 -P "$run/$name.pid" -- "$bin/$name.fcgi"
	done
}

# The handlers finish what is running, bounded by GATEWAY_DRAIN, and leave.
stop() {
	for name in $programs; do
		[ -s "$run/$name.pid" ] || continue
		kill -TERM "$(cat "$run/$name.pid")" 2>/dev/null || true
		rm -f "$run/$name.pid" "$run/$name.sock"
	done
}

case "${1:-}" in
start) start ;;
stop) stop ;;
*)
	echo "usage: $0 start|stop" >&2
	exit 2
	;;
esac
