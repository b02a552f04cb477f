#!/bin/sh
# Installs sess-agent on this machine and makes the machine an instance of a sess-server; or removes it again.
# The same text for everybody: what differs comes in as arguments. POSIX sh; needs curl (or GNU wget) and sha256sum.
set -eu

usage() {
	cat <<'USAGE'
usage: install.sh --server URL --token TOKEN [--name NAME] [--background]
       install.sh --uninstall

  --server URL       the sess-server, with #pin=sha256:HEX behind it where its certificate is its own
  --token TOKEN      an enrolment token (sessctl token create)
  --token-file FILE  the same from a file
  --name NAME        what to call this instance; without it, its host name
  --background       where there is no systemd: start the agent in the background now
  --uninstall        stop the agent and remove its service, program, configuration and key

As root the agent goes to /usr/local/bin and runs as a system service; as another user it goes to ~/.local/bin and runs
as that user's own service.
USAGE
}

say() { printf '%s\n' "install.sh: $*" >&2; }

die() {
	say "error: $1"
	[ $# -lt 2 ] || say "hint: $2"
	exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

server='' token='' name='' background='' uninstall='' pin=''

parse() {
	while [ $# -gt 0 ]; do
		case $1 in
		--server | --token | --token-file | --name)
			[ $# -ge 2 ] || die "$1 needs a value" 'see --help'
			case $1 in
			--server) server=$2 ;;
			--token) token=$2 ;;
			--token-file) token=$(cat -- "$2") || die "can't read $2" ;;
			--name) name=$2 ;;
			esac
			shift 2
			;;
		--background) background=1 && shift ;;
		--uninstall) uninstall=1 && shift ;;
		-h | --help) usage && exit 0 ;;
		*) usage >&2 && die "unknown argument $1" ;;
		esac
	done
}

# places decides where things go.
places() {
	if [ "$(id -u)" = 0 ]; then
		bindir=/usr/local/bin log=/var/log/sess-agent.log
	else
		bindir=${HOME:?is not set}/.local/bin log=$HOME/.local/state/sess-agent.log
	fi
	agent=$bindir/sess-agent
}

# target names the program for this machine.
target() {
	case $(uname -s) in
	Linux) os=linux ;;
	Darwin) os=darwin ;;
	*) die "there is no agent for $(uname -s)" ;;
	esac
	case $(uname -m) in
	x86_64 | amd64) arch=amd64 ;;
	aarch64 | arm64) arch=arm64 ;;
	*) die "there is no agent for $(uname -m)" ;;
	esac
	file=sess-agent-$os-$arch
}

# hex_to_base64 turns the pin into the form curl and wget take. printf makes the bytes, through octal escapes.
hex_to_base64() {
	hex=$1 oct=''
	while [ -n "$hex" ]; do
		rest=${hex#??}
		byte=${hex%"$rest"}
		oct="$oct\\0$(printf '%o' "0x$byte")"
		hex=$rest
	done
	if have base64; then
		printf '%b' "$oct" | base64 | tr -d '\n'
	elif have openssl; then
		printf '%b' "$oct" | openssl base64 -A
	else
		die 'neither base64 nor openssl is there to prepare the pin' 'install one of them'
	fi
}

# split_pin takes #pin=sha256:HEX off the server's URL.
split_pin() {
	base=${server%%#*}
	base=${base%/}
	case $base in
	https://* | http://*) ;;
	*) die "$base is no server URL" 'it begins with https://' ;;
	esac
	case $server in
	*'#pin=sha256:'*)
		hex=${server##*'#pin=sha256:'}
		case $hex in *[!0-9a-fA-F]*) die 'the pin in the server URL is not hexadecimal' ;; esac
		[ ${#hex} = 64 ] || die 'the pin in the server URL is not 64 digits long' 'copy the whole line again'
		pin=sha256//$(hex_to_base64 "$hex")
		;;
	*'#'*) die 'what follows # in the server URL is no pin' 'it looks like #pin=sha256:…' ;;
	esac
}

# fetch PATH FILE: with a pin, the pinned key and nothing else is accepted; without one, the system's roots decide.
fetch() {
	if have curl; then
		if [ -n "$pin" ]; then
			curl -fsS -k --pinnedpubkey "$pin" -o "$2" -- "$base$1"
		else
			curl -fsS -o "$2" -- "$base$1"
		fi
	elif have wget; then
		if [ -z "$pin" ]; then
			wget -q -O "$2" -- "$base$1"
		elif wget --help 2>&1 | grep -q -e --pinnedpubkey; then
			wget -q --no-check-certificate --pinnedpubkey="$pin" -O "$2" -- "$base$1"
		else
			die "this wget can't check the server's own certificate" 'install curl'
		fi
	else
		die 'neither curl nor wget is there' 'install curl'
	fi
}

digest() {
	if have sha256sum; then
		sha256sum <"$1"
	elif have shasum; then
		shasum -a 256 <"$1"
	else
		die "sha256sum is not there, so the download can't be checked" 'install coreutils'
	fi | cut -c 1-64
}

download() {
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' INT TERM HUP
	say "downloading $file from $base"
	fetch /agent/SHA256SUMS "$tmp/sums" || die "can't get /agent/SHA256SUMS from $base" 'is the address right, and was sess-server started with --agent-binaries?'
	sha=$(grep "  $file\$" "$tmp/sums" | cut -c 1-64) || die "the server has no $file" 'ask its admin to add it to --agent-binaries'
	fetch "/agent/$file" "$tmp/agent" || die "can't get $file from $base"
	[ "$(digest "$tmp/agent")" = "$sha" ] || die 'the download does not have the checksum the server promised' 'try again'
}

place() {
	mkdir -p -- "$bindir"
	chmod 0755 "$tmp/agent"
	# Copied beside its place and renamed into it: a running agent keeps its old file, and nobody sees half of the new one.
	cp -- "$tmp/agent" "$agent.new"
	mv -f -- "$agent.new" "$agent"
	say "installed $agent"
}

# instance gives the name of the instance this machine is, or nothing.
instance() { "$agent" status --json 2>/dev/null | sed -n 's/.*"name":"\([^"]*\)".*/\1/p'; }

enrol() {
	if [ -n "$(instance)" ]; then
		say "this machine is the instance $(instance) already; keeping its key"
		return
	fi
	set -- enroll --server "$server" --token-file -
	[ -z "$name" ] || set -- "$@" --name "$name"
	printf '%s\n' "$token" | "$agent" "$@" >/dev/null || die "this machine could not be enrolled" 'the reason is above; tokens run out, sessctl token create makes another'
}

# with_systemd: only where systemd is running is there somebody to hand the service to.
with_systemd() {
	have systemctl || return 1
	if [ "$(id -u)" = 0 ]; then
		[ -d /run/systemd/system ]
	else
		[ -n "${XDG_RUNTIME_DIR:-}" ] && [ -d "$XDG_RUNTIME_DIR/systemd" ]
	fi
}

start_service() {
	if with_systemd; then
		"$agent" install || die "the service could not be set up" 'the reason is above'
		return
	fi
	say 'systemd does not run here, so nothing starts the agent by itself'
	if [ -z "$background" ]; then
		say "start it with:  $agent run"
		say 'and have your init system, container or supervisor do so at boot'
		return 1
	fi
	mkdir -p -- "${log%/*}"
	(trap '' HUP && exec "$agent" run >>"$log" 2>&1 </dev/null) &
	say "started in the background as process $!, log in $log; it does not come back after a reboot"
}

remove() {
	if [ ! -x "$agent" ]; then
		die "there is no $agent" 'was it installed as another user?'
	fi
	"$agent" uninstall --purge || die "the agent could not be removed" 'the reason is above'
	rm -f -- "$agent"
	say "removed $agent"
	say 'the server still lists this instance: sessctl instance remove NAME'
}

main() {
	parse "$@"
	places
	if [ -n "$uninstall" ]; then
		remove
		return
	fi
	[ -n "$server" ] || die 'no --server is given' 'sessctl token create prints the whole line'
	[ -n "$token" ] || die 'no --token is given' 'sessctl token create prints the whole line'
	target
	split_pin
	download
	place
	enrol
	start_service || return 0
	"$agent" status --wait 30s >/dev/null || die 'the agent does not reach the server' "look at: $agent status, and its log"
	# The answer of this script, and the only line on standard output.
	say 'online; from your own machine:'
	printf 'sessctl start %s\n' "$(instance)"
}

# Called at the very end, so that a download cut off half-way runs nothing.
main "$@"
