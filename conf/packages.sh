#!/bin/sh
# conf/packages.sh GROUP... - installs the Debian packages that are missing for what is to be done.
#
# Groups: build, run, test, check, bench. With nothing missing it says nothing and touches
# nothing. Servers that are new on this machine are not started: Tollgate starts its own.
set -eu

# A word is a package, or COMMAND:PACKAGE where the command may come from anywhere.
packages_of() {
	case $1 in
	build) echo cc:gcc make:make libc6-dev libcurl4-openssl-dev libssl-dev \
		libjson-c-dev libgdbm-dev zlib1g-dev libhiredis-dev ;;
	run) echo lighttpd:lighttpd curl:curl ca-certificates ;;
	test) echo libcmocka-dev apache2:apache2-bin libapache2-mod-fcgid nginx:nginx-light \
		spawn-fcgi:spawn-fcgi redis-server:redis-server python3:python3 python3-venv \
		openssl:openssl node:nodejs npm:npm ;;
	check) echo gcc:gcc clang:clang clang-tidy:clang-tidy clang-format:clang-format \
		libclang-rt-14-dev cppcheck:cppcheck shellcheck:shellcheck readelf:binutils \
		mandoc:mandoc git:git ;;
	bench) echo nginx:nginx-light wrk:wrk python3:python3 ;;
	*)
		echo "packages: unknown group '$1' (build, run, test, check, bench)" >&2
		exit 2
		;;
	esac
}

# Servers live in sbin, which is not on everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin

is_there() {
	case $1 in
	*:*) command -v "${1%%:*}" >/dev/null 2>&1 ;;
	*) dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -q '^install ok installed' ;;
	esac
}

missing=
for group; do
	words=$(packages_of "$group")
	for word in $words; do
		is_there "$word" || case " $missing " in
		*" ${word#*:} "*) ;;
		*) missing="$missing ${word#*:}" ;;
		esac
	done
done
missing=${missing# }
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "packages: these Debian packages, or what your system calls them, are needed: $missing" >&2
	exit 1
fi
if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null 2>&1; then
	as_root=sudo
else
	echo "packages: missing: $missing" >&2
	echo "packages: run this as root, then try again: apt-get install --no-install-recommends $missing" >&2
	exit 1
fi

echo "Installing Debian packages: $missing"

# Debian starts a server as soon as it is installed; this file keeps it from doing so.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap '$as_root rm -f $policy' EXIT
	trap 'exit 1' INT TERM HUP
	printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
	$as_root chmod 755 $policy
fi

install_them() {
	# shellcheck disable=SC2086 # words on purpose
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 \
		-o DPkg::Lock::Timeout=300 install --no-install-recommends $missing </dev/null >&2
}
# The package lists may be old or empty: only then are they fetched.
if ! install_them 2>/dev/null && ! { $as_root apt-get -qq update </dev/null >&2 && install_them; }; then
	echo "packages: could not install: $missing (apt-get's own words are above)" >&2
	exit 1
fi
for service in lighttpd nginx redis-server; do
	case " $missing " in
	*" $service"*) [ ! -d /run/systemd/system ] || $as_root systemctl -q disable "$service" || : ;;
	esac
done
