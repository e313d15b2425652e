#!/bin/bash
# conf/run.sh BIN - what `make run` does once the programs are built in the folder BIN: lighttpd
# with every handler as the current user, in the foreground, until Ctrl-C or SIGTERM.
#
#   PORT           of 127.0.0.1 to listen on (8080)
#   GATEWAY_HOME   folder for keys and state (./var); made when it is not there
#
# Everything else in the environment reaches the handlers: OPENAI_API_KEY and its like.
set -u
PATH=$PATH:/usr/sbin:/sbin

STOP_S=10 # running streams may finish for so long after the first Ctrl-C

die() {
	printf 'tollgate: %s\n' "$@" >&2
	exit 1
}

# ---- what was asked for ----

on_terminal=
[ ! -t 1 ] || on_terminal=yes
bin=$(cd "${1:?usage: conf/run.sh BIN}" 2>/dev/null && pwd) || die "no programs in $1: run make first"
conf=$(cd "$(dirname "$0")" && pwd)
PORT=${PORT:-8080}
GATEWAY_HOME=${GATEWAY_HOME:-var}

if ! [[ $PORT =~ ^[1-9][0-9]{0,4}$ ]] || ((PORT > 65535)); then
	die "PORT=$PORT is no port; it takes a number from 1 to 65535"
fi
command -v lighttpd >/dev/null ||
	die "lighttpd is missing: install it (apt-get install lighttpd), or run make run, which does"
command -v curl >/dev/null || die "curl is missing: install it (apt-get install curl)"

umask 077
[ -d "$GATEWAY_HOME" ] || mkdir -p "$GATEWAY_HOME" 2>/dev/null ||
	die "GATEWAY_HOME=$GATEWAY_HOME cannot be made; choose another folder: make run GATEWAY_HOME=…"
if ! [ -d "$GATEWAY_HOME" ] || ! [ -w "$GATEWAY_HOME" ] || ! [ -x "$GATEWAY_HOME" ]; then
	die "GATEWAY_HOME=$GATEWAY_HOME cannot be written; choose another folder: make run GATEWAY_HOME=…"
fi
GATEWAY_HOME=$(cd "$GATEWAY_HOME" && pwd)
exec 9>>"$GATEWAY_HOME/run.lock"
flock -n 9 || die "GATEWAY_HOME=$GATEWAY_HOME is in use by another make run; stop that one first, or choose another folder"

if (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then
	die "something listens on 127.0.0.1:$PORT already; choose another port: make run PORT=$((PORT < 65535 ? PORT + 1 : 8080))"
fi

# A socket's path has at most 107 characters.
TOLLGATE_RUN=$GATEWAY_HOME/run own_run=
if [[ ${#TOLLGATE_RUN} -gt 85 || $TOLLGATE_RUN == *[[:space:]]* ]]; then
	TOLLGATE_RUN=$(mktemp -d /tmp/tollgate.XXXXXX) || die "no temporary folder in /tmp"
	own_run=$TOLLGATE_RUN
fi
mkdir -p "$TOLLGATE_RUN"
# lighttpd takes what stands behind a blank for an argument of the program.
if [[ $bin == *[[:space:]]* ]]; then
	ln -sfn "$bin" "$TOLLGATE_RUN/bin" || die "no link can be made in $TOLLGATE_RUN"
fi
export PORT GATEWAY_HOME TOLLGATE_RUN TOLLGATE_BIN=$bin
[[ $bin != *[[:space:]]* ]] || TOLLGATE_BIN=$TOLLGATE_RUN/bin

# ---- starting ----

server=
forget() {
	[ -z "$server" ] || kill -KILL -- "-$server" 2>/dev/null
	[ -z "$own_run" ] || rm -rf "$own_run"
}
trap forget EXIT
asked=0
trap 'asked=$((asked + 1))' INT TERM HUP

key_file=$GATEWAY_HOME/first-key
"$bin/tollgate" keys create --name first --if-none "$key_file" 9>&- >/dev/null ||
	die "no API key could be made in GATEWAY_HOME=$GATEWAY_HOME (the reason is above)"

# As a job of its own process group: a Ctrl-C reaches this script alone, which then ends the
# group in order. Should the script be killed, lighttpd is told so by the kernel.
set -m
setpriv --pdeathsig TERM lighttpd -D -f "$conf/lighttpd.conf" </dev/null 9>&- &
server=$!
set +m

base=http://127.0.0.1:$PORT
fetch() {
	curl -sf --noproxy '*' -m 5 "$base$1" 9>&-
}
for ((i = 0; ; i++)); do
	kill -0 "$server" 2>/dev/null ||
		die "lighttpd could not start on 127.0.0.1:$PORT (its reason is above); another port: make run PORT=…"
	fetch /health >/dev/null && break
	[ $asked = 0 ] || exit 1
	((i < 200)) || die "no answer from $base/health after 20 s (the log is above)"
	sleep 0.1
done

# ---- saying so ----

ids() {
	fetch "$1" | grep -oE "\"$2\": ?\"[^\"]+\"" | cut -d'"' -f4
}
key=$(<"$key_file")
models=$(ids /v1/models id)
model=${models%%$'\n'*}
say_curl() {
	cat <<EOF

  curl -N $base/v1/chat/completions \\
    -H 'Authorization: Bearer $key' -H 'Content-Type: application/json' \\
    -d '{"model":"$1","stream":true,"messages":[{"role":"user","content":"Tell me a story."}]}'
EOF
}
say_running() {
	cat <<EOF

Tollgate is running.

  Base URL    $base/v1
  API key     $key   (kept in $key_file)
  Providers   $1
EOF
}
if [[ $models == demo/* ]]; then
	say_running none
	cat <<EOF
  Models      demo/echo:free and demo/story:free
              DEMONSTRATION: a program inside the gateway makes up these answers, no
              model does. Set OPENAI_API_KEY, ANTHROPIC_API_KEY or the variable of
              another provider, and start again.
EOF
	say_curl demo/story:free
elif [ -n "$model" ]; then
	say_running "$(ids /v1/providers slug | paste -sd, | sed 's/,/, /g')"
	say_curl "$model"
else
	say_running none
	cat <<EOF
  Models      none, so every request is refused. Set OPENAI_API_KEY, ANTHROPIC_API_KEY
              or the variable of another provider, and start again.
EOF
fi
printf '\n  Stop with Ctrl-C.\n\n'

# ---- until told to stop ----

# A terminal that is closed may tell make alone, who then waits for us: so it is looked at.
while [ $asked = 0 ] && kill -0 "$server" 2>/dev/null; do
	if [ -z "$on_terminal" ]; then
		wait "$server"
	elif [ -t 1 ]; then
		sleep 2 9>&- &
		wait -n "$server" $!
	else
		asked=1
	fi
done
[ $asked != 0 ] || die "lighttpd ended by itself (its reason is above)"

# Does a process of the group live? A zombie does not, and may wait long for its new parent.
group_lives() {
	local file line
	for file in /proc/[0-9]*/stat; do
		read -r line 2>/dev/null <"$file" || continue
		read -r -a line <<<"${line##*) }" # state, parent, process group
		[[ ${line[2]} != "$server" || ${line[0]} == Z ]] || return 0
	done
	return 1
}

# group_ends SECONDS - waits for the whole group; false when it takes longer, or on another Ctrl-C.
group_ends() {
	local now=$asked i
	for ((i = 0; i < $1 * 20; i++)); do
		group_lives || return 0
		[ "$asked" = "$now" ] || return 1
		sleep 0.05
	done
	return 1
}
kill -INT "$server" 2>/dev/null
if ! group_ends 1; then
	echo "Stopping: running answers have $STOP_S s to finish; Ctrl-C again cuts them."
	if ! group_ends $STOP_S; then
		kill -TERM -- "-$server" 2>/dev/null
		group_ends 3 || kill -KILL -- "-$server" 2>/dev/null
	fi
fi
server=
echo "Stopped."
